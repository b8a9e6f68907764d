"""The secrets of an instance: which names they may have, the file that holds them, what is shown of one.

The file has one NAME=VALUE on a line, values to the letter: no quotes, nothing for a shell.
programs/with_secrets.pl reads it into the environment of the instance's processes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from openclaw_ocm.core.environment import parse_variable
from openclaw_ocm.core.openclaw.traits import SECRET_ID
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath

_LINE = re.compile(rf"({SECRET_ID.pattern})=([^\x00-\x1f\x7f-\x9f\ud800-\udfff]+)")
# They steer programs, and OpenClaw itself: OCM sets those that an instance needs.
_RESERVED = re.compile(
    r"(OPENCLAW|OCM|LD|NODE|NPM|XDG|MALLOC|PERL|PYTHON|BASH|DYLD|GIT|SSL)_.*|PERL5.*|PYTHON.*"
    r"|BASHOPTS|SHELLOPTS|PATH|HOME|LANG|LC_.*|SHELL|TMPDIR|TERM|USER|LOGNAME|PWD|OLDPWD|ENV|IFS|CDPATH"
    r"|PS[0-9]|NO_PROXY"
)
# Never empty: to the probe a file that is empty is one that is covered.
_HEADER = "# Made by ocm secret and ocm sync: NAME=VALUE, to the letter."
MAX_VALUE = 32 * 1024
MAX_BYTES = 2**20
_SHOWN = 4
# Of a shorter one the last four characters would tell too much.
_LONG_ENOUGH = 12


def parse_key(text: str, *, of: str = "NAME") -> str:
    """Return `text` as the name of a secret of the instance `of`, or raise `Invalid`."""
    if not SECRET_ID.fullmatch(text):
        shown = f"{text!r} is" if len(text) <= len("OPENROUTER_API_KEY") else "that is"
        message = (
            f"{shown} no name of a secret: use capital letters, digits and '_', such as OPENROUTER_API_KEY"
        )
        raise Invalid(message, hint="the value is read from standard input", code="key_invalid")
    if is_reserved(text):
        message = f"{text} is no name for a secret: it steers programs"
        raise Invalid(message, hint=_way(text, of), code="key_invalid")
    return text


def _way(name: str, of: str) -> str:
    """Return what to do about a name that no secret may have."""
    try:
        parse_variable(name)
    except Invalid:
        return "choose another name and refer to it in the config"
    return f"ocm env {of} set {name}=VALUE"


def is_reserved(name: str) -> bool:
    """Tell whether a variable is one that OCM, OpenClaw or the system gives a meaning of its own."""
    return _RESERVED.fullmatch(name) is not None


def is_key(name: str) -> bool:
    """Tell whether a secret may have this name."""
    return SECRET_ID.fullmatch(name) is not None and not is_reserved(name)


def is_value(value: str) -> bool:
    """Tell whether the file can hold this value: one line, not empty, not too long."""
    return len(value.encode(errors="replace")) <= MAX_VALUE and _LINE.fullmatch(f"A={value}") is not None


def parse_value(text: str) -> str:
    """Return `text` without the newline at its end as the value of a secret, or raise `Invalid`.

    What is raised does not hold the value.
    """
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise Invalid(
            "the secret is empty", hint="type it, or pass it on standard input", code="value_invalid"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Invalid("the secret is no UTF-8 text", code="value_invalid") from None
    if not is_value(value):
        message = f"a secret is one line of at most {MAX_VALUE} bytes without control characters"
        raise Invalid(message, code="value_invalid")
    return value


def parse_file(data: bytes, path: PurePosixPath) -> dict[str, str]:
    """Return the secrets in the file at `path`; raise `OcmError`, which tells none, where it is damaged.

    Of a file above `MAX_BYTES` the first byte too many must be in `data`.
    """
    if len(data) > MAX_BYTES:
        raise OcmError(f"{path} is larger than {MAX_BYTES} bytes", code="secrets_corrupt")
    secrets = {}
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        lines = ["?"]
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match:
            secrets[match[1]] = match[2]
        elif line and not line.startswith("#"):
            message = f"line {number} of {path} is not NAME=VALUE"
            raise OcmError(message, hint="mend the line or remove it", code="secrets_corrupt")
    return secrets


def format_file(secrets: Mapping[str, str]) -> bytes:
    """Return the content of the file that holds these secrets; raise `OcmError` where they are too many."""
    lines = (f"{name}={secrets[name]}" for name in sorted(secrets))
    data = "".join(f"{line}\n" for line in (_HEADER, *lines)).encode()
    if len(data) > MAX_BYTES:
        message = f"the secrets would be larger than {MAX_BYTES // 2**20} MB"
        raise OcmError(message, hint="nothing was changed", code="secrets_too_large")
    return data


def last_characters(value: str) -> str:
    """Return what may be shown of a secret: its last four characters, none of a short one.

    Nor are any shown of one that a terminal would obey, such as a mark that turns the direction of text.
    """
    last = value[-_SHOWN:]
    return f"...{last}" if len(value) >= _LONG_ENOUGH and last.isprintable() else "..."
