"""Boxes: a bwrap that sleeps in namespaces of its own, which each command enters."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from . import binds, kernel
from .calls import Refused
from .gateway import CLOSED, exit_status, ready_to_execute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .calls import Box as Wanted
    from .calls import Execute

BWRAP = "/usr/bin/bwrap"
COMMAND_NAME = "ocm-command"
_SYSTEM = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_OWN = frozenset({"/", "/proc", "/dev", "/run", "/tmp", "/var/tmp", *_SYSTEM})  # noqa: S108 - a box's own
_SCRATCH_BYTES = str(512 * 2**20)
_READY = b"ready\n"
_SLEEP = ("/bin/sh", "-c", "echo ready; exec sleep infinity >/dev/null")
_START_SECONDS = 20.0
_TASKS = 256
_GET_OWNER = 0xB701  # NS_GET_USERNS (linux/nsfs.h)
_KINDS = ("ipc", "uts", "net", "cgroup", "pid", "mnt")
_KILL_ROUNDS = 100
_BASE_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",  # noqa: S108 - a box's own
    "LANG": "C.UTF-8",
    "USER": "sandbox",
}


class Box:
    """A box that was asked for, and while it is up its processes and namespaces."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.identity = os.urandom(32).hex()
        self.process: int | None = None
        self.first: int | None = None
        self.commands: set[int] = set()
        self.namespaces: list[tuple[str, int]] = []

    def start(self, roots: tuple[str, ...], owner: tuple[int, int]) -> None:
        """Start the box where it is not up; raises `Refused` where it cannot be what was asked for."""
        if self.process is not None:
            return
        if not os.access(BWRAP, os.X_OK):
            raise Refused("bubblewrap is not installed, without which no box can be made: sudo apt install bubblewrap", 1)
        found = binds.opened(self.wanted.binds, roots)
        told, tell = os.pipe()
        try:
            arguments = _written(_arguments(found, owner, tell))
            self.process = os.fork()
            if self.process == 0:
                _become_bwrap(arguments, tell)
            os.close(arguments)
            os.close(tell)
            tell = -1
            self.first = _first_process(told)
            binds.prove(found, self.first, _OWN)
            self.namespaces = _open_namespaces(self.first)
        except BaseException:
            self.stop()
            raise
        finally:
            binds.close(found)
            for handle in {told, tell} - {-1}:
                os.close(handle)

    def stop(self) -> None:
        """End the box with all that runs in it."""
        if self.process is not None:
            # Both: bwrap's first process inside follows the other only once it is far enough.
            for process in (self.process, self.first):
                if process is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        self.ended()

    def ended(self) -> None:
        """Take note that the box is no longer up."""
        self.process = self.first = None
        for _, handle in self.namespaces:
            os.close(handle)
        self.namespaces = []


