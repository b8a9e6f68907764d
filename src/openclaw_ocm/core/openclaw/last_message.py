"""When the last message came to an instance or went from it, as last_message.mjs tells."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LAST = ["end"]
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
    newest: float | None = None
    for line in lines:
        try:
            words = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if words == _LAST:
            return LastMessage(at=newest)
        match words:
            case [str(), None]:
                pass
            case [str(), int(moment)] if not isinstance(moment, bool):
                at = moment / _MILLISECONDS if 0 <= moment <= (now + _AHEAD_SECONDS) * _MILLISECONDS else None
                if at is None:
                    return None
                newest = at if newest is None else max(newest, at)
            case _:
                return None
    return None
