"""Observes what this machine has of what OCM needs; starts neither npm nor OpenClaw."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.crowd import few_tasks, little_memory
from openclaw_ocm.core.needs import Found, Lacking, Machine, Need
from openclaw_ocm.core.releases import Release, parse_range
from openclaw_ocm.core.sandbox.launch import BWRAP
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import capacity, packages
from openclaw_ocm.system.host import has_linger, is_booted, user_manager_answers
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.machine import lacking
from openclaw_ocm.system.machine.npm import has_npm
from openclaw_ocm.system.openclaw.find import find_node, find_openclaw, node_target
from openclaw_ocm.system.openclaw.package import stated_range
from openclaw_ocm.system.openclaw.versions import installed
from openclaw_ocm.system.runner import SAFE_PATH
from openclaw_ocm.system.uplinks import no_uplink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.releases import Span
    from openclaw_ocm.system.host import Host

# The end of both names that the package has had: a console script of the older one is ours as well.
_ENTRY_POINT = b"ocm.__main__"
_READ_BYTES = 2**16


def observe_machine(host: Host, *, sealed: bool = True, release: Release | None = None) -> Machine:
    """Return what is there; `sealed` tells whether instances are to be, `release` which OpenClaw they run.

    Without one that is the first of the PATH, or else the newest that OCM installed.
    """
    openclaw = _openclaw(host) if release is None else _installed(host, release.version)
    namespaces, bounded = lacking.no_namespaces(host)
    stated = stated_range(PurePosixPath(openclaw.path)) if isinstance(openclaw, Found) else None
    needs_node = stated or (release or Release("")).node_range
    spans = parse_range(needs_node) or ()
    return Machine(
        python=f"{platform.python_version()}, {sys.executable}",
        node=_node(host, spans),
        # Asked for only where it is needed: each answer is a start of Node.
        npm=isinstance(openclaw, Found) or has_npm(host),
        openclaw=openclaw,
        booted=is_booted(),
        manager=user_manager_answers(host),
        linger=has_linger(host),
        namespaces=namespaces,
        bubblewrap=Path(BWRAP).exists(),
        network=no_uplink(host),
        ufw=_has("ufw"),
        apt=_has("apt-get"),
        root=os.geteuid() == 0,
        user=host.user,
        architecture=platform.machine(),
        node_target=str(node_target(host)),
        npm_prefix=str(host.paths.npm_prefix),
        runtimes=str(host.paths.runtimes),
        version=None if release is None else release.version,
        node_range=needs_node,
        sealed=sealed,
        lacks=dict(_lacks(host, bringing=not isinstance(openclaw, Found))),
        family=packages.family(),
        systemd=lacking.systemd_version(host),
        bubblewrap_version=lacking.bubblewrap_version(host),
        musl=_is_musl(),
        opened_at_login=lacking.opened_at_login(host),
        bounded=bounded,
    )


def _lacks(host: Host, *, bringing: bool) -> Iterator[tuple[Need, Lacking]]:
    gateways = len(instance_names(host.paths))
    root = packages.as_root("")
    found = {
        Need.PROGRAMS: lacking.no_programs(),
        Need.BUS: lacking.no_bus(host),
        Need.JOURNAL: lacking.no_journal(host),
        Need.WATCHERS: lacking.few_watchers(host, gateways),
        Need.TASKS: few_tasks(capacity.task_limits(), gateways + 1, user=host.user, root=root),
        Need.MEMORY: little_memory(capacity.memory(), max(gateways, 1)),
        Need.ROOM: lacking.no_room(host, bringing=bringing),
    }
    return ((need, what) for need, what in found.items() if what is not None)


def _is_musl() -> bool:
    """Tell whether this Python runs on another C library than glibc: its name for itself is then unknown."""
    try:
        return not os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return True


def foreign_ocm(host: Host) -> PurePosixPath | None:
    """Return the program named ocm that the PATH finds first, where it is none of this project's.

    Another manager of OpenClaw has that name as well. It is read and never run: a console script or a
    launcher of this one names its entry point.
    """
    found = shutil.which("ocm", path=host.search_path)
    if found is None:
        return None
    with contextlib.suppress(OSError), Path(found).open("rb") as file:
        if _ENTRY_POINT in file.read(_READ_BYTES):
            return None
    return PurePosixPath(found)


def _has(program: str) -> bool:
    return shutil.which(program, path=SAFE_PATH) is not None


def _openclaw(host: Host) -> Found | Lacking:
    try:
        return find_openclaw(host)
    except OcmError as error:
        # One that is there is the user's, and their own OpenClaw runs on it: OCM puts none beside it.
        return Lacking(why=error.message, mend=None if error.code == "openclaw_missing" else error.hint)


def _installed(host: Host, version: str) -> Found | Lacking:
    package = installed(host.paths).get(version)
    if package is None:
        return Lacking(why=f"{version} is not installed here")
    return Found(path=str(package), version=version)


def _node(host: Host, spans: tuple[Span, ...]) -> Found | Lacking:
    try:
        return find_node(host, spans)
    except OcmError as error:
        return Lacking(why=error.message)
