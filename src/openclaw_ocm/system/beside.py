"""Work beside a screen: begun one by one, each in a process of its own, as `workers` has it.

A screen has threads, and what they hold at a fork nobody lets go of in the new process. So a process is
forked before there are any, and forks for whoever asks. It ends when the screen does, after what is under
way: that is interrupted then, as by a terminal that is closed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from openclaw_ocm.system.workers import INTERRUPTING, Crew

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from openclaw_ocm.system.workers import Event, Report

_BEGIN, _INTERRUPT = "begin", "interrupt"


class Beside:
    """A process that begins `work` on items, which are told apart by their words.

    Made while there is one thread alone.
    """

    def __init__(self, work: Callable[[str, Report], Any]) -> None:
        forks = multiprocessing.get_context("fork")
        self._channel, theirs = forks.Pipe(duplex=True)
        self._process = forks.Process(target=_serve, args=(work, theirs, self._channel))
        # Until it is ready for a signal it must not get one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTING)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def fileno(self) -> int:
        """Return what can be read when there is something to be told."""
        return self._channel.fileno()

    def begin(self, item: str) -> None:
        """Begin the work on an item; raises `OSError` where the process is gone."""
        self._channel.send((_BEGIN, item))

    def interrupt(self, item: str | None = None) -> None:
        """Interrupt the work on an item, or on all: what it changed is undone."""
        self._channel.send((_INTERRUPT, item))

    def told(self) -> list[Event]:
        """Return what happened since; raises `EOFError` where the process is gone."""
        events = []
        while self._channel.poll():
            try:
                events.append(self._channel.recv())
            except EOFError:
                if not events:
                    raise
                break
        return events

    def close(self) -> None:
        """Interrupt what is under way, and return once all has come to its end."""
        self._channel.close()
        self._process.join()


def _serve(work: Callable[[str, Report], Any], channel: Connection, other: Connection) -> None:
    other.close()
    # The keyboard's signals are the screen's, which then says what is to be done.
    os.setpgid(0, 0)
    for number in INTERRUPTING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTING)
    _silence()
    crew = Crew(work=work, told=lambda event: None if event is None else channel.send(event))
    asked = True
    while asked or crew.members:
        for ready in wait([*crew.members, *([channel] if asked else [])]):
            if ready is channel:
                asked = _obey(crew, channel)
            else:
                crew.hear(ready)  # type: ignore[arg-type] # wait() returns what it was given
        if crew.has_just_failed():
            # Nobody hears any more.
            asked = False
            crew.interrupt()


def _obey(crew: Crew, channel: Connection) -> bool:
    """Do what is asked for, and tell whether more may be."""
    try:
        order, item = channel.recv()
    except (EOFError, OSError):
        crew.interrupt()
        return False
    if order == _BEGIN:
        crew.begin(item)
    else:
        crew.interrupt(item)
    return True


def _silence() -> None:
    """Have nothing that is printed here meet the screen."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        os.close(nowhere)
