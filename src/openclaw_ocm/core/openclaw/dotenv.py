"""Files of variables as main has them: a `.env` as OpenClaw reads it, and what a systemd unit sets."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# The expression of the npm package dotenv, by which OpenClaw 2026.9.6 reads `.env`.
_LINE = re.compile(
    r"^[ \t]*(?:export[ \t]+)?([\w.-]+)(?:[ \t]*=[ \t]*|:[ \t]+)"
    r"('(?:\\'|[^'])*'|\"(?:\\\"|[^\"])*\"|`(?:\\`|[^`])*`|[^#\r\n]*)",
    re.MULTILINE,
)
_QUOTES = "'\"`"


def parse_dotenv(text: str) -> dict[str, str]:
    """Return the variables of a `.env`; what is no assignment is passed over, as OpenClaw does."""
    found = {}
    for match in _LINE.finditer(text.replace("\r\n", "\n")):
        value = match[2].strip()
        quote = value[:1] if value[:1] in _QUOTES and value[-1:] == value[:1] and len(value) > 1 else ""
        value = value[1:-1] if quote else value
        if quote == '"':
            value = value.replace("\\n", "\n").replace("\\r", "\r")
        found[match[1]] = value
    return found


def parse_unit(texts: Iterable[str], home: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables that a unit and its drop-ins set, and the files from which they read more.

    Of specifiers only %h is understood, which is what OpenClaw's own unit could hold (systemd.exec(5)).
    """
    variables: dict[str, str] = {}
    files: list[str] = []
    lines = (line.strip() for text in texts for line in text.replace("\\\n", " ").splitlines())
    for line in lines:
        key, _, value = line.partition("=")
        value = value.replace("%h", home).replace("%%", "%")
        if key == "Environment":
            variables = variables if value else {}
            for word in _words(value):
                name, separator, content = word.partition("=")
                if separator:
                    variables[name] = content
        elif key == "EnvironmentFile":
            files = [*files, value.removeprefix("-")] if value else []
    return variables, tuple(file for file in files if file.startswith("/"))


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return []
