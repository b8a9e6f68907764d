"""Measures `ocm backup` beside `tar czf` of the stopped state and OpenClaw's own backup, in one run.

As root: python3 -m bench.backups [--release trixie] [--rounds N] [--json]. It knows no thresholds.
"""

from __future__ import annotations

import json
import sys
from statistics import median
from typing import Any

from bench.options import parser
from tests.machine.checkout import push_checkout
from tests.machine.machine import Machine

HOME, NAME = "/home/debian", "bench"
# Files and the bytes of each, beside what a new instance has.
SHAPES = {"10 MB": (10, 2**20), "1 GB": (64, 2**24), "20 000 files": (20_000, 2**10)}
BASELINES = {"tar": "tar czf", "openclaw": "openclaw backup create --verify"}


def main() -> int:
    options = parser("bench.backups", __doc__, rounds=1, each="backups of each kind and shape").parse_args()
    with Machine.boot(options.release) as machine:
        ocm = push_checkout(machine)
        ocm("deploy", NAME)
        ocm("stop", NAME)
        taken = {
            shape: measured(machine, f"{ocm.folder}/ocm.py", count, size, options.rounds)
            for shape, (count, size) in SHAPES.items()
        }
    if options.json:
        print(json.dumps({"release": options.release, "backups": taken}))
        return 0
    print("what".ljust(44), *(cell.rjust(12) for cell in ("OCM", "baseline", "ratio")))
    for shape, sides in taken.items():
        for side, label in BASELINES.items():
            for unit in ("seconds", "bytes"):
                ours, theirs = (median(sides[one][unit]) for one in ("ocm", side))
                cells = (f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
                print(f"{shape}, {label}, {unit}".ljust(44), *(cell.rjust(12) for cell in cells))
    return 0


def measured(
    machine: Machine, ocm: str, count: int, size: int, rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Return seconds and bytes of each kind of backup of an instance with so many files of such a size."""
    argv = [
        "python3",
        f"{HOME}/ocm/bench/inside.py",
        "backups",
        ocm,
        NAME,
        str(count),
        str(size),
        str(rounds),
    ]
    found: Any = json.loads(machine.run(argv, timeout=3600).stdout)
    print(f"bench: {count} files of {size} bytes: {json.dumps(found)}", file=sys.stderr, flush=True)
    assert isinstance(found, dict)
    return found


if __name__ == "__main__":
    sys.exit(main())
