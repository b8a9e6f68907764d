"""Reads the programs that OCM has others run: each a file of its own language in the package."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import openclaw_ocm

if TYPE_CHECKING:
    from collections.abc import Mapping

DIRECTORY = Path(openclaw_ocm.__file__).with_name("programs")


@functools.cache
def text(name: str) -> str:
    """Return the text of a program, `init.pl` for instance."""
    return (DIRECTORY / name).read_text(encoding="utf-8")


def archive(name: str, beside: Mapping[str, bytes]) -> bytes:
    """Return a package of `programs` as one file that Python runs (zipapp), with other files `beside` it.

    The same content makes the same bytes.
    """
    modules = {f"{name}/{path.name}": path.read_bytes() for path in sorted((DIRECTORY / name).glob("*.py"))}
    start = f"import sys\nfrom {name}.main import main\nmain(sys.argv[0], sys.argv[1:])\n"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        for path, content in {"__main__.py": start.encode(), **modules, **beside}.items():
            packed.writestr(zipfile.ZipInfo(path), content)
    return made.getvalue()
