"""The text of the host's settings, which is a person's: only what OCM writes of it is changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLE = re.compile(
    r"^[ \t]*\[[ \t]*environment[ \t]*\][^\n]*\n?(?:(?![ \t]*\[)[^\n]*(?:\n|\Z))*", re.MULTILINE
)


def with_environment(text: str, variables: Mapping[str, str]) -> str:
    """Return the text with these variables in its table `[environment]`, which is at its end then.

    Whoever writes it looks whether it says what it is to say: a text within quotes may look like a table.
    """
    rest = _TABLE.sub("", text).rstrip("\n")
    if not variables:
        return f"{rest}\n" if rest else ""
    lines = "".join(f"{name} = {_quoted(value)}\n" for name, value in variables.items())
    return f"{rest}\n\n[environment]\n{lines}" if rest else f"[environment]\n{lines}"


def _quoted(value: str) -> str:
    """Return a text without control characters as a basic string of TOML."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
