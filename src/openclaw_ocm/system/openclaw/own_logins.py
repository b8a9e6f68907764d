"""The logins in a state of the user's own: which there are, and a copy without them.

A copy that used one would log the original out (docs/concepts/oauth of OpenClaw 2026.9.6).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.logins import without_logins
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.openclaw.stores import rows
from openclaw_ocm.system.openclaw.texts import HINT, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARED, _OF_AGENT = "state/openclaw.sqlite", "openclaw-agent.sqlite"
# Tables of either with the names of what is in them, and the column that may hold a login.
_TABLES = (
    ("config_machine_state", "state_key", "value_json"),
    ("auth_profile_store", "'a store'", "store_json"),
)
# Logins at MCP servers, and nothing else (docs/cli/mcp).
_OF_SERVERS, _SERVERS = "mcp_oauth_stores", "at MCP servers"
# What an older OpenClaw kept, and what its doctor brings into the stores; what Codex keeps for itself.
_FILES = ("auth-profiles.json", "auth.json", "codex-home/auth.json")
_MAX_FILE = 4 * 2**20
_MAX_AGENTS = 1000
_NONE = "no such table"


def logins_in(state: PurePosixPath) -> tuple[str, ...]:
    """Return the names of the logins in a state; raises `OcmError` where they cannot be read."""
    found: list[str] = []
    for path in _databases(state):
        try:
            for table, key, column in _TABLES:
                for name, text in rows(path, f"select {key}, {column} from {table}"):  # noqa: S608 - names of ours
                    found += without_logins(str(text), str(name))[1]
            if rows(path, f"select 1 from {_OF_SERVERS} limit 1"):  # noqa: S608 - a name of ours
                found.append(_SERVERS)
        except (sqlite3.Error, OSError) as error:
            raise _unread(path, error) from None
    for path in _files(state):
        found += without_logins(_text(path), f"{path.relative_to(state)}")[1]
    return tuple(dict.fromkeys(found))


def remove_logins(state: PurePosixPath) -> None:
    """Remove the logins from a copy of a state; what a link of it leads to elsewhere is not touched.

    Raises `OcmError` where that cannot be.
    """
    for path in _databases(state):
        try:
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.execute("pragma secure_delete = on")
                for table, key, column in _TABLES:
                    _remove_from(database, table, key, column)
                with contextlib.suppress(_Nothing), _maybe():
                    database.execute(f"delete from {_OF_SERVERS}")  # noqa: S608 - a name of ours
                database.commit()
        except sqlite3.Error as error:
            raise _unread(path, error) from None
    for path in _files(state):
        text = _text(path)
        kept = without_logins(text, path.name)[0]
        if kept is None:
            files.remove(path)
        elif kept != text:
            files.write_file(path, kept.encode())


class _Nothing(Exception):
    """That a database has no such table."""


@contextlib.contextmanager
def _maybe() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if _NONE in str(error):
            raise _Nothing from None
        raise


def _remove_from(database: sqlite3.Connection, table: str, key: str, column: str) -> None:
    found: list[tuple[object, object]] = []
    with contextlib.suppress(_Nothing), _maybe():
        found = database.execute(f"select {key}, {column} from {table}").fetchall()  # noqa: S608 - names of ours
    for name, text in found:
        kept, logins = without_logins(str(text), str(name))
        if kept is None:
            database.execute(f"delete from {table} where {column} = ?", (text,))  # noqa: S608 - names of ours
        elif logins:
            database.execute(f"update {table} set {column} = ? where {column} = ?", (kept, text))  # noqa: S608 - names of ours


def _text(path: PurePosixPath) -> str:
    data = read_bounded(Path(path), _MAX_FILE, str(path))
    return (data or b"").decode(errors="replace") or "{}"


def _databases(state: PurePosixPath) -> Iterator[PurePosixPath]:
    for path in (state / _SHARED, *(agent / _OF_AGENT for agent in _agents(state))):
        if _is_within(path, state):
            yield path


def _files(state: PurePosixPath) -> Iterator[PurePosixPath]:
    for agent in _agents(state):
        for name in _FILES:
            if _is_within(agent / name, state):
                yield agent / name


def _agents(state: PurePosixPath) -> list[PurePosixPath]:
    """Return the directories in which the agents of a state keep what is their own."""
    try:
        names = sorted(os.listdir(state / "agents"))  # noqa: PTH208 - a pure path
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unread(state / "agents", error) from None
    if len(names) > _MAX_AGENTS:
        message = f"there are more than {_MAX_AGENTS} agents in {state}"
        raise OcmError(message, hint=HINT, code="credentials_unreadable")
    return [state / "agents" / name / "agent" for name in names]


def _is_within(path: PurePosixPath, state: PurePosixPath) -> bool:
    """Tell whether a file is there, and in the state itself: not by a link that leads out of it."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a pure path
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unread(path, error) from None
    return stat.S_ISREG(mode) and files.real_path(path).is_relative_to(files.real_path(state))


def _unread(path: PurePosixPath, error: Exception) -> OcmError:
    message = f"the logins in {path} cannot be read: {error}"
    return OcmError(message, hint=HINT, code="credentials_unreadable")
