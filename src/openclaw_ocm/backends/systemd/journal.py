"""What `journalctl --output=json` prints, as entries: an instance decides what its gateway logs."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from openclaw_ocm.backends.systemd.places import UPLINK
from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.text import printable


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
    return Entry(
        time=stamp.isoformat(timespec="milliseconds"),
        source=_source(fields),
        message=printable(message),
    )


def _source(fields: dict[str, object]) -> str:
    """Return who said it; what the journal itself notes begins with an underscore, and nobody else may."""
    if fields.get("SYSLOG_IDENTIFIER") == "systemd":
        return "systemd"
    return "uplink" if str(fields.get("_SYSTEMD_USER_UNIT")).startswith(UPLINK) else "gateway"
