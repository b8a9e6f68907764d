"""What a key makes of the screen of `ocm top`, as values: no terminal and no clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timezone

import pytest
from tests.screens import row, stopped

from openclaw_ocm.cli.screen import state as screen
from openclaw_ocm.cli.screen.keys import INTERRUPT, Effect, What, press, question_before
from openclaw_ocm.cli.screen.one import line_of
from openclaw_ocm.cli.screen.paint import View, paint
from openclaw_ocm.cli.screen.state import Leaving, Log, Mode, Order, State, Told, Verb
from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.top.history import Use
from openclaw_ocm.operations.top import Watched

NAMES = ("a", "b", "c")
VIEW = View(width=80, height=24, now=1000.0, clock=100.0)


def watched(
    name: str, *, state: str = "ready", memory: int | None = 1, seconds: float | None = 0.0, at: float = 1.0
) -> Watched:
    its = stopped(name) if state == "stopped" else row(name, state=state)
    use = Use(at=at, process=its.pid, memory_bytes=memory, cpu_seconds=seconds)
    return Watched(row=its, use=use, backup=None)


def seen(*names: str) -> State:
    return screen.with_seen(State(), [watched(name) for name in names], now=1000.0)


def press_all(state: State, *keys: str) -> tuple[State, Effect | None]:
    effect: Effect | None = None
    for key in keys:
        state, effect = press(state, key, key if len(key) == 1 else None)
    return state, effect


def doing(state: State, name: str, verb: Verb) -> State:
    return screen.began(state, name, verb, now=90.0)


def text(state: State, view: View = VIEW) -> str:
    return "\n".join("".join(piece.text for piece in line).rstrip() for line in paint(state, view))


@pytest.mark.parametrize(("key", "verb"), [("s", Verb.START), ("b", Verb.BACKUP)], ids=["start", "backup"])
def test_what_harms_nobody_is_begun_at_once(key: str, verb: Verb) -> None:
    assert press_all(seen(*NAMES), "down", key)[1] == Effect(what=What.BEGIN, name="b", verb=verb)


@pytest.mark.parametrize("key", ["x", "r", "c"])
def test_what_may_be_dear_is_asked_first_and_only_y_agrees(key: str) -> None:
    state, effect = press_all(seen(*NAMES), key)
    assert effect is None
    assert state.question is not None
    for other in ("n", "escape", "enter", "q", "x", "Z"):
        after, nothing = press_all(state, other)
        assert (after.question, nothing) == (None, None)
    agreed = press_all(state, "y")[1]
    assert agreed == Effect(what=What.BEGIN, name="a", verb=state.question.verb)


def test_a_question_stays_with_its_instance_whatever_is_chosen_or_sorted_meanwhile() -> None:
    state, _effect = press_all(seen(*NAMES), "down", "x")
    state = screen.ordered(screen.moved(state, 1), Order.CPU)
    assert press_all(state, "y")[1] == Effect(what=What.BEGIN, name="b", verb=Verb.STOP)


def test_a_stop_that_goes_on_may_be_cut_short_and_nothing_else_be_begun_beside_it() -> None:
    state = doing(seen(*NAMES), "a", Verb.STOP)
    asked, _effect = press_all(state, "x")
    assert press_all(asked, "y")[1] == Effect(what=What.BEGIN, name="a", verb=Verb.STOP_NOW)
    for key in ("s", "r", "b", "c"):
        after, effect = press_all(state, key)
        assert (after.question, effect) == (None, None)
        assert "one at a time" in after.notice


def test_what_began_while_it_was_asked_keeps_the_answer_from_beginning_more() -> None:
    state, _effect = press_all(seen(*NAMES), "r")
    assert press_all(doing(state, "a", Verb.BACKUP), "y")[1] is None


def test_one_that_was_stopped_elsewhere_and_is_still_at_work_may_be_cut_off() -> None:
    state = screen.with_seen(State(), [watched("a", state="draining")], now=1.0)
    asked, _effect = press_all(state, "x")
    assert asked.question is not None
    assert asked.question.verb is Verb.STOP_NOW


def test_who_leaves_says_what_becomes_of_what_goes_on() -> None:
    state = doing(seen(*NAMES), "a", Verb.RESTART)
    asked, effect = press_all(state, "q")
    assert (asked.mode, effect) == (Mode.QUIT, None)
    assert "Still going on: restart of a" in text(asked)
    waiting, effect = press_all(asked, "w")
    assert (waiting.leaving, effect) == (Leaving.WAITING, None)
    assert press_all(waiting, "s", "x", "q")[0] == waiting, "nothing more is begun"
    assert press_all(waiting, "escape")[0].leaving is Leaving.NO
    undoing, effect = press_all(waiting, "u")
    assert (undoing.leaving, effect) == (Leaving.UNDOING, Effect(what=What.UNDO_ALL))
    assert press_all(asked, "z")[0].mode is Mode.LIST


def test_ctrl_c_leaves_and_twice_undoes_from_wherever_one_is() -> None:
    for mode in (Mode.LIST, Mode.LOG, Mode.FIND, Mode.HELP):
        idle = replace(seen(*NAMES), mode=mode)
        assert press_all(idle, INTERRUPT)[1] == Effect(what=What.LEAVE)
        busy = doing(idle, "a", Verb.START)
        assert press_all(busy, INTERRUPT)[1] is None
        assert press_all(busy, INTERRUPT, INTERRUPT)[1] == Effect(what=What.UNDO_ALL)
    asked, _effect = press_all(seen(*NAMES), "x")
    assert press_all(asked, INTERRUPT)[1] == Effect(what=What.LEAVE)


def test_what_came_to_its_end_while_it_was_asked_how_to_leave_is_no_reason_to_stay() -> None:
    state, _effect = press_all(doing(seen(*NAMES), "a", Verb.START), "q")
    over = screen.ended(state, "a", Told(verb=Verb.START, ok=True, lines=("a: ready",), seconds=1.0))
    for key in ("w", "u", INTERRUPT):
        assert press_all(over, key)[1] == Effect(what=What.LEAVE)


def test_the_first_stop_that_ends_does_not_end_the_one_that_cuts_it_short() -> None:
    state = doing(doing(seen(*NAMES), "a", Verb.STOP), "a", Verb.STOP_NOW)
    told = Told(verb=Verb.STOP, ok=True, lines=("a: stopped",), seconds=1.0)
    state = screen.ended(state, "a", told)
    assert state.doing["a"].verb is Verb.STOP_NOW
    assert screen.ended(state, "a", replace(told, verb=Verb.STOP_NOW)).doing == {}


def test_those_with_the_most_come_first_and_those_of_which_it_is_not_known_last() -> None:
    looked = [
        watched("a", memory=None),
        watched("b", memory=0),
        watched("c", memory=9),
        watched("d", memory=5),
    ]
    state = screen.with_seen(State(order=Order.MEMORY), looked, now=1.0)
    assert [one.row.name for one in state.instances] == ["c", "d", "b", "a"]


def test_by_state_what_should_be_looked_at_comes_first() -> None:
    states = {"a": "stopped", "b": "ready", "c": "failed", "d": "starting"}
    looked = [watched(name, state=state) for name, state in states.items()]
    state = screen.with_seen(State(order=Order.STATE), looked, now=1.0)
    assert [one.row.name for one in state.instances] == ["c", "d", "b", "a"]


def test_the_chosen_one_stays_chosen_whatever_the_order() -> None:
    state = screen.moved(seen(*NAMES), 1)
    for order in Order:
        assert screen.ordered(state, order).chosen == "b"


def test_a_log_that_was_read_for_another_one_is_not_shown() -> None:
    state = screen.moved(seen(*NAMES), 1)
    assert screen.with_log(state, Log(name="a")) == state


def test_a_log_is_scrolled_no_further_than_it_goes() -> None:
    entries = tuple(Entry(time="", source="gateway", message=f"line {number}") for number in range(100))
    state = screen.with_log(seen(*NAMES), Log(name="a", entries=entries))
    state, _effect = press_all(state, "l", "pageup")
    assert state.scrolled == 10
    assert text(state).splitlines()[-3] == "line 89"
    assert press_all(state, "home")[0].scrolled == 100
    assert press_all(state, "end")[0].scrolled == 0
    assert press_all(state, "escape")[0].mode is Mode.LIST


def test_keys_do_nothing_where_there_is_no_instance() -> None:
    for key in ("s", "x", "r", "b", "c", "u", "l", "up", "end"):
        assert press_all(State(), key)[1] is None
        assert press_all(State(), key)[0].mode is Mode.LIST


def test_every_question_names_the_instance() -> None:
    asked = [question_before(verb, "worker1") for verb in Verb]
    assert [text for text in asked if text is not None and "worker1" not in text] == []
    assert len([text for text in asked if text is None]) == 2


def test_an_outcome_of_many_lines_and_a_long_error_leave_room_for_the_table() -> None:
    lines = tuple(f"line {number} {'x' * 300}" for number in range(50))
    state = screen.ended(seen(*NAMES), "a", Told(verb=Verb.BACKUP, ok=False, lines=lines, seconds=1.0))
    drawn = text(state).splitlines()
    assert drawn[1].startswith("NAME")
    assert [line.split()[0] for line in drawn[2:5]] == ["a", "b", "c"]
    assert len(drawn) == 24
    assert all(len(line) <= 80 for line in drawn)


@pytest.mark.parametrize(
    ("logged", "drawn"),
    [
        ("2026-11-28T12:42:26.957+00:00 [shutdown] done", "12:42:26 [shutdown] done"),
        ("2026-11-28T12:42:26.957+02:00 [shutdown] done", "10:42:26 [shutdown] done"),
        ("2026-99-28T12:42:26.957+00:00 x", "2026-99-28T12:42:26.957+00:00 x"),
        ("at 2026-11-28T12:42:26.957+00:00 x", "at 2026-11-28T12:42:26.957+00:00 x"),
    ],
)
def test_the_time_at_the_beginning_of_a_line_is_short(logged: str, drawn: str) -> None:
    entry = Entry(time="2026-11-28T12:42:26.957+00:00", source="gateway", message=logged)
    assert line_of(entry, replace(VIEW, zone=timezone.utc)) == drawn
