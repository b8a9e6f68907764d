"""What the user manager tells of itself and of its units, and what these were changed by."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.backends.systemd.drop_ins import forbidden_settings
from openclaw_ocm.errors import CommandFailed
from openclaw_ocm.system.host import user_manager_answers
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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


def changes(unit: str, loaded: str | None, overrides: Iterable[str]) -> Iterator[str]:
    """Yield in words where another file than that of `unit` is loaded, or a drop-in changes what it seals."""
    if loaded is None:
        yield f"systemd has not read {unit}"
    elif loaded != unit:
        yield f"systemd runs {loaded} and not {unit}"
    for override in overrides:
        try:
            text = Path(override).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            yield f"the drop-in {override} cannot be read: {error.strerror}"
            continue
        for setting in forbidden_settings(text):
            yield f"the drop-in {override} sets {setting}"
