"""Measures a backup of many small databases beside `tar czf` of the same tree, by turns, in one run.

PYTHONPATH=src python3 -m bench.databases [--node PATH] [--count N] [--rounds N]. It boots no machine: the
instance is not sealed, in a home of its own, and needs Node 24. It knows no thresholds.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import itertools
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath
from statistics import median
from typing import TYPE_CHECKING

from tests.operations.test_backup import Instance

if TYPE_CHECKING:
    from collections.abc import Callable

# Text that compresses somewhat, as notes and transcripts do; a database of two pages.
TEXT_BYTES = 3600


def main() -> int:
    made = argparse.ArgumentParser(prog="python3 -m bench.databases", description=__doc__.partition("\n")[0])
    made.add_argument("--node", default=shutil.which("node"), help="Node 24 (default: that of PATH)")
    made.add_argument("--count", type=int, default=2000, help="databases (default: 2000)")
    made.add_argument("--rounds", type=int, default=3, help="backups of each kind (default: 3)")
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocm-bench-") as home:
        instance = Instance(Path(home))
        instance.create()
        Path(home, "node").unlink()
        Path(home, "node").symlink_to(options.node)
        fill(instance.state / "workspace" / "databases", options.count)
        argv = ["tar", "czf", f"{home}/tar.tar.gz", "-C", home, instance.state.name]
        numbers = itertools.count()
        sides: dict[str, Callable[[], object]] = {
            # Names that tell the second are waited for, where the last backup took less than one.
            "ocm": lambda: instance.backup(output=PurePosixPath(home, f"{next(numbers)}.tar.gz")),
            "tar": lambda: subprocess.run(argv, check=True),
        }
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for side in list(sides) * options.rounds:
            began = time.monotonic()
            sides[side]()
            taken[side].append(time.monotonic() - began)
    ours, theirs = median(taken["ocm"]), median(taken["tar"])
    print(f"{options.count} databases, median of {options.rounds}:", end=" ")
    print(f"ocm backup {ours:.2f} s, tar {theirs:.2f} s, ratio {ours / theirs:.2f}")
    return 0


def fill(folder: Path, count: int) -> None:
    """Make the databases, each of a text of its own."""
    folder.mkdir(parents=True)
    chance = random.Random(0)
    for number in range(count):
        with contextlib.closing(sqlite3.connect(folder / f"{number}.sqlite")) as database:
            # Nobody waits for the disk here.
            database.execute("pragma synchronous = off")
            database.execute("create table notes (line text)")
            text = base64.b64encode(chance.randbytes(TEXT_BYTES * 3 // 4))
            database.execute("insert into notes values (?)", (text.decode(),))
            database.commit()


if __name__ == "__main__":
    sys.exit(main())
