"""On a disk that is full, or cannot be written at all: a stop and a deletion, each in a mount of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.killing import REPOSITORY
from tests.operations.kept import NAME, keep

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from tests.operations.kept import Kept

_MOUNT = 'mount -t tmpfs -o size=4m small "$0" && exec "$@"'


def on_a_small_disk(home: Path, change: str) -> str:
    """Run a function of this module on an instance that runs, whose home is a disk of its own."""
    program = f"import sys; from {__name__} import main; main(*sys.argv[1:])"
    return subprocess.run(
        (
            *("unshare", "--map-root-user", "--mount", "sh", "-c", _MOUNT, str(home)),
            *(sys.executable, "-c", program, str(home), change),
        ),
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"},
        timeout=120,
    ).stdout


def main(home: str, change: str) -> None:
    """Run it, in the process that has the disk."""
    with pytest.MonkeyPatch.context() as patch:
        kept = keep(Path(home), patch)
        # Whatever network this machine can make: nothing is patched in here.
        kept.deploy(network="shared")
        globals()[change](kept)


def full(kept: Kept) -> None:
    with Path(kept.home, "filler").open("wb", 0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))
    print(kept.stop().message, kept.delete().message, sep=", ")
    assert not Path(kept.paths(NAME).state).exists()
    assert not list(Path(kept.host.paths.locks).glob(f"{NAME}.*"))


def read_only(kept: Kept) -> None:
    before = kept.files()
    subprocess.run(["mount", "-o", "remount,ro", str(kept.home.parent)], check=True)
    with pytest.raises(OcmError) as caught:
        kept.delete(force=True)
    print(caught.value.message, caught.value.hint, sep="\n")
    assert kept.process(NAME).activity == "running"
    assert kept.stop().message == "stopped"
    assert kept.files() == before


def test_what_fills_the_disk_is_stopped_and_deleted(tmp_path: Path) -> None:
    assert on_a_small_disk(tmp_path, "full") == "stopped, deleted\n"


def test_a_disk_that_cannot_be_written_keeps_nobody_from_a_stop_and_says_so_to_a_deletion(
    tmp_path: Path,
) -> None:
    message, hint = on_a_small_disk(tmp_path, "read_only").splitlines()
    assert message.endswith(".toml cannot be removed: the disk that it is on is read-only")
    assert hint == "make it writable"
