"""Leases in OpenClaw's database: who died with one keeps its successor waiting until it ends by itself.

As OpenClaw 2026.9.6 has them in `state_leases`: one whose owner lives is renewed, one that is not ends at
`expires_at`. Its gateway waits for that of `core:plugin-lifecycle` in silence, for up to ten minutes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

# It waits no longer (dist/plugin-lifecycle-lease); an instance can write any time.
_LONGEST_SECONDS = 600.0
_MOST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One lease: what it is of, when it ends, when its owner renewed it last; seconds since the epoch."""

    scope: str
    until: float
    renewed: float


def parse_leases(lines: Iterable[str]) -> tuple[Lease, ...]:
    """Return the leases in what read_leases.mjs printed, which an instance may have had it print."""
    found = []
    for line in list(lines)[:_MOST]:
        try:
            scope, until, renewed = json.loads(line)
            times = float(until) / 1000, float(renewed) / 1000
            found.append(Lease(scope=printable(str(scope))[:80], until=times[0], renewed=times[1]))
        except (ValueError, TypeError, RecursionError, OverflowError):
            continue
    return tuple(found)


def left_behind(leases: Iterable[Lease], *, since: float | None, now: float) -> Lease | None:
    """Return the lease of a gateway that is gone which ends last, None where there is none that counts.

    `since` is when the gateway of now began: what was renewed after that belongs to somebody who lives.
    """
    if since is None:
        return None
    dead = [one for one in leases if one.renewed < since and now < one.until < now + _LONGEST_SECONDS]
    return max(dead, key=lambda one: one.until, default=None)


def in_words(lease: Lease, zone: tzinfo) -> str:
    """Return in words for what a gateway waits, and until when."""
    from datetime import datetime

    until = datetime.fromtimestamp(lease.until, tz=zone).strftime("%H:%M:%S")
    return f"waits for a lease ({lease.scope}) that its killed predecessor holds until {until}"
