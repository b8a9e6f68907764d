"""Memory and CPU of an instance over the last minutes, and a graph of them in a line of text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# How far back it goes.
SPAN_SECONDS = 600.0
# For how long what was seen last stands for what came after it.
_HOLDS_SECONDS = 45.0
# Less than this between two looks is too short to tell a share of.
_LEAST_SECONDS = 0.5
_BLOCKS, _PLAIN = "▁▂▃▄▅▆▇█", "_.-:=+*#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a process used up to the moment `at`, in seconds of a clock that only goes forward.

    `cpu_seconds` are those since it began, `process` tells it from the one before. What is not known is None.
    """

    at: float
    process: float | None
    memory_bytes: int | None
    cpu_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """How much memory was taken at a moment, and what share of a core since the one before."""

    at: float
    memory_bytes: int | None
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The points of the last minutes, oldest first, and the use that the next is told from."""

    points: tuple[Point, ...] = ()
    last: Use | None = None

    @property
    def now(self) -> Point | None:
        """The newest point."""
        return self.points[-1] if self.points else None

    def with_use(self, use: Use) -> History:
        """Return it with one point more, and without those that are too old."""
        share = share_between(self.last, use)
        if share is None and self.last is not None and use.at - self.last.at < _LEAST_SECONDS and self.points:
            return self
        point = Point(at=use.at, memory_bytes=use.memory_bytes, share=share)
        kept = tuple(one for one in self.points if one.at > use.at - SPAN_SECONDS)
        return History(points=(*kept, point), last=use)


def share_between(before: Use | None, now: Use) -> float | None:
    """Return what share of a core a process took between two moments, None where that cannot be told."""
    if before is None or now.process is None or before.process != now.process:
        return None
    if before.cpu_seconds is None or now.cpu_seconds is None or now.at - before.at < _LEAST_SECONDS:
        return None
    # What a part of it used that ended meanwhile may be missing where the kernel is asked for each process.
    return max(now.cpu_seconds - before.cpu_seconds, 0.0) / (now.at - before.at)


def graph(  # noqa: PLR0913 - what is drawn, and how
    points: Sequence[Point],
    value: Callable[[Point], float | None],
    *,
    now: float,
    width: int,
    least_top: float,
    plain: bool,
) -> str:
    """Return a line of `width` bars: the last minutes up to `now`; a blank where nothing is known.

    The highest bar is the highest value, or `least_top` where all are lower. `plain` is for a terminal that
    knows ASCII alone.
    """
    levels = _PLAIN if plain else _BLOCKS
    values = _in_columns(points, value, now, width)
    top = max([least_top, *(one for one in values if one is not None)])
    return "".join(" " if one is None else levels[_level(one / top, len(levels))] for one in values)


def _level(part: float, levels: int) -> int:
    return min(int(part * levels), levels - 1)


def _in_columns(
    points: Sequence[Point], value: Callable[[Point], float | None], now: float, width: int
) -> list[float | None]:
    """Return for each column the highest value in it, or the one that holds from before."""
    step = SPAN_SECONDS / max(width, 1)
    found: list[float | None] = []
    held, index = None, 0
    for column in range(width):
        end = now - (width - 1 - column) * step
        within: list[float] = []
        while index < len(points) and points[index].at <= end:
            held = points[index]
            seen = value(held)
            within += [] if seen is None else [seen]
            index += 1
        if within:
            found.append(max(within))
        else:
            holds = held is not None and end - held.at <= _HOLDS_SECONDS
            found.append(value(held) if holds and held is not None else None)
    return found
