"""Drop-ins of a unit that its user wrote: what they may set and what would change the sandbox."""

from __future__ import annotations

import re

# What a drop-in may set: limits, restarts and order, nothing that the sandbox is made of.
_HARMLESS = re.compile(
    r"(Memory|CPU|IO|Tasks|Startup|LogRateLimit|Restart|Timeout|OOM|StartLimit)[A-Za-z]*"
    r"|Limit(NOFILE|NPROC|AS|DATA|STACK|RSS)|Nice|Slice|LogLevelMax|RuntimeMaxSec|Description|Documentation"
    r"|After|Before|Wants|Requires|PartOf|BindsTo|Condition[A-Za-z]*|Assert[A-Za-z]*|WantedBy|RequiredBy"
)


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
