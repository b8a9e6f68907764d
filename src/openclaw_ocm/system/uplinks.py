"""What a machine needs for networks of instances' own, and what serves the port of one on the host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.system import files
from openclaw_ocm.system.processes import command_name

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import InstancePaths

_PROGRAM, _FILE = "slirp4netns", "slirp.pid"
# Which package of Debian's has what an uplink runs.
_PACKAGES = {
    "/usr/bin/slirp4netns": "slirp4netns",
    "/usr/sbin/nft": "nftables",
    "/usr/sbin/ip": "iproute2",
    "/usr/bin/nsenter": "util-linux",
}
_TUN = "/dev/net/tun"


def check_uplink(instead: str | None) -> None:
    """Raise `OcmError` where this machine can give no instance a network of its own, with what mends it.

    `instead` is what one types to accept the network of this machine, where there is a way.
    """
    root = "" if os.geteuid() == 0 else "sudo "
    found = _lacking()
    if found is not None:
        message, mend = found
        accept = f"; {instead} accepts the network of this machine" if instead is not None else ""
        raise OcmError(message, hint=f"{root}{mend}{accept}", code="network_impossible")


def _lacking() -> tuple[str, str] | None:
    """Return what this machine lacks for that, and what root types to mend it."""
    if packages := [package for program, package in _PACKAGES.items() if not Path(program).exists()]:
        message = f"no network of its own can be made here without {', '.join(packages)}"
        return message, f"apt install {' '.join(packages)}"
    if not Path(_TUN).exists():
        return f"there is no {_TUN}, by which a network gets a way out", "modprobe tun"
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return f"{_TUN} may not be used here", f"chmod 0666 {_TUN}"
    return None


def server(paths: InstancePaths) -> int | None:
    """Return the process that listens on the host for an isolated gateway, None where there is none."""
    try:
        text = files.read_own(paths.uplink / _FILE, limit=32) or b""
    except UnreadableFile:
        return None
    pid = int(text) if text.isdigit() else None
    return pid if command_name(pid) == _PROGRAM else None
