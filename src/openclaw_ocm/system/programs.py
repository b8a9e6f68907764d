"""Reads the programs that OCM has others run: each a file of its own language in the package."""

from __future__ import annotations

import functools
from pathlib import Path

import openclaw_ocm

DIRECTORY = Path(openclaw_ocm.__file__).with_name("programs")


@functools.cache
def text(name: str) -> str:
    """Return the text of a program, `init.pl` for instance."""
    return (DIRECTORY / name).read_text(encoding="utf-8")
