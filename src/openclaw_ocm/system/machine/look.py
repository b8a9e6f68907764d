"""Observes what this machine has of what OCM needs; starts neither npm nor OpenClaw."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.needs import Found, Lacking, Machine
from openclaw_ocm.core.sandbox.launch import BWRAP
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.host import has_linger, namespaces_forbidden, user_manager_answers
from openclaw_ocm.system.openclaw.find import (
    default_range,
    find_node,
    find_npm,
    find_openclaw,
    node_range,
    node_target,
)
from openclaw_ocm.system.runner import SAFE_PATH, Command
from openclaw_ocm.system.uplinks import no_uplink

if TYPE_CHECKING:
    from openclaw_ocm.core.releases import Span
    from openclaw_ocm.system.host import Host

_CHECK_SECONDS = 20.0
# The end of both names that the package has had: a console script of the older one is ours as well.
_ENTRY_POINT = b"ocm.__main__"
_READ_BYTES = 2**16


def observe_machine(host: Host, *, sealed: bool = True) -> Machine:
    """Return what is there; `sealed` tells whether instances are to be."""
    openclaw = _openclaw(host)
    spans = node_range(PurePosixPath(openclaw.path)) if isinstance(openclaw, Found) else default_range()
    return Machine(
        python=f"{platform.python_version()}, {sys.executable}",
        node=_node(host, spans),
        # Asked for only where it is needed: each answer is a start of Node.
        npm=isinstance(openclaw, Found) or find_npm(host, spans) is not None,
        openclaw=openclaw,
        booted=Path("/run/systemd/system").is_dir(),
        manager=user_manager_answers(host),
        linger=has_linger(host),
        namespaces=_namespaces(host),
        bubblewrap=Path(BWRAP).exists(),
        network=no_uplink(host),
        ufw=_has("ufw"),
        apt=_has("apt-get"),
        root=os.geteuid() == 0,
        user=host.user,
        architecture=platform.machine(),
        node_target=str(node_target(host)),
        npm_prefix=str(host.paths.npm_prefix),
        sealed=sealed,
    )


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


def _node(host: Host, spans: tuple[Span, ...]) -> Found | Lacking:
    try:
        return find_node(host, spans)
    except OcmError as error:
        return Lacking(why=error.message)


def _namespaces(host: Host) -> Lacking | None:
    """Return why a user namespace cannot be made, None where one was made just now."""
    attempt = Command(argv=("unshare", "--user", "--map-root-user", "true"), timeout_seconds=_CHECK_SECONDS)
    switch = namespaces_forbidden()
    if switch is not None:
        mend = f"sudo sysctl -w {switch} (OCM leaves it to you: a security setting of the whole machine)"
        return Lacking(why=f"forbidden by {switch.partition('=')[0]}", mend=mend)
    if not _has("unshare") or host.runner.run(attempt, check=False).returncode == 0:
        return None
    return Lacking(why="this machine forbids them, as some containers do")
