from __future__ import annotations

from openclaw_ocm.core.metrics.sizes import Size, in_turn
from openclaw_ocm.core.names import InstanceName

ONE, OTHER, NEW = InstanceName("one"), InstanceName("other"), InstanceName("new")
NOW = 1_000_000.0


def test_what_takes_long_is_measured_less_often() -> None:
    size = Size(measured=NOW, took=0.5, bytes=1)
    assert not size.is_due(NOW)
    assert not size.is_due(NOW + 499)
    assert size.is_due(NOW + 500)
    assert Size(measured=NOW, took=0.01, bytes=None).is_due(NOW + 11)


def test_a_clock_that_was_set_back_keeps_nothing_from_being_measured() -> None:
    assert Size(measured=NOW, took=5, bytes=1).is_due(NOW - 1)


def test_what_was_never_measured_comes_first_then_what_was_longest_ago() -> None:
    known: dict[str, Size] = {
        ONE: Size(measured=NOW - 100, took=0.01, bytes=1),
        OTHER: Size(measured=NOW - 200, took=0.01, bytes=1),
    }
    assert in_turn([ONE, OTHER, NEW], known, NOW) == (NEW, OTHER, ONE)
    assert in_turn([ONE, OTHER], known, NOW - 100) == (OTHER,)
