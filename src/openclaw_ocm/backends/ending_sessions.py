"""Ends sessions that a backend finds by their tokens: they are asked first, and then killed."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def end_all(
    find: Callable[[], Collection[str]],
    send: Callable[[str, int], None],
    *,
    seconds: float,
    poll_seconds: float,
) -> None:
    """Send SIGTERM once to each session whose token `find` returns, SIGKILL to what takes over `seconds`.

    Returns once there are none; raises `OcmError` where new ones keep coming for as long again.
    """
    deadline = time.monotonic() + seconds
    asked: set[str] = set()
    while tokens := set(find()):
        now = time.monotonic()
        late = now > deadline
        if now > deadline + seconds:
            raise OcmError(f"sessions do not end: {', '.join(sorted(tokens))}", code="timeout")
        for token in tokens if late else tokens - asked:
            send(token, signal.SIGKILL if late else signal.SIGTERM)
        asked |= tokens
        time.sleep(poll_seconds)
