"""Memory and CPU over the last minutes: shares, what is not known, and the graph."""

from __future__ import annotations

import pytest

from openclaw_ocm.core.top.history import SPAN_SECONDS, History, Point, Use, graph, share_between
from openclaw_ocm.core.top.pace import pause


def use(at: float, seconds: float | None = 0.0, *, process: int | None = 1, memory: int | None = 1) -> Use:
    return Use(at=at, process=process, memory_bytes=memory, cpu_seconds=seconds)


def memory(point: Point) -> float | None:
    return point.memory_bytes


def draw(history: History, now: float, width: int, *, plain: bool = False) -> str:
    return graph(history.points, memory, now=now, width=width, least_top=1, plain=plain)


def test_a_share_is_of_one_core() -> None:
    assert share_between(use(10, 1.0), use(12, 2.0)) == 0.5


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (None, use(2, 1.0)),
        (use(1, None), use(2, 1.0)),
        (use(1, 1.0), use(2, None)),
        (use(1, 1.0, process=1), use(2, 1.0, process=2)),
        (use(1, 1.0, process=None), use(2, 1.0, process=None)),
        (use(1, 1.0), use(1.1, 1.1)),
    ],
    ids=["first", "unknown before", "unknown now", "another process", "none", "too soon"],
)
def test_what_cannot_be_told_is_no_share_of_zero(before: Use | None, now: Use) -> None:
    assert share_between(before, now) is None


def test_a_part_that_ended_makes_no_share_below_zero() -> None:
    assert share_between(use(1, 5.0), use(2, 1.0)) == 0.0


def test_a_history_forgets_what_is_too_old() -> None:
    history = History()
    for at in range(0, 2000, 100):
        history = history.with_use(use(at, at / 100))
    assert [point.at for point in history.points] == [1400, 1500, 1600, 1700, 1800, 1900]
    assert history.now == Point(at=1900, memory_bytes=1, share=0.01)


def test_a_second_look_in_the_same_moment_adds_no_point() -> None:
    history = History().with_use(use(1, 1.0)).with_use(use(3, 2.0))
    assert history.with_use(use(3.1, 2.0)) == history


def test_a_graph_leaves_blank_what_is_not_known_and_draws_zero() -> None:
    step = SPAN_SECONDS / 4
    history = History()
    for index, size in ((1, 0), (2, None), (3, 8)):
        history = history.with_use(use(index * step, memory=size))
    assert draw(history, 3 * step, 4) == " ▁ █"
    assert draw(history, 3 * step, 4, plain=True) == " _ #"


def test_what_was_seen_holds_for_a_moment_between_two_looks_and_no_longer() -> None:
    history = History().with_use(use(0, memory=5))
    assert draw(history, 40, 60) == " " * 55 + "█" * 5
    assert draw(history, 100, 60)[-5:] == "     "


def test_nothing_is_drawn_where_there_is_no_room_or_nothing_known() -> None:
    assert draw(History(), 0, 3) == "   "
    assert draw(History().with_use(use(1)), 1, 0) == ""


@pytest.mark.parametrize(("spent", "waits"), [(0.0, 3.0), (0.05, 3.0), (0.2, 10.0), (60.0, 60.0)])
def test_who_has_more_to_look_at_looks_less_often(spent: float, waits: float) -> None:
    assert pause(spent=spent, least=3.0) == pytest.approx(waits)
