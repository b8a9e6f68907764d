"""What is not to be advised once an instance that could not be made is gone again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Commands that are for an instance that is not there, or still make one.
_MAKES = ("create", "deploy", "clone", "restore", "setup")
_KEEPS = ("deploy", "clone")
# As OpenClaw 2026.9.6 ends what it says: `...; run "openclaw --profile t1 doctor --fix" to ...`.
_ITS_OWN = re.compile(
    r"[\s.;,:>*-]*(?:\b(?:then|and)\b\s*)?(?:\b(?:re)?run\b|\bfix\b|\brepair\b|\btry\b)?[:\s]*"
    r"[\"'`\u201c]*openclaw\b[^\"'`\n]*\bdoctor\b.*",
    re.IGNORECASE,
)


def hint_for_gone(hint: str | None, name: str, operation: str) -> str | None:
    """Return a hint as it fits where `operation` failed and the instance `name` is gone again."""
    needs_it = rf"\bocm (?!(?:{'|'.join(_MAKES)})\b)[a-z-]+(?: [a-z-]+)? {re.escape(name)}(?![\w-])"
    if hint is None or not re.search(needs_it, hint):
        return hint
    if operation in _KEEPS:
        return f"ocm {operation} with --keep leaves it to be looked at"
    return "nothing of it is left; ocm history tells what was begun"


def words_for_gone(lines: Iterable[str]) -> Iterator[str]:
    """Yield last words without OpenClaw's advice to have it mend a state that is gone."""
    for line in lines:
        left = _ITS_OWN.sub("", line)
        if left.strip():
            yield left
