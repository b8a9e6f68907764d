"""Work beside a screen: begun on demand, each in a process of its own, interrupted and undone."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.system.beside import Beside
from openclaw_ocm.system.workers import Began, Ended, Event, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

LONG = 30.0


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + LONG
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


class Works:
    """Work that waits for a file of its name, and leaves one with what became of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.beside = Beside(self.work)
        self.events: list[Event] = []

    def work(self, item: str, report: Callable[[str], None]) -> str:
        report(f"begin {item}")
        print("nobody sees this")
        if item == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            (self.directory / f"{item}.began").touch()
            wait_for(self.directory / item)
        except KeyboardInterrupt:
            (self.directory / f"{item}.undone").touch()
            raise
        return item.upper()

    def begin(self, item: str) -> None:
        self.beside.begin(item)
        if item != "dies":
            wait_for(self.directory / f"{item}.began")

    def until_ended(self, *items: str) -> dict[str, Ended]:
        deadline = time.monotonic() + LONG
        while True:
            ended = {one.item: one for one in self.events if isinstance(one, Ended)}
            if set(items) <= set(ended):
                return ended
            wait([self.beside.fileno()], deadline - time.monotonic())
            self.events += self.beside.told()


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    found = Works(tmp_path)
    yield found
    found.beside.close()


def test_work_is_begun_while_other_work_goes_on_and_tells_of_itself(works: Works, tmp_path: Path) -> None:
    works.begin("a")
    works.begin("b")
    (tmp_path / "b").touch()
    assert works.until_ended("b")["b"].value == "B"
    (tmp_path / "a").touch()
    assert works.until_ended("a")["a"].value == "A"
    assert works.events[:2] == [Began(item="a"), Said(item="a", words="begin a")]


def test_it_can_be_begun_where_there_are_threads_by_now(works: Works, tmp_path: Path) -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    works.begin("a")
    (tmp_path / "a").touch()
    assert works.until_ended("a")["a"].value == "A"
    over.set()
    thread.join()


def test_one_is_interrupted_and_the_others_go_on(works: Works, tmp_path: Path) -> None:
    works.begin("a")
    works.begin("b")
    works.beside.interrupt("a")
    assert works.until_ended("a")["a"].interrupted
    assert (tmp_path / "a.undone").exists()
    assert not (tmp_path / "b.undone").exists()
    works.beside.interrupt()
    assert works.until_ended("b")["b"].interrupted


def test_one_that_is_killed_is_told_as_such(works: Works) -> None:
    works.begin("dies")
    assert works.until_ended("dies")["dies"].killed


def test_who_goes_away_has_what_goes_on_undone_first(tmp_path: Path) -> None:
    works = Works(tmp_path)
    works.begin("a")
    works.beside.close()
    assert (tmp_path / "a.undone").exists()


def test_the_keyboards_signals_do_not_reach_it(works: Works, tmp_path: Path) -> None:
    """They go to the group of the terminal: who leads the screen decides."""
    works.begin("a")
    pid = works.beside._process.pid
    assert pid is not None
    assert os.getpgid(pid) != os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        os.kill(pid, number)
    (tmp_path / "a").touch()
    assert works.until_ended("a")["a"].value == "A"


def test_where_it_is_gone_that_is_noticed(tmp_path: Path) -> None:
    works = Works(tmp_path)
    assert works.beside._process.pid is not None
    os.kill(works.beside._process.pid, signal.SIGKILL)
    wait([works.beside.fileno()], LONG)
    with pytest.raises((EOFError, OSError)):
        works.beside.told()
    with pytest.raises(OSError, match="pipe"):
        works.beside.begin("a")
    works.beside.close()
