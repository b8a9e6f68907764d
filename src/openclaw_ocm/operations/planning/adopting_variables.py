"""What variables say of an OpenClaw that is adopted and no secret holds: where it works, what steers it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object, lookup, with_value
from openclaw_ocm.core.secrets import is_reserved
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from openclaw_ocm.operations.planning.adopting import Candidate

_WORKSPACE, _VARIABLE = "agents.defaults.workspace", "OPENCLAW_WORKSPACE_DIR"
# What an instance has of its own, by its record, its config or its definition.
_OWN = re.compile(
    r"OPENCLAW_(STATE_DIR|CONFIG_PATH|PROFILE|HOME|WORKSPACE_DIR|SYSTEMD_UNIT|GATEWAY_.*|SERVICE_.*)"
    r"|PATH|HOME|LANG|LC_.*|SHELL|TMPDIR|TERM|USER|LOGNAME|PWD|XDG_RUNTIME_DIR|NODE_USE_SYSTEM_CA"
)
_OF_SYSTEM = "/etc/ssl/certs/"


def named_workspace(found: Candidate) -> str | None:
    """Return the workspace that a variable names where its config names none (OpenClaw 2026.9.5, docs/help).

    Raises `OcmError` where that cannot be said in the config of an instance.
    """
    variable = found.variables.get(_VARIABLE)
    path = variable.value.strip() if variable else ""
    if not path or not found.own or lookup(found.settings, _WORKSPACE) is not None:
        return None
    listed = lookup(found.settings, "agents.list")
    agents = (
        *as_object(lookup(found.settings, "agents.entries")),
        *(listed if isinstance(listed, list) else ()),
    )
    if len(agents) > 1 or not path.startswith("/"):
        why = "it has several agents" if path.startswith("/") else "that is no absolute path"
        message = f"{_VARIABLE} has {path} be the workspace of {found.what}, and {why}"
        hint = "name that workspace in its config, for the agent whose it is; then leave the variable out"
        raise OcmError(message, hint=hint, code="adopt_refused")
    return path


def in_workspace(config: dict[str, Any], named: str | None) -> dict[str, Any]:
    """Return a config that names that workspace, the same where there is none to be named."""
    return config if named is None else with_value(config, _WORKSPACE, named)


def with_workspace(found: Candidate, named: str | None) -> Candidate:
    """Return what is adopted with that workspace named."""
    return replace(found, settings=in_workspace(dict(found.settings), named))


def told_of_steering(found: Candidate) -> tuple[str, ...]:
    """Return in a sentence which variables steer its programs, and are not those of an instance."""
    names = sorted(
        name
        for name, one in found.variables.items()
        if one.origin in found.origins and is_reserved(name) and not _OWN.fullmatch(name)
        if not one.value.startswith(_OF_SYSTEM)
    )
    return (f"set for it, and not taken over: {', '.join(names)}",) if names else ()
