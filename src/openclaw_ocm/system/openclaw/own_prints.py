"""Tells whether something wrote in the state of an OpenClaw of the user's since it was copied."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.openclaw.own_copy import below
from openclaw_ocm.system.openclaw.own_state import links_in, refuse_used

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.system.host import Host

# Locks, and what its processes tell each other; and how the readers of a database share it.
_SCRATCH, _SHARED = "tmp", "-shm"
_SIZE = 64


def note(host: Host, state: PurePosixPath, noted: PurePosixPath) -> None:
    """Write down how a state is, in the file `noted`; `OcmError` where it cannot be looked at."""
    files.write_file(noted, _print_of(host, state)[0])


def refuse_changed(host: Host, state: PurePosixPath, noted: PurePosixPath) -> None:
    """Raise `OcmError` where a state is not as it was noted, or used by a gateway: a copy lacks that."""
    refuse_used(host, state)
    found, newest = _print_of(host, state)
    if found != files.read_own(noted, limit=_SIZE):
        message = f"something wrote in {state} while it was adopted, last in {newest}"
        hint = "end what works there, such as openclaw agent in another terminal; then try again"
        raise OcmError(message, hint=hint, code="adopt_running")


def _print_of(host: Host, state: PurePosixPath) -> tuple[bytes, str]:
    """Return what tells one content of a state from another, and what was changed last in it."""
    passed = {*links_in(host, state), _SCRATCH}
    digest, newest = hashlib.sha256(), (0, str(state))
    try:
        for entry in below(state, passed):
            if entry.name.endswith(_SHARED):
                continue
            path, seen = entry.path, entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(seen.st_mode):
                said: tuple[object, ...] = (path, seen.st_mode)
            else:
                said = (path, seen.st_mode, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
                newest = max(newest, (seen.st_ctime_ns, path))
            digest.update(f"{said!r}\n".encode(errors="surrogateescape"))
    except OSError as error:
        message = f"{error.filename or state} cannot be looked at: {error.strerror}"
        raise OcmError(message, hint="try again", code="adopt_refused") from None
    return digest.hexdigest().encode(), newest[1]
