"""`ocm runtime install`, `list`, `remove` and `prune`: which OpenClaws there are, and who runs them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.record import Runtime
from openclaw_ocm.core.releases import CHANNELS, SYSTEM, is_release
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_all
from openclaw_ocm.instances.transaction import unfinished
from openclaw_ocm.operations.planning.change import allocating
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.machine import runtimes
from openclaw_ocm.system.machine.install import OPENCLAW
from openclaw_ocm.system.openclaw.find import (
    default_range,
    find_node,
    find_openclaw,
    node_range,
    package_version,
)

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.machine.install import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenClaw:
    """An OpenClaw of this machine; `name` is its version, or `system` for the one on the PATH.

    `node` is the Node that it would run on, None where none here fits; `used_by` are the instances that run
    it; `bytes` go with it when it is removed.
    """

    name: str
    version: str | None
    openclaw: str
    node: str | None
    used_by: tuple[InstanceName, ...]
    bytes: int | None = None


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
        return find_openclaw(host).path
    return str(runtimes.package_of(host.paths, runtimes.resolve(host, word)))


def list_runtimes(context: Context) -> tuple[OpenClaw, ...]:
    """Return the OpenClaws that OCM brought, the newest first, and before them that of the PATH.

    One that an instance runs and that is neither comes last, by its path.
    """
    host, users = context.host, _users(context)
    rows = []
    with contextlib.suppress(OcmError):
        rows.append(_row(host, SYSTEM, PurePosixPath(find_openclaw(host).path), users))
    for version, package in runtimes.brought(host.paths).items():
        rows.append(_row(host, version, package, users))
    known = {row.openclaw for row in rows}
    rows += [_row(host, path, PurePosixPath(path), users) for path in sorted(set(users) - known)]
    return tuple(rows)


def install(host: Host, wanted: str, report: Report, *, dry_run: bool) -> RuntimeChange:
    """Bring an OpenClaw by its version or npm's name of a channel; nothing where it is there."""
    version = runtimes.resolve(host, wanted)
    if dry_run:
        there = version in runtimes.installed(host.paths)
        message = "is there already" if there else f"would be installed into {host.paths.runtimes / version}"
        return RuntimeChange(name=version, changed=False, message=message, dry_run=True)
    changed = runtimes.install_runtime(host, version, report)
    message = "installed" if changed else "is there already"
    return RuntimeChange(name=version, changed=changed, message=message)


def planned(host: Host, version: str) -> Runtime:
    """Return what an OpenClaw that is still to be brought will be, on the Node that fits the one of today."""
    node = find_node(host, default_range()).path
    return Runtime(node=node, openclaw=str(host.paths.runtimes / version / OPENCLAW))


def remove(context: Context, version: str, *, dry_run: bool) -> RuntimeChange:
    """Remove an OpenClaw that OCM brought and that no instance runs, nor would run again after an undo."""
    package = runtimes.brought(context.host.paths).get(version)
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
    users = _users(context, sure=True).get(str(package), ())
    if users:
        message = f"OpenClaw {version} is run by {', '.join(users)}"
        raise OcmError(message, hint=f"ocm runtime use {users[0]} VERSION", code="runtime_used")


def unused(context: Context) -> tuple[str, ...]:
    """Return the versions that OCM brought and that no instance runs."""
    users = _users(context, sure=True)
    return tuple(
        version
        for version, package in runtimes.brought(context.host.paths).items()
        if str(package) not in users
    )


def _users(context: Context, *, sure: bool = False) -> dict[str, tuple[InstanceName, ...]]:
    """Return which instances run an OpenClaw, by its package directory.

    Raises `OcmError` to be `sure` where a record cannot be read.
    """
    opened = open_all(context, instance_names(context.host.paths))
    for name, error in opened.broken.items() if sure else ():
        message = f"which OpenClaw {name} runs is not known: {error.message}"
        raise OcmError(message, hint=error.hint, code=error.code)
    users: dict[str, tuple[InstanceName, ...]] = {}
    for name, one in opened.instances.items():
        path = os.path.realpath(one.record.runtime.openclaw)
        users[path] = (*users.get(path, ()), name)
    return users


def _row(
    host: Host, name: str, package: PurePosixPath, users: dict[str, tuple[InstanceName, ...]]
) -> OpenClaw:
    version = node = None
    with contextlib.suppress(OcmError):
        version = package_version(package)
        node = find_node(host, node_range(package)).path
    own = package.is_relative_to(host.paths.runtimes)
    return OpenClaw(
        name=name,
        version=version,
        openclaw=str(package),
        node=node,
        used_by=users.get(str(package), ()),
        bytes=runtimes.size(package) if own else None,
    )
