"""Bounds how long something takes that has no limit of its own, or none that holds for all of it."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_T = TypeVar("_T")


def within(seconds: float, work: Callable[[], _T], *, late: Exception) -> _T:
    """Return what `work` returns, or raise what it raises; raise `late` where it takes longer than `seconds`.

    The time limits of a socket bound each wait and not their sum, and names are resolved without any. So the
    work has a thread of its own, which is left to itself when it is late.
    """
    answer = _begun(work)
    try:
        return _taken(answer.get(timeout=seconds))
    except queue.Empty:
        raise late from None


def at_once(works: Iterable[Callable[[], _T]]) -> list[_T]:
    """Return what each returns, or raise what one raises; all are done at the same time.

    Nobody waits for them who leaves meanwhile: a pool's threads hold up the exit.
    """
    return [_taken(answer.get()) for answer in list(map(_begun, works))]


def _begun(work: Callable[[], _T]) -> queue.SimpleQueue[_T | Exception]:
    answer: queue.SimpleQueue[_T | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            answer.put(work())
        except Exception as error:  # noqa: BLE001 - raised again where the answer is awaited
            answer.put(error)

    threading.Thread(target=run, daemon=True).start()
    return answer


def _taken(answer: _T | Exception) -> _T:
    if isinstance(answer, Exception):
        raise answer
    return answer
