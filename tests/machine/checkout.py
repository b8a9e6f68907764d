"""Brings this working copy into a machine as a clean clone plus what is not committed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .image import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .machine import Machine, PtyResult, Result
    from .terminal import Answers


@dataclass(frozen=True)
class Ocm:
    """Runs `./ocm.py ARGS` in a machine."""

    machine: Machine
    folder: str

    def __call__(
        self,
        *args: str,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
        cwd: str | None = None,
    ) -> Result:
        argv = [f"{self.folder}/ocm.py", *args]
        return self.machine.run(argv, check=check, input=input, env=env, timeout=timeout, cwd=cwd)

    def pty(self, *args: str, answers: Answers = (), timeout: float = 300) -> PtyResult:
        return self.machine.pty([f"{self.folder}/ocm.py", *args], answers=answers, timeout=timeout)


def push_checkout(machine: Machine, destination: str | None = None) -> Ocm:
    """Replace the checkout in the machine, ~/ocm if left out, by one of the working copy."""
    destination = destination or f"{machine.home}/ocm"
    with tempfile.TemporaryDirectory(prefix="ocm-checkout-") as folder:
        clone = Path(folder) / "ocm"
        make_checkout(clone)
        machine.run(["rm", "-rf", destination])
        machine.push(clone, destination)
    return Ocm(machine, destination)


def make_checkout(clone: Path) -> None:
    if succeeds("rev-parse", "--verify", "--quiet", "HEAD"):
        git("clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(clone))
    else:
        git("init", "--quiet", str(clone))
    for name in git("diff", "--name-only", "--diff-filter=D", "-z").split("\0"):
        if name:
            (clone / name).unlink(missing_ok=True)
    for name in files_of_the_checkout():
        target = clone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(REPOSITORY / name, target, follow_symlinks=False)


def files_of_the_checkout() -> list[str]:
    """Return what the working copy has of files that are in the repository or not yet."""
    names = git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    paths = {name: REPOSITORY / name for name in sorted(names) if name}
    return [name for name, path in paths.items() if path.is_symlink() or path.exists()]


def git(*args: str, folder: Path = REPOSITORY) -> str:
    # The working copy may belong to another user than root, under whom machines run.
    argv = ["git", "-c", "safe.directory=*", "-C", str(folder), *args]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def succeeds(*args: str) -> bool:
    argv = ["git", "-c", "safe.directory=*", "-C", str(REPOSITORY), *args]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
