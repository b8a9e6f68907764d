"""Names: of instances, what is allowed and what is derived from one; of backends."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, NewType

from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable

InstanceName = NewType("InstanceName", str)
# Which there are is for backends/registry.py to say: a plain word for whoever merely carries it along.
BackendName = str

# OpenClaw 2026.9.6 takes ^[a-z0-9][a-z0-9_-]{0,63}$ in either case. OCM is stricter by a trailing
# separator and by case, so that a name is at once a file name, a unit name and a firewall tag.
NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
MAX_LENGTH = 63
# The user's own OpenClaw, where a command takes it beside instances: none of these can have its name.
MAIN = InstanceName("main")
# Of the throw-away instances in which backups are tried out.
DRILL = "drill-"
_DRILL = re.compile(rf"{DRILL}[0-9a-f]{{8}}")
RESERVED = {
    "main": "main is your own ~/.openclaw",
    "default": "OpenClaw uses default for your own ~/.openclaw",
}


def parse_name(text: str) -> InstanceName:
    """Return `text` as an instance name, or raise `Invalid` with one sentence that says why not."""
    if text in RESERVED:
        message = f"{text!r} is reserved: {RESERVED[text]}"
        raise Invalid(message, hint="choose another name, such as worker1", code="name_reserved")
    if len(text) > MAX_LENGTH:
        message = f"an instance name has at most {MAX_LENGTH} characters, this one has {len(text)}"
        raise Invalid(message, code="name_invalid")
    if not NAME.fullmatch(text):
        message = (
            f"{text!r} is no instance name: use lower-case letters, digits, '-' and '_', "
            "beginning and ending with a letter or digit"
        )
        raise Invalid(message, hint="for example worker1", code="name_invalid")
    return InstanceName(text)


def is_drill(name: InstanceName) -> bool:
    """Tell whether a name is like those of the throw-away instances in which backups are tried out."""
    return _DRILL.fullmatch(name) is not None


def unknown_instance(name: str, known: Iterable[str]) -> OcmError:
    """Return the error for a name without an instance, with the nearest existing name if one is near."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif names:
        hint = "ocm list shows the instances"
    else:
        hint = f"ocm deploy {name} makes it"
    return OcmError(f"there is no instance {name}", hint=hint, code="unknown_instance")
