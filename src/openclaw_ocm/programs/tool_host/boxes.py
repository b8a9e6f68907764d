"""Boxes: a bwrap that sleeps in namespaces of its own, which each command enters."""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import select
import signal
import time
from typing import TYPE_CHECKING, NoReturn

from . import binds, kernel
from .calls import Refused
from .gateway import CLOSED, complain

if TYPE_CHECKING:
    from .calls import Box as Wanted

BWRAP = "/usr/bin/bwrap"
_SYSTEM = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt")
_OWN = frozenset({"/", "/proc", "/dev", "/dev/shm", "/run", "/tmp", "/var/tmp", *_SYSTEM})  # noqa: S108 - a box's own
_SCRATCH_BYTES = str(512 * 2**20)
_READY = b"ready\n"
_SLEEP = ("/bin/sh", "-c", "echo ready; exec sleep infinity >/dev/null")
_START_SECONDS = 20.0
_POLL_SECONDS = 0.005
TASKS = 256
_GET_OWNER = 0xB701  # NS_GET_USERNS (linux/nsfs.h)
_KINDS = ("ipc", "uts", "net", "cgroup", "pid", "mnt")


class Box:
    """A box that was asked for, and while it is up its processes and namespaces."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.identity = os.urandom(32).hex()
        self.process: int | None = None
        self.handle: int | None = None
        self.used = time.monotonic()
        self.commands: set[int] = set()
        self.namespaces: list[tuple[str, int]] = []
        # Shared with the processes that are forked for its commands.
        self._paused = mmap.mmap(-1, 1)

    @property
    def paused(self) -> bool:
        """Whether all that runs in the box is to stand still."""
        return self._paused[0] == 1

    @paused.setter
    def paused(self, paused: bool) -> None:
        self._paused[0] = int(paused)

    def start(self, roots: tuple[str, ...], owner: tuple[int, int], filters: tuple[bytes, ...]) -> None:
        """Start the box where it is not up; raises `Refused` where it cannot be what was asked for.

        What it begins with has the filters too: a program in the box can write into it, being of one user.
        """
        if self.process is not None:
            return
        if not os.access(BWRAP, os.X_OK):
            raise Refused(
                "bubblewrap is not installed, without which no box can be made: sudo apt install bubblewrap",
                1,
            )
        found = binds.opened(self.wanted.binds, roots)
        told = tell = -1
        handles: list[int] = []
        try:
            told, tell = os.pipe()
            handles += map(_in_memory, filters)
            arguments = _in_memory(b"\0".join(map(os.fsencode, _arguments(found, owner, tell, handles))))
            handles.append(arguments)
            self.process = os.fork()
            if self.process == 0:
                _become_bwrap(arguments, tell, handles)
            os.close(tell)
            tell = -1
            first = _first_process(told)
            self.handle = os.pidfd_open(first)
            wait_for_filters(first, filters_of("self") + len(filters))
            _bound_tasks(first)
            binds.prove(found, first, _OWN)
            self.namespaces = _open_namespaces(first)
        except BaseException:
            self.stop()
            raise
        finally:
            binds.close(found)
            for handle in {told, tell, *handles} - {-1}:
                os.close(handle)

    def stop(self) -> None:
        """End the box with all that runs in it."""
        if self.process is not None:
            # With its first process goes all of the box, and then bwrap ends by itself, with nothing left.
            with contextlib.suppress(ProcessLookupError):
                if self.handle is None:
                    os.kill(self.process, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            os.waitpid(self.process, 0)
        self.ended()

    def ended(self) -> None:
        """Take note that the box is no longer up."""
        for handle in (*(each for _, each in self.namespaces), self.handle):
            if handle is not None:
                os.close(handle)
        self.process = self.handle = None
        self.namespaces = []
        self.paused = False


def _become_bwrap(arguments: int, tell: int, handles: list[int]) -> NoReturn:
    try:
        for handle in (*handles, tell):
            os.set_inheritable(handle, True)  # noqa: FBT003 - as the standard library has it
        nothing = os.open("/dev/null", os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(tell, 1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execv(BWRAP, ["bwrap", "--args", str(arguments), "--", *_SLEEP])
    except OSError as error:
        complain(f"{BWRAP}: {error.strerror}")
    os._exit(127)


def _arguments(found: list[binds.Opened], owner: tuple[int, int], tell: int, filters: list[int]) -> list[str]:
    mounts = [
        word
        for each in found
        for word in ("--bind" if each.writable else "--ro-bind", binds.where(each.handle), each.target)
    ]
    scratch = ("--perms", "1777", "--size", _SCRATCH_BYTES, "--tmpfs")
    return [
        *("--unshare-user", "--uid", str(owner[0]), "--gid", str(owner[1])),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--unshare-net"),
        *("--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv"),
        *(word for path in _SYSTEM if os.path.lexists(path) for word in ("--ro-bind", path, path)),
        *("--proc", "/proc", "--dev", "/dev", "--size", "1048576", "--tmpfs", "/run"),
        # Else they are as large as half of the machine's memory.
        *(*scratch, "/dev/shm", "--remount-ro", "/dev"),  # noqa: S108 - a box's own
        *(word for name in CLOSED for word in ("--ro-bind-try", f"/proc/{name}", f"/proc/{name}")),
        *(*scratch, "/tmp", "--dir", "/var", *scratch, "/var/tmp"),  # noqa: S108 - a box's own
        *mounts,
        *(word for handle in filters for word in ("--add-seccomp-fd", str(handle))),
        *("--remount-ro", "/", "--chdir", "/", "--json-status-fd", str(tell)),
    ]


def _in_memory(data: bytes) -> int:
    """Return a file to read this from: the arguments of a process its own box could read."""
    handle = os.memfd_create("bwrap")
    with open(handle, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def _bound_tasks(first: int) -> None:
    """Bound the tasks of what a box begins with, as those of each command are."""
    with open(f"/proc/{first}/task/{first}/children", encoding="ascii") as file:
        for pid in (first, *map(int, file.read().split())):
            kernel.bound_tasks(TASKS, pid)


def _first_process(told: int) -> int:
    """Return the first process of the box that bwrap makes, once the box is whole."""
    until, text = time.monotonic() + _START_SECONDS, b""
    while not text.endswith(_READY):
        if not select.select([told], [], [], max(0.0, until - time.monotonic()))[0]:
            raise Refused("the box was not made in time", 1)
        part = os.read(told, 4096)
        if not part:
            raise Refused("bubblewrap could not make the box; the instance's log says why", 1)
        text += part
    return int(json.loads(text.partition(b"}")[0] + b"}")["child-pid"])


def wait_for_filters(first: int, wanted: int) -> None:
    """Return once the first process of a box has its filters: it loads them beside what it forked."""
    until = time.monotonic() + _START_SECONDS
    while filters_of(str(first)) < wanted:
        if time.monotonic() > until:
            raise Refused("the box was not made in time", 1)
        time.sleep(_POLL_SECONDS)


def filters_of(process: str) -> int:
    """Return how many filters decide about the system calls of a process."""
    with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as file:
        found = [line.split()[1] for line in file if line.startswith("Seccomp_filters:")]
    return int(found[0]) if found else 0


def _open_namespaces(first: int) -> list[tuple[str, int]]:
    """Return what a command enters, in its order.

    bwrap mounts the terminals in a user namespace and goes on in one below it, which comes last: from it the
    others could not be entered.
    """
    handles: list[tuple[str, int]] = []
    try:
        handles.extend(
            (kind, os.open(f"/proc/{first}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
            for kind in (*_KINDS, "user")
        )
        owner = fcntl.ioctl(dict(handles)["mnt"], _GET_OWNER)
    except BaseException:
        for _, handle in handles:
            os.close(handle)
        raise
    inner = handles.pop()
    if os.path.samestat(os.fstat(owner), os.fstat(inner[1])):
        os.close(owner)
        return [inner, *handles]
    return [("user", owner), *handles, inner]
