"""`ocm runtime install`, `list`, `remove` and `prune`: which OpenClaws there are, and who runs them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.releases import CHANNELS, SYSTEM, is_release
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_all
from openclaw_ocm.instances.transaction import unfinished
from openclaw_ocm.operations.planning.change import allocating
from openclaw_ocm.operations.setup import bring, look_at_runtime
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.machine import runtimes
from openclaw_ocm.system.openclaw.find import find_node, find_openclaw
from openclaw_ocm.system.openclaw.package import is_whole, node_range, package_version
from openclaw_ocm.system.openclaw.versions import brought, package_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.fetch import Report

    # Which instances run an OpenClaw, by its package directory.
    Users = dict[str, tuple[InstanceName, ...]]

_THERE = "is there already"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenClaw:
    """An OpenClaw of this machine; `name` is its version, or `system` for the one on the PATH.

    `node` is the Node that it would run on; `used_by` are the instances that run it; `bytes` go with it when
    it is removed. `problem` tells why no instance could be made with it.
    """

    name: str
    version: str | None
    openclaw: str | None
    node: str | None
    used_by: tuple[InstanceName, ...]
    bytes: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeChange:
    """What became of an OpenClaw that was to be brought or removed."""

    name: str
    changed: bool
    message: str
    dry_run: bool = False


def is_runtime(word: str) -> bool:
    """Tell whether a word names what an instance may run: a path, a version, a channel of npm's, `system`."""
    return "/" in word or word in (*CHANNELS, SYSTEM) or is_release(word)


def place_of(host: Host, word: str) -> str:
    """Return the path that such a word stands for; raise `OcmError` for a version that is not there."""
    if "/" in word:
        return word
    if word == SYSTEM:
        return find_openclaw(host, own=False).path
    return str(package_of(host.paths, runtimes.resolve(host, word).version))


def list_runtimes(context: Context) -> tuple[tuple[OpenClaw, ...], Mapping[InstanceName, OcmError]]:
    """Return the OpenClaws that OCM brought, the newest first, and before them that of the PATH.

    One that an instance runs and that is neither comes last, by its path. With them come the instances whose
    record cannot be read, and why: which of these they run is not known.
    """
    host = context.host
    opened = open_all(context, instance_names(host.paths))
    users = _by_package(opened.instances)
    rows = list(_system(host, users))
    for version, package in brought(host.paths).items():
        rows.append(_row(host, version, package, users))
    known = {row.openclaw for row in rows}
    rows += [_row(host, path, PurePosixPath(path), users) for path in sorted(set(users) - known)]
    return tuple(rows), opened.broken


def _system(host: Host, users: Users) -> Iterator[OpenClaw]:
    """Yield the OpenClaw of the PATH, usable or not."""
    try:
        yield _row(host, SYSTEM, PurePosixPath(find_openclaw(host, own=False).path), users)
    except OcmError as error:
        if error.code != "openclaw_missing":
            yield OpenClaw(
                name=SYSTEM, version=None, openclaw=None, node=None, used_by=(), problem=error.message
            )


def install(host: Host, wanted: str, report: Report, *, dry_run: bool) -> RuntimeChange:
    """Bring an OpenClaw by its version or npm's name of a channel, and what it runs on; nothing twice.

    Raises `OcmError` where there is none such, or none of the Nodes that it runs with can be brought.
    """
    release = runtimes.resolve_later(host, wanted)
    setup = look_at_runtime(host, release)
    setup.check(installing=True)
    steps = setup.steps if not dry_run else ()
    if steps:
        bring(host, setup, report)
        release = runtimes.resolve(host, release.version)
    message = "installed" if steps else f"would {'; '.join(setup.describe())}" if setup.steps else _THERE
    return RuntimeChange(name=release.version, changed=bool(steps), message=message, dry_run=dry_run)


def remove(context: Context, version: str, *, dry_run: bool) -> RuntimeChange:
    """Remove an OpenClaw that OCM brought and that no instance runs, nor would run again after an undo."""
    package = brought(context.host.paths).get(version)
    if package is None:
        hint = "ocm runtime list shows which there are"
        raise OcmError(f"OpenClaw {version} is none that ocm installed", hint=hint, code="runtime_missing")
    # No record of a new instance is written meanwhile.
    with allocating(context):
        _refuse_used(context, version, package)
        if not dry_run:
            runtimes.remove_runtime(context.host, version, lambda told: context.report(told.what))
    message = "would be removed" if dry_run else "removed"
    return RuntimeChange(name=version, changed=not dry_run, message=message, dry_run=dry_run)


def _refuse_used(context: Context, version: str, package: PurePosixPath) -> None:
    for name in unfinished(context):
        message = f"a change of {name} is under way, or was interrupted: what it runs is not known"
        raise OcmError(message, hint="try again, or ocm doctor --fix", code="runtime_used")
    users = _users(context).get(str(package), ())
    if users:
        message = f"OpenClaw {version} is run by {', '.join(users)}"
        raise OcmError(message, hint=f"ocm runtime use {users[0]} VERSION", code="runtime_used")


def unused(context: Context) -> tuple[str, ...]:
    """Return the versions that OCM brought and that no instance runs."""
    users = _users(context)
    return tuple(
        version for version, package in brought(context.host.paths).items() if str(package) not in users
    )


def _users(context: Context) -> Users:
    """Return which instances run an OpenClaw; raise `OcmError` where a record cannot be read."""
    opened = open_all(context, instance_names(context.host.paths))
    for name, error in opened.broken.items():
        message = f"which OpenClaw {name} runs is not known: {error.message}"
        raise OcmError(message, hint=error.hint, code=error.code)
    return _by_package(opened.instances)


def _by_package(instances: Mapping[InstanceName, Instance]) -> Users:
    users: Users = {}
    for name, one in instances.items():
        path = os.path.realpath(one.record.runtime.openclaw)
        users[path] = (*users.get(path, ()), name)
    return users


def _row(host: Host, name: str, package: PurePosixPath, users: Users) -> OpenClaw:
    version = node = problem = None
    try:
        version = package_version(package)
        node = find_node(host, node_range(package)).path
        if not is_whole(package, name if is_release(name) else version):
            problem = "it is not completely installed"
    except OcmError as error:
        problem = error.message
    own = package.is_relative_to(host.paths.runtimes)
    return OpenClaw(
        name=name,
        version=version,
        openclaw=str(package),
        node=node,
        used_by=users.get(str(package), ()),
        bytes=runtimes.size(package) if own else None,
        problem=problem,
    )
