"""Tells what a process in a gateway's namespaces can do: the questions and the answers are JSON.

Runs under OCM's own Python and enters the gateway's namespaces by itself, after its exec: so its memory and
descriptors belong to the outer user namespace, and nothing inside can read, change or follow them. (What a
program started inside says could be forged, and nsenter --wd would carry a directory of the host in.)
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import secrets
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NS_GET_USERNS = 0xB701
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)


def enter(namespaces: Iterable[str]) -> None:
    """Enter namespaces by their paths below /proc; end the process where that is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    own = os.open("/proc/self/ns/user", os.O_RDONLY)
    for entered in [os.open(path, os.O_RDONLY) for path in namespaces]:
        # Only who owns a namespace may enter it: each may belong to a user namespace below the last one's.
        try:
            owner = fcntl.ioctl(entered, NS_GET_USERNS)
        except OSError as error:
            sys.exit(f"setns: its owner: {error.strerror}")
        steps = [entered] if os.path.samestat(os.fstat(owner), os.fstat(own)) else [owner, entered]
        for namespace in steps:
            if libc.setns(namespace, 0):
                sys.exit("setns: " + os.strerror(ctypes.get_errno()))
        own = owner
    os.chdir("/")


def read(path: str) -> None:
    """Read a file or list a directory; raises `OSError` where nothing is to be seen."""
    if os.path.isdir(path):
        # An empty one shows nothing: a mount point that an earlier sandbox left behind.
        if not os.listdir(path):
            raise OSError
    else:
        with open(path, "rb", buffering=0) as file:
            # So does an empty file, such as what systemd puts over a hidden one.
            if not file.read(1):
                raise OSError


def write(path: str) -> None:
    """Open a file for writing, or make one in a directory; raises `OSError` where that is refused."""
    if not os.path.isdir(path):
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        return
    name = f"{path}/.ocm-probe-{secrets.token_hex(8)}"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(name)


def connect(path: str) -> None:
    """Connect to a socket of whatever kind; raises `OSError` where that is refused."""
    for kind in KINDS:
        with socket.socket(socket.AF_UNIX, kind) as end:
            end.settimeout(2)
            try:
                end.connect(path)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    raise
            else:
                return


def reach(place: str) -> None:
    """Connect to `ADDRESS PORT`, or to the abstract socket `@NAME`; raises `OSError` where refused."""
    address, _, port = place.rpartition(" ")
    if place.startswith("@"):
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(2)
            end.connect(f"\0{place[1:]}")
    else:
        socket.create_connection((address, int(port)), timeout=2).close()


def can(action: Callable[[str], None], path: str) -> bool:
    """Tell whether an action on a path is possible."""
    try:
        action(path)
    except OSError:
        return False
    return True


def names(path: str) -> list[str] | None:
    """Return what is in a directory, None where it cannot be seen."""
    try:
        return os.listdir(path)
    except OSError:
        return None


def identity(path: str) -> list[int] | None:
    """Return device and inode number of a path, None where it cannot be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_dev, found.st_ino]


def main() -> None:
    """Answer what standard input asks."""
    ask = json.load(sys.stdin)
    enter(ask["namespaces"])
    actions = {"read": read, "write": write, "connect": connect, "reach": reach}
    answers: dict[str, dict[str, object]] = {
        kind: {path: can(action, path) for path in ask[kind]} for kind, action in actions.items()
    }
    answers["list"] = {path: names(path) for path in ask["list"]}
    answers["identity"] = {path: identity(path) for path in ask["identity"]}
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
