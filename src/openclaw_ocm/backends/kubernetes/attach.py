"""The local end of a session in a pod: a program of its own, whose standard streams are the session's.

With a terminal, that is the session's too: its keys and its size go there as they are. Whatever ends it, the
terminal is as before.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import sys
import termios
import threading
import tty
from typing import TYPE_CHECKING, NoReturn

import msgspec

from openclaw_ocm.backends.kubernetes.execution import Target, calling
from openclaw_ocm.backends.kubernetes.frames import OUTPUT, PIECE, Program
from openclaw_ocm.backends.kubernetes.sessions import Wanted
from openclaw_ocm.core.placement import Access
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.backends.kubernetes.execution import Call, Websockets

# As ssh ends where there is no connection.
LOST = 255
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_QUEUED = 16
_WAIT_SECONDS = 3600.0


def main() -> int:
    """Be the session that the only argument describes, and return how it ended."""
    wanted = msgspec.json.decode(sys.argv[1], type=Wanted)

    from openclaw_ocm.backends.kubernetes.cluster import Cluster
    from openclaw_ocm.system.host import current_host

    access = Access(kubeconfig=wanted.kubeconfig, context=wanted.context)
    with Cluster(access, current_host(_environ())) as cluster:
        return attach(cluster, wanted)


def _environ() -> Mapping[str, str]:
    """Return the environment of the ocm that started this.

    Its proxies may hold a password: no argument is to have them, and the runner passes none on.
    """
    from openclaw_ocm.system.processes import environ

    return environ(os.getppid(), limit=2**20) or os.environ


def attach(cluster: Websockets, wanted: Wanted) -> int:
    """Run a program in a pod on the standard streams, and return its exit status.

    It is 255 where it cannot be run or followed to its end, which standard error tells.
    """
    target = Target(namespace=wanted.namespace, pod=wanted.pod, container=wanted.container)
    program = Program(
        argv=wanted.argv,
        token=wanted.token,
        environ=wanted.environ,
        directory=wanted.directory,
        size=_size() if wanted.terminal else None,
    )
    for number in _ENDING:
        # What its starter has it ignore stays ignored: that passes signals on in its own way.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave)
    try:
        with calling(cluster, target, program) as call, _raw(wanted.terminal):
            return _Session(call, terminal=wanted.terminal).follow()
    except OcmError as error:
        lines = [f"ocm: {printable(error.message)}", *([f"  {error.hint}"] if error.hint else [])]
        with contextlib.suppress(OSError):
            _write(_STDERR, "".join(f"{line}\n" for line in lines).encode())
        return LOST
    except BrokenPipeError:
        return 128 + signal.SIGPIPE


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


@contextlib.contextmanager
def _raw(wanted: bool) -> Iterator[None]:  # noqa: FBT001 - as the session says
    """Have the terminal pass every key on as it is, for as long as the block takes."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(_STDIN)
    try:
        tty.setraw(_STDIN, termios.TCSADRAIN)
        yield
    finally:
        # It may be gone.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)


def _size() -> tuple[int, int]:
    with contextlib.suppress(OSError):
        columns, rows = os.get_terminal_size(_STDIN)
        return rows, columns
    return 24, 80


class _Session:
    """Copies between the standard streams and a program in a pod; one thread does all but the waiting."""

    def __init__(self, call: Call, *, terminal: bool) -> None:
        self._call = call
        self._terminal = terminal
        self._reads = True
        self._resized = False
        self._came: queue.Queue[bytes | OcmError] = queue.Queue(_QUEUED)
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def follow(self) -> int:
        """Copy until the program ends; return its exit status."""
        threading.Thread(target=self._receive, daemon=True).start()
        with self._hearing_size():
            while self._call.end is None:
                self._turn()
                if self._terminal and not self._reads:
                    # The terminal is gone: so is the session, as a shell's would be.
                    return 128 + signal.SIGHUP
        return self._call.end.status

    @contextlib.contextmanager
    def _hearing_size(self) -> Iterator[None]:
        def resized(_number: int, _frame: object) -> None:
            self._resized = True

        before = signal.signal(signal.SIGWINCH, resized)
        # It comes while the thread waits and at no other time.
        descriptor = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        # What it was in the meantime.
        self._resized = self._terminal
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            signal.signal(signal.SIGWINCH, before)

    def _receive(self) -> None:
        """Wait for what comes: that is nothing that can be waited for together with a descriptor."""
        try:
            while True:
                message = self._call.message(wait_seconds=_WAIT_SECONDS)
                if message is not None:
                    self._put(message)
        except OcmError as error:
            self._put(error)

    def _put(self, came: bytes | OcmError) -> None:
        self._came.put(came)
        with contextlib.suppress(OSError):
            os.write(self._wake, b"\0")

    def _turn(self) -> None:
        """Wait until there is something to do, and do it."""
        reads = self._reads and self._call.room >= PIECE
        ready, _, _ = select.select([self._woken, *([_STDIN] if reads else [])], [], [])
        if self._resized and self._terminal:
            self._resized = False
            self._call.resize(*_size())
        if self._woken in ready:
            os.read(self._woken, PIECE)
            self._take_all()
        if _STDIN in ready:
            self._read()

    def _take_all(self) -> None:
        while True:
            try:
                came = self._came.get_nowait()
            except queue.Empty:
                return
            if isinstance(came, OcmError):
                raise came
            for letter, data in self._call.take(came):
                _write(_STDOUT if letter == OUTPUT else _STDERR, data)

    def _read(self) -> None:
        try:
            data = os.read(_STDIN, PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._call.give(data)
            return
        self._reads = False
        if not self._terminal:
            self._call.end_input()


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it, to what somebody may have made non-blocking too."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


if __name__ == "__main__":
    sys.exit(main())
