"""How much of a long piece of work is done, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MEGABYTE = 1_000_000


def by_bytes(report: Callable[[str], None], total: int) -> Callable[[int], None]:
    """Return a function that is told the bytes of each part, and reports how much of `total` is done."""
    done = told = 0

    def progress(count: int) -> None:
        nonlocal done, told
        done += count
        if done - told >= _MEGABYTE:
            told = done
            report(f"{megabytes(done)} of {megabytes(max(total, done))} MB")

    return progress


def megabytes(size: int) -> int:
    """Return a size in millions of bytes."""
    return round(size / _MEGABYTE)
