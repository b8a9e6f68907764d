"""The tool host itself: starts the gateway or a session's program, and makes boxes where a socket is given.

usage: tool-host --filter PATH... --tasks NUMBER [--network] [--bound-output] [--outside DESCRIPTOR]
                 [--socket PATH --root DIRECTORY...] -- PROGRAM [ARGUMENT]...

DESCRIPTOR is an open /proc/PID/status of the process that makes the sandbox, which hears no SIGTERM: one that
came there before this process was is passed on as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import selectors
import signal
import socket
import sys
import termios
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from . import gateway, kernel, network
from .printing import Printed
from .server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

PASSED_ON = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_USAGE, _FAILED = 64, 71  # sysexits.h
_EXPIRE_SECONDS = 2.0
_ENDING = (signal.SIGTERM, signal.SIGINT)
# Within which one that is met outside and comes in here is the same: a group gets it one by one.
_TWICE_SECONDS = 1.0


class Options(NamedTuple):
    """What the command line says."""

    filters: tuple[str, ...]
    tasks: int
    socket: str | None
    roots: tuple[str, ...]
    network: bool
    bound_output: bool
    outside: int | None
    argv: list[str]


def options(words: list[str]) -> Options:
    """Return what a command line says; ends the process where it says nothing that is known."""
    named = ("--filter", "--tasks", "--socket", "--root", "--outside")
    found: dict[str, list[str]] = {name: [] for name in named}
    flags = {"--network": False, "--bound-output": False}
    rest = list(words)
    while len(rest) > 1 and (rest[0] in found or rest[0] in flags):
        if rest[0] in found:
            found[rest[0]].append(rest[1])
            del rest[1]
        else:
            flags[rest[0]] = True
        del rest[0]
    known = rest[:1] == ["--"] and bool(rest[1:]) and bool(found["--filter"]) and len(found["--socket"]) <= 1
    numbers = (*found["--tasks"], *found["--outside"])
    if not known or len(found["--tasks"]) != 1 or not all(map(str.isdigit, numbers)):
        gateway.complain(__doc__)
        sys.exit(_USAGE)
    return Options(
        filters=tuple(found["--filter"]),
        tasks=int(found["--tasks"][0]),
        socket=next(iter(found["--socket"]), None),
        roots=tuple(found["--root"]),
        network=flags["--network"],
        bound_output=flags["--bound-output"],
        outside=int(found["--outside"][0]) if found["--outside"] else None,
        argv=rest[1:],
    )


def main(words: list[str]) -> NoReturn:
    """Run what the command line says and end as it ended."""
    chosen = options(words)
    owner = (os.getuid(), os.getgid())
    if chosen.outside is not None:
        os.set_inheritable(chosen.outside, False)  # noqa: FBT003 - as the standard library has it
    _leave_terminal()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        filters = tuple(map(_content, chosen.filters))
        # The gateway has the same user and could else write into this memory.
        kernel.set_dumpable(False)
        # Root of this one alone: what it makes is below, so that the gateway has no rights over it.
        kernel.unshare("user")
        kernel.map_user((0, 0), owner)
        kernel.bound_tasks(chosen.tasks)
        kernel.leave_half(gateway.SPARE_PROC if os.path.isdir(f"{gateway.SPARE_PROC}/sys") else "/proc")
        watch = network.make(_ENDING) if chosen.network else None
        listener = _listen(chosen.socket) if chosen.socket is not None else None
    except OSError as error:
        gateway.complain(f"the sandbox cannot be made here: {error.strerror}")
        sys.exit(_FAILED)
    printed, output = _bounded() if chosen.bound_output else (None, (1, 2))
    started = gateway.start(gateway.Program(chosen.argv, filters, output), owner)
    if started is None:
        sys.exit(_FAILED)
    selector = selectors.DefaultSelector()
    if printed is not None:
        os.close(output[0])
        selector.register(printed.source, selectors.EVENT_READ, printed)
    if watch is not None:
        selector.register(watch.socket, selectors.EVENT_READ, watch)
    server = Server(listener, selector, chosen.roots, owner, filters) if listener is not None else None
    _serve(started, Parts(server, watch, printed), selector, chosen.outside)


def _bounded() -> tuple[Printed, tuple[int, int]]:
    """Return what passes on what a program prints, and where it is to print."""
    source, output = os.pipe()
    return Printed(source, sys.stderr.fileno()), (output, output)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _leave_terminal() -> None:
    """Let go of the terminal of a session, for the program to take it as its own.

    The kernel sends SIGHUP for that, which is ignored only where it is not blocked.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        handle = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(handle, termios.TIOCNOTTY)
        os.close(handle)


