"""The table of instances: which columns fit, and what stands in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.cli.render.table import COLOURS, duration
from openclaw_ocm.cli.screen.state import Verb
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.cli.screen.paint import View
    from openclaw_ocm.cli.screen.state import Seen, State

NOTHING, UNKNOWN = "-", "?"
_LONGEST_NAME = 24
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KIB = 1024
Cell = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: as wide as `width`, its numbers to the right where `right`."""

    title: str
    width: int
    cell: Callable[[State, View, Seen], Cell]
    right: bool = False


def fitting(state: State, width: int) -> tuple[Column, ...]:
    """Return the columns that have room, in the order in which they stand."""
    name = min(max((len(one.row.name) for one in state.instances), default=4), _LONGEST_NAME)
    first = Column(title="NAME", width=max(name, 4), cell=_name)
    chosen = {first.title}
    room = width - first.width
    for column in _BY_WEIGHT:
        if column.width + 1 <= room:
            chosen.add(column.title)
            room -= column.width + 1
    columns = (first, *(column for column in _COLUMNS if column.title in chosen))
    if room > _LEAST_NOTE:
        columns = (*columns, Column(title="NOTE", width=room - 1, cell=_note))
    return columns


def heading(columns: tuple[Column, ...]) -> str:
    """Return the line above the instances."""
    return " ".join(_aligned(column.title, column) for column in columns)


def cells(state: State, view: View, seen: Seen, columns: tuple[Column, ...]) -> tuple[Cell, ...]:
    """Return what stands in the row of an instance, with the gaps, each with its style."""
    found: list[Cell] = []
    for index, column in enumerate(columns):
        text, style = column.cell(state, view, seen)
        found.append((_aligned(text, column), style))
        if index + 1 < len(columns):
            found.append((" ", ""))
    return tuple(found)


def memory_in_words(size: float | None) -> str:
    """Return how much memory that is, in MB and GB of 1024 each, as `ocm status` has it."""
    if size is None:
        return UNKNOWN
    megabytes = size / _KIB**2
    return f"{megabytes / _KIB:.1f} GB" if megabytes >= _KIB else f"{megabytes:.0f} MB"


def share_in_words(share: float | None) -> str:
    """Return a share of a core in words."""
    if share is None:
        return UNKNOWN
    return f"{share * 100:.1f}%" if share < 0.0995 else f"{share * 100:.0f}%"  # noqa: PLR2004 - ten percent


def ago(seconds: float) -> str:
    """Return how long ago something was, in its largest unit."""
    whole = max(int(seconds), 0)
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def _aligned(text: str, column: Column) -> str:
    text = text[: column.width]
    return text.rjust(column.width) if column.right else text.ljust(column.width)


def _name(_state: State, _view: View, seen: Seen) -> Cell:
    name = seen.row.name
    return (name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 2]}.."), ""


def _state(state: State, _view: View, seen: Seen) -> Cell:
    doing = state.doing.get(seen.row.name)
    if doing is not None:
        return f"{'stop' if doing.verb is Verb.STOP_NOW else doing.verb.value}..", "yellow"
    if state.trouble is not None:
        return UNKNOWN, ""
    colour = "red" if seen.row.problem is not None else COLOURS.get(seen.row.state, "")
    return seen.row.state, colour


def _isolation(_state: State, _view: View, seen: Seen) -> Cell:
    isolation = seen.row.isolation
    return isolation or UNKNOWN, "yellow" if isolation == "unsealed" else ""


def _memory(state: State, _view: View, seen: Seen) -> Cell:
    if seen.row.pid is None and seen.row.problem is None:
        return NOTHING, ""
    point = seen.history.now
    return memory_in_words(None if point is None or state.trouble else point.memory_bytes), ""


def _cpu(state: State, _view: View, seen: Seen) -> Cell:
    if seen.row.pid is None and seen.row.problem is None:
        return NOTHING, ""
    point = seen.history.now
    return share_in_words(None if point is None or state.trouble else point.share), ""


def _message(state: State, view: View, seen: Seen) -> Cell:
    detail = state.details.get(seen.row.name)
    if detail is None or detail.message is None:
        return UNKNOWN, ""
    at = detail.message.at
    return NOTHING if at is None else ago(view.now - at), ""


def _backup(_state: State, view: View, seen: Seen) -> Cell:
    age = NOTHING if seen.backup is None else ago(view.now - seen.backup)
    return (f"!{age}", "red") if seen.row.backup is not None else (age, "")


def _version(_state: State, _view: View, seen: Seen) -> Cell:
    version = seen.row.version or UNKNOWN
    return f"{version}{'*' if seen.row.outdated else ''}", ""


def _uptime(_state: State, _view: View, seen: Seen) -> Cell:
    return duration(seen.row.uptime_seconds), ""


def _port(_state: State, _view: View, seen: Seen) -> Cell:
    return str(seen.row.port or UNKNOWN), ""


def _network(_state: State, _view: View, seen: Seen) -> Cell:
    return seen.row.network or UNKNOWN, ""


def _note(state: State, _view: View, seen: Seen) -> Cell:
    return note(state, seen), ""


def note(state: State, seen: Seen) -> str:
    """Return what is to be said of an instance: what goes on, or what is wrong with it."""
    row, doing = seen.row, state.doing.get(seen.row.name)
    if doing is not None and doing.words:
        return printable(doing.words)
    return printable("; ".join(filter(None, (row.reason, row.backup, row.upgrade))))


_LEAST_NOTE = 16
_COLUMNS = (
    Column(title="STATE", width=9, cell=_state),
    Column(title="ISOLATION", width=9, cell=_isolation),
    Column(title="MEMORY", width=7, cell=_memory, right=True),
    Column(title="CPU", width=5, cell=_cpu, right=True),
    Column(title="MESSAGE", width=7, cell=_message, right=True),
    Column(title="BACKUP", width=6, cell=_backup, right=True),
    Column(title="VERSION", width=10, cell=_version),
    Column(title="UPTIME", width=7, cell=_uptime, right=True),
    Column(title="PORT", width=5, cell=_port, right=True),
    Column(title="NETWORK", width=7, cell=_network),
)
_WEIGHTS = (
    *("STATE", "MEMORY", "CPU", "ISOLATION", "BACKUP", "VERSION", "MESSAGE", "UPTIME", "PORT", "NETWORK"),
)
_BY_WEIGHT = tuple(sorted(_COLUMNS, key=lambda column: _WEIGHTS.index(column.title)))
