"""What is told of conditions: once when they last, once when they are over, and nothing in between."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.notify.conditions import (
    AGAIN,
    AGAIN_SECONDS,
    BUSY_SECONDS,
    GAP_SECONDS,
    HOLD_SECONDS,
    LOOP,
    LOOP_SECONDS,
    WELL_SECONDS,
    Change,
    Disk,
    Facts,
    Instance,
    Kind,
    Memory,
    Timed,
    Trouble,
    Turn,
    compare,
)
from openclaw_ocm.core.status import Activity, State

BEGAN = 1_700_000_000.0
STEP = 120.0
GIB = 2**30
# As long as what may pass has to last, and a look more.
LONG = HOLD_SECONDS + STEP
NOT_READY = {"state": State.FAILED}


class Looks:
    """Looks one after the other; `told` is what each change said."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.memory = Memory()

    def look(self, *facts: Instance | Disk, after: float = STEP) -> list[tuple[str | None, Kind, Turn]]:
        self.now += after
        instances = tuple(one for one in facts if isinstance(one, Instance))
        disks = tuple(one for one in facts if isinstance(one, Disk))
        self.memory, changes = compare(self.memory, Facts(instances=instances, disks=disks), self.now)
        return [(one.condition.about, one.condition.kind, one.turn) for one in changes]

    def for_seconds(self, seconds: float, *facts: Instance | Disk) -> list[tuple[str | None, Kind, Turn]]:
        return [told for _ in range(int(seconds // STEP) + 1) for told in self.look(*facts)]


def worker(**facts: object) -> Instance:
    return Instance(name="worker1", **facts)  # type: ignore[arg-type]


def told(kind: Kind, turn: Turn) -> list[tuple[str | None, Kind, Turn]]:
    return [("worker1", kind, turn)]


def test_of_what_is_well_nothing_is_told() -> None:
    assert Looks().for_seconds(3600, worker(), Disk(path="/", free=50 * GIB, size=100 * GIB)) == []


def test_a_gateway_that_is_not_ready_for_minutes_is_told_once_and_once_when_it_is_ready_again() -> None:
    looks = Looks()
    assert looks.for_seconds(HOLD_SECONDS - 2 * STEP, worker(**NOT_READY)) == []
    assert looks.for_seconds(3600, worker(**NOT_READY)) == told(Kind.NOT_READY, Turn.PROBLEM)
    assert looks.look(worker()) == told(Kind.NOT_READY, Turn.WELL)
    assert looks.for_seconds(3600, worker()) == []


def test_a_restart_of_a_minute_is_not_told() -> None:
    looks = Looks()
    assert looks.look(worker(state=State.STARTING)) == []
    assert looks.for_seconds(3600, worker()) == []


def test_one_that_starts_for_long_is_told_later_than_one_that_failed_to() -> None:
    """Of thirty that start in turns the last ones wait for the others."""
    looks = Looks()
    assert looks.for_seconds(BUSY_SECONDS - 2 * STEP, worker(state=State.STARTING)) == []
    assert looks.look(worker(**NOT_READY)) == told(Kind.NOT_READY, Turn.PROBLEM)
    looks = Looks()
    assert looks.for_seconds(2 * BUSY_SECONDS, worker(state=State.STARTING)) == told(
        Kind.NOT_READY, Turn.PROBLEM
    )


def test_one_that_waits_for_its_turn_is_no_trouble_however_long_that_takes() -> None:
    waits = worker(state=State.STARTING, activity=Activity.STARTING, queued=True)
    looks = Looks()
    assert looks.for_seconds(3 * BUSY_SECONDS, waits) == []
    assert looks.for_seconds(HOLD_SECONDS - 2 * STEP, worker(**NOT_READY)) == [], (
        "it has its time from then on"
    )
    assert looks.for_seconds(LONG, worker(**NOT_READY)) == told(Kind.NOT_READY, Turn.PROBLEM)


def test_what_was_told_is_not_over_before_one_that_waits_for_its_turn_is_ready() -> None:
    looks = Looks()
    looks.for_seconds(LONG, worker(**NOT_READY))
    waits = worker(state=State.STARTING, activity=Activity.STARTING, queued=True)
    assert looks.for_seconds(3 * BUSY_SECONDS, waits) == []
    assert looks.look(worker()) == told(Kind.NOT_READY, Turn.WELL)


def test_since_when_is_the_first_look_that_saw_it() -> None:
    looks = Looks()
    looks.for_seconds(LONG, worker(**NOT_READY))
    (condition,) = looks.memory.conditions
    assert (condition.since, condition.told) == (BEGAN + STEP, True)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"state": State.FAILED, "activity": Activity.FAILED}, Kind.FAILED),
        ({"backups": Timed(trouble=Trouble.FAILED)}, Kind.BACKUP_FAILED),
        ({"upgrades": Timed(trouble=Trouble.FAILED)}, Kind.UPGRADE_FAILED),
    ],
)
def test_what_does_not_pass_by_itself_is_told_at_once(facts: dict[str, object], kind: Kind) -> None:
    looks = Looks()
    assert looks.look(worker(**facts)) == told(kind, Turn.PROBLEM)
    assert looks.for_seconds(3600, worker(**facts)) == []
    assert looks.look(worker(backups=Timed(), upgrades=Timed())) == told(kind, Turn.WELL)


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"unreadable": True}, Kind.UNREADABLE),
        ({"state": State.STOPPED, "activity": Activity.STOPPED}, Kind.STOPPED),
        ({"state": State.DRAINING}, Kind.NOT_READY),
        ({"lost": ("telegram",), "only_channels": True, "state": State.FAILED}, Kind.CHANNEL),
        ({"backups": Timed(trouble=Trouble.LATE)}, Kind.BACKUP_LATE),
        ({"backups": Timed(trouble=Trouble.IDLE)}, Kind.BACKUP_IDLE),
        ({"upgrades": Timed(trouble=Trouble.IDLE)}, Kind.UPGRADE_IDLE),
    ],
)
def test_what_may_pass_is_told_after_some_minutes(facts: dict[str, object], kind: Kind) -> None:
    looks = Looks()
    assert looks.look(worker(**facts)) == []
    assert looks.for_seconds(3600, worker(**facts)) == told(kind, Turn.PROBLEM)


