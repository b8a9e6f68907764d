"""Several pieces of work at once, each in a process of its own: an interruption reaches it as it would alone.

Python raises an interruption in the main thread only, in the midst of what that waits for: a thread could be
told of it no sooner than its system call ends. A fork has signals, locks and an undo of its own, costs no
start of an interpreter, and nothing of the work has to be put into words for a command line.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    Report = Callable[[str], None]

_I = TypeVar("_I", bound=str)
INTERRUPTING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_SECONDS = 0.1
# Less than a pipe takes in one piece (pipe(7)): an interruption leaves none of them half told.
_LONGEST = 500
_SAID, _DONE, _INTERRUPTED = "said", "done", "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """Work on an item has begun."""

    item: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """In which phase the work on an item is, in words."""

    item: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Work on an item came to its end, by itself with a `value`, or because it was interrupted or killed."""

    item: str
    value: Any = None
    interrupted: bool = False
    killed: bool = False


Event = Began | Said | Ended


def run_all(
    items: Sequence[_I],
    work: Callable[[_I, Report], Any],
    *,
    jobs: int,
    told: Callable[[Event | None], None],
) -> None:
    """Do `work` on each item, on at most `jobs` at once, and tell what happens; None is told now and then.

    What `work` gives to its second argument is told as `Said`, what it returns, which has to be picklable,
    as `Ended`. On an interruption, or where `told` raises, nothing more is begun; what is under way is
    interrupted once and awaited, and then the same is raised here. Called in the main thread alone.
    """
    crew = Crew(work=work, told=told)
    waiting = deque(items)
    with _noticing() as noticed:
        answered = 0
        while waiting or crew.members:
            while waiting and len(crew.members) < jobs:
                crew.begin(waiting.popleft())
            crew.listen()
            if len(noticed) > answered or crew.failure is not None:
                waiting.clear()
            if len(noticed) > answered or crew.has_just_failed():
                answered = len(noticed)
                crew.interrupt()
    if crew.failure is not None:
        raise crew.failure
    if noticed:
        raise KeyboardInterrupt


class Crew:
    """The processes at work, by the pipe through which each tells of itself."""

    def __init__(self, *, work: Callable[[Any, Report], Any], told: Callable[[Event | None], None]) -> None:
        self._work = work
        self._told = told
        self._forks = multiprocessing.get_context("fork")
        self._failed = False
        self.members: dict[Connection, tuple[str, multiprocessing.process.BaseProcess]] = {}
        self.failure: BaseException | None = None

    def begin(self, item: str) -> None:
        """Start the work on an item."""
        ours, theirs = self._forks.Pipe(duplex=False)
        process = self._forks.Process(target=_be_worker, args=(self._work, item, theirs, ours))
        # Until the new process is ready for a signal it must not get one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTING)
        try:
            process.start()
        except OSError as failure:
            ours.close()
            self._fail(failure)
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        self.members[ours] = (item, process)
        self._tell(Began(item=item))

    def listen(self) -> None:
        """Wait a moment for what the processes tell, and tell that."""
        for channel in wait(list(self.members), _TICK_SECONDS):
            self.hear(channel)  # type: ignore[arg-type] # wait() returns what it was given
        self._tell(None)

    def hear(self, channel: Connection) -> None:
        """Tell what a process told, or that it ended."""
        item, process = self.members[channel]
        try:
            kind, value = channel.recv()
        except (EOFError, OSError):
            kind, value = None, None
        if kind == _SAID:
            self._tell(Said(item=item, words=value))
            return
        del self.members[channel]
        channel.close()
        process.join()
        interrupted = kind == _INTERRUPTED
        self._tell(Ended(item=item, value=value, interrupted=interrupted, killed=kind is None))

    def interrupt(self, only: str | None = None) -> None:
        """Interrupt all that is under way, or the work on one item."""
        for item, process in self.members.values():
            # Not yet waited for, so that the number is nobody else's.
            if process.pid is not None and only in (None, item):
                os.kill(process.pid, signal.SIGTERM)

    def has_just_failed(self) -> bool:
        """Tell, once, that telling failed."""
        failed, self._failed = self._failed, False
        return failed

    def _tell(self, event: Event | None) -> None:
        if self.failure is not None:
            return
        try:
            self._told(event)
        except BaseException as failure:  # noqa: BLE001 - raised again once nothing is under way
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        self.failure, self._failed = failure, True


@contextlib.contextmanager
def _noticing() -> Iterator[list[int]]:
    """Yield a list that grows by each signal that would interrupt; between them nothing is cut in two."""
    noticed: list[int] = []
    before = {
        number: signal.signal(number, lambda received, _frame: noticed.append(received))
        for number in INTERRUPTING
    }
    try:
        yield noticed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _be_worker(work: Callable[[Any, Report], Any], item: str, channel: Connection, other: Connection) -> None:
    """Do the work in a process of its own, and tell how it ended."""
    other.close()
    # Ctrl-C goes to the terminal's foreground group: to who waits, who passes it on once.
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    for number in INTERRUPTING:
        signal.signal(number, _interrupt)

    def report(words: str) -> None:
        # Nobody has to listen for the work to go on.
        with contextlib.suppress(OSError):
            channel.send((_SAID, words[:_LONGEST]))

    try:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTING)
            answer = (_DONE, work(item, report))
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTING)
    except KeyboardInterrupt:
        answer = (_INTERRUPTED, None)
    with contextlib.suppress(OSError):
        channel.send(answer)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
