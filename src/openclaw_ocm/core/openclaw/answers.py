"""What a program of OCM's printed in the sandbox of an instance, which can write there as well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_LAST = ["end"]


def parse_answers(lines: Iterable[str]) -> list[Any] | None:
    """Return what was printed, JSON on each line, up to the last, `["end"]`; None where it is not whole."""
    found: list[Any] = []
    for line in lines:
        try:
            words = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if words == _LAST:
            return found
        found.append(words)
    return None