def _listen(path: str) -> socket.socket:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        # The instance put it there: that must not keep it from being started.
        os.rename(path, f"{path}.{os.urandom(6).hex()}")
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o077)
    listener.bind(path)
    os.umask(before)
    listener.listen(64)
    listener.setblocking(False)  # noqa: FBT003 - as the standard library has it
    return listener


class Parts(NamedTuple):
    """What is done beside the program that runs."""

    server: Server | None
    watch: network.Watch | None
    printed: Printed | None


class _Passing:
    """Passes signals on to a program."""

    def __init__(self, started: gateway.Gateway, server: Server | None) -> None:
        self._started, self._server = started, server
        self._asked_to_end = False
        self._same_until = 0.0

    def on(self, number: int, _: object) -> None:
        """Pass one on, but for a SIGTERM that has been already."""
        if number == signal.SIGTERM and time.monotonic() < self._same_until:
            self._same_until = 0.0
            return
        self._asked_to_end |= number == signal.SIGTERM
        if self._server is not None and number in _ENDING:
            self._server.end_soon()
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._started.handle, number)

    def on_earlier(self, outside: int) -> None:
        """Pass on a SIGTERM that came to who makes the sandbox before there was anybody in it."""
        if _waits(outside, signal.SIGTERM) and not self._asked_to_end:
            self.on(signal.SIGTERM, None)
            self._same_until = time.monotonic() + _TWICE_SECONDS


def _serve(
    started: gateway.Gateway, parts: Parts, selector: selectors.BaseSelector, outside: int | None
) -> NoReturn:
    """Pass signals on and answer until the program ends, then end as it did."""
    server, watch, printed = parts
    passing = _Passing(started, server)
    read = _handled(passing.on)
    selector.register(read, selectors.EVENT_READ, read)
    if outside is not None:
        passing.on_earlier(outside)
    timed = [each for each in parts if each is not None]
    gc.freeze()
    while (status := _bury(started.waiter, server)) is None:
        wait = _EXPIRE_SECONDS if any(each.has_deadline() for each in timed) else None
        for key, _ in selector.select(wait):
            if not _answer(key.data, server):
                selector.unregister(key.fd)
        for each in timed:
            each.expire()
        if watch is not None and watch.lost:
            passing.on(signal.SIGTERM, None)
    for part in (printed, server):
        if part is not None:
            part.close()
    os._exit(status)


def _answer(ready: object, server: Server | None) -> bool:
    """Take in what is ready to be read, a descriptor where signals came; tell whether more may come of it."""
    if isinstance(ready, int):
        os.read(ready, 4096)
    elif isinstance(ready, Printed):
        return ready.pass_on()
    elif isinstance(ready, network.Watch):
        ready.look()
    elif server is not None:
        server.answer(ready)
    return True


def _handled(pass_on: Callable[[int, object], None]) -> int:
    """Have signals handled, and return what can be read once one came."""
    read, write = os.pipe()
    for handle in (read, write):
        os.set_blocking(handle, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    return read


def _waits(status: int, number: int) -> bool:
    """Tell whether a signal to the process waits of which this is the open status in /proc (proc(5))."""
    with os.fdopen(status, errors="replace") as file:
        masks = (line.split()[1] for line in file if line.startswith("ShdPnd:"))
        return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def _bury(waiter: int, server: Server | None) -> int | None:
    """Take note of the processes that ended, and return the exit status of `waiter` once it did."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if process == 0:
            return None
        if process == waiter:
            return gateway.exit_status(status)
        if server is not None:
            server.ended(process)
