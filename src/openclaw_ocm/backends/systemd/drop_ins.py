"""Drop-ins of a unit that its user wrote: what they may set and what would change the sandbox."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What a drop-in may set: limits, restarts and order, nothing that the sandbox is made of.
_HARMLESS = re.compile(
    r"(Memory|CPU|IO|Tasks|Startup|LogRateLimit|Restart|Timeout|OOM|StartLimit)[A-Za-z]*"
    r"|Limit(NOFILE|NPROC|AS|DATA|STACK|RSS)|Nice|Slice|LogLevelMax|RuntimeMaxSec|Description|Documentation"
    r"|After|Before|Wants|Requires|PartOf|BindsTo|Condition[A-Za-z]*|Assert[A-Za-z]*|WantedBy|RequiredBy"
)


def changes(unit: str, loaded: str | None, overrides: Iterable[str]) -> Iterator[str]:
    """Yield in words where another file than that of `unit` is loaded, or a drop-in changes what it seals."""
    if loaded != unit:
        yield f"systemd runs {loaded} and not {unit}"
    for override in overrides:
        try:
            text = Path(override).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            yield f"the drop-in {override} cannot be read: {error.strerror}"
            continue
        for setting in forbidden_settings(text):
            yield f"the drop-in {override} sets {setting}"


def forbidden_settings(text: str) -> tuple[str, ...]:
    """Return the names of the settings in a drop-in that could weaken the sandbox: all that are not harmless.

    Continued lines count as settings too (systemd.syntax(7)); better one too many than one too few.
    """
    names = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped[0] in "#;[":
            continue
        name = stripped.partition("=")[0].strip()
        if not _HARMLESS.fullmatch(name):
            names.append(name)
    return tuple(dict.fromkeys(names))
