"""Text for a person: safe to print whoever wrote it, amounts and moments in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_MAX_LINE = 4000


def printable(text: str, *, limit: int = _MAX_LINE) -> str:
    """Return the first `limit` characters of `text` on one line, without what a terminal would obey."""
    plain = _ANSI.sub("", text[:limit])
    return "".join(c if c.isprintable() or c == "\t" else " " for c in plain).rstrip()


def some_of(words: Sequence[str], most: int) -> str:
    """Return the first of many words, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def counted(count: int, word: str) -> str:
    """Return how many there are of what `word` names, whose plural has an s."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def moment_in_words(seconds: float, zone: tzinfo) -> str:
    """Return a moment, in seconds since the epoch, as a clock in `zone` shows it, with the name of that."""
    from datetime import datetime

    return f"{datetime.fromtimestamp(seconds, zone):%Y-%m-%d %H:%M %Z}"
