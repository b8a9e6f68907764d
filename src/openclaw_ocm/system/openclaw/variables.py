"""All variables that main has: of its surroundings, of its config, and of the login shell if it asks that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from openclaw_ocm.core.openclaw.main_place import Main, Surroundings
    from openclaw_ocm.system.host import Host

_BLOCKS = ("shellEnv", "vars")
_TRUE = ("1", "true", "yes", "on")
# As OpenClaw 2026.9.6 asks a login shell (dist/shell-env), but waiting less long.
_PRINT = "printf '\\0'; env -0"
_USUAL_SHELL = "/bin/sh"
_MAX_PRINTED = 2**21
_LONGEST_SECONDS = 15.0
_GRACE_SECONDS = 3.0


def all_variables(
    host: Host, main: Main, config: Mapping[str, Any], expected: Collection[str]
) -> Surroundings:
    """Return the variables of main's gateway: its surroundings before its config before the login shell.

    The first that sets one has the say (docs/help/environment of OpenClaw 2026.9.6). The shell is asked
    where OpenClaw asks it, for those alone that are `expected`.
    """
    block = as_object(config.get("env"))
    written = {
        **{key: value for key, value in block.items() if key not in _BLOCKS},
        **as_object(block.get("vars")),
    }
    own = {key: value for key, value in written.items() if isinstance(value, str) and value.strip()}
    found = main.surroundings.below(own, f"env in {main.config}")
    missing = [name for name in expected if name not in found.variables]
    seconds = _shell_seconds(found, as_object(block.get("shellEnv")))
    if seconds is None or not missing:
        return found
    shell = _login_shell(found)
    try:
        said = _ask(host, shell, found, seconds)
    except OcmError as error:
        note = f"main asks the login shell {shell} for keys, and OCM got no answer: {error.message}"
        return found.noting((note,))
    return found.below(
        {name: said[name] for name in missing if said.get(name, "").strip()}, f"the login shell {shell}"
    )


def _shell_seconds(found: Surroundings, block: Mapping[str, Any]) -> float | None:
    """Return how long main's gateway waits for a login shell, None where it asks none."""
    asked, wait = found.value("OPENCLAW_LOAD_SHELL_ENV").strip().lower(), block.get("timeoutMs")
    if not (block.get("enabled") is True or asked in _TRUE):
        return None
    seconds = wait / 1000 if isinstance(wait, int) and wait > 0 else _LONGEST_SECONDS
    return min(seconds, _LONGEST_SECONDS)


def _login_shell(found: Surroundings) -> str:
    """Return the user's shell where the machine lists it as one, otherwise the usual one."""
    import pwd

    try:
        listed = {line.strip() for line in Path("/etc/shells").read_text().splitlines()}
        shell = pwd.getpwuid(os.getuid()).pw_shell
    except (OSError, KeyError, ValueError):
        return _USUAL_SHELL
    named = found.variables.get("SHELL")
    shell = named.value if named else shell
    return shell if shell in listed and os.path.normpath(shell) == shell else _USUAL_SHELL


def _ask(host: Host, shell: str, found: Surroundings, seconds: float) -> dict[str, str]:
    """Return the variables that a login shell ends up with; raise `OcmError` where it does not end in time.

    In a session of its own: what the user's files start is ended with it.
    """
    words = ("-lic", _PRINT) if Path(shell).name == "bash" else ("-l", "-c", _PRINT)
    command = Command(
        argv=("setsid", "--wait", "timeout", "--kill-after=1", f"{seconds:g}", shell, *words),
        env={
            name: item.value
            for name, item in found.variables.items()
            if name.startswith(("XDG_", "LC_", "LANG"))
        },
        directory=str(host.paths.home),
        timeout_seconds=seconds + _GRACE_SECONDS,
        limit=_MAX_PRINTED,
    )
    printed = host.runner.run(command).stdout.partition("\0")[2]
    pairs = (part.partition("=") for part in printed.split("\0"))
    return {name: value for name, separator, value in pairs if name and separator}
