"""When the last message came to an instance or went from it, as last_message.mjs tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.answers import parse_answers

if TYPE_CHECKING:
    from collections.abc import Iterable

_MILLISECONDS = 1000
# A clock may have been set back since by so much.
_AHEAD_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LastMessage:
    """When it was, in seconds since the epoch, None where there is none."""

    at: float | None


def parse_last(lines: Iterable[str], *, now: float) -> LastMessage | None:
    """Return what last_message.mjs printed, None where that is not whole or not to be believed.

    An instance can write there.
    """
    answers = parse_answers(lines)
    if answers is None:
        return None
    latest = (now + _AHEAD_SECONDS) * _MILLISECONDS
    moments: list[int] = []
    for words in answers:
        match words:
            case [str(), None]:
                pass
            case [str(), int(moment)] if not isinstance(moment, bool) and 0 <= moment <= latest:
                moments.append(moment)
            case _:
                return None
    return LastMessage(at=max(moments) / _MILLISECONDS if moments else None)
