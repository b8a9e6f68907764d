"""Metrics that are written by themselves: where, and how often."""

from __future__ import annotations

from datetime import timezone
from typing import Annotated

import msgspec

from openclaw_ocm.core.backup.schedule import dues, parse_rule
from openclaw_ocm.core.times import parse_interval
from openclaw_ocm.errors import Invalid

# What node_exporter reads ends so (textfile collector).
FILE = "ocm.prom"
_MOST, _FEW = 4096, 80


def parse_directory(path: str) -> str:
    """Return an absolute path that a file of settings can hold, or raise `Invalid`."""
    if not path.isprintable() or len(path) > _MOST:
        message = f"{path[:_FEW]!r} is no directory for metrics: its name is too long, or no text"
        raise Invalid(message, code="textfile_refused")
    return path


class Textfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `ocm metrics --textfile DIR --every TIME` asked for."""

    directory: Annotated[str, msgspec.Meta(pattern=r"\A/[^\x00-\x1f]*\Z", max_length=_MOST)]
    """Where they are written."""
    every: Annotated[str, msgspec.Meta(max_length=16)]
    """How far apart, such as `1m`."""

    def __post_init__(self) -> None:
        """Refuse what the command would not have written."""
        try:
            parse_interval(self.every)
        except Invalid as error:
            raise ValueError(error.message) from None

    @property
    def seconds(self) -> float:
        """Return how far apart they are written."""
        moments = dues(parse_rule(self.times), 0, timezone.utc, 2)
        return moments[1] - moments[0]

    @property
    def times(self) -> str:
        """Return `every` as a backend takes it."""
        return parse_interval(self.every)
