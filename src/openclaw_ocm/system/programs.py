"""Reads the programs that OCM has others run: each a file of its own language in the package."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

import openclaw_ocm

DIRECTORY = Path(openclaw_ocm.__file__).with_name("programs")


@functools.cache
def text(name: str) -> str:
    """Return the text of a program, `init.pl` for instance."""
    return (DIRECTORY / name).read_text(encoding="utf-8")


@functools.cache
def archive(name: str) -> bytes:
    """Return a package of `programs` as one file that Python runs (zipapp); the same each time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        for path in sorted((DIRECTORY / name).glob("*.py")):
            inside = path.name if path.name == "__main__.py" else f"{name}/{path.name}"
            packed.writestr(zipfile.ZipInfo(inside), path.read_bytes())
    return made.getvalue()
