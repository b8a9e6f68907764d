"""The definition: the text by which a backend knows an instance's gateway, sealed against edits by hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

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


class Standing(Enum):
    """How what is in the place of a definition stands to the one that is asked for."""

    CURRENT = auto()
    MISSING = auto()
    EDITED = auto()
    OLD = auto()


class Comparison(NamedTuple):
    """The verdict on what is in the place of a definition, and its text, None where there is nothing."""

    standing: Standing
    text: str | None


def compare(wanted: Definition, data: bytes | None) -> Comparison:
    """Compare the definition that is asked for with the content of its file, None where there is none.

    One that is neither the same nor edited by hand is older than the record, or of another OCM.
    """
    if data is None:
        return Comparison(Standing.MISSING, None)
    text = data.decode(errors="replace")
    if text == wanted.text:
        return Comparison(Standing.CURRENT, text)
    return Comparison(Standing.EDITED if is_edited(text) else Standing.OLD, text)


def fingerprint(data: bytes) -> str:
    """Return what tells a definition as it was taken up from another."""
    return hashlib.sha256(data).hexdigest()


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
