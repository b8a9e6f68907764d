"""A `.env` as OpenClaw reads it."""

from __future__ import annotations

import re

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


def with_missing(text: str, former: str) -> str:
    """Return a `.env` with those lines of a former one that set what it does not."""
    has = parse_dotenv(text).keys()
    lines = [
        match[0].strip() for match in _LINE.finditer(former.replace("\r\n", "\n")) if match[1] not in has
    ]
    if not lines:
        return text
    return text + ("" if text.endswith("\n") or not text else "\n") + "\n".join(lines) + "\n"
