"""What the user manager tells of itself and of its units."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.errors import CommandFailed
from openclaw_ocm.system.host import user_manager_answers
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from openclaw_ocm.system.host import Host

_SECONDS = 30.0
_ATTEMPTS = 4


def show(host: Host, *arguments: str) -> str | None:
    """Return what `systemctl show` prints, None where no user manager answers.

    One that executes itself anew (daemon-reexec) drops who asks, and is asked again.
    """
    command = Command(argv=("systemctl", "--user", "show", *arguments), timeout_seconds=_SECONDS)
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(CommandFailed):
            return host.runner.run(command).stdout
        if not user_manager_answers(host):
            break
    return None
