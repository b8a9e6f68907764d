"""The screen as lines of text: pieces with a style each, as wide and as many as the terminal has."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from openclaw_ocm.cli.screen.columns import cells, fitting, heading
from openclaw_ocm.cli.screen.keys import going_on, quit_question
from openclaw_ocm.cli.screen.one import about, log_rows
from openclaw_ocm.cli.screen.state import Leaving, Mode
from openclaw_ocm.core.text import counted, printable

if TYPE_CHECKING:
    from datetime import tzinfo

    from openclaw_ocm.cli.screen.state import State

LEAST_WIDTH, LEAST_HEIGHT = 44, 10
# Below so many lines the log, and below so many more of the chosen one than its name, have no room.
_FOR_LOG, _FOR_GRAPHS = 20, 14
_MOST_BOTTOM, _LEAST_ABOUT = 3, 6


class Piece(NamedTuple):
    """Some text in a style, in rich's words."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the screen is drawn for: its size, the time, and `plain` where it knows ASCII alone.

    `now` is in seconds since the epoch, `clock` in those that only go forward.
    """

    width: int
    height: int
    now: float
    clock: float
    zone: tzinfo | None = None
    plain: bool = False


def paint(state: State, view: View) -> tuple[Line, ...]:
    """Return the lines of the screen: exactly as many as it has, none wider than it is."""
    if view.width < LEAST_WIDTH or view.height < LEAST_HEIGHT:
        lines = _too_small(view)
    elif state.mode is Mode.HELP:
        lines = [*map(_plain, _HELP)]
    else:
        lines = _screen(state, view)
    lines = [*lines[: view.height], *[()] * (view.height - len(lines))]
    return tuple(_fitted(line, view.width) for line in lines)


def table_height(state: State, view: View) -> int:
    """Return how many instances are seen at once."""
    return _divided(state, view, len(about(state, view)), len(_bottom(state, view)))[0]


def _too_small(view: View) -> list[Line]:
    words = f"too small: {view.width}x{view.height}, ocm top needs {LEAST_WIDTH}x{LEAST_HEIGHT}; q leaves"
    return [_plain(row) for row in textwrap.wrap(words, max(view.width, 1))]


_HELP = (
    "up down PgUp PgDn Home End   choose an instance",
    "s       start it",
    "x       stop it; once more cuts off what its agent is at",
    "r       restart it",
    "b       back it up",
    "c       check it: ask it something, which uses its model",
    "u       undo what goes on with it",
    "l       its log, all over the screen; l or Esc goes back",
    "/       find by name; Esc shows all again",
    "o       sort by name, state, memory, CPU",
    "Space   look now",
    "q       leave; what goes on is waited for, or undone",
    "",
    "- is nothing, ? is not known. CPU is of one core.",
    "MESSAGE is how old the last message is, of those that were chosen.",
    "BACKUP is how old the last backup is; ! where scheduled ones fail or are late.",
    "A * at a version: there is a newer one, as ocm outdated found.",
    "",
    "Any key goes back.",
)


def _screen(state: State, view: View) -> list[Line]:
    bottom = _bottom(state, view)
    if state.mode is Mode.LOG:
        height = view.height - 1 - len(bottom)
        title = (Piece(f"log of {state.chosen}", "bold"), Piece(_scrolled(state)))
        logged = log_rows(state, view, height, wrapped=True)
        return [title, *map(_plain, logged), *[()] * (height - len(logged)), *bottom]
    told = about(state, view)
    rows, more, below = _divided(state, view, len(told), len(bottom))
    lines = [_title(state, view), *_table(state, view, rows)]
    lines += [tuple(Piece(*piece) for piece in line) for line in told[:more]]
    if below:
        lines.append((Piece(f"log of {state.chosen}" if state.chosen else "log", "bold"),))
        lines += map(_plain, log_rows(state, view, below - 1, wrapped=False))
    lines += [()] * (view.height - len(lines) - len(bottom))
    return [*lines, *bottom]


def _divided(state: State, view: View, told: int, bottom: int) -> tuple[int, int, int]:
    """Return how many lines instances, the chosen one of which so many are `told`, and its log have."""
    free = view.height - 2 - bottom
    more = 0 if view.height < _FOR_GRAPHS else min(told, max(free // 3, _LEAST_ABOUT))
    free -= more
    wanted = max(len(state.shown), 1)
    if view.height < _FOR_LOG:
        return free, more, 0
    rows = min(wanted, max(free // 2, 4))
    return rows, more, free - rows


def _title(state: State, view: View) -> Line:
    if state.trouble is not None:
        since = "" if state.seen is None else f" since {_clock(state.seen, view)}"
        return (Piece(printable(f"not seen{since}: {state.trouble}"), "bold red"),)
    if state.seen is None:
        return (Piece("ocm top", "bold"), Piece("  looking"))
    counts: dict[str, int] = {}
    for one in state.instances:
        counts[one.row.state] = counts.get(one.row.state, 0) + 1
    total = len(state.instances)
    shown = f"{len(state.shown)} of " if state.find else ""
    how = ", ".join(f"{count} {word}" for word, count in sorted(counts.items(), key=lambda one: -one[1]))
    words = f"  {shown}{counted(total, 'instance')}{': ' if how else ''}{how}"
    by, clock = f"  by {state.order.value}", _clock(state.seen, view)
    room = view.width - len("ocm top") - len(words) - len(clock) - 2
    middle = by if len(by) <= room else ""
    return (Piece("ocm top", "bold"), Piece(f"{words}{middle}{' ' * (room + 2 - len(middle))}{clock}"))


def _clock(moment: float, view: View) -> str:
    return f"{datetime.fromtimestamp(moment, view.zone):%H:%M:%S}"


def _table(state: State, view: View, rows: int) -> list[Line]:
    columns = fitting(state, view.width)
    lines: list[Line] = [(Piece(heading(columns), "bold underline"),)]
    shown = state.shown
    if not shown:
        none = "no instances: ocm deploy worker1 makes one"
        words = f"none has {state.find} in its name" if state.find else none
        lines.append(_plain(words if state.seen is not None else ""))
    place = next((index for index, one in enumerate(shown) if one.row.name == state.chosen), 0)
    first = min(max(place - rows // 2, 0), max(len(shown) - rows, 0))
    lines += [
        _row(state, view, cells(state, view, one, columns), one.row.name)
        for one in shown[first : first + rows]
    ]
    lines += [()] * (rows + 1 - len(lines))
    return lines[: rows + 1]


def _row(state: State, view: View, texts: tuple[tuple[str, str], ...], name: str) -> Line:
    if name != state.chosen:
        return tuple(Piece(*text) for text in texts)
    row = "".join(text for text, _style in texts)
    return (Piece(set_cell_size(row, view.width), "reverse"),)


def _scrolled(state: State) -> str:
    return f"  {state.scrolled} lines up, End goes to the last" if state.scrolled else ""


_KEYS = (
    *("s start", "x stop", "r restart", "b backup", "c check", "l log", "/ find", "o order"),
    *("u undo",),
)
_ALWAYS = ("? help", "q leave")
_LOG_KEYS = ("up", "down", "PgUp", "PgDn scroll", "l back")


def _bottom(state: State, view: View) -> list[Line]:
    """Return the last lines: what is asked, or what happened last and the keys."""
    question = _question(state)
    if question is not None:
        rows = textwrap.wrap(printable(question), view.width)[:_MOST_BOTTOM]
        return [(Piece(set_cell_size(row, view.width), "bold reverse"),) for row in rows]
    words = _LOG_KEYS if state.mode is Mode.LOG else _KEYS
    line = ""
    room = view.width - len("  ".join(("", *_ALWAYS)))
    for word in words:
        if len(line) + len(word) + 2 <= room:
            line += f"{word}  "
    keys = _plain(f"{line}{'  '.join(_ALWAYS)}")
    style = "bold" if state.notice else ""
    return [(Piece(printable(state.notice), style),), keys]


def _question(state: State) -> str | None:
    if state.leaving is Leaving.UNDOING:
        return f"Undoing: {going_on(state)}"
    if state.leaving is Leaving.WAITING:
        return f"Leaving after: {going_on(state)}. u undoes it, Esc stays"
    if state.mode is Mode.QUIT:
        return quit_question(state)
    if state.question is not None:
        return f"{state.question.text} [y/N]"
    if state.mode is Mode.FIND:
        return f"find: {state.find}_   Enter keeps it, Esc shows all"
    return None


def _plain(text: str) -> Line:
    return (Piece(text),)


def _fitted(line: Line, width: int) -> Line:
    """Return a line that is not too wide, and in which nothing is that a terminal would obey."""
    fitted: list[Piece] = []
    room = width
    for piece, style in line:
        if room <= 0:
            break
        text = piece if piece.isprintable() else printable(piece).replace("\t", " ")
        rows = chop_cells(text, room) if text else [""]
        fitted.append(Piece(rows[0], style))
        room -= cell_len(rows[0])
    return tuple(fitted)
