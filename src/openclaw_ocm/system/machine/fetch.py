"""How what OCM brings is fetched: alone, in a staging directory, by pip, npm or apt-get, and put in place."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.core.needs import Progress
from openclaw_ocm.core.releases import is_unreachable
from openclaw_ocm.errors import Locked, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.runner import Completed

    Report = Callable[[Progress], None]

FETCH_SECONDS = 3600.0
CHECK_SECONDS = 120.0
_SHOWN_LINES = 5


def leftovers(host: Host) -> tuple[PurePosixPath, ...]:
    """Return the staging directories of installs that were cut off, or that are under way now."""
    places = (host.paths.ocm_data, host.paths.npm_prefix, host.paths.runtimes)
    return tuple(
        PurePosixPath(path) for place in places for path in sorted(Path(place).glob(temporary.STAGING_GLOB))
    )


def is_installing(host: Host) -> bool:
    """Tell whether another ocm is installing now, or what a killed one started still is."""
    return files.is_locked(_lock(host))


def _lock(host: Host) -> PurePosixPath:
    # No instance is named `@setup`.
    return host.paths.locks / "@setup.lock"


@contextlib.contextmanager
def alone(host: Host, report: Report) -> Iterator[int]:
    """Hold the lock of all installs and yield it: what is run shares it, even if this ocm is killed."""
    what = "what this machine has"
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(files.lock(_lock(host), what, wait_seconds=0))
        except Locked:
            report(Progress(what="wait for another ocm that installs"))
            descriptor = stack.enter_context(files.lock(_lock(host), what, wait_seconds=FETCH_SECONDS))
        stack.callback(files.remove_file, _lock(host))
        yield descriptor


@contextlib.contextmanager
def staging(parent: PurePosixPath) -> Iterator[PurePosixPath]:
    """Make a directory in `parent`, on its file system, that is gone afterwards with all that is in it."""
    path = parent / temporary.staging(secrets.token_hex(temporary.TOKEN_BYTES))
    try:
        files.make_directory(path)
        yield path
    finally:
        files.remove_tree(path)
        with contextlib.suppress(OSError):
            Path(parent).rmdir()  # empty where nothing came of the install that made it


def put(made: PurePosixPath, target: PurePosixPath, beside: PurePosixPath) -> None:
    """Put what was made in place; what stood there before goes with the staging directory."""
    files.make_directory(target.parent)
    # After a power cut the name must not be there without what it vouches for.
    os.sync()
    if os.path.lexists(target):
        Path(target).rename(beside / "before")
    Path(made).rename(target)


def command(host: Host, argv: tuple[str, ...], beside: PurePosixPath, lock: int | None) -> Command:
    """Return a command of pip or npm: with the user's settings, and its working files in `beside`.

    In a directory of OCM's own, since a settings file or a module where the user happens to be would count.
    Node trusts what the machine trusts, as Debian's pip does: a company's proxy may open what is encrypted.
    """
    return Command(
        argv=argv,
        timeout_seconds=FETCH_SECONDS,
        env={"NODE_USE_SYSTEM_CA": "1", **host.network, "TMPDIR": str(beside)},
        directory=str(beside),
        descriptors=() if lock is None else (lock,),
    )


def fetch(host: Host, tool: str, what: str, command: Command, on_line: Callable[[str], None]) -> None:
    """Run a command of pip or npm, each line to `on_line`; raise `OcmError` where it fails."""
    check(tool, what, host.runner.follow(command, on_line))


def check(tool: str, what: str, done: Completed, *, said_before: str = "") -> None:
    """Raise `OcmError` where a tool failed."""
    if done.returncode != 0:
        raise failure(tool, what, done.stdout, said_before)


def failure(tool: str, what: str, *said: str) -> OcmError:
    """Return why a tool failed: one sentence without a network, else with its last words."""
    if any(map(is_unreachable, said)):
        message = f"{tool} cannot reach its package registry for {what}; nothing of it was installed"
        return OcmError(message, code="unreachable")
    lines = [line for line in said[0].splitlines() if line.strip()][-_SHOWN_LINES:]
    message = f"{tool} could not install {what}; nothing of it was installed"
    return OcmError(message, code="install_failed", details=tuple(lines))


def prints(host: Host, argv: tuple[str, ...], expected: str, directory: PurePosixPath | None = None) -> bool:
    """Tell whether a program runs and prints what is expected."""
    env = {} if directory is None else {**host.network, "TMPDIR": str(directory)}
    command = Command(argv=argv, timeout_seconds=CHECK_SECONDS, env=env)
    try:
        return expected in host.runner.run(command, check=False).stdout.split()
    except (OSError, OcmError):
        return False
