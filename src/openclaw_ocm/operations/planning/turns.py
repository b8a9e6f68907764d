"""What timers run takes turns, and what became of it is kept in a sentence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from openclaw_ocm.errors import Locked, OcmError, as_ocm_error
from openclaw_ocm.system import files

if TYPE_CHECKING:
    import contextlib

    from openclaw_ocm.core.purpose import Purpose
    from openclaw_ocm.instances.context import Context

# As long as the runs of many large instances may take before this one's turn comes.
_QUEUE_SECONDS = 12 * 3600.0
_LOOK_SECONDS = 0.5


def wait_for_turn(context: Context, held: contextlib.ExitStack, purpose: Purpose, *, together: int) -> int:
    """Wait for one of so many turns and return the descriptor of its lock, which is `held`."""
    deadline = time.monotonic() + _QUEUE_SECONDS
    while True:
        for number in range(together):
            # No instance is named so.
            path = context.host.paths.locks / f"@{purpose.value}-{number}.lock"
            try:
                return held.enter_context(files.lock(path, f"the queue of {purpose.plural}", wait_seconds=0))
            except Locked:
                if time.monotonic() > deadline:
                    raise
        time.sleep(_LOOK_SECONDS)


class NotScheduled(OcmError):
    """The record does not ask for it, of which nothing is to be told in `status` then."""


def sentence(error: BaseException) -> str:
    """Return in a sentence why a run failed."""
    if isinstance(error, (OcmError, OSError)):
        return as_ocm_error(error).message
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    return f"a bug in OCM: {type(error).__name__}: {error}"
