"""Tells what a process in a pod can do: what to try is its argument, what came of it its output, both JSON.

Runs in the gateway's container and as its user, by an interpreter of the image, whose root nobody writes. A
program beside it could change what it says: so a right that it has is proved by this, and one that it has not
by the pod's document as well.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import selectors
import signal
import socket
import stat
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST_SECONDS, CONNECT_SECONDS = 45, 3
MOST_ENTRIES, MOST_TOLD, MOST_MOUNTS = 20_000, 50, 2**18
DONE, REACHED, SILENCE = "done", "reached", "silence"
STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups")
ACCOUNTS = ("/var/run/secrets/kubernetes.io/serviceaccount", "/run/secrets/kubernetes.io/serviceaccount")
SETTINGS, DEVICES = "/proc/sys", "/dev"


def head(path: str, count: int) -> str:
    """Return the first bytes of a file as text, none where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(count).decode(errors="replace")
    except OSError:
        return ""


def status() -> dict[str, str]:
    """Return what the kernel says of the rights of this process."""
    fields = (line.partition(":") for line in head("/proc/self/status", 2**16).splitlines())
    return {name: value.strip() for name, _, value in fields if name in STATUS}


def name_of(error: OSError) -> str:
    """Return what errno(3) calls an error."""
    return errno.errorcode.get(error.errno or 0, "EIO")


def write(path: str) -> None:
    """Open a file for writing, or make one in a directory; raises `OSError` where that is refused."""
    if not os.path.isdir(path):
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))
        return
    name = f"{path}/.ocm-probe-{secrets.token_hex(8)}"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(name)


def outcome(action: Callable[[str], None], path: str) -> str:
    """Return that an action on a path is possible, or why it is not."""
    try:
        action(path)
    except OSError as error:
        return name_of(error)
    return DONE


def tokens(mounts: str) -> Iterator[str]:
    """Yield the tokens of a service account: where they usually are, and wherever something is mounted."""
    points = [" ".join(line.split(" ")[4:5]) for line in mounts.splitlines()]
    for path in dict.fromkeys((*ACCOUNTS, *points)):
        token = os.path.join(path, "token")
        if os.path.isfile(token):
            yield token


def below(root: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is below `root`, but for what is in directories of other file systems.

    Raises `OSError` where that is more than anybody looks through.
    """
    device, left, count = os.lstat(root).st_dev, [root], 0
    while left and count < MOST_ENTRIES:
        try:
            entries = os.listdir(left[-1])
        except OSError:
            entries = []
        directory = left.pop()
        for name in entries:
            path, count = os.path.join(directory, name), count + 1
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISDIR(found.st_mode) and found.st_dev == device:
                left.append(path)
            yield path, found
    if left:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), root)


def devices() -> Iterator[tuple[str, str, int, int]]:
    """Yield each device with its kind, `b` or `c`, and its numbers."""
    for path, found in below(DEVICES):
        if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode):
            kind = "b" if stat.S_ISBLK(found.st_mode) else "c"
            yield path, kind, os.major(found.st_rdev), os.minor(found.st_rdev)


def writable() -> Iterator[str]:
    """Yield the settings of the kernel that can be written."""
    for path, found in below(SETTINGS):
        if stat.S_ISREG(found.st_mode) and os.access(path, os.W_OK):
            yield path


def told(found: Callable[[], Iterator[object]]) -> list[object] | None:
    """Return the first of what is found, None where it could not be looked for to the end."""
    listed: list[object] = []
    try:
        for one in found():
            if len(listed) < MOST_TOLD:
                listed.append(one)
    except OSError:
        return None
    return listed


def server() -> str | None:
    """Return where the API server is, by what every container is told."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{name}") for name in ("HOST", "PORT"))
    return f"{host} {port}" if host and port else None


def begin(place: str) -> socket.socket:
    """Return a socket that connects to `ADDRESS PORT`; raises `OSError` where that ended already."""
    address, _, port = place.rpartition(" ")
    try:
        found = socket.getaddrinfo(
            address, int(port), type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        )
    except (OSError, ValueError, UnicodeError):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from None
    family, kind, protocol, _, where = found[0]
    end = socket.socket(family, kind, protocol)
    end.settimeout(0)
    number = end.connect_ex(where)
    if number not in (0, errno.EINPROGRESS):
        end.close()
        raise OSError(number, os.strerror(number))
    return end


def reach(places: Iterable[str]) -> dict[str, str]:
    """Return for each place, all at once, whether it was reached, why not, or that nothing came back."""
    found: dict[str, str] = {}
    until = time.monotonic() + CONNECT_SECONDS
    with selectors.DefaultSelector() as waiting:
        for place in places:
            found[place] = SILENCE
            try:
                end = begin(place)
            except OSError as error:
                found[place] = name_of(error)
            else:
                waiting.register(end, selectors.EVENT_WRITE, (place, end))
        # At the end it looks once more: on a busy machine the time may be over before it looks at all.
        while waiting.get_map() and (ended := waiting.select(max(0.0, until - time.monotonic()))):
            for key, _ in ended:
                place, end = key.data
                number = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                found[place] = errno.errorcode.get(number, "EIO") if number else REACHED
                waiting.unregister(end)
                end.close()
    return found


def main() -> None:
    """Answer what the argument asks."""
    signal.alarm(MOST_SECONDS)
    asked = json.loads(sys.argv[1])
    mounts, where = head("/proc/self/mountinfo", MOST_MOUNTS), server()
    answer = {
        "status": status(),
        "mounts": mounts,
        "write": {path: outcome(write, path) for path in asked["write"]},
        "tokens": told(lambda: tokens(mounts)),
        "devices": told(devices),
        "settings": told(writable),
        "server": where,
        "reach": reach(dict.fromkeys((*asked["reach"], *([where] if where else [])))),
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
