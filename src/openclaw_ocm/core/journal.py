"""How a journal keeps a plan: with the version of its format, by which another OCM knows what it reads."""

from __future__ import annotations

from typing import Annotated

import msgspec

from openclaw_ocm.core.plan import Plan
from openclaw_ocm.errors import OcmError

# 2: a timer is for backups or for upgrades, which the OCM before would take for one of backups.
VERSION = 2
# Of the OCM before versions: the tags were the names that its classes had.
_TAGS_BEFORE = {
    "WriteRecord": "write-record",
    "MakeState": "make-state",
    "MakeShell": "make-shell",
    "WriteConfig": "write-config",
    "CloneConfig": "clone-config",
    "CopyWorkspaces": "copy-workspaces",
    "LinkConfig": "link-config",
    "WriteDefinition": "write-definition",
    "Load": "load",
    "RemoveDefinition": "remove-definition",
    "Enable": "enable",
    "Disable": "disable",
    "Start": "start",
    "Restart": "restart",
    "Stop": "stop",
    "Verify": "verify",
    "SetBind": "set-bind",
    "SetRules": "set-rules",
    "SetTimer": "set-timer",
    "Stage": "stage",
    "Exchange": "exchange",
    "RewritePaths": "rewrite-paths",
    "SetSource": "set-source",
    "RemoveFile": "remove-file",
    "RemoveLink": "remove-link",
    "RemoveTree": "remove-tree",
}


class Unreadable(OcmError):
    """What should be a plan is damaged, or of an OCM that this one does not know."""


class _Versioned(msgspec.Struct):
    version: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    plan: Plan


def encode_plan(plan: Plan) -> bytes:
    """Return a plan as the first line of its journal, without the line's end."""
    return msgspec.json.encode(_Head(version=VERSION, plan=plan))


def decode_plan(line: bytes) -> Plan:
    """Return the plan in the first line of a journal, be it one of the OCM before versions.

    Raises `Unreadable` for one of a newer OCM, and for what is no plan.
    """
    try:
        version = msgspec.json.decode(line, type=_Versioned).version
        if version > VERSION:
            raise Unreadable("is of a newer OCM", code="journal_newer")
        if version:
            return msgspec.json.decode(line, type=_Head).plan
        return msgspec.convert(_with_tags(msgspec.json.decode(line)), Plan)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable("cannot be read: it is damaged", code="journal_corrupt") from None


def _with_tags(plan: object) -> object:
    """Return a plan of the OCM before versions with the tags that its steps have now."""
    steps = plan.get("steps") if isinstance(plan, dict) else None
    if not isinstance(plan, dict) or not isinstance(steps, list):
        return plan
    return {**plan, "steps": [_with_tag(step) for step in steps]}


def _with_tag(step: object) -> object:
    tag = step.get("type") if isinstance(step, dict) else None
    if not isinstance(step, dict) or not isinstance(tag, str):
        return step
    # A tag of today is none of the OCM before versions.
    return {**step, "type": _TAGS_BEFORE.get(tag, "")}
