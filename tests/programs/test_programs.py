"""The programs as their own languages see them, and that they come along with the package.

Those for Node are checked in the booted machines, which have one.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from openclaw_ocm.backends.supervisord.bubblewrap import Entrance, entry_argv
from openclaw_ocm.core.sandbox.launch import PERL
from openclaw_ocm.system import programs

REPOSITORY = Path(__file__).parents[2]
NAMES = sorted(path.name for path in programs.DIRECTORY.iterdir() if path.is_file())


def test_the_programs_are_those_of_three_languages() -> None:
    assert {Path(name).suffix for name in NAMES} == {".py", ".pl", ".mjs"}
    assert "probe.py" in NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".pl")])
def test_perl_finds_nothing_wrong(name: str) -> None:
    done = subprocess.run(
        [PERL, "-wc", programs.DIRECTORY / name], check=False, capture_output=True, text=True
    )
    assert done.stderr == f"{programs.DIRECTORY / name} syntax OK\n"


def test_on_one_line_the_way_into_a_sandbox_is_still_whole(tmp_path: Path) -> None:
    for name in ("calls", "arguments"):
        (tmp_path / name).write_text(f"these are the {name}")
    filters = (PurePosixPath(tmp_path, "calls"), PurePosixPath(tmp_path, "arguments"))
    entrance = Entrance(program=programs.text("enter_sandbox.pl"), filters=filters)
    script = "cat <&8; cat <&9; umask; grep SigBlk /proc/self/status; cat 2>&1 < /dev/tty"
    argv = entry_argv(entrance, ("/bin/bash", "-c", script), variables={"LANG": "C"})
    assert not any("\n" in word for word in argv)
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    first, blocked, terminal = done.stdout.splitlines()
    assert first == "these are the callsthese are the arguments0077"
    assert int(blocked.split()[1], 16) == 1 << 14, "SIGTERM waits for the init inside"
    assert "/dev/tty: No such device" in terminal


def test_a_wheel_holds_them_to_the_byte(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(argv, check=True, capture_output=True, cwd=REPOSITORY)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        for name in NAMES:
            held = opened.read(f"openclaw_ocm/programs/{name}")
            assert held == (programs.DIRECTORY / name).read_bytes()
