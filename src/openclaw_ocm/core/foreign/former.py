"""Where a state lay, of which only what is in it is known: its own databases name that place."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.backup.layout import MAX_PATH, path_problem
from openclaw_ocm.core.openclaw.document import lookup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What OpenClaw 2026.9.6 has by its full path: in `config_health_entries`, `cron_jobs` and its list of agents.
_ENDS = re.compile(
    rb"/(?:openclaw\.json|cron/jobs\.json|agents/[A-Za-z0-9_-]{1,64}/agent/openclaw-agent\.sqlite)"
)
_NOT_PATH = re.compile(rb"[\x00-\x1f\x7f\"']")
# A database holds other things too, and an instance may have filled it with these.
_MAX_FOUND = 5000
_MAX_DIFFERENT = 500
_WORKSPACE = "/workspace"


class Traces:
    """Takes the content of databases, piece by piece, and counts the places that they name."""

    def __init__(self) -> None:
        self._found = Counter[str]()
        self._taken = 0

    def take(self, piece: bytes) -> None:
        """Look through a piece of a database, without asking SQLite: it may be of anybody's making."""
        for match in _ENDS.finditer(piece):
            self._taken += 1
            if self._taken > _MAX_FOUND:
                return
            before = piece[max(match.start() - MAX_PATH, 0) : match.start()]
            text = _NOT_PATH.split(before)[-1]
            # What stands before it in the row has no end of its own.
            begin = text.find(b"/")
            place = text[begin:].decode(errors="replace") if begin >= 0 else ""
            if place and (place in self._found or len(self._found) < _MAX_DIFFERENT):
                self._found[place] += 1

    def places(self) -> Counter[str]:
        """Return how often each place was named."""
        return Counter(self._found)


def former_of(prefix: str, config: Mapping[str, Any], traces: Traces) -> PurePosixPath | None:
    """Return where a state lay that an archive has at `prefix`, None where nothing tells."""
    found = traces.places()
    found.update(_in_config(config))
    name = prefix.rpartition("/")[2]
    likely = {place: count for place, count in found.items() if _is_place(place)}
    called = {place: count for place, count in likely.items() if place.rpartition("/")[2] == name}
    # A name by which it went when it was packed tells more than what else is in its databases.
    counted = called or ({} if name.startswith(".openclaw") else likely)
    if not counted:
        return PurePosixPath(f"/{prefix}") if "/" in prefix and _is_place(f"/{prefix}") else None
    scores = {place: sum(n for other, n in counted.items() if other.endswith(place)) for place in counted}
    best = max(scores, key=lambda place: (scores[place], -len(place)))
    return PurePosixPath(best)


def _is_place(text: str) -> bool:
    return text.startswith("/") and text.count("/") > 1 and path_problem(text[1:]) is None


def _in_config(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the state to which the usual workspace belongs, where a config names that in full."""
    named = lookup(config, "agents.defaults.workspace")
    if isinstance(named, str) and len(named) <= MAX_PATH and named.endswith(_WORKSPACE):
        yield named.removesuffix(_WORKSPACE)
