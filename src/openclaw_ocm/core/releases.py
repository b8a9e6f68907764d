"""Versions of Node, and the ranges of them that an OpenClaw release states."""

from __future__ import annotations

import re
from typing import NamedTuple

Version = tuple[int, int, int]
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")
_CLAUSE = re.compile(r">=\s*(v?[\d.]+)(?:\s+<\s*(v?[\d.]+))?")


class Span(NamedTuple):
    """Versions from `lowest` on, below `limit` where there is one."""

    lowest: Version
    limit: Version | None


def parse_version(text: str) -> Version | None:
    """Return the numbers with which a version begins, None where it begins with none."""
    match = _VERSION.match(text.strip())
    if match is None:
        return None
    major, minor, patch = (int(part or 0) for part in match.groups())
    return major, minor, patch


def is_newer(one: str, other: str) -> bool:
    """Tell whether a version is newer than another; one without numbers is newer than all."""
    first, second = parse_version(one), parse_version(other)
    return first is None or second is None or first > second


def parse_range(text: str) -> tuple[Span, ...] | None:
    """Return the alternatives of a range such as `>=24.16.0 <25 || >=26.1.0`.

    None for any other form. OpenClaw's own installer reads no more of npm's ranges than this
    (scripts/preinstall-package-manager-warning.mjs of 2026.9.6).
    """
    spans = []
    for clause in text.split("||"):
        match = _CLAUSE.fullmatch(clause.strip())
        lowest = parse_version(match.group(1)) if match else None
        if match is None or lowest is None:
            return None
        spans.append(Span(lowest, parse_version(match.group(2)) if match.group(2) else None))
    return tuple(spans)


def is_within(version: Version, spans: tuple[Span, ...]) -> bool:
    """Tell whether a version lies in one of `spans`."""
    return any(lowest <= version and (limit is None or version < limit) for lowest, limit in spans)
