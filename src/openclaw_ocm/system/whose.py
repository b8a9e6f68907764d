"""Whose the environment is that OCM was called with: su, sudo and docker leave what is another user's."""

from __future__ import annotations

import os
import pwd
import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT = 0
_XDG = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME")
_UNIX = "unix:path="


class Caller(NamedTuple):
    """Who calls: one without an account gets a name that is made up."""

    uid: int
    user: str
    home: PurePosixPath


def caller(environ: Mapping[str, str]) -> Caller:
    """Return who runs this process; raise `OcmError` where the home is another's, or nobody's."""
    uid = os.getuid()
    named = environ.get("HOME")
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return Caller(uid, f"uid{uid}", _home_without_account(uid, named))
    home = PurePosixPath(named or account.pw_dir)
    _refuse_foreign(home, uid, account.pw_name, account.pw_dir)
    return Caller(uid, account.pw_name, home)


def _home_without_account(uid: int, named: str | None) -> PurePosixPath:
    if named and Path(named).is_absolute() and os.access(named, os.W_OK | os.X_OK) and Path(named).is_dir():
        _refuse_foreign(PurePosixPath(named), uid, f"uid {uid}", None)
        return PurePosixPath(named)
    why = f"HOME is {named}, where it may not write" if named else "HOME is not set"
    message = f"uid {uid} has no account on this machine, and {why}"
    hint = "set HOME to a directory of its own, as with docker run --env HOME=/data"
    raise OcmError(message, hint=hint, code="no_account")


def _refuse_foreign(home: PurePosixPath, uid: int, user: str, usual: str | None) -> None:
    """Raise `OcmError` where a home is that of another user: what is made there would lock that one out."""
    owner = _owner(home)
    if owner is None or owner == uid:
        return
    if owner == _ROOT and str(home) != _home_of_root():
        # Of a directory of root's somebody else may well be given what is in it, as in a container.
        return
    named = _name_of(owner)
    message = f"HOME is {home}, which belongs to {named}, and you are {user}"
    if uid == _ROOT:
        hint = f"for {named}: sudo -iu {shlex.quote(named)}, and then ocm; for an OCM of root's own: sudo -i"
    else:
        hint = f"HOME={shlex.quote(usual)} is yours" if usual else f"log in as {named}"
    raise OcmError(message, hint=hint, code="home_foreign")


def without_foreign(environ: Mapping[str, str], uid: int) -> dict[str, str]:
    """Return an environment without the XDG directories that belong to another user."""
    left = {name for name in _XDG if is_foreign(environ.get(name), uid)}
    return {name: value for name, value in environ.items() if name not in left}


def runtime_of(environ: Mapping[str, str], uid: int) -> tuple[PurePosixPath, str]:
    """Return the runtime directory of a user and the address of the bus; what is another's is not believed.

    `su` and `sudo -u` leave both variables out although the user manager is there, or keep those of before.
    """
    named, address = environ.get("XDG_RUNTIME_DIR"), environ.get("DBUS_SESSION_BUS_ADDRESS")
    usual = PurePosixPath(f"/run/user/{uid}")
    runtime = usual if not named or _is_not_own(named, uid) else PurePosixPath(named)
    socket = address.removeprefix(_UNIX).partition(",")[0] if address and address.startswith(_UNIX) else None
    if not address or (socket is not None and _is_not_own(socket, uid)):
        address = f"{_UNIX}{runtime}/bus"
    return runtime, address


def is_foreign(path: str | None, uid: int) -> bool:
    """Tell whether a path, or what it would be made in, belongs to another user than this one and root."""
    if not path or not path.startswith("/") or "\0" in path:
        return False
    for each in (Path(path), *Path(path).parents):
        try:
            owner = each.stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            # Nobody is barred from their own.
            return True
        return owner not in (_ROOT, uid)
    return False


def _is_not_own(path: str, uid: int) -> bool:
    """Tell whether a path is there and belongs to anybody else."""
    try:
        return Path(path).stat().st_uid != uid
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True


def _owner(path: PurePosixPath) -> int | None:
    try:
        return Path(path).stat().st_uid
    except (OSError, ValueError):
        # What needs it says so.
        return None


def _home_of_root() -> str | None:
    try:
        return pwd.getpwuid(_ROOT).pw_dir
    except KeyError:
        return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
