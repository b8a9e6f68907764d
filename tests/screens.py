"""The screen of `ocm top` with made-up instances, and the picture of it in the README.

Run it to draw that anew: script/docs does.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openclaw_ocm.cli.screen.app import Terminal, Top
from openclaw_ocm.cli.screen.state import Log
from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.metrics.sizes import Size
from openclaw_ocm.core.openclaw.last_message import LastMessage
from openclaw_ocm.core.top.history import History, Point, Use
from openclaw_ocm.operations.status import Row
from openclaw_ocm.operations.top import Detail, Watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.system.workers import Event

PICTURE = Path(__file__).parents[1] / "docs" / "top.svg"
SIZE = (80, 24)
_HOUR = 3600.0
# What a graph is made of, and the time of day: of one picture no two are alike.
_CHANGING = re.compile(r"[▁▂▃▄▅▆▇█]+|\d\d:\d\d:\d\d")


def row(name: str, **more: Any) -> Row:  # noqa: ANN401 - those of `Row`
    """Return an instance as `list` knows it."""
    usual = {
        "state": "ready",
        "reason": None,
        "port": 19001,
        "version": "2026.9.6",
        "autostart": True,
        "backend": "systemd",
        "isolation": "sealed",
        "network": "own",
        "pid": 4711,
        "restarts": 0,
        "uptime_seconds": 3 * _HOUR,
    }
    return Row(name=name, **{**usual, **more})


def stopped(name: str, **more: Any) -> Row:  # noqa: ANN401 - those of `Row`
    """Return an instance that does not run."""
    return row(name, **{"state": "stopped", "pid": None, "uptime_seconds": None, "autostart": False, **more})


SHOWN = (
    (row("family"), 702, 0.04, 3),
    (row("mail", port=19021, outdated=True, newest="2026.9.7", version="2026.9.5"), 688, 0.007, 3),
    (row("research", port=19041, uptime_seconds=26 * _HOUR), 1310, 0.62, 3),
    (
        row("shop", port=19061, state="starting", reason="not listening yet", uptime_seconds=9.0),
        214,
        0.97,
        27,
    ),
    (
        row(
            "support",
            port=19081,
            state="failed",
            pid=None,
            uptime_seconds=None,
            reason="exit 78: OpenClaw refuses its config or its state",
            backup="the last backup failed: No space left on device",
        ),
        None,
        None,
        51,
    ),
    (stopped("writer", port=19101), None, None, 30 * 24),
)
LOG = (
    "[gateway] agent main: session telegram:4711 began",
    "[agents] tool web_search: 3 results in 0.8 s",
    "[agents] tool exec: python3 summarise.py (in a box)",
    "[telegram] sent 1 message of 812 characters",
    "[heartbeat] main: nothing to do",
)


@dataclass(kw_only=True)
class MadeUp:
    """What is seen of instances that are not there: rows, and what each uses."""

    shown: Sequence[tuple[Row, int | None, float | None, int]] = SHOWN
    moment: float = field(default_factory=time.time)
    clock: float = field(default_factory=time.monotonic)

    def look(self, _chosen: str | None, _turn: int) -> tuple[Watched, ...]:
        """Return all of them."""
        return tuple(
            Watched(
                row=its,
                use=Use(
                    at=self.clock,
                    process=its.pid,
                    memory_bytes=None if megabytes is None else megabytes * 2**20,
                    cpu_seconds=None,
                ),
                backup=self.moment - hours * _HOUR - 60,
            )
            for its, megabytes, _share, hours in self.shown
        )

    def history(self, megabytes: int | None, share: float | None) -> History:
        """Return some minutes of what one used."""
        points = tuple(
            Point(
                at=self.clock - 600 + 5 * number,
                memory_bytes=None if megabytes is None else round(megabytes * 2**20 * _wave(number, 0.2)),
                share=None if share is None else share * _wave(number, 0.9),
            )
            for number in range(1, 121)
        )
        return History(points=points, last=None)

    def log(self, name: str, _lines: int) -> Log:
        """Return what one logged."""
        stamp = datetime.fromtimestamp(self.moment, timezone.utc).isoformat(timespec="milliseconds")
        return Log(name=name, entries=tuple(Entry(time=stamp, source="gateway", message=one) for one in LOG))

    def detail(self, _name: str, _before: Detail | None, *, ready: bool) -> Detail:
        """Return what is dear to ask."""
        message = LastMessage(at=self.moment - 780) if ready else None
        size = Size(measured=self.moment, took=0.1, bytes=1_240_000_000)
        return Detail(asked=self.moment, message=message, size=size)


def _wave(number: int, height: float) -> float:
    return 1 - height * (0.5 + 0.5 * math.sin(number / 9) * math.cos(number / 23)) * (number < 118)


class NoWork:
    """Begins nothing."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        """Return what is never to be read."""
        return self._reader

    def begin(self, item: str) -> None:
        """Do nothing."""

    def interrupt(self, item: str | None = None) -> None:
        """Do nothing."""

    def told(self) -> list[Event]:
        """Return nothing."""
        return []


def draw(made_up: MadeUp, size: tuple[int, int], *keys: str) -> str:
    """Return a picture of the screen after some keys, in SVG."""
    terminal = Terminal(colours=True, plain=False, every=3600, zone=timezone.utc)
    app = Top(made_up, NoWork(), terminal)  # type: ignore[arg-type]

    async def run() -> str:
        async with app.run_test(size=size) as pilot:
            while app.shown.seen is None:
                await pilot.pause(0.01)
            await pilot.press(*keys)
            while app.shown.log is None:
                await pilot.pause(0.01)
            await pilot.press("space")
            while app.shown.chosen not in app.shown.details:
                await pilot.pause(0.01)
            _with_histories(app, made_up)
            await pilot.pause(0.1)
            return app.export_screenshot(title="ocm top")

    return asyncio.run(run())


def _with_histories(app: Top, made_up: MadeUp) -> None:
    from dataclasses import replace

    known = {its.name: (megabytes, share) for its, megabytes, share, _hours in made_up.shown}
    seen = tuple(replace(one, history=made_up.history(*known[one.row.name])) for one in app.shown.instances)
    app._become(replace(app.shown, instances=seen))


def words(picture: str) -> list[str]:
    """Return what can be read in a picture, without what is never alike."""
    found = (
        unescape(text).replace("\xa0", " ") for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    )
    return [one for one in (_CHANGING.sub("", text).strip() for text in found) if one]


if __name__ == "__main__":
    drawn = draw(MadeUp(), SIZE, "down", "down")
    if not PICTURE.exists() or words(PICTURE.read_text()) != words(drawn):
        PICTURE.write_text(drawn)
