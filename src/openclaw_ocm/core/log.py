"""What a log is made of, whoever keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a log: `time` in ISO 8601, UTC; `source` is the gateway, its uplink or the backend."""

    time: str
    source: str
    message: str
