"""What this machine lacks of what commands need: each thing by itself, in the words of `ocm setup`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.needs import BUS, Lacking, Need, StartBus, accepting, lacks
from openclaw_ocm.core.sandbox.launch import BWRAP, PERL, PYTHON
from openclaw_ocm.core.text import counted, printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import capacity, files, packages, programs
from openclaw_ocm.system.host import namespaces_forbidden
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.system.host import Host

# Of the system's own, at paths that units and sandboxes name; and the package of Debian's that has each.
_PROGRAMS = {
    PERL: "perl-base",
    PYTHON: "python3",
    "/usr/bin/env": "coreutils",
    "/usr/bin/script": "bsdutils",
    "/bin/bash": "bash",
}
_BUS_UNITS = ("/usr/lib/systemd/user/dbus.socket", "/lib/systemd/user/dbus.socket")
_BUS_PACKAGE = "dbus-user-session"
_TRY_SECONDS = 20.0
# What forbids them to root as well; the other settings leave root some.
_ABSOLUTE = "user.max_user_namespaces="
_MEBIBYTE = 2**20
# What a change, a log and a database need; and what Node and OpenClaw take while they are brought.
_ROOM, _ROOM_TO_BRING = 100 * _MEBIBYTE, 1500 * _MEBIBYTE
_NAMES, _NAMES_TO_BRING = 2_000, 60_000
# A gateway of OpenClaw 2026.9.6 has one for each event loop that watches: mostly one. Others are its user's.
_WATCHERS_EACH, _WATCHERS_SPARE, _FEW_WATCHERS = 2, 32, 16
# Kinds and sources of file systems that are there only after their owner has logged in.
_AT_LOGIN = ("ecryptfs", "fuse.gocryptfs", "fuse.encfs", "fuse.cryfs", "fuse.securefs")
_HOME_OF_HOMED = "/dev/mapper/home-"


def no_programs() -> Lacking | None:
    """Return which programs of the system are missing, None where all are there."""
    missing = [path for path in _PROGRAMS if not Path(path).exists()]
    if not missing:
        return None
    names = tuple(dict.fromkeys(_PROGRAMS[path] for path in missing))
    return Lacking(why=f"there is no {', '.join(missing)}", packages=names)


def check_programs() -> None:
    """Raise `OcmError` where a program of the system is missing that every gateway and session runs."""
    _refuse(Need.PROGRAMS, no_programs())


def check_bubblewrap() -> None:
    """Raise `OcmError` where what is to seal is not installed."""
    if not Path(BWRAP).exists():
        _refuse(Need.BUBBLEWRAP, Lacking(why="not installed", packages=("bubblewrap",)))


def no_bus(host: Host) -> Lacking | None:
    """Return why nobody reaches the user manager over the user's bus; None where that works.

    `systemctl --user` needs none: it has a socket of its own. `systemd-run` with a wait does.
    """
    if _listens(host.runtime / "bus"):
        return None
    names = () if any(Path(path).exists() for path in _BUS_UNITS) else (_BUS_PACKAGE,)
    why = f"nothing listens on {host.runtime}/bus"
    return Lacking(why=why, mend=BUS, packages=names, then=(StartBus(),))


def check_bus(host: Host) -> None:
    """Raise `OcmError` where the user's bus is not there."""
    _refuse(Need.BUS, no_bus(host))


def _refuse(need: Need, lacking: Lacking | None) -> None:
    if lacking is not None:
        line = packages.line(*lacking.packages) if lacking.packages else None
        raise lacks(need, lacking, line)


def _listens(path: PurePosixPath) -> bool:
    # The answer to a datagram where there is a stream: who listens hears nothing of it (unix(7)).
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end, contextlib.suppress(OSError):
        return end.connect_ex(str(path)) == errno.EPROTOTYPE
    return False


def no_journal(host: Host) -> Lacking | None:
    """Return why a user cannot read what the journal has of their services; None where they can.

    journald splits it by user only where it is kept on the disk (journald.conf(5), SplitMode=).
    """
    query = ("journalctl", "--quiet", "--lines=1", "--output=cat", f"_UID={host.uid}")
    try:
        done = host.runner.run(
            Command(argv=query, timeout_seconds=_TRY_SECONDS, limit=_MEBIBYTE), check=False
        )
    except OcmError as error:
        return Lacking(why=error.message, mend=error.hint)
    if done.returncode == 0 and done.stdout:
        return None
    if done.returncode == 0 and any(map(_has_journals, ("/var/log/journal", "/run/log/journal"))):
        return None
    kept = "Storage=persistent in /etc/systemd/journald.conf and sudo systemctl restart systemd-journald"
    mend = f"{kept}; or, for one in memory, sudo usermod -aG systemd-journal {shlex.quote(host.user)}"
    return Lacking(
        why=f"{host.user} may read no journal: Storage= in journald.conf keeps none for users", mend=mend
    )


def _has_journals(directory: str) -> bool:
    with contextlib.suppress(OSError):
        return any(os.access(path, os.R_OK) for path in Path(directory).glob("*/*.journal"))
    return False


