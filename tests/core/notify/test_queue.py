"""What waits for a way that does not work: not for ever, and what is still wrong the longest."""

from __future__ import annotations

from datetime import timezone

from openclaw_ocm.core.notify.conditions import Change, Condition, Kind, Memory, Turn
from openclaw_ocm.core.notify.message import Message, message_of
from openclaw_ocm.core.notify.queue import MOST_WAITING, Notices, WayState, enqueue

BEGAN = 1_700_000_000.0


def message(name: str, turn: Turn, moment: float) -> Message:
    condition = Condition(about=name, subject="health", kind=Kind.FAILED, since=moment, told=True)
    return message_of(Change(condition=condition, turn=turn, at=moment), "box", timezone.utc)


def waiting(*messages: Message) -> WayState:
    before = Notices(ways={"a": WayState()})
    for one in messages:
        before = enqueue(before, Memory(), ["a"], [one], [])
    return before.ways["a"]


def test_what_is_still_wrong_outlasts_what_came_and_went() -> None:
    down = message("down", Turn.PROBLEM, BEGAN)
    passed = [
        message("flaps", turn, BEGAN + 100 * number)
        for number in range(2 * MOST_WAITING)
        for turn in (Turn.PROBLEM, Turn.WELL)
    ]
    state = waiting(down, *passed)
    assert state.waiting[0] == down
    assert len(state.waiting) in (MOST_WAITING, MOST_WAITING - 1)
    assert state.waiting[-1] == passed[-1]
    assert state.lost == 1 + len(passed) - len(state.waiting)


def test_of_more_that_is_wrong_than_anybody_reads_the_oldest_go() -> None:
    all_of_them = [message(f"w{number}", Turn.PROBLEM, BEGAN + number) for number in range(MOST_WAITING + 3)]
    state = waiting(*all_of_them)
    assert state.waiting == tuple(all_of_them[3:])
    assert state.lost == 3
