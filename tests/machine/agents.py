"""Agents that answer, for tests that need one: in a machine of their own, from a snapshot made once.

They are stopped there: no snapshot holds a process. A start takes 13 CPU seconds instead of 19, and nothing
is left to configure.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checkout import files_of_the_checkout, push_checkout
from .image import REPOSITORY, ensure_image
from .instances import deploy_answering, say
from .lifetime import has_snapshot, snapshots_dir
from .machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from .checkout import Ocm

MAKING = ("src/", "ocm.py", "requirements.txt", "tests/machine/agents.py")
# By the backend that has the care of it.
NAMES = {"systemd": "agent-of-systemd", "supervisord": "agent-of-supervisord"}
# A file of a snapshot becomes one of the machine when it is first opened to be written, with another time of
# birth. OpenClaw that sees that of a database change while it starts ends with an error.
_HAVE_THEM_HERE = (
    'find ~/.openclaw-* -name "*.sqlite*" -exec sh -c \'for file; do : >> "$file"; done\' sh {} +'
)


@dataclass(frozen=True)
class Agents:
    """OCM in a machine with an agent of each backend, both stopped, whose model is the fake one."""

    ocm: Ocm

    @property
    def machine(self) -> Machine:
        return self.ocm.machine

    def ready(self, backend: str) -> str:
        """Return the name of an agent once it is ready, started where it is not."""
        self.ocm("start", NAMES[backend])
        return NAMES[backend]

    def ask(self, backend: str, text: str) -> str:
        """Return what an agent answers: `ECHO:word` is repeated, as the fake model does."""
        return say(self.ocm, NAMES[backend], text)


@contextlib.contextmanager
def agents_in(release: str) -> Iterator[Agents]:
    """Boot a machine with the agents that the working copy makes."""
    with snapshot(release) as tag, Machine.boot(release, snapshot=tag) as machine:
        machine.run(["bash", "-c", _HAVE_THEM_HERE])
        yield Agents(push_checkout(machine))


@contextlib.contextmanager
def snapshot(release: str) -> Iterator[str]:
    """Give the tag of a snapshot with the agents, made where there is none; those of other sources go."""
    folder = snapshots_dir(ensure_image(release).key)
    folder.mkdir(parents=True, exist_ok=True)
    tag = f"agents-{digest()}"
    with (folder / ".agents.lock").open("w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        using = lock_of(folder, tag)
        fcntl.flock(using, fcntl.LOCK_SH)
        if not has_snapshot(release, tag):
            make(release, tag)
        remove_others(folder, tag)
    with using:
        yield tag


def digest() -> str:
    """Return what changes with any file that makes the agents."""
    content = hashlib.sha256()
    for name in files_of_the_checkout():
        if name.startswith(MAKING):
            content.update(f"{name}\0".encode() + (REPOSITORY / name).read_bytes())
    return content.hexdigest()[:16]


def make(release: str, tag: str) -> None:
    with Machine.boot(release) as machine:
        ocm = push_checkout(machine)
        for backend, name in NAMES.items():
            deploy_answering(ocm, name, "--backend", backend, "--no-inherit")
            assert "PONG from fake model" in say(ocm, name, "hi")
            ocm("stop", name)
        machine.snapshot(tag)


def remove_others(folder: Path, tag: str) -> None:
    for other in folder.glob("agents-*"):
        with lock_of(folder, other.name) as using, contextlib.suppress(BlockingIOError):
            if other.name != tag:
                fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(other)
                (folder / f".{other.name}.lock").unlink()


def lock_of(folder: Path, tag: str) -> IO[str]:
    return (folder / f".{tag}.lock").open("w")