def test_one_that_gives_up_after_it_was_told_is_no_news() -> None:
    looks = Looks()
    looks.for_seconds(LONG, worker(**NOT_READY))
    assert looks.look(worker(state=State.FAILED, activity=Activity.FAILED)) == []
    assert looks.look(worker()) == told(Kind.NOT_READY, Turn.WELL)


def test_while_somebody_changes_it_nothing_is_told_but_not_for_ever() -> None:
    looks = Looks()
    assert looks.for_seconds(BUSY_SECONDS - 2 * STEP, worker(**NOT_READY, busy=True)) == []
    assert looks.for_seconds(4 * STEP, worker(**NOT_READY, busy=True)) == told(Kind.NOT_READY, Turn.PROBLEM)


@pytest.mark.parametrize(
    "facts", [{"state": State.FAILED, "activity": Activity.FAILED}, NOT_READY], ids=["down", "not ready"]
)
def test_what_comes_and_goes_is_told_a_few_times_until_it_is_well_for_a_while(
    facts: dict[str, object],
) -> None:
    looks = Looks()
    said = []
    for _ in range(20):
        said += looks.for_seconds(LONG, worker(**facts))
        said += looks.for_seconds(WELL_SECONDS - 2 * STEP, worker())
    turns = [*(AGAIN * (Turn.PROBLEM, Turn.WELL)), Turn.PROBLEM]
    assert [turn for _name, _kind, turn in said] == turns
    assert [turn for _name, _kind, turn in looks.for_seconds(WELL_SECONDS, worker())] == [Turn.WELL]
    assert looks.for_seconds(AGAIN_SECONDS, worker()) == []
    looks.for_seconds(LONG, worker(**facts))
    assert [turn for _name, _kind, turn in looks.look(worker())] == [Turn.WELL], "it is another time"


def test_a_sleep_is_no_time_in_which_it_was_well() -> None:
    looks = Looks()
    down = worker(state=State.FAILED, activity=Activity.FAILED)
    for seen in (*(AGAIN * (down, worker())), down, worker()):
        looks.look(seen)
    assert looks.look(worker(), after=AGAIN_SECONDS) == []
    assert looks.for_seconds(WELL_SECONDS, worker()) == told(Kind.FAILED, Turn.WELL)


def test_a_backup_that_is_late_for_the_machine_was_off_is_made_before_that_is_told() -> None:
    looks = Looks()
    assert looks.look(worker(backups=Timed())) == []
    late = worker(backups=Timed(trouble=Trouble.LATE))
    assert looks.look(late, after=3 * 86400) == []
    assert looks.for_seconds(LONG, late) == []
    assert looks.for_seconds(3600, worker(backups=Timed())) == []


def test_the_disk_of_backups_is_not_over_because_a_record_cannot_be_read() -> None:
    looks = Looks()
    disk = Disk(path="/srv", free=0, size=20 * GIB)
    assert looks.look(worker(), disk) == [(None, Kind.DISK, Turn.PROBLEM)]
    assert looks.look(worker(unreadable=True)) == []
    assert looks.look(worker(), disk) == []
    assert looks.look(worker()) == [(None, Kind.DISK, Turn.OVER)]


