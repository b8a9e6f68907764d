"""Finds the processes of sessions by a variable that OCM gives them, and signals them.

Only what runs outside of a sandbox is asked, where the user namespace is OCM's own: a process inside gives
itself any environment, of any size.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.backends.ending_sessions import end_all
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.errors import Invalid
from openclaw_ocm.system import processes

if TYPE_CHECKING:
    from collections.abc import Collection

    from openclaw_ocm.core.paths import HostPaths, InstancePaths

VARIABLE = "OCM_SESSION"
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1


def new_token(paths: InstancePaths) -> str:
    """Return the token of a session to be: of that instance, and of none of its name in another home."""
    return _prefix(paths) + secrets.token_hex(8)


def signal_session(token: str, number: int) -> None:
    """Send a signal to the program of a session; SIGKILL to all of it."""
    found = _of_session(token)
    for pid in found if number == signal.SIGKILL else _programs(found):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def stop_sessions(instances: Collection[InstancePaths]) -> None:
    """End the sessions of instances, with SIGKILL those that take too long.

    Raises `OcmError` where new ones keep coming.
    """
    prefixes = tuple(map(_prefix, instances))
    end_all(
        lambda: {token for token in _sessions().values() if token.startswith(prefixes)},
        signal_session,
        seconds=_STOP_SECONDS,
        poll_seconds=_POLL_SECONDS,
    )


def in_session(paths: HostPaths) -> tuple[InstanceName, ...]:
    """Return the instances of a user, with a record or without, in whose sandboxes sessions are."""
    found, begin = set(), str(paths.instance(InstanceName("")).state)
    for token in _sessions().values():
        if token.startswith(begin):
            with contextlib.suppress(Invalid):
                found.add(parse_name(token.removeprefix(begin).rpartition(".")[0]))
    return tuple(sorted(found))


def _prefix(paths: InstancePaths) -> str:
    # A dot cannot be part of an instance's name, so what begins like w1's never is a session of w1-a.
    return f"{paths.state}."


def _programs(found: frozenset[int]) -> set[int]:
    """Return what is to hear a signal: the init in the sandbox, or without one the program itself."""
    names = {pid: processes.command_name(pid) for pid in found}
    sandboxes = [pid for pid, name in names.items() if name == "bwrap"]
    if sandboxes:
        return {child for pid in sandboxes for child in processes.children(pid)}
    inner = {pid for pid, name in names.items() if name != "script"}
    return {pid for pid in inner if processes.parent(pid) not in inner}


def _of_session(token: str) -> frozenset[int]:
    return frozenset(pid for pid, found in _sessions().items() if found == token)


def _sessions() -> dict[int, str]:
    """Return the session of each of the user's processes that belongs to one."""
    found, own = {}, Path("/proc/self/ns/user").stat()
    for directory in Path("/proc").iterdir():
        if not directory.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            # For root the processes of other users are in the same one.
            is_own = directory.stat().st_uid == os.getuid()
            if is_own and os.path.samestat((directory / "ns" / "user").stat(), own):
                token = _token((directory / "environ").read_bytes())
                if token is not None:
                    found[int(directory.name)] = token
    return found


def _token(environ: bytes) -> str | None:
    mark = f"{VARIABLE}=".encode()
    for variable in environ.split(b"\0"):
        if variable.startswith(mark):
            return variable[len(mark) :].decode(errors="replace")
    return None
