"""Bounds how long something takes that has no limit of its own, or none that holds for all of it."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


def within(seconds: float, work: Callable[[], _T], *, late: Exception) -> _T:
    """Return what `work` returns, or raise what it raises; raise `late` where it takes longer than `seconds`.

    The time limits of a socket bound each wait and not their sum, and names are resolved without any. So the
    work has a thread of its own, which is left to itself when it is late.
    """
    answers: queue.SimpleQueue[_T | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(work())
        except Exception as error:  # noqa: BLE001 - raised again where the answer is awaited
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise late from None
    if isinstance(answer, Exception):
        raise answer
    return answer
