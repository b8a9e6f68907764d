"""Journal entries as text that is safe to print: an instance decides what its gateway logs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_MAX_LINE = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a log: `time` in ISO 8601, UTC; `source` is the gateway or the backend."""

    time: str
    source: str
    message: str


def parse_entry(line: bytes) -> Entry | None:
    """Return one line of `journalctl --output=json` as an entry, None where it is none."""
    try:
        fields = json.loads(line)
        stamp = datetime.fromtimestamp(int(fields["__REALTIME_TIMESTAMP"]) / 1e6, tz=timezone.utc)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError):
        return None
    message = fields.get("MESSAGE")
    if isinstance(message, list):
        # journald gives what is no UTF-8 text as an array of bytes.
        message = bytes(byte for byte in message if isinstance(byte, int) and 0 <= byte < 256).decode(  # noqa: PLR2004
            errors="replace"
        )
    if not isinstance(message, str):
        return None
    backend = fields.get("SYSLOG_IDENTIFIER") == "systemd"
    return Entry(
        time=stamp.isoformat(timespec="milliseconds"),
        source="systemd" if backend else "gateway",
        message=printable(message),
    )


def printable(text: str) -> str:
    """Return `text` on one line without what a terminal would obey."""
    plain = _ANSI.sub("", text[:_MAX_LINE])
    return "".join(c if c.isprintable() or c == "\t" else " " for c in plain).rstrip()