def test_one_that_its_user_stopped_is_not_told() -> None:
    stopped = {"state": State.STOPPED, "activity": Activity.STOPPED}
    assert Looks().for_seconds(3600, worker(**stopped, wanted_stopped=True)) == []
    assert Looks().for_seconds(3600, worker(**stopped, autostart=False)) == []


def test_what_its_user_stops_or_deletes_is_over() -> None:
    looks = Looks()
    looks.for_seconds(LONG, worker(**NOT_READY))
    stopped = worker(state=State.STOPPED, activity=Activity.STOPPED, wanted_stopped=True)
    assert looks.look(stopped) == told(Kind.NOT_READY, Turn.OVER)
    assert looks.for_seconds(3600, stopped) == []
    looks = Looks()
    looks.for_seconds(LONG, worker(**NOT_READY))
    assert looks.look() == told(Kind.NOT_READY, Turn.OVER)
    assert looks.look() == []


def test_what_was_not_told_is_not_over_either() -> None:
    looks = Looks()
    looks.look(worker(**NOT_READY))
    assert looks.look() == []


def test_the_time_in_which_nobody_looked_does_not_count() -> None:
    """A laptop that slept: what was so before it and just after was not so for hours."""
    looks = Looks()
    looks.look(worker(**NOT_READY))
    assert looks.look(worker(**NOT_READY), after=GAP_SECONDS + 1) == []
    assert looks.for_seconds(LONG, worker(**NOT_READY)) == told(Kind.NOT_READY, Turn.PROBLEM)


def test_a_clock_that_was_set_back_tells_nothing_twice_and_nothing_early() -> None:
    looks = Looks()
    looks.look(worker(**NOT_READY))
    assert looks.look(worker(**NOT_READY), after=-7200) == []
    assert looks.for_seconds(LONG, worker(**NOT_READY)) == told(Kind.NOT_READY, Turn.PROBLEM)
    assert looks.look(worker(**NOT_READY), after=-7200) == []


def test_restarts_in_a_loop_are_told_and_over_once_it_goes_on_for_long() -> None:
    looks = Looks()
    assert looks.look(worker(restarts=7)) == [], "how many there were before is no loop"
    assert looks.look(worker(restarts=7 + LOOP - 1)) == []
    assert looks.look(worker(restarts=7 + LOOP)) == told(Kind.RESTARTS, Turn.PROBLEM)
    assert looks.look(worker(restarts=7 + LOOP + 5, **NOT_READY)) == []
    assert looks.for_seconds(LOOP_SECONDS - 2 * STEP, worker(restarts=7 + LOOP + 5)) == []
    assert looks.for_seconds(3 * STEP, worker(restarts=7 + LOOP + 5)) == told(Kind.RESTARTS, Turn.WELL)


def test_a_restart_now_and_then_is_no_loop() -> None:
    looks = Looks()
    for count in range(20):
        assert looks.for_seconds(LOOP_SECONDS / 2, worker(restarts=count)) == []


def test_who_starts_it_by_hand_ends_the_loop() -> None:
    looks = Looks()
    looks.look(worker(restarts=0))
    assert looks.look(worker(restarts=9)) == told(Kind.RESTARTS, Turn.PROBLEM)
    assert looks.look(worker(restarts=0)) == told(Kind.RESTARTS, Turn.WELL)


def test_restarts_while_nobody_looked_are_no_loop() -> None:
    looks = Looks()
    looks.look(worker(restarts=0))
    assert looks.look(worker(restarts=9), after=8 * 3600) == []


def test_a_lost_channel_is_no_gateway_that_is_not_ready() -> None:
    looks = Looks()
    lost = worker(state=State.FAILED, lost=("slack", "telegram"), only_channels=True)
    both = [*told(Kind.CHANNEL, Turn.PROBLEM), *told(Kind.CHANNEL, Turn.PROBLEM)]
    assert looks.for_seconds(LONG, lost) == both
    assert {one.what for one in looks.memory.conditions} == {"slack", "telegram"}
    one = worker(state=State.FAILED, lost=("slack",), only_channels=True)
    assert looks.look(one) == told(Kind.CHANNEL, Turn.WELL)
    assert looks.look(worker()) == told(Kind.CHANNEL, Turn.WELL)


def test_of_channels_of_which_nothing_is_known_nothing_is_told() -> None:
    looks = Looks()
    looks.for_seconds(LONG, worker(state=State.FAILED, lost=("telegram",), only_channels=True))
    assert looks.look(worker(state=State.STARTING, lost=None)) == []
    assert looks.look(worker()) == told(Kind.CHANNEL, Turn.WELL)


