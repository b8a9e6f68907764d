"""What is asked of the program that copies an instance's databases (copy_databases.mjs), and what it says."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import msgspec

from openclaw_ocm.core.backup.holes import MAX_REAL
from openclaw_ocm.core.backup.layout import MAX_PLUGINS, Plugin
from openclaw_ocm.core.text import printable

# The file of copies that follow one another.
_SMALL = "small"
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=MAX_REAL)]


class Answer(msgspec.Struct, frozen=True):
    """What became of the copy of the database at `index`: no `problem`, or why there is none.

    `place` is its offset and size where it shares a file with others.
    """

    index: int
    problem: str | None
    place: tuple[_Bytes, _Bytes] | None = None

    @property
    def name(self) -> str:
        """The name of the file that holds the copy."""
        return str(self.index) if self.place is None else _SMALL


class _Told(msgspec.Struct, frozen=True):
    """Plugins as OpenClaw recorded their installation: any values."""

    plugins: list[Any]


def parse_plugins(line: str) -> tuple[Plugin, ...]:
    """Return the plugins that one line tells of, without those of which nothing usable is said."""
    try:
        told = msgspec.json.decode(line, type=_Told).plugins
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return ()
    found = []
    for one in told[:MAX_PLUGINS]:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeEncodeError):
            found.append(msgspec.convert(one, Plugin))
    return tuple(found)


def request(into: str, paths: list[str]) -> bytes:
    """Return what the program reads: the directory that it is to make, and paths below the state."""
    return msgspec.json.encode({"into": into, "paths": [f"./{path}" for path in paths]})


def parse_answer(line: str, count: int) -> Answer | None:
    """Return what one line says about one of `count` databases, None where it says nothing of the kind."""
    try:
        answer = msgspec.json.decode(line, type=Answer)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return None
    if not 0 <= answer.index < count:
        return None
    return msgspec.structs.replace(answer, problem=answer.problem and printable(answer.problem))
