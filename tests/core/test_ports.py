from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core import ports
from openclaw_ocm.core.openclaw.traits import LAST_PORT
from openclaw_ocm.errors import Invalid, OcmError

BASES = st.integers(ports.FIRST_PORT, ports.FIRST_PORT + 400)
STEPS = st.integers(ports.WINDOW, 1000)


def test_the_first_instances_take_19001_19021_19041() -> None:
    taken = [ports.MAIN_PORT]
    for expected in (19001, 19021, 19041):
        port = ports.allocate_port(taken, step=ports.DEFAULT_STEP, is_free=lambda _port: True)
        assert port == expected
        taken.append(port)


@given(taken=st.lists(BASES), busy=st.sets(BASES), step=STEPS)
def test_an_allocated_window_is_free_and_meets_no_other(taken: list[int], busy: set[int], step: int) -> None:
    base = ports.allocate_port(taken, step=step, is_free=lambda port: port not in busy)
    window = set(ports.window(base))
    assert not window & busy
    assert all(not window & set(ports.window(other)) for other in taken)
    assert ports.FIRST_PORT <= base <= LAST_PORT
    assert (base - ports.FIRST_PORT) % step == 0


@given(taken=st.lists(BASES), busy=st.sets(BASES))
def test_no_earlier_window_would_have_done(taken: list[int], busy: set[int]) -> None:
    step = ports.DEFAULT_STEP
    base = ports.allocate_port(taken, step=step, is_free=lambda port: port not in busy)
    for earlier in itertools.takewhile(lambda port: port < base, ports.candidates(step)):
        window = set(ports.window(earlier))
        assert window & busy or any(window & set(ports.window(other)) for other in taken)


@given(base=BASES, other=BASES)
def test_two_bases_overlap_just_when_their_windows_share_a_port(base: int, other: int) -> None:
    share = bool(set(ports.window(base)) & set(ports.window(other)))
    assert ports.overlap(base, [other]) == (other if share else None)


def test_a_freed_window_between_two_instances_is_taken_again() -> None:
    assert ports.allocate_port([19001, 19041], step=20, is_free=lambda _port: True) == 19021


def test_people_of_a_machine_begin_apart_and_below_the_ports_of_who_connects() -> None:
    begin = [ports.first_port(uid) for uid in range(1000, 1013)]
    assert (ports.first_port(0), begin[:2]) == (19001, [19001, 20001])
    assert len(set(begin)) == len(begin)
    assert max(begin) + 1000 < 32768
    assert ports.first_port(1234567) in begin


def test_where_the_ports_from_the_first_on_are_taken_those_before_are() -> None:
    taken = list(range(65001, LAST_PORT + 1, 20))
    assert ports.allocate_port(taken, step=20, is_free=lambda _port: True, first=65001) == 19001
    assert ports.allocate_port([], step=20, is_free=lambda _port: True, first=65001) == 65001


def test_where_nothing_is_free_one_sentence_says_so() -> None:
    with pytest.raises(OcmError, match="no free window of 20 ports") as caught:
        ports.allocate_port([], step=1000, is_free=lambda _port: False)
    assert caught.value.code == "no_free_port"


@pytest.mark.parametrize("port", [1024, 19001, 65425])
def test_a_port_that_an_instance_may_have_is_taken(port: int) -> None:
    assert ports.parse_port(port) == port


@pytest.mark.parametrize("port", [-1, 0, 80, 1023, 65426, 65535, 70000, 10**12])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(Invalid, match="out of range") as caught:
        ports.parse_port(port)
    assert caught.value.code == "port_invalid"


def test_every_port_that_openclaw_derives_from_the_last_base_exists() -> None:
    assert LAST_PORT + 110 <= 65535


def test_the_browser_of_an_instance_stays_within_its_window() -> None:
    assert ports.CDP_OFFSET in range(1, ports.WINDOW)


def test_no_window_that_is_tried_contains_the_port_of_main() -> None:
    assert all(ports.MAIN_PORT not in ports.window(base) for base in ports.candidates(ports.DEFAULT_STEP))
