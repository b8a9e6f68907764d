"""What is there for a moment only: its names, and the patterns that find it again where a kill left it.

Every name is hidden and holds a token, so that no two are the same: `TOKEN_BYTES` in hexadecimal digits, or
`LONG_TOKEN_BYTES` where an instance may put what it likes beside.
"""

from __future__ import annotations

import re

TOKEN_BYTES = 6
LONG_TOKEN_BYTES = 8
_TOKEN = rf"[0-9a-f]{{{2 * TOKEN_BYTES}}}"
_LONG_TOKEN = rf"[0-9a-f]{{{2 * LONG_TOKEN_BYTES}}}"
_INSTANCE = "([a-z0-9_-]+)"

# What is written beside its place, as the shell finds it.
BESIDE_GLOB = ".*.ocm"
_JOURNAL = re.compile(rf"\.{_INSTANCE}\.jsonl\.{_TOKEN}\.ocm")
_BACKUP = re.compile(rf"\.{_INSTANCE}-[0-9]{{8}}T[0-9]{{6}}Z\.{_TOKEN}\.ocm")
_COPIES = re.compile(rf"\.ocm-backup-{_LONG_TOKEN}")
_CANDIDATE = ".ocm-candidate-"
_STAGING = ".ocm-staging-"
STAGING_GLOB = f"{_STAGING}*"
# Whatever of all this is found in a state, it is no part of it.
ANY = r"\.ocm-.+|\..+\.ocm"


def beside(name: str, token: str) -> str:
    """Return the name under which `name` is written beside its place: a file, or a backup by its stem."""
    return f".{name}.{token}.ocm"


def is_beside(found: str, name: str) -> bool:
    """Tell whether a name is one under which `name` is or was being written."""
    return re.fullmatch(rf"\.{re.escape(name)}\.{_TOKEN}\.ocm", found) is not None


def owner_of_journal(found: str) -> str | None:
    """Return the instance whose journal is or was being written under a name, None where it is none such."""
    match = _JOURNAL.fullmatch(found)
    return match[1] if match else None


def owner_of_backup(found: str) -> str | None:
    """Return the instance of which a backup is or was being made under a name, None where it is none such."""
    match = _BACKUP.fullmatch(found)
    return match[1] if match else None


def aside(name: str) -> str:
    """Return where what has a name waits while two files change places in three moves."""
    return f"{name}.ocm-aside"


def copies(token: str) -> str:
    """Return the name of the directory in a state for copies of its databases; it takes a long token."""
    return f".ocm-backup-{token}"


def is_copies(found: str) -> bool:
    """Tell whether a name is one of such a directory; the program that makes it tells it alike."""
    return _COPIES.fullmatch(found) is not None


def candidate(token: str) -> str:
    """Return the name of a config in a state that OpenClaw is to judge."""
    return f"{_CANDIDATE}{token}.json"


def is_candidate(found: str) -> bool:
    """Tell whether a name is one of such a config."""
    return found.startswith(_CANDIDATE)


def incoming(instance: str, token: str) -> str:
    """Return the name of the directory, beside the state, in which what is restored is made ready."""
    return _of_instance("incoming", instance, token)


def kept(instance: str, token: str) -> str:
    """Return the name of the directory, beside the state, with what an instance was before an upgrade."""
    return _of_instance("kept", instance, token)


def is_kept(found: str, instance: str) -> bool:
    """Tell whether a name is one of such a directory of an instance's."""
    return _is_of_instance("kept", instance, found)


def rehearsal(instance: str, token: str) -> str:
    """Return the name of the directory, beside the state, for the copy with which a version is tried."""
    return _of_instance("rehearsal", instance, token)


def is_rehearsal(found: str, instance: str) -> bool:
    """Tell whether a name is one of such a directory of an instance's."""
    return _is_of_instance("rehearsal", instance, found)


def _of_instance(what: str, instance: str, token: str) -> str:
    return f".ocm-{what}-{instance}-{token}"


def _is_of_instance(what: str, instance: str, found: str) -> bool:
    before = _of_instance(what, instance, "")
    return found.startswith(before) and re.fullmatch(_TOKEN, found[len(before) :]) is not None


def staging(token: str) -> str:
    """Return the name of a directory in which something is installed before it gets its place."""
    return f"{_STAGING}{token}"


def removed(token: str) -> str:
    """Return the name of a directory that was moved up to be emptied; it takes a long token."""
    return f".ocm-removed-{token}"


def canary(token: str) -> str:
    """Return the name of a file that an instance must not see; it takes a long token."""
    return f".ocm-canary-{token}"
