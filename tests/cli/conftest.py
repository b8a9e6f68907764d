"""Runs ocm as a user does, with a home of its own: in this process, or where it matters in another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).parents[2] / "src"
RECORD = 'name = "{name}"\nport = {port}\n\n[runtime]\nnode = "/usr/bin/node"\nopenclaw = "/opt/openclaw"\n'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


def environment(home: Path) -> dict[str, str]:
    # A user manager of the developer's must not be found.
    return {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "no-runtime")}


@pytest.fixture
def ocm(home: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the program's main function, without a terminal."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        with pytest.MonkeyPatch.context() as patch, Path(os.devnull).open() as nothing:
            patch.setattr(os, "environ", {**environment(home), **environ})
            patch.setattr(sys, "argv", ["ocm", *arguments])
            patch.setattr(sys, "stdin", nothing)
            patch.chdir(home)
            try:
                status = main()
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else 1
        for number, handler in handlers.items():
            signal.signal(number, handler)
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, status, out, err)

    return run


@pytest.fixture
def process(home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `python -m openclaw_ocm`, or another program, in the home.

    In the repository `-m ocm` would find ./ocm.py.
    """

    def run(*arguments: str, program: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*(program or (sys.executable, "-W", "error", "-m", "openclaw_ocm")), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=home,
            stdin=subprocess.DEVNULL,
            env={**environment(home), "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    return run


@pytest.fixture
def add_record(home: Path) -> Callable[..., Path]:
    """Return a function that writes the record of an instance."""

    def add(name: str, *, port: int = 19001, text: str = RECORD) -> Path:
        path = home / ".config/ocm/instances" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(name=name, port=port))
        return path

    return add
