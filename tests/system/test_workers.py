from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.system.workers import Began, Ended, Event, Said, run_all

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

Report = Callable[[str], None]
LONG = 30.0


def wait_for(*paths: Path) -> None:
    deadline = time.monotonic() + LONG
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, paths
        time.sleep(0.01)


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event | None) -> None:
        if event is not None:
            self.events.append(event)

    def ended(self) -> dict[str, Ended]:
        return {event.item: event for event in self.events if isinstance(event, Ended)}

    def began(self) -> list[str]:
        return [event.item for event in self.events if isinstance(event, Began)]


def test_work_goes_on_at_once(tmp_path: Path) -> None:
    def meet(item: str, _report: Report) -> str:
        (tmp_path / item).touch()
        wait_for(tmp_path / "a", tmp_path / "b")
        return item.upper()

    heard = Heard()
    run_all(["a", "b"], meet, jobs=2, told=heard)
    assert {item: event.value for item, event in heard.ended().items()} == {"a": "A", "b": "B"}


def test_no_more_than_so_many_are_under_way(tmp_path: Path) -> None:
    def work(item: str, _report: Report) -> list[str]:
        (tmp_path / item).touch()
        found = sorted(path.name for path in tmp_path.iterdir())
        (tmp_path / item).unlink()
        return found

    heard = Heard()
    run_all([str(number) for number in range(12)], work, jobs=3, told=heard)
    assert heard.began() == [str(number) for number in range(12)]
    assert max(len(event.value) for event in heard.ended().values()) <= 3
    under_way = most = 0
    for event in heard.events:
        under_way += isinstance(event, Began) - isinstance(event, Ended)
        most = max(most, under_way)
    assert most == 3


def test_each_tells_its_phases_before_it_ends() -> None:
    def work(item: str, report: Report) -> None:
        report(f"{item} one")
        report("x" * 100_000)

    heard = Heard()
    run_all(["a", "b"], work, jobs=2, told=heard)
    for item in ("a", "b"):
        kinds = [type(event) for event in heard.events if event.item == item]
        assert kinds == [Began, Said, Said, Ended]
        (first, second) = (event for event in heard.events if isinstance(event, Said) and event.item == item)
        assert (first.words, set(second.words)) == (f"{item} one", {"x"})


def test_a_large_answer_comes_whole() -> None:
    heard = Heard()
    run_all(["a", "b"], lambda item, _report: item * 2_000_000, jobs=2, told=heard)
    assert {len(event.value) for event in heard.ended().values()} == {2_000_000}


def test_one_that_is_killed_is_told_and_the_others_go_on() -> None:
    def work(item: str, _report: Report) -> str:
        if item == "b":
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    heard = Heard()
    run_all(["a", "b", "c"], work, jobs=2, told=heard)
    assert {item: event.killed for item, event in heard.ended().items()} == {
        "a": False,
        "b": True,
        "c": False,
    }


class Interrupted:
    """Work that waits, and is undone when it is interrupted; each interruption leaves a mark."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, item: str, report: Report) -> str:
        try:
            report("waits")
            wait_for(self.directory / "never")
        except KeyboardInterrupt:
            with contextlib.suppress(KeyboardInterrupt):
                (self.directory / f"{item}-asked").touch()
                wait_for(self.directory / "go")
                (self.directory / f"{item}-undone").touch()
            raise
        return "no"

    def marks(self) -> set[str]:
        return {path.name for path in self.directory.iterdir()} - {"go"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_reaches_each_once_and_is_raised_when_all_have_undone(
    tmp_path: Path, number: signal.Signals
) -> None:
    work, heard = Interrupted(tmp_path), Heard()

    def told(event: Event | None) -> None:
        heard(event)
        said = {one.item for one in heard.events if isinstance(one, Said)}
        if isinstance(event, Said) and said == {"a", "b"}:
            os.kill(os.getpid(), number)
        if work.marks() == {"a-asked", "b-asked"}:
            (tmp_path / "go").touch()

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run_all(["a", "b", "c"], work, jobs=2, told=told)
    assert work.marks() == {"a-asked", "a-undone", "b-asked", "b-undone"}
    assert {item: event.interrupted for item, event in heard.ended().items()} == {"a": True, "b": True}
    assert heard.began() == ["a", "b"]
    assert signal.getsignal(number) == before


def test_ctrl_c_at_the_terminal_reaches_who_waits_and_not_those_at_work() -> None:
    """A process group of its own is what the terminal spares."""
    heard = Heard()
    run_all(["a", "b"], lambda _item, _report: os.getpgid(0) == os.getpid(), jobs=2, told=heard)
    assert [event.value for event in heard.ended().values()] == [True, True]


def test_where_telling_fails_all_is_undone_and_that_is_raised(tmp_path: Path) -> None:
    work, heard = Interrupted(tmp_path), Heard()
    (tmp_path / "go").touch()

    def told(event: Event | None) -> None:
        heard(event)
        if {one.item for one in heard.events if isinstance(one, Said)} == {"a", "b"}:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_all(["a", "b", "c"], work, jobs=2, told=told)
    assert work.marks() == {"a-asked", "a-undone", "b-asked", "b-undone"}


@contextlib.contextmanager
def nobody_listens(tmp_path: Path) -> Iterator[int]:
    """Yield the number of a process that is killed while it has work done."""

    def work(item: str, report: Report) -> None:
        (tmp_path / f"{item}-began").touch()
        wait_for(tmp_path / "go")
        report("goes on")
        (tmp_path / f"{item}-done").touch()

    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            run_all(["a", "b", "c"], work, jobs=2, told=lambda _event: None)
        os._exit(0)
    yield pid


def test_what_is_under_way_comes_to_its_end_where_who_waits_is_killed(tmp_path: Path) -> None:
    with nobody_listens(tmp_path) as pid:
        wait_for(tmp_path / "a-began", tmp_path / "b-began")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        (tmp_path / "go").touch()
        wait_for(tmp_path / "a-done", tmp_path / "b-done")
    assert not (tmp_path / "c-began").exists()


def test_no_thread_is_started_where_processes_are_forked() -> None:
    counted = []
    run_all(
        ["a", "b"],
        lambda _item, _report: None,
        jobs=2,
        told=lambda _: counted.append(threading.active_count()),
    )
    assert set(counted) == {threading.active_count()}
