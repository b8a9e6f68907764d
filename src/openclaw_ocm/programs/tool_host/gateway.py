"""Starts a program in user, mount and PID namespaces and on terminals of its own, below a filter."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NamedTuple

from . import kernel

NAME = "ocm-gateway"
# Held back until the program's init is there to hear them: the first process of a PID namespace loses what it
# does not handle.
_HELD = (signal.SIGTERM, signal.SIGINT)
_FAILED = 71  # EX_OSERR
# A whole /proc that the kernel finds here lets it allow a new one; nobody but the tool host is to see it.
SPARE_PROC = "/run/ocm/proc"
# What of /proc a root without any capability could write all the same.
CLOSED = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "asound", "mtrr", "scsi", "latency_stats")
_SAFE = kernel.NO_SETUID | kernel.NO_DEVICES | kernel.NO_EXEC


class Gateway(NamedTuple):
    """A program that runs: who waits for it, and a descriptor by which its first process is signalled."""

    waiter: int
    handle: int


class Program(NamedTuple):
    """A program that is to run below filters, with its stdout and stderr."""

    argv: list[str]
    filters: tuple[bytes, ...]
    output: tuple[int, int]


def start(program: Program, owner: tuple[int, int]) -> Gateway | None:
    """Start a program and return it, or None where its sandbox cannot be made, which is said on stderr.

    `owner` are the user and group that it is to be. Signals are for the caller to block before.
    """
    told, tell = os.pipe()
    parent = os.getpid()
    waiter = os.fork()
    if waiter == 0:
        os.close(told)
        with contextlib.suppress(BaseException):
            _wait_inside(program, owner, parent, tell)
        os._exit(_FAILED)
    os.close(tell)
    with os.fdopen(told, "rb") as answer:
        text = answer.read()
    if not text.isdigit():
        os.waitpid(waiter, 0)
        return None
    try:
        return Gateway(waiter, os.pidfd_open(int(text)))
    except ProcessLookupError:
        return Gateway(waiter, -1)


def _wait_inside(program: Program, owner: tuple[int, int], parent: int, tell: int) -> None:
    """Make the namespaces, start the program as their first process, wait for it and end as it ended."""
    kernel.set_name(NAME)
    os.setpgid(0, 0)
    root = (os.getuid(), os.getgid())
    try:
        kernel.unshare("user", "mnt", "pid")
        kernel.map_user(owner, root)
        kernel.die_with_parent(parent)
        _mount_terminals()
    except OSError as error:
        _complain(error)
        os._exit(_FAILED)
    first = os.fork()
    if first == 0:
        os.close(tell)
        try:
            _become(program)
        except OSError as error:
            _complain(error)
        os._exit(_FAILED)
    os.write(tell, str(first).encode())
    os.close(tell)
    kernel.load_filters(program.filters)
    os._exit(exit_status(os.waitpid(first, 0)[1]))


def _mount_terminals() -> None:
    kernel.mount("none", "/", None, kernel.RECURSIVE | kernel.SLAVE)
    options = "newinstance,ptmxmode=0666,mode=620"
    kernel.mount("devpts", "/dev/pts", "devpts", kernel.NO_SETUID | kernel.NO_EXEC, options)


def _become(program: Program) -> None:
    """Become the program: the first process of a PID namespace, with a /proc of its own."""
    kernel.die_with_parent(0)
    kernel.mount("proc", "/proc", "proc", _SAFE)
    close_proc()
    if os.path.isdir(SPARE_PROC):
        kernel.mount("tmpfs", SPARE_PROC, "tmpfs", _SAFE | kernel.READ_ONLY, "size=4k,mode=000")
    for number, handle in zip((1, 2), program.output, strict=True):
        os.dup2(handle, number)
    ready_to_execute(program.filters, held=_HELD)
    os.execv(program.argv[0], program.argv)


def close_proc() -> None:
    """Make what of /proc is not about processes read-only."""
    for name in CLOSED:
        path = f"/proc/{name}"
        if os.path.exists(path):
            kernel.mount(path, path, None, kernel.BIND | kernel.RECURSIVE)
            kernel.mount(None, path, None, kernel.BIND | kernel.REMOUNT | kernel.READ_ONLY | _SAFE)


def ready_to_execute(filters: tuple[bytes, ...], held: tuple[signal.Signals, ...] = ()) -> None:
    """Give up what a program that is executed next must not have: capabilities, handlers, system calls."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):  # those that the C library keeps for itself
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, held)
    kernel.drop_capabilities()
    kernel.load_filters(filters)


def exit_status(status: int) -> int:
    """Return the exit status that says how a process ended, of what waitpid(2) says."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def complain(text: object) -> None:
    """Say something where the instance's log has it, if that takes it: the gateway writes there too."""
    with contextlib.suppress(OSError, ValueError):
        print(f"tool host: {text}", file=sys.stderr, flush=True)  # noqa: T201 - it has no other way to say it


def _complain(error: OSError) -> None:
    complain(f"the sandbox cannot be made here: {error.strerror}")
