"""What a user may write to have files left out of backups."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PATTERNS = 50
_PATTERN = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")


def parse_pattern(text: str) -> str:
    """Return a pattern of `--exclude` as it is kept, or raise `Invalid`.

    Without a slash it is a name at any depth, with one it is a path below the state; `*`, `?` and `[...]`
    stand for what they do in a shell.
    """
    pattern = text.removeprefix("./").rstrip("/")
    if not _PATTERN.fullmatch(pattern) or ".." in pattern.split("/"):
        message = f"{text!r} is no pattern of what is left out"
        hint = "write a name such as '*.img', or a path below the state such as workspace/videos"
        raise Invalid(message, hint=hint, code="pattern_invalid")
    return pattern


def parse_patterns(texts: Iterable[str]) -> tuple[str, ...]:
    """Return patterns, each once, or raise `Invalid`."""
    found = tuple(dict.fromkeys(map(parse_pattern, texts)))
    if len(found) > MAX_PATTERNS:
        message = f"there are {len(found)} patterns of what is left out, and {MAX_PATTERNS} at the most"
        raise Invalid(message, hint="'*.img' stands for many files", code="pattern_invalid")
    return found
