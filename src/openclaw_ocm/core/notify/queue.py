"""What is still to be sent by each way: nothing that was noted is lost, whatever a way does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.backup.schedule import Moment
from openclaw_ocm.core.notify.conditions import Memory
from openclaw_ocm.core.notify.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# More than anybody reads, of a way that does not work for days.
MOST_WAITING = 100


class WayState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What waits for a way, oldest first, when the last one was `sent`, and why the next one was not.

    `lost` is how many went, for too many waited.
    """

    waiting: tuple[Message, ...] = ()
    sent: Moment | None = None
    failure: str | None = None
    failing_since: Moment | None = None
    lost: int = 0


class Notices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is kept from one look to the next."""

    memory: Memory = Memory()
    ways: dict[str, WayState] = msgspec.field(default_factory=dict)


def enqueue(
    before: Notices, memory: Memory, names: Iterable[str], new: Sequence[Message], standing: Sequence[Message]
) -> Notices:
    """Return what is kept after a look, with what is `new` waiting for each of the ways `names`.

    One that was not there before is told all that is wrong now, `standing`. Of a way that is gone nothing
    is kept.
    """
    ways = {}
    for name in names:
        state = before.ways.get(name)
        more = standing if state is None else new
        state = state or WayState()
        waiting = (*state.waiting, *more)
        kept = _bounded(waiting)
        lost = state.lost + len(waiting) - len(kept)
        ways[name] = msgspec.structs.replace(state, waiting=kept, lost=lost)
    return Notices(memory=memory, ways=ways)


def _bounded(waiting: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return as many as are kept: what came and went goes first, for what is still wrong is told once."""
    excess = len(waiting) - MOST_WAITING
    began: dict[str, int] = {}
    gone: set[int] = set()
    for place, one in enumerate(waiting):
        if len(gone) >= excess:
            break
        if one.urgent and not one.others:
            began[one.key] = place
        elif not one.others and one.key in began:
            gone |= {began.pop(one.key), place}
    return tuple(one for place, one in enumerate(waiting) if place not in gone)[-MOST_WAITING:]


def forget(notices: Notices, name: str) -> Notices:
    """Return what is kept without what waits for a way that is gone."""
    ways = {one: state for one, state in notices.ways.items() if one != name}
    return Notices(memory=notices.memory, ways=ways)


def sent(notices: Notices, name: str, now: float) -> Notices:
    """Return what is kept after the message that waited for longest went by a way."""
    state = notices.ways[name]
    after = WayState(waiting=state.waiting[1:], sent=now, lost=state.lost if state.waiting[1:] else 0)
    return Notices(memory=notices.memory, ways={**notices.ways, name: after})


def not_sent(notices: Notices, name: str, why: str, now: float) -> Notices:
    """Return what is kept after a message did not go by a way."""
    state = notices.ways[name]
    since = state.failing_since if state.failing_since is not None else now
    after = msgspec.structs.replace(state, failure=why, failing_since=since)
    return Notices(memory=notices.memory, ways={**notices.ways, name: after})
