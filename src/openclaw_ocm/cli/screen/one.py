"""The chosen instance: its graphs, what is known of it, what goes on with it, and its log."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from rich.cells import chop_cells, set_cell_size

from openclaw_ocm.cli.render.table import amount, duration
from openclaw_ocm.cli.screen.columns import ago, memory_in_words, note, share_in_words
from openclaw_ocm.core.text import printable
from openclaw_ocm.core.top.history import SPAN_SECONDS, graph

if TYPE_CHECKING:
    from openclaw_ocm.cli.screen.columns import Cell
    from openclaw_ocm.cli.screen.paint import View
    from openclaw_ocm.cli.screen.state import Seen, State
    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.core.top.history import Point

_LABEL, _VALUE = 8, 10
# As OpenClaw 2026.9.6 begins a line of its log.
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d) ", re.ASCII)
_WIDEST_GRAPH = 120
# The least that the highest bar stands for: else an idle gateway would look busy.
_TOP_SHARE, _TOP_BYTES = 0.5, 256 * 2**20
_MOST_SAID = 12
_PASSING = ("starting", "draining", "ready")


def about(state: State, view: View) -> list[tuple[Cell, ...]]:
    """Return the lines on the chosen instance, the most important first."""
    seen = state.at
    if seen is None:
        return []
    row = seen.row
    head = f"{row.name}  {row.state}" + (f", {row.isolation}" if row.isolation else "")
    lines: list[tuple[Cell, ...]] = [((head, "bold"),)]
    lines += [((f"  {line}", style),) for line, style in _said(state, view, seen)]
    lines += [
        _graph(seen, view, "memory"),
        _graph(seen, view, "cpu"),
        *(((f"  {words}", ""),) for words in _facts(state, view, seen)),
    ]
    return lines


def _said(state: State, view: View, seen: Seen) -> list[Cell]:
    """Return what goes on or came of what was done, and what is wrong."""
    name = seen.row.name
    found: list[Cell] = []
    doing, told = state.doing.get(name), state.told.get(name)
    if doing is not None:
        phase = f": {printable(doing.words)}" if doing.words else ""
        found.append((f"{doing.verb.value}{phase}, {duration(view.clock - doing.began)}", "yellow"))
    elif told is not None:
        colour = "green" if told.ok else "red"
        after = f"{told.verb.value}, {duration(told.seconds)}"
        first, *others = told.lines or ("done",)
        found.append((printable(f"{after}: {first}"), colour))
        found += [(printable(line), "") for line in others[:_MOST_SAID]]
    wrong = note(state, seen) if doing is None else ""
    if wrong:
        found.append((wrong, "yellow" if seen.row.state in _PASSING else "red"))
    width = max(view.width - 2, 1)
    return [(part, style) for text, style in found for part in chop_cells(text, width)]


def _graph(seen: Seen, view: View, what: str) -> tuple[Cell, ...]:
    width = min(max(view.width - _LABEL - _VALUE - 4, 1), _WIDEST_GRAPH)
    points, now = seen.history.points, seen.history.now
    memory = what == "memory"
    value = _memory if memory else _share
    bars = graph(
        points,
        value,
        now=view.clock,
        width=width,
        least_top=_TOP_BYTES if memory else _TOP_SHARE,
        plain=view.plain,
    )
    last = None if now is None else value(now)
    words = memory_in_words(last) if memory else share_in_words(last)
    if seen.row.pid is None:
        words = "-"
    return (f"  {what.ljust(_LABEL)}", ""), (bars, "cyan"), (f" {words.rjust(_VALUE)}", "")


def _memory(point: Point) -> float | None:
    return point.memory_bytes


def _share(point: Point) -> float | None:
    return point.share


def _facts(state: State, view: View, seen: Seen) -> list[str]:
    row, detail = seen.row, state.details.get(seen.row.name)
    message = "not known"
    if detail is not None and detail.message is not None:
        at = detail.message.at
        message = "none" if at is None else f"{ago(view.now - at)} ago"
    taken = None if detail is None or detail.size is None else detail.size.bytes
    size = "not known" if taken is None else amount(taken)
    backup = "none known" if seen.backup is None else f"{ago(view.now - seen.backup)} ago"
    known = (
        f"last message {message}",
        f"last backup {backup}",
        f"state {size}",
        f"port {row.port or 'not known'}",
        f"network {row.network or 'not known'}",
        f"up {duration(row.uptime_seconds)}",
        f"restarts {row.restarts}",
        *((f"backend {row.backend}",) if row.backend else ()),
        *((f"newest {row.newest}",) if row.outdated else ()),
        f"the graphs are of {SPAN_SECONDS / 60:.0f} minutes",
    )
    lines, line = [], ""
    for words in known:
        longer = f"{line}; {words}" if line else words
        if len(longer) > view.width - 2 and line:
            lines.append(line)
            longer = words
        line = longer
    return [*lines, line]


def log_rows(state: State, view: View, height: int, *, wrapped: bool) -> list[str]:
    """Return the last lines of the log of the chosen instance; `wrapped` ones are whole."""
    log = state.log
    if state.chosen is None or height <= 0:
        return []
    if log is None:
        return ["reading"]
    if log.problem is not None:
        return list(chop_cells(printable(log.problem), view.width))[:height]
    entries = log.entries[: max(len(log.entries) - state.scrolled, 0)] if wrapped else log.entries
    rows: list[str] = []
    for entry in reversed(entries):
        rows = [*_rows_of(entry, view, wrapped=wrapped), *rows]
        if len(rows) >= height:
            return rows[-height:]
    # Who went up to the first line sees what came after it.
    for entry in log.entries[len(entries) :]:
        rows += _rows_of(entry, view, wrapped=wrapped)
        if len(rows) >= height:
            break
    return rows[:height] if rows else ["nothing logged"]


def _rows_of(entry: Entry, view: View, *, wrapped: bool) -> list[str]:
    text = line_of(entry, view)
    if wrapped and text:
        return list(chop_cells(text, view.width))
    return [set_cell_size(text, view.width).rstrip()]


def line_of(entry: Entry, view: View) -> str:
    """Return a line of a log with a short time, and nothing in it that a terminal would obey."""
    text = entry.message
    if entry.source != "gateway":
        text = f"{_clock(entry.time, view)} [{entry.source}] {entry.message}"
    elif stamp := _STAMP.match(text):
        # What it says of the time takes a third of a narrow screen.
        text = f"{_clock(stamp[1], view)} {text[stamp.end() :]}"
    return printable(text).replace("\t", "    ")


def _clock(stamp: str, view: View) -> str:
    try:
        return f"{datetime.fromisoformat(stamp).astimezone(view.zone):%H:%M:%S}"
    except (ValueError, OverflowError):
        # An instance writes what it likes, such as the first day of all in a zone where it is not yet.
        return stamp
