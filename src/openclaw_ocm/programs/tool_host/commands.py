"""Runs programs in boxes: each in a process that enters the namespaces, and waits for how it ends."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shlex
import signal
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from . import kernel
from .boxes import TASKS
from .gateway import exit_status, ready_to_execute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from . import boxes
    from .calls import Execute

NAME = "ocm-command"
_MOST_DESCRIPTORS = 2**16
_WAKES, _WAKE_MILLISECONDS = 60, 50
_SETTLE_SECONDS = 0.01
_NOT_EXECUTABLE, _NO_PROGRAM = 126, 127
_BASE_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/tmp",  # noqa: S108 - a box's own
    "LANG": "C.UTF-8",
    "USER": "sandbox",
}


def leave_host(keep: set[int]) -> None:
    """In a process that was forked of the tool host: let go of all of it but the descriptors `keep`."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:  # noqa: PLR2004 - the standard streams
            with contextlib.suppress(OSError):
                os.close(int(name))


class Streams(NamedTuple):
    """What a command's standard streams become, and the connection of who asked for it."""

    files: Sequence[int]
    asker: int


def run(box: boxes.Box, call: Execute, streams: Streams, filters: tuple[bytes, ...]) -> int:
    """Run a command in a box, in a process made for that, and return its exit status.

    When who asked closes the connection, all that is left in the session of the command is killed.
    """
    kernel.set_name(NAME)
    parent = os.getppid()
    for kind, handle in box.namespaces:
        kernel.enter(handle, kind)
    kernel.die_with_parent(parent)
    keeper = os.getpid()
    told, tell = os.pipe()
    command = os.fork()
    if command == 0:
        kernel.die_with_parent(keeper)
        os.setsid()
        os.write(tell, str(os.getpid()).encode())
        _become(box, call, streams.files, filters)
    os.close(tell)
    for handle in streams.files:
        os.close(handle)
    ended = os.pidfd_open(command)
    poll = select.poll()
    for handle in (ended, told, streams.asker):
        poll.register(handle, select.POLLIN)
    session = b""
    # One that is stopped before it tells its session must not keep anybody from ending it.
    while ended not in (ready := {handle for handle, _ in poll.poll()}):
        if told in ready:
            session = os.read(told, 32)
            poll.unregister(told)
        elif not os.read(streams.asker, 4096):
            with contextlib.suppress(ProcessLookupError):
                os.kill(command, signal.SIGKILL)
            _kill_session(session, box)
            break
    return exit_status(os.waitpid(command, 0)[1])


def _become(box: boxes.Box, call: Execute, files: Sequence[int], filters: tuple[bytes, ...]) -> NoReturn:
    wanted = box.wanted
    try:
        # It was asked for before the box was paused, and is in it only since.
        while box.paused:
            time.sleep(_SETTLE_SECONDS)
        for number, handle in enumerate(files):
            os.dup2(handle, number)
        os.closerange(len(files), _MOST_DESCRIPTORS)
        env = {**_BASE_ENV, "HOSTNAME": "box", **wanted.env, **call.env}
        argv = list(call.argv)
        if call.terminal:
            argv = _on_terminal(argv)
            env.setdefault("TERM", "xterm-256color")
        os.umask(0o077)
        kernel.bound_tasks(min(wanted.tasks or TASKS, TASKS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(call.directory or wanted.directory)
        ready_to_execute(filters)
        os.execvpe(argv[0], argv, env)
    except OSError as error:
        # As docker says it, and with its exit statuses for a program that is not there or not one.
        os.write(2, f"exec {call.argv[0][:200]}: {error.strerror}\n".encode())
        os._exit(_NO_PROGRAM if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)
    finally:
        os._exit(_NOT_EXECUTABLE)


def _on_terminal(argv: list[str]) -> list[str]:
    return ["/usr/bin/script", "-qefc", f"exec {shlex.join(argv)}", "/dev/null"]


def settle(box: boxes.Box) -> bool:
    """Have all that runs in a box stand still or go on, as `box.paused` says; return whether it does.

    That takes three seconds at most.
    """
    entering = os.fork()
    if entering == 0:
        status = 1
        try:
            leave_host({handle for _, handle in box.namespaces})
            for kind, handle in box.namespaces:
                kernel.enter(handle, kind)
            settler = os.fork()
            if settler == 0:
                _settle(box)
                os._exit(0)
            status = _wait_for_killer(settler)
        finally:
            os._exit(status)
    return os.waitpid(entering, 0)[1] == 0


def _settle(box: boxes.Box) -> None:
    """Do as `settle`, in the PID namespace of the box, until what is there is as the box is to be.

    The box can be paused, and go on, from elsewhere at any time: so it is looked at again afterwards.
    """
    while True:
        paused = box.paused
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGSTOP if paused else signal.SIGCONT)
        if paused == box.paused and not (paused and _anything_runs()):
            return
        time.sleep(_SETTLE_SECONDS)


def _anything_runs() -> bool:
    others = set(filter(str.isdigit, os.listdir("/proc"))) - {"1", str(os.getpid())}
    # One that waits in the kernel (D) stops before it runs on: for the disk, or for a child that stands still
    # before it became another program (vfork(2)), and then as long as that does.
    return any((fields := _fields_of(pid)) and fields[0] not in b"TtZXD" for pid in others)


def _kill_session(session: bytes, box: boxes.Box) -> None:
    """Kill the processes of a session, from a process in the PID namespace that has them.

    All that is in the box stands still meanwhile: the kernel stops it at one blow, and what forks without end
    would else outrun who looks for it.
    """
    killer = os.fork()
    if killer == 0:
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGSTOP)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if _session_of(pid) == session:
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
        _settle(box)
        os._exit(0)
    _wait_for_killer(killer)


def _wait_for_killer(killer: int) -> int:
    """Wait for a killer, which others in the box can stop: it is woken, and after a while killed.

    Returns its exit status.
    """
    handle = os.pidfd_open(killer)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    for _ in range(_WAKES):
        if poll.poll(_WAKE_MILLISECONDS):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(killer, signal.SIGCONT)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(killer, signal.SIGKILL)
    os.close(handle)
    return exit_status(os.waitpid(killer, 0)[1])


def _session_of(pid: str) -> bytes | None:
    """Return the session of a process that lives, None for one that ended."""
    fields = _fields_of(pid)
    return fields[3] if fields and fields[0] not in b"ZX" else None


def _fields_of(pid: str) -> list[bytes]:
    """Return what the kernel says of a process, its state first; nothing of one that is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of its program, in parentheses, may hold anything.
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return []
