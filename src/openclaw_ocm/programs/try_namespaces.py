"""Makes namespaces as a sandbox has them, one user namespace within another, and says how far that got.

Prints one object of JSON: `refused` is what the kernel said and to what, None where it made all of them;
`bounded` tells whether they may set how much of what the kernel counts by user they take.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

# linux/sched.h, linux/mount.h
USER, MOUNTS, IPC, NAMES = 0x10000000, 0x00020000, 0x08000000, 0x04000000
RECURSIVE, SLAVE = 1 << 14, 1 << 19
# Which no sandbox is without.
PLACE = b"/tmp"
COUNTED = "/proc/sys/user/max_inotify_instances"

libc = ctypes.CDLL(None, use_errno=True)


def check(status: int, what: str) -> None:
    """Raise `OSError` where the kernel refused `what`."""
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def make(kinds: int, user: int, group: int, what: str) -> None:
    """Leave for new namespaces, as who may do in them what a sandbox has done: mount something."""
    check(libc.unshare(USER), what)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        try:
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
        except OSError as error:
            raise OSError(error.errno, error.strerror, what) from None
    check(libc.unshare(kinds), what)
    check(libc.mount(None, b"/", None, RECURSIVE | SLAVE, None), f"a mount in {what}")
    check(libc.mount(b"tmpfs", PLACE, b"tmpfs", 0, None), f"a mount in {what}")


def main() -> None:
    """Try it, and print what became of it."""
    refused, bounded = None, False
    try:
        make(MOUNTS | IPC | NAMES, os.getuid(), os.getgid(), "a user namespace")
        try:
            with open(COUNTED, "r+", encoding="ascii"):
                bounded = True
        except OSError:
            pass
        make(MOUNTS, 0, 0, "a user namespace within another")
    except OSError as error:
        refused = f"{error.filename}: {error.strerror}"
    sys.stdout.write(json.dumps({"refused": refused, "bounded": bounded}))


if __name__ == "__main__":
    main()
