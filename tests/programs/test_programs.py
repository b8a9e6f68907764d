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


def test_the_programs_are_those_of_three_languages_and_a_page() -> None:
    assert {Path(name).suffix for name in NAMES} == {".py", ".pl", ".mjs", ".html"}
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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with what a wheel puts into site-packages."""
    built, there = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(built)]
    subprocess.run(argv, check=True, capture_output=True, cwd=REPOSITORY)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(there)
    return there


def test_a_wheel_holds_them_to_the_byte(installed: Path) -> None:
    for name in NAMES:
        inside = installed / "openclaw_ocm" / "programs" / name
        held = (installed / "ocm.py" if name == "former_ocm.py" else inside).read_bytes()
        assert held == (programs.DIRECTORY / name).read_bytes()


def test_what_an_older_ocm_wrote_into_units_and_schedules_runs_the_one_that_is_installed(
    installed: Path,
) -> None:
    # To the letter: `own_argv` of the OCM whose package was called ocm.
    main = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ocm.cli.main import main; sys.exit(main())"
    # What an uninstall leaves of an older one, whose files are gone.
    (installed / "ocm" / "__pycache__").mkdir(parents=True)
    argv = [sys.executable, "-I", "-c", main, str(installed), "backup", "--help"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ocm backup")