def test_one_that_cannot_be_looked_at_keeps_what_was_told() -> None:
    looks = Looks()
    looks.look(worker(backups=Timed(trouble=Trouble.FAILED)))
    assert looks.look(worker(unreadable=True)) == []
    assert looks.look(worker(backups=Timed(trouble=Trouble.FAILED))) == []
    assert looks.look(worker(backups=Timed())) == told(Kind.BACKUP_FAILED, Turn.WELL)


def test_backups_that_are_not_scheduled_any_more_are_over() -> None:
    looks = Looks()
    looks.look(worker(backups=Timed(trouble=Trouble.FAILED)))
    assert looks.look(worker()) == told(Kind.BACKUP_FAILED, Turn.OVER)


@pytest.mark.parametrize(
    ("disk", "full"),
    [
        (Disk(path="/", free=9 * GIB, size=1000 * GIB), False),
        (Disk(path="/", free=4 * GIB, size=1000 * GIB), True),
        (Disk(path="/", free=3 * GIB, size=20 * GIB), False),
        (Disk(path="/", free=1 * GIB, size=20 * GIB), True),
        (Disk(path="/", free=15 * GIB, size=20 * GIB, names=1000, names_free=10), True),
        (Disk(path="/", free=15 * GIB, size=20 * GIB, names=0, names_free=0), False),
        (Disk(path="/"), False),
        (Disk(path="/", free=0, size=0), False),
    ],
)
def test_a_disk_with_little_room_is_told(disk: Disk, *, full: bool) -> None:
    assert Looks().look(disk) == ([(None, Kind.DISK, Turn.PROBLEM)] if full else [])


def test_a_disk_at_the_bound_does_not_tell_every_minute() -> None:
    looks = Looks()
    sizes = (1.99, 2.01, 1.99, 2.2, 1.9)
    said = [looks.look(Disk(path="/", free=int(size * GIB), size=20 * GIB)) for size in sizes]
    assert list(itertools.chain(*said)) == [(None, Kind.DISK, Turn.PROBLEM)]
    assert looks.look(Disk(path="/")) == [], "what is not known is not well"
    assert looks.look(Disk(path="/", free=3 * GIB, size=20 * GIB)) == [(None, Kind.DISK, Turn.WELL)]


INSTANCES = st.builds(
    Instance,
    name=st.sampled_from(["one", "two"]),
    unreadable=st.booleans(),
    busy=st.booleans(),
    state=st.sampled_from(State),
    activity=st.sampled_from(Activity),
    autostart=st.booleans(),
    wanted_stopped=st.booleans(),
    restarts=st.integers(0, 20),
    lost=st.none() | st.lists(st.sampled_from(["slack", "telegram"]), unique=True).map(tuple),
    only_channels=st.booleans(),
    backups=st.none() | st.builds(Timed, trouble=st.none() | st.sampled_from(Trouble)),
    upgrades=st.none() | st.builds(Timed, trouble=st.none() | st.sampled_from(Trouble)),
)
DISKS = st.builds(
    Disk, path=st.sampled_from(["/", "/srv"]), free=st.none() | st.integers(0, 9), size=st.just(9)
)
ALL = st.builds(
    Facts,
    instances=st.lists(INSTANCES, max_size=2, unique_by=lambda one: one.name).map(tuple),
    disks=st.lists(DISKS, max_size=2, unique_by=lambda one: one.path).map(tuple),
)


@given(st.lists(st.tuples(st.floats(-1000, 5000), ALL), max_size=30))
def test_whatever_happens_each_problem_is_told_once_before_it_is_over_once(
    looks: list[tuple[float, Facts]],
) -> None:
    memory, now = Memory(), BEGAN
    standing: set[tuple[str, str]] = set()
    for after, facts in looks:
        now += after
        memory, changes = compare(memory, facts, now)
        for change in changes:
            key = change.condition.key
            assert (key in standing) == (change.turn is not Turn.PROBLEM), _words(change)
            standing ^= {key}
        assert standing == {one.key for one in memory.conditions if one.told}


@given(ALL, st.floats(0, GAP_SECONDS))
def test_the_same_facts_twice_at_one_time_tell_nothing_more(facts: Facts, after: float) -> None:
    memory, _ = compare(Memory(), facts, BEGAN)
    memory, _ = compare(memory, facts, BEGAN + after)
    again, changes = compare(memory, facts, BEGAN + after)
    assert changes == ()
    assert again.conditions == memory.conditions


def _words(change: Change) -> str:
    return f"{change.condition.key} {change.turn}"
