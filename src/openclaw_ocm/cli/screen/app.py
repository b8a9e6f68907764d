"""The terminal of `ocm top`: Textual draws the lines, brings keys and sizes, and waits for what is asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from openclaw_ocm.cli.screen import state as screen
from openclaw_ocm.cli.screen.keys import INTERRUPT, What, press
from openclaw_ocm.cli.screen.paint import View, paint, table_height
from openclaw_ocm.cli.screen.state import Leaving, Mode, State
from openclaw_ocm.cli.screen.work import item_of, parts_of
from openclaw_ocm.core.top.pace import pause
from openclaw_ocm.errors import OcmError, as_ocm_error, bug
from openclaw_ocm.system.workers import Ended, Event, Said

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from textual import events

    from openclaw_ocm.cli.screen.keys import Effect
    from openclaw_ocm.cli.screen.paint import Line
    from openclaw_ocm.cli.screen.source import Source
    from openclaw_ocm.operations.top import Detail

_T = TypeVar("_T")
_COLOURS = {"red", "green", "yellow", "cyan"}
# While something goes on it is looked more often, whatever that costs.
_BUSY_SECONDS, _SETTLE_SECONDS, _TICK_SECONDS = 1.0, 0.15, 1.0
# How often what is dear is asked of the chosen one.
_DEAR_SECONDS = 120.0
# Until what is drawn last is seen.
_BLANK_SECONDS = 0.05
_LOG_LINES = 500
_KILLED = "was killed: what it had begun is undone or finished by the next ocm command"
_GONE = "what began the work is gone: leave, and start ocm top again"


class Works(Protocol):
    """What begins work beside the screen: `system.beside`."""

    def fileno(self) -> int:
        """Return what can be read when there is something to be told."""

    def begin(self, item: str) -> None:
        """Begin the work on an item."""

    def interrupt(self, item: str | None = None) -> None:
        """Interrupt the work on an item, or on all."""

    def told(self) -> list[Event]:
        """Return what happened since."""


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """What the terminal can show, and how often is looked at the least."""

    colours: bool
    plain: bool
    every: float
    zone: tzinfo | None = None


class Page(Widget, can_focus=True):
    """All of the screen; of its lines those are drawn anew that changed."""

    DEFAULT_CSS = "Page { width: 100%; height: 100%; background: ansi_default; color: ansi_default; }"

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours
        self.lines: tuple[Line, ...] = ()

    def show(self, lines: tuple[Line, ...]) -> None:
        """Show other lines."""
        before, self.lines = self.lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        changed = [y for y, line in enumerate(lines) if line != before[y]]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        """Return a line as Textual wants it."""
        line = self.lines[y] if y < len(self.lines) else ()
        segments = [Segment(text, self._style(style)) for text, style in line]
        return Strip(segments).adjust_cell_length(self.size.width)

    def _style(self, words: str) -> Style:
        if not self._colours:
            words = " ".join(word for word in words.split() if word not in _COLOURS)
        return Style.parse(words)


class Top(App[None], inherit_bindings=False):
    """The screen; `works` does what is asked for, `source` tells how instances are."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; color: ansi_default; overflow: hidden; }"
    BINDINGS: ClassVar[list[Any]] = []

    def __init__(self, source: Source, works: Works, terminal: Terminal) -> None:
        super().__init__(ansi_color=True)
        self._source = source
        self._works = works
        self._terminal = terminal
        self._tasks: set[asyncio.Task[None]] = set()
        self._again = asyncio.Event()
        self._read = asyncio.Event()
        self._turn = 0
        self._asking = False
        self._left = False
        self.page = Page(colours=terminal.colours)
        self.shown = State()
        # What came to its end after it was left.
        self.last_words: list[tuple[bool, tuple[str, ...]]] = []
        self.failure: Exception | None = None

    def compose(self) -> ComposeResult:
        """Yield the one widget."""
        yield self.page

    def on_mount(self) -> None:
        """Begin to look."""
        self.theme = "ansi-dark"
        self.page.focus()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._works.fileno(), self._hear)
        # Where it does not run in the main thread, signals are not its own.
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(signal.SIGINT, self._press, INTERRUPT)
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self._end)
        self.app_resume_signal.subscribe(self, lambda _app: self._draw_anew())
        self._go_on(self._watch())
        self._go_on(self._follow())
        self.set_interval(_TICK_SECONDS, self._tick)

    def on_unmount(self) -> None:
        """Look no more."""
        with contextlib.suppress(RuntimeError, OSError, ValueError):
            asyncio.get_running_loop().remove_reader(self._works.fileno())
        for task in tuple(self._tasks):
            task.cancel()

    def on_resize(self) -> None:
        """Draw for another size."""
        self.call_after_refresh(self._draw)
        self._read.set()

    def on_key(self, event: events.Key) -> None:
        """Do what a key is for."""
        event.stop()
        event.prevent_default()
        if event.key == "ctrl+z":
            self.action_suspend_process()
            return
        self._press(event.key, event.character)

    def _press(self, key: str, character: str | None = None) -> None:
        before = self.shown
        page = table_height(before, self._view())
        after, effect = press(before, key, character, page=page)
        self._become(after)
        if effect is not None:
            self._carry_out(effect)
        if (after.chosen, after.mode) != (before.chosen, before.mode):
            self._read.set()

    def _carry_out(self, effect: Effect) -> None:
        match effect.what:
            case What.LEAVE:
                self._leave()
            case What.LOOK:
                self._again.set()
                self._draw_anew()
            case What.UNDO_ALL:
                self._ask_works(self._works.interrupt)
            case What.UNDO if effect.verb is not None:
                item = item_of(effect.verb, effect.name)
                self._ask_works(lambda: self._works.interrupt(item))
            case What.BEGIN if effect.verb is not None:
                item = item_of(effect.verb, effect.name)
                if self._ask_works(lambda: self._works.begin(item)):
                    clock = time.monotonic()
                    self._become(screen.began(self.shown, effect.name, effect.verb, now=clock))

    def _ask_works(self, ask: Callable[[], None]) -> bool:
        try:
            ask()
        except OSError:
            self._lose_works()
            return False
        return True

    def _lose_works(self) -> None:
        asyncio.get_running_loop().remove_reader(self._works.fileno())
        for name, doing in self.shown.doing.items():
            self._end_of(name, doing.verb, (f"it {_KILLED}",), ok=False)
        self._become(replace(self.shown, notice=_GONE))

    def _hear(self) -> None:
        try:
            told = self._works.told()
        except (EOFError, OSError):
            self._lose_works()
            return
        for event in told:
            self._take(event)

    def _take(self, event: Event) -> None:
        verb, name = parts_of(event.item)
        if isinstance(event, Said):
            self._become(screen.said(self.shown, name, verb, event.words))
        elif isinstance(event, Ended):
            if event.interrupted:
                ok, lines = False, (f"{name}: {verb.value}: interrupted, and undone",)
            elif event.killed:
                ok, lines = False, (f"{name}: the {verb.value} {_KILLED}",)
            else:
                ok, lines = event.value
            self._end_of(name, verb, lines, ok=ok)

    def _end_of(self, name: str, verb: screen.Verb, lines: tuple[str, ...], *, ok: bool) -> None:
        leaving = self.shown.leaving is not Leaving.NO
        doing = self.shown.doing.get(name)
        seconds = 0.0 if doing is None else time.monotonic() - doing.began
        told = screen.Told(verb=verb, ok=ok, lines=lines, seconds=seconds)
        self._become(screen.ended(self.shown, name, told))
        self._again.set()
        if leaving:
            self.last_words.append((ok, lines))
            if not self.shown.doing:
                self._leave()

    def _leave(self) -> None:
        """Leave an empty screen behind, where a terminal has no other one to go back to."""
        self._left = True
        self.page.show(())
        self.set_timer(_BLANK_SECONDS, self.exit)

    def _end(self) -> None:
        """Undo what goes on, and leave: the terminal is closed, or the machine shuts down."""
        self._become(replace(self.shown, mode=Mode.QUIT))
        self._press("u")

    async def _watch(self) -> None:
        """Look again and again."""
        while True:
            # Before it looks: what happens meanwhile is to be seen by the next look.
            self._again.clear()
            began = _spent()
            chosen = self.shown.chosen
            try:
                looked = await _in_thread(partial(self._source.look, chosen, self._turn))
            except (OcmError, OSError) as error:
                self._become(screen.with_trouble(self.shown, as_ocm_error(error).message))
            except Exception as error:  # noqa: BLE001 - the screen goes on
                self._become(screen.with_trouble(self.shown, bug(error).message))
            else:
                self._become(screen.with_seen(self.shown, looked, now=time.time()))
            if chosen is not None and chosen == self.shown.chosen:
                self._ask_more(chosen)
            self._turn += 1
            self._read.set()
            spent = _spent() - began
            least = _BUSY_SECONDS if self.shown.doing else self._terminal.every
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._again.wait(), pause(spent=spent, least=least))

    def _ask_more(self, name: str) -> None:
        """Ask what is dear of one that is looked at for a while, now and then."""
        before, at = self.shown.details.get(name), self.shown.at
        ready = at is not None and at.row.state == "ready"
        due = before is None or time.time() - before.asked > _DEAR_SECONDS or (ready and not before.ready)
        if due and at is not None and not self._asking:
            self._asking = True
            self._go_on(self._detail(partial(self._source.detail, name, before, ready=ready), name))

    async def _detail(self, ask: Callable[[], Detail | None], name: str) -> None:
        try:
            found = await _in_thread(ask)
        finally:
            self._asking = False
        if found is not None:
            self._become(screen.with_detail(self.shown, name, found))

    async def _follow(self) -> None:
        """Read the log of the chosen one after each look, and once another is chosen."""
        while True:
            await self._read.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._read.clear()
            name = self.shown.chosen
            if name is None:
                continue
            lines = _LOG_LINES if self.shown.mode is Mode.LOG else max(self.size.height, 1)
            log = await _in_thread(partial(self._source.log, name, lines))
            self._become(screen.with_log(self.shown, log))

    def _tick(self) -> None:
        if self.shown.doing:
            self._draw()

    def _become(self, after: State) -> None:
        if after != self.shown:
            self.shown = after
            self._draw()

    def _draw(self) -> None:
        if self.page.is_mounted and not self._left:
            self.page.show(paint(self.shown, self._view()))

    def _draw_anew(self) -> None:
        """Draw all lines, whatever was printed over them meanwhile."""
        self.page.refresh(layout=True)
        self.screen.refresh(layout=True)

    def _view(self) -> View:
        size, terminal = self.size, self._terminal
        return View(
            width=size.width,
            height=size.height,
            now=time.time(),
            clock=time.monotonic(),
            zone=terminal.zone,
            plain=terminal.plain,
        )

    def _go_on(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - told when the terminal is the shell's again
                self.failure = error
                self.exit()

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _in_thread(work: Callable[[], _T]) -> _T:
    """Return what `work` returns, which may take its time: nothing waits for it when the screen is left."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def set_result(result: _T) -> None:
        if not future.done():
            future.set_result(result)

    def set_exception(error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)

    def run() -> None:
        tell: Callable[[], None]
        try:
            tell = partial(set_result, work())
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            tell = partial(set_exception, error)
        # It may have been left meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=run, daemon=True).start()
    return await future


def _spent() -> float:
    """Return the CPU seconds of this process, and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
