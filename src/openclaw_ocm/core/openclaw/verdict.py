"""What OpenClaw says of a config, which may be nothing: `openclaw config validate --json` of 2026.9.6."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from openclaw_ocm.core.text import printable

_MAX_ISSUES = 10
# It says so of a config that it could not even read, for reasons that may be those of where it was run.
_UNREAD = re.compile(r"(?i)read failed: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a config is valid, None where OpenClaw said nothing of it; `issues` say why or why not."""

    valid: bool | None
    issues: tuple[str, ...] = ()


def parse_verdict(returncode: int, stdout: str, stderr: str) -> Verdict:
    """Return the verdict that a program printed, which may be another than OpenClaw: what was to start it."""
    try:
        said = json.loads(stdout)
    except (ValueError, RecursionError):
        said = None
    valid = said.get("valid") if isinstance(said, dict) else None
    if valid is True and returncode == 0:
        return Verdict(valid=True)
    issues = tuple(_issues(said)) if valid is False else ()
    if issues and not any(_UNREAD.search(issue) for issue in issues):
        return Verdict(valid=False, issues=issues)
    last = tuple(printable(line) for line in stderr.strip().splitlines()[-3:])
    return Verdict(valid=None, issues=issues or last or (f"exit status {returncode}",))


def _issues(said: dict[str, Any]) -> list[str]:
    issues = said.get("issues")
    return [
        printable(f"{issue.get('path') or '<root>'}: {issue.get('message')}")
        for issue in (issues[:_MAX_ISSUES] if isinstance(issues, list) else [])
        if isinstance(issue, dict)
    ]
