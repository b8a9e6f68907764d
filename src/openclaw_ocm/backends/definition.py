"""The definition: the text by which a backend knows an instance's gateway, sealed against edits by hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_HEADER = "# Made by ocm, which starts no definition that was edited. sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """Where a backend looks for the definition of an instance, and the text that the record asks for."""

    path: PurePosixPath
    text: str


def signed(body: str) -> str:
    """Return `body` below a line that tells whether it is still as OCM wrote it."""
    return f"{_HEADER}{_digest(body)}\n{body}"


def is_made_by_ocm(text: str) -> bool:
    """Tell whether a definition came from OCM, edited or not."""
    return text.startswith(_HEADER)


def is_edited(text: str) -> bool:
    """Tell whether a definition is no longer as OCM, in this version or an older one, wrote it."""
    first, _, body = text.partition("\n")
    return first != _HEADER + _digest(body)


def fingerprint(data: bytes) -> str:
    """Return what tells a definition as it was taken up from another."""
    return hashlib.sha256(data).hexdigest()


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
