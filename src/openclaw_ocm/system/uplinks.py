"""What a machine needs for networks of instances' own, and what serves the port of one on the host."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.needs import Lacking
from openclaw_ocm.core.network import Rules, parse_allowed, ruleset
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.system import files
from openclaw_ocm.system.packages import as_root, line
from openclaw_ocm.system.processes import command_name
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.system.host import Host

_PROGRAM, _FILE = "slirp4netns", "slirp.pid"
# Which package of Debian's has what an uplink runs.
_PACKAGES = {
    "/usr/bin/slirp4netns": "slirp4netns",
    "/usr/sbin/nft": "nftables",
    "/usr/sbin/ip": "iproute2",
    "/usr/bin/nsenter": "util-linux",
}
_TUN = "/dev/net/tun"
# A kernel may lack what the rules take, as some containers' does, or forbid what comes before them.
_TRY = (
    *("unshare", "--user", "--map-root-user", "--net", "/bin/sh", "-c"),
    (
        "/usr/sbin/ip link set lo up && echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet"
        " && exec /usr/sbin/nft -f -"
    ),
)
_TRY_SECONDS = 10.0


def check_uplink(host: Host, instead: str | None) -> None:
    """Raise `OcmError` where this machine can give no instance a network of its own, with what mends it.

    `instead` is what one types to accept the network of this machine, where there is a way.
    """
    found = no_uplink(host)
    if found is not None:
        raise impossible(found, instead)


def impossible(lacking: Lacking, instead: str | None) -> OcmError:
    """Return as an error why no instance can have a network of its own here."""
    accept = f"{instead} accepts the network of this machine" if instead is not None else None
    hint = "; ".join(filter(None, (lacking.mend, accept)))
    return OcmError(lacking.why, hint=hint or None, code="network_impossible")


def no_uplink(host: Host) -> Lacking | None:
    """Return why no instance can have a network of its own here, None where one can, by trying."""
    if packages := tuple(package for program, package in _PACKAGES.items() if not Path(program).exists()):
        why = f"no network of its own can be made here without {', '.join(packages)}"
        return Lacking(why=why, mend=line(*packages), packages=packages)
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return Lacking(
            why=f"there is no {_TUN}, by which a network gets a way out", mend=as_root("modprobe tun")
        )
    except OSError as error:
        mends = {errno.EACCES: as_root(f"chmod 0666 {_TUN}"), errno.ENODEV: as_root("modprobe tun")}
        why = f"{_TUN} may not be used here: {error.strerror}"
        return Lacking(why=why, mend=mends.get(error.errno or 0))
    rules = ruleset(Rules(served=1, exposed=True, allowed=(parse_allowed("127.0.0.1:1"),)))
    try:
        tried = host.runner.run(
            Command(argv=_TRY, stdin=rules.encode(), timeout_seconds=_TRY_SECONDS), check=False
        )
    except OcmError as error:
        return Lacking(why=f"no network can be tried here: {error.message}")
    if tried.returncode == 0:
        return None
    said = " ".join(tried.stderr.split()) or f"exit status {tried.returncode}"
    return Lacking(why=f"no rules of a network can be loaded here: {printable(said)}")


def server(paths: InstancePaths) -> int | None:
    """Return the process that listens on the host for an isolated gateway, None where there is none."""
    try:
        text = files.read_own(paths.uplink / _FILE, limit=32) or b""
    except UnreadableFile:
        return None
    pid = int(text) if text.isdigit() else None
    return pid if command_name(pid) == _PROGRAM else None
