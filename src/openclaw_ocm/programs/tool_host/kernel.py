"""The calls of the kernel that Python does not have: 3.12 brings unshare and setns, Debian 12 has 3.11."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource

# linux/sched.h
NAMESPACES = {
    "user": 0x10000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "net": 0x40000000,
    "cgroup": 0x02000000,
    "pid": 0x20000000,
    "mnt": 0x00020000,
}
# linux/mount.h
READ_ONLY, NO_SETUID, NO_DEVICES, NO_EXEC, REMOUNT, BIND = 1, 2, 4, 8, 1 << 5, 1 << 12
RECURSIVE, SLAVE = 1 << 14, 1 << 19
# linux/prctl.h, linux/seccomp.h
_DEATH_SIGNAL, _DUMPABLE, _NAME, _SECCOMP, _DROP_CAPABILITY, _NO_NEW_PRIVILEGES = 1, 4, 15, 22, 24, 38
_FILTER_MODE = 2
_FILTER_LINE_BYTES = 8
_CAPABILITIES = 64
# What the kernel counts by user, whatever the namespace: the limit of one, and that of the whole machine.
_COUNTED = {
    "max_inotify_instances": "inotify/max_user_instances",
    "max_inotify_watches": "inotify/max_user_watches",
    "max_fanotify_groups": "fanotify/max_user_groups",
    "max_fanotify_marks": "fanotify/max_user_marks",
}

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))


def _check(status: int, what: str) -> None:
    if status < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(option: int, value: int | ctypes.c_char_p = 0, more: object = 0) -> int:
    word = ctypes.c_ulong(value) if isinstance(value, int) else value
    last = ctypes.c_ulong(more) if isinstance(more, int) else more
    return int(_libc.prctl(option, word, last, ctypes.c_ulong(0), ctypes.c_ulong(0)))


def set_dumpable(dumpable: bool) -> None:  # noqa: FBT001 - it says what is passed
    """Say whether processes of the same user may look into this one (PR_SET_DUMPABLE).

    One that is not owns nothing below its /proc/self, its maps of users among that.
    """
    _check(_prctl(_DUMPABLE, int(dumpable)), "dumpable")


def die_with_parent(parent: int) -> None:
    """Have this process killed when its parent ends; end at once where `parent` has ended already."""
    _check(_prctl(_DEATH_SIGNAL, 9), "death signal")
    if os.getppid() not in (parent, 0):
        os._exit(1)


def set_name(name: str) -> None:
    """Set the name by which the kernel knows this process: up to 15 bytes."""
    _prctl(_NAME, ctypes.c_char_p(name.encode()))


def unshare(*kinds: str) -> None:
    """Leave the namespaces of these kinds for new ones."""
    _check(_libc.unshare(sum(NAMESPACES[kind] for kind in kinds)), f"unshare {' '.join(kinds)}")


def enter(handle: int, kind: str) -> None:
    """Enter the namespace that the descriptor `handle` is of."""
    _check(_libc.setns(handle, NAMESPACES[kind]), f"setns {kind}")


def map_user(inside: tuple[int, int], outside: tuple[int, int]) -> None:
    """Give this process's new user namespace its only user and group, `inside`, who are `outside` without."""
    set_dumpable(True)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside[0]} {outside[0]} 1"),
        ("gid_map", f"{inside[1]} {outside[1]} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    set_dumpable(False)


def bound_tasks(most: int, pid: int = 0) -> None:
    """Bound the processes and threads of all that `pid`, or this process, starts in its user namespace.

    RLIMIT_NPROC counts for each user namespace since Linux 5.14, and binds those below it; not root.
    systemd's TasksMax= binds only where the controller of processes is one of control groups v2.
    """
    _, hard = resource.prlimit(pid, resource.RLIMIT_NPROC)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.prlimit(pid, resource.RLIMIT_NPROC, (most, most))


def leave_half(proc: str) -> None:
    """Have this user namespace and those below it take half of what a user may watch at most (namespaces(7)).

    Where `proc` is read-only, as in some containers, nothing bounds them.
    """
    for own, whole in _COUNTED.items():
        with contextlib.suppress(OSError, ValueError):
            with open(f"{proc}/sys/fs/{whole}", encoding="ascii") as file:
                most = int(file.read())
            with open(f"{proc}/sys/user/{own}", "w", encoding="ascii") as file:
                file.write(str(most // 2))


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Ask the kernel for what the manual says in section 2."""
    words = (word.encode() if word is not None else None for word in (source, target, kind))
    options = data.encode() if data is not None else None
    _check(_libc.mount(*words, ctypes.c_ulong(flags), options), f"mount {target}")


def drop_capabilities() -> None:
    """Keep whatever is executed from here on from having a capability, root's programs included."""
    for number in range(_CAPABILITIES):
        if _prctl(_DROP_CAPABILITY, number) < 0:
            return


def load_filters(filters: tuple[bytes, ...]) -> None:
    """Have the kernel ask these filters about each system call from here on; it takes the stricter answer."""
    _check(_prctl(_NO_NEW_PRIVILEGES, 1), "no new privileges")
    for code in filters:
        lines = ctypes.create_string_buffer(code, len(code))
        program = _Program(len(code) // _FILTER_LINE_BYTES, ctypes.addressof(lines))
        _check(_prctl(_SECCOMP, _FILTER_MODE, ctypes.byref(program)), "seccomp")