def _become_bwrap(arguments: int, tell: int) -> NoReturn:
    try:
        for handle in (arguments, tell):
            os.set_inheritable(handle, True)  # noqa: FBT003 - as the standard library has it
        nothing = os.open("/dev/null", os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(tell, 1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execv(BWRAP, ["bwrap", "--args", str(arguments), "--", *_SLEEP])
    except OSError as error:
        print(f"tool host: {BWRAP}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def _arguments(found: list[binds.Opened], owner: tuple[int, int], tell: int) -> list[str]:
    mounts = [
        word
        for each in found
        for word in ("--bind" if each.writable else "--ro-bind", binds.where(each.handle), each.target)
    ]
    scratch = ("--perms", "1777", "--size", _SCRATCH_BYTES, "--tmpfs")
    return [
        *("--unshare-user", "--uid", str(owner[0]), "--gid", str(owner[1])),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--unshare-net"),
        *("--cap-drop", "ALL", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "box"),
        *(word for path in _SYSTEM if os.path.lexists(path) for word in ("--ro-bind", path, path)),
        *("--proc", "/proc", "--dev", "/dev", "--size", "1048576", "--tmpfs", "/run"),
        *(word for name in CLOSED for word in ("--ro-bind-try", f"/proc/{name}", f"/proc/{name}")),
        *(*scratch, "/tmp", "--dir", "/var", *scratch, "/var/tmp"),  # noqa: S108 - a box's own
        *mounts,
        *("--remount-ro", "/", "--chdir", "/", "--json-status-fd", str(tell)),
    ]


def _written(arguments: list[str]) -> int:
    """Return a file to read the arguments from: those of a process its own box could read."""
    handle = os.memfd_create("bwrap")
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(b"\0".join(map(os.fsencode, arguments)))
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


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


def _open_namespaces(first: int) -> list[tuple[str, int]]:
    """Return what a command enters, in its order.

    bwrap mounts the terminals in a user namespace and goes on in one below it, which comes last: from it the
    others could not be entered.
    """
    handles = [
        (kind, os.open(f"/proc/{first}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)) for kind in (*_KINDS, "user")
    ]
    owner = fcntl.ioctl(dict(handles)["mnt"], _GET_OWNER)
    inner = handles.pop()
    if os.path.samestat(os.fstat(owner), os.fstat(inner[1])):
        os.close(owner)
        return [inner, *handles]
    return [("user", owner), *handles, inner]


def leave_host(keep: set[int]) -> None:
    """In a process that was forked of the tool host: let go of all of it but the descriptors `keep`."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:  # noqa: PLR2004 - the standard streams
            with contextlib.suppress(OSError):
                os.close(int(name))


def run(box: Box, call: Execute, files: Sequence[int], asker: int, filters: tuple[bytes, ...]) -> int:
    """Run a command in a box, in a process made for that, and return its exit status.

    `files` become its standard streams. When `asker`, a connection, is closed by who asked, all that is left in
    the session of the command is killed.
    """
    kernel.set_name(COMMAND_NAME)
    parent = os.getppid()
    for kind, handle in box.namespaces:
        kernel.enter(handle, kind)
    kernel.die_with_parent(parent)
    keeper = os.getpid()
    told, tell = os.pipe()
    command = os.fork()
    if command == 0:
        _become_command(box, call, files, keeper, tell, filters)
    os.close(tell)
    for handle in files:
        os.close(handle)
    session = os.read(told, 32)
    os.close(told)
    ended = os.pidfd_open(command)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(asker, select.POLLIN)
    while ended not in {handle for handle, _ in poll.poll()}:
        if not os.read(asker, 4096):
            _kill_session(session)
            break
    return exit_status(os.waitpid(command, 0)[1])


def _become_command(
    box: Box, call: Execute, files: Sequence[int], keeper: int, tell: int, filters: tuple[bytes, ...]
) -> None:
    try:
        kernel.die_with_parent(keeper)
        os.setsid()
        os.write(tell, str(os.getpid()).encode())
        for number, handle in enumerate(files):
            os.dup2(handle, number)
        os.closerange(3, 2**16)
        env = {**_BASE_ENV, "HOSTNAME": "box", **box.wanted.env, **call.env}
        argv = list(call.argv)
        if call.terminal:
            argv = _on_terminal(argv)
            env.setdefault("TERM", "xterm-256color")
        os.umask(0o077)
        _bound_tasks(box.wanted.tasks)
        os.chdir(call.directory or box.wanted.directory)
        ready_to_execute(filters)
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        # As docker says it, and with its exit statuses for a program that is not there or not one.
        os.write(2, f"exec {call.argv[0][:200]}: {error.strerror}\n".encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)
    finally:
        os._exit(126)


def _on_terminal(argv: list[str]) -> list[str]:
    import shlex

    return ["/usr/bin/script", "-qefc", f"exec {shlex.join(argv)}", "/dev/null"]


def _bound_tasks(wanted: int | None) -> None:
    import resource

    most = min(wanted or _TASKS, _TASKS)
    resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _kill_session(session: bytes) -> None:
    """Kill the processes of a session, from a process in the PID namespace that has them."""
    killer = os.fork()
    if killer == 0:
        stopped: set[int] = set()
        # What is stopped makes no new ones; once there are none, all can go.
        for _ in range(_KILL_ROUNDS):
            found = {int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _session_of(pid) == session}
            if found <= stopped:
                break
            _signal_all(found - stopped, signal.SIGSTOP)
            stopped |= found
        _signal_all(stopped, signal.SIGKILL)
        os._exit(0)
    os.waitpid(killer, 0)


def _signal_all(processes: set[int], number: int) -> None:
    for process in processes:
        with contextlib.suppress(OSError):
            os.kill(process, number)


def _session_of(pid: str) -> bytes | None:
    """Return the session of a process that lives, None for one that ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of its program, in parentheses, may hold anything.
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    return None if fields[0] in b"ZX" else fields[3]
