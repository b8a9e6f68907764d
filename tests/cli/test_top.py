"""`ocm top`: the screen over the backend in memory, driven by Textual's own pilot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import threading
import time
from collections import deque
from datetime import timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import screens
from tests.operations.kept import NAME, OTHER, keep

from openclaw_ocm.cli import top as command
from openclaw_ocm.cli.screen.app import Terminal, Top
from openclaw_ocm.cli.screen.one import log_rows
from openclaw_ocm.cli.screen.paint import View, paint
from openclaw_ocm.cli.screen.source import Source
from openclaw_ocm.cli.screen.state import Leaving, Log, Mode, Seen, State, Verb
from openclaw_ocm.cli.screen.work import perform
from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.top.history import History
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.system.workers import Began, Ended, Event, Said

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable, Iterator

    from tests.operations.kept import Kept
    from textual.pilot import Pilot

LONG = 60.0


class Threads:
    """Does the work in threads: what the backend in memory knows is in no other process.

    It goes on while it is `held`.
    """

    def __init__(self, kept: Kept) -> None:
        self._work = partial(perform, kept.host)
        self._reader, self._writer = os.pipe()
        self._events: deque[Event] = deque()
        self._goes_on = threading.Event()
        self._goes_on.set()
        self.begun: list[str] = []
        self.interrupted: list[str | None] = []

    def fileno(self) -> int:
        return self._reader

    def hold(self) -> None:
        self._goes_on.clear()

    def let_go(self) -> None:
        self._goes_on.set()

    def begin(self, item: str) -> None:
        self.begun.append(item)
        threading.Thread(target=self._run, args=(item,), daemon=True).start()

    def interrupt(self, item: str | None = None) -> None:
        self.interrupted.append(item)
        for one in self.begun if item is None else [item]:
            self.tell(Ended(item=one, interrupted=True))

    def told(self) -> list[Event]:
        found = []
        while self._events:
            found.append(self._events.popleft())
            os.read(self._reader, 1)
        return found

    def tell(self, event: Event) -> None:
        self._events.append(event)
        os.write(self._writer, b".")

    def _run(self, item: str) -> None:
        self.tell(Began(item=item))
        self.tell(Said(item=item, words="think about it"))
        self._goes_on.wait()
        if None not in self.interrupted and item not in self.interrupted:
            self.tell(Ended(item=item, value=self._work(item, lambda _words: None)))


class Screen:
    """A screen of some size over instances of the backend in memory."""

    def __init__(self, kept: Kept, **terminal: Any) -> None:  # noqa: ANN401 - those of `Terminal`
        self.works = Threads(kept)
        options = {"colours": True, "plain": False, "every": 3600.0, **terminal}
        self.app = Top(Source(host=kept.host), self.works, Terminal(**options))

    @property
    def lines(self) -> list[str]:
        return ["".join(piece.text for piece in line).rstrip() for line in self.app.page.lines]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def fits(self, width: int, height: int) -> bool:
        return len(self.lines) == height and all(len(line) <= width for line in self.lines)

    def drive(self, play: Callable[[Pilot[None]], Awaitable[None]], size: tuple[int, int] = (80, 24)) -> None:
        async def run() -> None:
            async with self.app.run_test(size=size) as pilot:
                await self.until(pilot, lambda: self.app.shown.seen is not None or self.app.shown.trouble)
                await play(pilot)

        asyncio.run(run())
        assert self.app.failure is None

    async def until(self, pilot: Pilot[None], so: Callable[[], object]) -> None:
        for _ in range(int(LONG / 0.02)):
            if so():
                return
            await pilot.pause(0.02)
        raise AssertionError(self.text)

    async def again(self, pilot: Pilot[None], so: Callable[[], object]) -> None:
        """Look again until it is so."""
        for _ in range(int(LONG / 0.1)):
            await pilot.press("space")
            await pilot.pause(0.1)
            if so():
                return
        raise AssertionError(self.text)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return keep(tmp_path, monkeypatch)


@pytest.fixture
def screen(kept: Kept) -> Iterator[Screen]:
    found = Screen(kept)
    yield found
    found.works.let_go()


def test_instances_are_there_with_what_is_known_of_them_and_a_log(kept: Kept, screen: Screen) -> None:
    kept.deploy()
    kept.create(OTHER)

    async def play(pilot: Pilot[None]) -> None:
        await screen.until(pilot, lambda: "up" in screen.lines)
        assert screen.lines[0].startswith("ocm top  2 instances: 1 ready, 1 stopped")
        titles = ["NAME", "STATE", "ISOLATION", "MEMORY", "CPU", "MESSAGE", "BACKUP", "VERSION"]
        assert screen.lines[1].split()[:8] == titles
        ready = [NAME, "ready", "sealed", "1", "MB", "?", "?", "-", "2026.9.6"]
        assert screen.lines[2].split()[:9] == ready
        assert screen.lines[3].split()[:8] == [OTHER, "stopped", "sealed", "-", "-", "?", "-", "2026.9.6"]
        assert f"log of {NAME}" in screen.lines

    screen.drive(play)


def test_what_is_dear_is_asked_of_one_that_stays_chosen(kept: Kept, screen: Screen) -> None:
    kept.deploy()
    agent = Path(kept.paths(NAME).state) / "agents/main/agent/openclaw-agent.sqlite"
    agent.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(agent)) as database, database:
        database.execute("create table transcript_events (created_at)")
        database.execute("insert into transcript_events values (?)", (int((time.time() - 7300) * 1000),))
    kept.create(OTHER)

    async def play(pilot: Pilot[None]) -> None:
        assert "last message not known" in screen.text
        await screen.again(pilot, lambda: "last message 2h ago" in screen.text)
        assert screen.lines[2].split()[6] == "2h"
        assert "; state not known" not in screen.text
        await pilot.press("down")
        assert "last message not known" in screen.text
        await screen.again(pilot, lambda: OTHER in screen.app.shown.details)
        assert "last message not known" in screen.text, "it is not ready"
        kept.start(OTHER)
        await screen.again(pilot, lambda: "last message none" in screen.text)

    screen.drive(play, size=(110, 30))


def test_keys_start_and_stop_the_chosen_one_by_the_commands_own_operations(
    kept: Kept, screen: Screen
) -> None:
    kept.create()
    kept.create(OTHER)

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("down", "s")
        await screen.until(pilot, lambda: screen.app.shown.told)
        await screen.until(pilot, lambda: f"{OTHER}: ready and sealed" in screen.text)
        assert kept.process(OTHER).pid is not None
        await pilot.press("x")
        assert f"Stop {OTHER}?" in screen.text
        await pilot.press("n")
        assert "nothing was done" in screen.text
        assert kept.process(OTHER).pid is not None
        await pilot.press("x", "y")
        await screen.until(pilot, lambda: kept.process(OTHER).pid is None)
        await screen.until(pilot, lambda: f"{OTHER}: stopped" in screen.text)
        await screen.until(pilot, lambda: "2 stopped" in screen.lines[0])

    screen.drive(play)
    assert screen.works.begun == [f"start/{OTHER}", f"stop/{OTHER}"]
    assert kept.process(NAME).pid is None


def test_a_backup_tells_where_it_is_and_how_old_it_is(kept: Kept, screen: Screen) -> None:
    kept.create()

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("b")
        await screen.until(pilot, lambda: "/backups/" in screen.text)
        await screen.again(pilot, lambda: screen.app.shown.instances[0].backup is not None)
        assert re.search(r"last backup [0-9]+s ago", screen.text)

    screen.drive(play, size=(120, 40))


def test_what_fails_is_told_with_what_to_type_and_undone(kept: Kept, screen: Screen) -> None:
    kept.create()
    kept.world.exits[NAME] = 78

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await screen.until(pilot, lambda: "did not become ready" in screen.text)
        assert f"ocm logs {NAME}" in screen.text
        assert not screen.app.shown.doing

    screen.drive(play, size=(100, 40))
    assert kept.process(NAME).pid is None


def test_one_thing_at_a_time_is_done_to_an_instance_and_the_screen_goes_on_meanwhile(
    kept: Kept, screen: Screen
) -> None:
    kept.create()
    kept.create(OTHER)
    screen.works.hold()

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await screen.until(pilot, lambda: "start: think about it" in screen.text)
        assert "start.." in screen.lines[2]
        await pilot.press("b")
        assert f"{NAME}: one at a time, the start goes on" in screen.text
        await pilot.press("down", "s")
        await screen.until(pilot, lambda: len(screen.app.shown.doing) == 2)
        screen.works.let_go()
        await screen.until(pilot, lambda: not screen.app.shown.doing)
        await screen.until(pilot, lambda: "2 ready" in screen.lines[0])

    screen.drive(play)
    assert screen.works.begun == [f"start/{NAME}", f"start/{OTHER}"]


def test_who_leaves_is_told_what_goes_on_and_waits_for_it(kept: Kept, screen: Screen) -> None:
    kept.create()
    screen.works.hold()

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await screen.until(pilot, lambda: screen.app.shown.doing)
        await pilot.press("q")
        assert f"Still going on: start of {NAME}" in screen.text
        await pilot.press("escape", "q", "w")
        assert f"Leaving after: start of {NAME}" in screen.text
        assert screen.app.is_running
        screen.works.let_go()
        await screen.until(pilot, lambda: screen.app.last_words)

    screen.drive(play)
    assert screen.app.last_words == [(True, (f"{NAME}: ready and sealed", "a fake ends with the tests"))]
    assert kept.process(NAME).pid is not None
    assert screen.works.interrupted == []


@pytest.mark.parametrize("keys", [("q", "u"), ("ctrl+c", "ctrl+c")], ids=" ".join)
def test_who_leaves_may_have_it_undone(kept: Kept, screen: Screen, keys: tuple[str, ...]) -> None:
    kept.create()
    screen.works.hold()

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("s")
        await screen.until(pilot, lambda: screen.app.shown.doing)
        await pilot.press(*keys)
        await screen.until(pilot, lambda: screen.app.last_words)

    screen.drive(play)
    assert screen.works.interrupted == [None]
    assert screen.app.last_words == [(False, (f"{NAME}: start: interrupted, and undone",))]


def test_what_goes_on_is_undone_after_a_question(kept: Kept, screen: Screen) -> None:
    kept.create()
    screen.works.hold()

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("u")
        assert "nothing goes on" in screen.text
        await pilot.press("s")
        await screen.until(pilot, lambda: screen.app.shown.doing)
        await pilot.press("u", "y")
        await screen.until(pilot, lambda: "interrupted, and undone" in screen.text)
        assert screen.app.shown.leaving is Leaving.NO

    screen.drive(play)
    assert screen.works.interrupted == [f"start/{NAME}"]


def test_where_nothing_goes_on_q_leaves_at_once(kept: Kept, screen: Screen) -> None:
    kept.create()

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("q")
        # A moment later, when the screen is empty.
        await screen.until(pilot, lambda: screen.app.return_code is not None)

    screen.drive(play)
    assert screen.app.return_code == 0


def test_an_instance_that_vanishes_leaves_its_place_to_the_next(kept: Kept, screen: Screen) -> None:
    third = InstanceName(f"{NAME}-b")
    for name in (NAME, OTHER, third):
        kept.create(name)

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("down", "r")
        assert f"Restart {OTHER}?" in screen.text
        kept.delete(OTHER)
        screen.app._again.set()
        await screen.until(pilot, lambda: screen.app.shown.chosen == third)
        assert f"{OTHER} is gone" in screen.text
        assert screen.app.shown.question is None
        kept.delete(NAME)
        kept.delete(third)
        await screen.again(pilot, lambda: "no instances: ocm deploy worker1 makes one" in screen.text)
        await pilot.press("s", "x", "r", "b", "c", "u", "l", "down", "end")

    screen.drive(play)
    assert screen.works.begun == []


def test_where_nothing_can_be_seen_that_is_told_and_old_numbers_do_not_pass_for_new_ones(
    kept: Kept, screen: Screen
) -> None:
    kept.deploy()

    async def play(pilot: Pilot[None]) -> None:
        kept.world.failing["observe"] = OcmError("nobody answers")
        await screen.again(pilot, lambda: "nobody answers" in screen.lines[0])
        assert screen.lines[2].split()[1:5] == ["?", "sealed", "?", "?"]
        kept.world.failing.clear()
        await screen.again(pilot, lambda: "1 ready" in screen.lines[0])

    screen.drive(play)


def test_a_log_that_cannot_be_read_is_told(kept: Kept, screen: Screen) -> None:
    kept.create()
    kept.world.failing["log"] = OcmError("the journal\x1b[2J is closed")

    async def play(pilot: Pilot[None]) -> None:
        await screen.until(pilot, lambda: "the journal is closed" in screen.lines)

    screen.drive(play)


def test_a_log_is_printable_whatever_the_instance_writes(kept: Kept, screen: Screen) -> None:
    kept.create()
    kept.world.tell(NAME, "gateway", "\x1b]0;owned\x07 \x1b[2J\u202e red \x9b31m" + "x" * 5000)
    kept.world.tell(NAME, "gateway", "日本語" * 100)

    async def play(pilot: Pilot[None]) -> None:
        await screen.until(pilot, lambda: "日本語" in screen.text)
        assert all(character.isprintable() for line in screen.lines for character in line)
        assert all(len(line) <= 80 for line in screen.lines)
        await pilot.press("l")
        await screen.until(pilot, lambda: "xxxx" in screen.text)
        assert all(character.isprintable() for line in screen.lines for character in line)
        await pilot.press("up", "pageup", "end", "l")
        assert screen.lines[0].startswith("ocm top")

    screen.drive(play)


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00.000+14:00", "9999-12-31T23:59:59.999-14:00"])
def test_a_time_that_no_clock_shows_is_a_line_like_others(kept: Kept, stamp: str) -> None:
    screen = Screen(kept, zone=timezone.utc)
    kept.create()
    kept.world.tell(NAME, "gateway", f"{stamp} look here")

    async def play(pilot: Pilot[None]) -> None:
        await screen.until(pilot, lambda: f"{stamp} look here" in screen.lines)

    screen.drive(play)


def test_a_log_that_ocm_stumbles_over_ends_no_screen(kept: Kept, screen: Screen) -> None:
    kept.create()
    kept.world.failing["log"] = ZeroDivisionError("oops")  # type: ignore[assignment] # a bug

    async def play(pilot: Pilot[None]) -> None:
        await screen.until(pilot, lambda: "ZeroDivisionError" in screen.text)
        await screen.again(pilot, lambda: screen.app.shown.instances)

    screen.drive(play)


@pytest.mark.parametrize(("scrolled", "first"), [(0, 11), (5, 6), (15, 0), (29, 0), (30, 0), (99, 0)])
def test_a_log_is_a_whole_page_however_far_up_one_is(scrolled: int, first: int) -> None:
    entries = tuple(Entry(time="", source="gateway", message=f"line {number}") for number in range(30))
    log = Log(name="worker1", entries=entries)
    state = State(chosen="worker1", log=log, scrolled=scrolled, mode=Mode.LOG)
    rows = log_rows(state, View(width=80, height=24, now=0.0, clock=0.0), 19, wrapped=True)
    assert rows == [f"line {number}" for number in range(first, first + 19)]


def test_whatever_is_told_of_an_instance_no_terminal_obeys_it() -> None:
    evil = "a\x1b]0;owned\x07\x1b[2J\u202eb\tc\x9b31m"
    shown = Seen(row=screens.row("worker1", version=evil, network=evil), history=History(), backup=None)
    state = State(instances=(shown,), chosen="worker1", seen=0.0, notice=evil)
    for width in (80, 200):
        lines = paint(state, View(width=width, height=24, now=0.0, clock=0.0, zone=timezone.utc))
        assert all(piece.text.isprintable() for line in lines for piece in line)


def make_many(kept: Kept, count: int) -> None:
    """Make instances as one was made, that have a record alone."""
    kept.create()
    records = Path(kept.host.paths.records)
    text = (records / f"{NAME}.toml").read_text()
    for number in range(1, count):
        its = text.replace(f'"{NAME}"', f'"w{number:03}"').replace("19001", str(19001 + 20 * number))
        (records / f"w{number:03}.toml").write_text(its)


def test_a_hundred_instances_are_walked_through_sorted_and_found(kept: Kept, screen: Screen) -> None:
    make_many(kept, 100)

    async def play(pilot: Pilot[None]) -> None:
        assert "100 instances" in screen.lines[0]
        assert "w001" in screen.text
        await pilot.press("end")
        assert screen.app.shown.chosen == NAME
        assert NAME in screen.text
        assert "w001" not in screen.text
        await pilot.press("home", "pagedown")
        assert screen.app.shown.chosen not in ("w001", NAME)
        await pilot.press("o")
        assert "by state" in screen.lines[0]
        await pilot.press("slash", "w", "0", "4", "2")
        assert screen.app.shown.chosen == "w042"
        assert "find: w042" in screen.text
        await pilot.press("enter")
        assert "1 of 100" in screen.lines[0]
        await pilot.press("escape")
        assert screen.app.shown.chosen == "w042"

    screen.drive(play)


SIZES = [(20, 24), (44, 10), (60, 15), (80, 24), (200, 50), (1, 1), (80, 3)]


def test_it_is_drawn_at_every_size_and_says_where_one_is_too_small(kept: Kept, screen: Screen) -> None:
    kept.deploy()

    async def play(pilot: Pilot[None]) -> None:
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            await screen.until(pilot, partial(screen.fits, width, height))
            small = width < 44 or height < 10
            assert ("too small" in " ".join(screen.lines)) == small or width == 1
            assert (NAME in screen.text) == (not small)
            await pilot.press("question_mark", "question_mark")

    screen.drive(play)


def test_without_colours_and_beyond_ascii_all_is_still_said(kept: Kept) -> None:
    kept.deploy()
    screen = Screen(kept, colours=False, plain=True)

    async def play(pilot: Pilot[None]) -> None:
        await screen.until(pilot, lambda: "up" in screen.lines)
        assert screen.text.isascii()
        styles = {segment.style for y in range(24) for segment in screen.app.page.render_line(y)}
        assert {style.color for style in styles if style is not None} == {None}
        assert any(style.reverse for style in styles if style is not None)

    screen.drive(play)


def test_every_key_is_a_command_and_a_check_that_fails_says_what_is_missing(
    kept: Kept, screen: Screen
) -> None:
    from openclaw_ocm.cli.main import COMMANDS

    assert {verb.value.split()[0] for verb in Verb} <= set(COMMANDS)
    kept.deploy()

    async def play(pilot: Pilot[None]) -> None:
        await pilot.press("c", "y")
        await screen.until(pilot, lambda: screen.app.shown.told)
        assert f"{NAME}: check: it does not answer" in screen.text
        assert f"ocm model {NAME}" in screen.text

    screen.drive(play)


def test_the_picture_in_the_readme_shows_what_is_drawn() -> None:
    drawn = screens.draw(screens.MadeUp(), screens.SIZE, "down", "down")
    assert screens.words(screens.PICTURE.read_text()) == screens.words(drawn), "script/docs draws it anew"


NO_TERMINAL = "ocm: ocm top needs a terminal to draw on"
LIST = "ocm: ocm list prints the same once"


def test_without_a_terminal_one_sentence_names_the_command_that_needs_none(
    ocm: Callable[..., subprocess.CompletedProcess[str]], home: Path
) -> None:
    done = ocm("top", TERM="xterm")
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (2, "", [NO_TERMINAL, LIST])
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("term", "why"), [("", "TERM is not set"), ("dumb", "TERM is dumb"), ("unknown", "TERM is unknown")]
)
def test_a_terminal_that_draws_no_screen_is_refused(
    monkeypatch: pytest.MonkeyPatch, term: str, why: str
) -> None:
    monkeypatch.setattr(command, "has_terminal", lambda: True)
    with pytest.raises(Invalid) as refused:
        command.refuse_no_terminal({"TERM": term})
    assert refused.value.message == f"ocm top needs a terminal to draw on, and {why}"
    assert (refused.value.exit_code, refused.value.code) == (2, "no_terminal")
    command.refuse_no_terminal({"TERM": "screen"})


@pytest.mark.parametrize(
    ("environ", "colours"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, True),
        ({"TERM": "no-such-terminal"}, True),
    ],
)
def test_colours_are_those_that_are_wanted(environ: dict[str, str], colours: bool) -> None:  # noqa: FBT001 - a case
    assert command.has_colours(environ) is colours


@pytest.mark.parametrize(
    ("environ", "knows"),
    [
        ({}, False),
        ({"LANG": "C"}, False),
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "C.utf8"}, True),
        ({"LC_ALL": "C", "LANG": "C.UTF-8"}, False),
    ],
)
def test_more_than_ascii_is_drawn_where_the_locale_says_so(environ: dict[str, str], knows: bool) -> None:  # noqa: FBT001 - a case
    assert command.knows_unicode(environ) is knows
