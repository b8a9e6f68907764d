"""OpenClaw as npm has it: which versions there are, and one of them made whole in a directory."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.needs import Progress
from openclaw_ocm.core.openclaw.run import ENTRY
from openclaw_ocm.core.releases import OPENCLAW_FETCHES, fetched_by_npm, published_release
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.machine.fetch import command, failure, fetch, prints
from openclaw_ocm.system.openclaw.find import find_node, find_npm
from openclaw_ocm.system.openclaw.package import OPENCLAW, PENDING, default_range, node_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.releases import Release
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.fetch import Report


def has_npm(host: Host) -> bool:
    """Tell whether there is an npm, so that its registry can be asked."""
    return find_npm(host, default_range()) is not None


def published(host: Host, wanted: str, beside: PurePosixPath) -> Release:
    """Return what npm's registry has by a version or a channel; raise `OcmError` without such."""
    fields = ("version", "engines.node", "--json")
    argv = (*_npm(host), "view", f"openclaw@{wanted}", *fields, *_registry(beside))
    done = host.runner.run(command(host, argv, beside, None), check=False)
    release = published_release(done.stdout) if done.returncode == 0 else None
    if release is not None:
        return release
    if done.returncode == 0 or "E404" in done.stderr:
        hint = "npm view openclaw versions lists what there is"
        raise OcmError(f"npm has no OpenClaw {wanted}", hint=hint, code="version_missing")
    raise failure("npm", f"OpenClaw {wanted}", done.stderr)


def _npm(host: Host) -> tuple[str, str]:
    found = find_npm(host, default_range())
    if found is None:
        hint = "ocm runtime install latest brings one"
        raise OcmError("no Node here has its npm", hint=hint, code="npm_missing")
    return str(found[0]), str(found[1])


def make_openclaw(host: Host, version: str, beside: PurePosixPath, report: Report, lock: int) -> None:
    """Make an OpenClaw whole in the staging directory `beside`, as the user's npm fetches and checks it.

    Raises `OcmError` where it cannot be fetched, where no Node here fits it, or where it does not start.
    """
    what = f"OpenClaw {version}"
    report(Progress(what=f"install {what}"))
    argv = (*_npm(host), *npm_arguments(beside, version))
    fetch(host, "npm", what, command(host, argv, beside, lock), _counted(what, report))
    made = beside / OPENCLAW
    node = find_node(host, node_range(made)).path
    # This start runs the scripts of the package, which npm was told to leave out with all others.
    starts = prints(host, (node, str(made / ENTRY), "--version"), version, beside)
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


def _counted(what: str, report: Report) -> Callable[[str], None]:
    fetched: set[str] = set()

    def on_line(line: str) -> None:
        address = fetched_by_npm(line)
        if address is not None:
            fetched.add(address)
            report(Progress(what=f"install {what}", done=len(fetched), total=OPENCLAW_FETCHES, unit="files"))

    return on_line