def no_namespaces(host: Host) -> tuple[Lacking | None, bool]:
    """Return why no sandbox can be made of user namespaces, None where it was tried and made.

    And whether such a one may bound what it takes of what the kernel counts by user.
    """
    switch = namespaces_forbidden()
    if switch is not None and switch.startswith(_ABSOLUTE):
        return _forbidden(switch), True
    argv = (sys.executable, "-I", "-c", programs.text("try_namespaces.py"))
    done = host.runner.run(Command(argv=argv, timeout_seconds=_TRY_SECONDS, limit=_MEBIBYTE), check=False)
    try:
        found = json.loads(done.stdout) if done.returncode == 0 else {}
    except ValueError:
        found = {}
    refused = found.get("refused", "they cannot be tried here")
    if refused is None:
        return None, bool(found.get("bounded"))
    if switch is not None:
        return _forbidden(switch), True
    return Lacking(why=f"this machine forbids them, as some containers do ({printable(refused)})"), True


def _forbidden(switch: str) -> Lacking:
    line = packages.as_root(f"sysctl -w {switch}")
    mend = f"{line} (OCM leaves it to you: a security setting of the whole machine)"
    return Lacking(why=f"forbidden by {switch.partition('=')[0]}", mend=mend)


def check_namespaces(host: Host) -> None:
    """Raise `OcmError` where a setting forbids user namespaces and none can be made."""
    if namespaces_forbidden() is None:
        # The proof of the sandbox finds what else may be.
        return
    lacking, _bounded = no_namespaces(host)
    if lacking is not None:
        _refuse(Need.NAMESPACES, accepting(lacking))


def bubblewrap_version(host: Host) -> str | None:
    """Return the version of bubblewrap, None where it is not there or does not tell."""
    if not Path(BWRAP).exists():
        return None
    done = host.runner.run(Command(argv=(BWRAP, "--version"), timeout_seconds=_TRY_SECONDS), check=False)
    words = done.stdout.split()
    return words[-1] if words else None


def systemd_version(host: Host) -> str | None:
    """Return the version of systemd, None where it is not there."""
    with contextlib.suppress(OcmError):
        command = Command(argv=("systemctl", "--version"), timeout_seconds=_TRY_SECONDS)
        words = host.runner.run(command, check=False).stdout.split()
        return words[1] if len(words) > 1 else None
    return None


def few_watchers(host: Host, gateways: int) -> Lacking | None:
    """Return why `gateways` and one more may not all watch files; None where they may.

    Each user has so many inotify instances and no more; one who lacks them does not fail but sees no change.
    """
    try:
        most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    except (OSError, ValueError):
        return None
    wanted = _WATCHERS_EACH * (gateways + 1) + _WATCHERS_SPARE
    larger = max(512, 2 * wanted)
    line = packages.as_root(f"sysctl -w fs.inotify.max_user_instances={larger}")
    mend = f"{line} (a file in /etc/sysctl.d keeps it)"
    if most < wanted:
        why = f"{most} inotify instances are few for {counted(gateways + 1, 'gateway')}"
        return Lacking(why=why, mend=mend)
    if capacity.watchers_left(_FEW_WATCHERS) < _FEW_WATCHERS:
        why = f"{host.user} has all but used up the {most} inotify instances: programs cannot watch files"
        return Lacking(why=why, mend=f"find who holds them, or {mend}")
    return None


def no_room(host: Host, *, bringing: bool) -> Lacking | None:
    """Return on which disk of OCM's too little is free, None where all have room.

    With `bringing` Node and OpenClaw are to come as well.
    """
    paths = host.paths
    seen: set[int] = set()
    for place in (paths.home, paths.config_home, paths.state_home, paths.data_home):
        # A place that may not be looked at is told where it is needed.
        with contextlib.suppress(OSError):
            found = next(path for path in (Path(place), *Path(place).parents) if path.exists())
            device = found.stat().st_dev
            short = None if device in seen else next(_shortages(found, bringing=bringing), None)
            seen.add(device)
            if short is not None:
                return Lacking(why=short, mend="make room there")
    return None


def _shortages(path: Path, *, bringing: bool) -> Iterator[str]:
    disk = os.statvfs(path)
    free, wanted = disk.f_bavail * disk.f_frsize, _ROOM_TO_BRING if bringing else _ROOM
    if free < wanted:
        yield f"{free // _MEBIBYTE} MB are free in {path}, {wanted // _MEBIBYTE} MB are needed"
    names = _NAMES_TO_BRING if bringing else _NAMES
    # Some file systems count no names, and say 0 of 0.
    if disk.f_files and disk.f_favail < names:
        yield f"{counted(disk.f_favail, 'more file')} can be made in {path}, {names} are needed (inodes)"


def opened_at_login(host: Host) -> str | None:
    """Return how a home is encrypted that is there only after a login, None where none is known to be."""
    with contextlib.suppress(OSError):
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        kind = _kind_at_login(mounts, str(host.paths.home))
        if kind is not None:
            return kind
    return "fscrypt" if files.is_encrypted(host.paths.home) else None


def _kind_at_login(mounts: str, home: str) -> str | None:
    """Return what mounts a home at its owner's login, by the text of mountinfo (proc(5)); None for others."""
    best, kind, source = "", "", ""
    for line in mounts.splitlines():
        words = line.split()
        target, after = words[4], words[words.index("-") + 1 :]
        # Of mounts that cover each other the last one counts.
        if f"{home}/".startswith(f"{target.rstrip('/')}/") and len(target) >= len(best):
            best, kind, source = target, after[0], after[1]
    if source.startswith(_HOME_OF_HOMED):
        return "systemd-homed"
    return kind if kind in _AT_LOGIN else None
