"""The credentials that main has stored: those that all agents share, and those of each agent."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.openclaw.main_place import absolute
from openclaw_ocm.core.openclaw.turn import agent_of
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw.open_database import is_open
from openclaw_ocm.system.openclaw.texts import HINT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.openclaw.main_place import Main
    from openclaw_ocm.system.host import Host

_STORE = "select value_json from config_machine_state where state_key = 'authProfiles.store'"
# Where installations keep it that were upgraded from an older OpenClaw.
_AGENT_STORE = "select store_json from auth_profile_store"
_BUSY_SECONDS = 5.0
_MAX_AGENTS = 100
# What OpenClaw 2026.9.6 reads no more: its doctor brings it into the stores.
_RETIRED = "auth-profiles.json"


def read_profiles(
    host: Host, main: Main, config: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return main's stored credentials by id, and what to know of those that it has no more.

    The shared ones come before those of its first agent, which are those of an older OpenClaw, and these
    before those of others; where one of these has another under the same id, it stands beside. Raises
    `OcmError` where they cannot be read: without them a sync would take keys away.
    """
    found = dict(_profiles(main.state / "state" / "openclaw.sqlite", _STORE))
    notes = []
    first = agent_of(config)
    for agent, directory in _agents(host, main, config):
        for name, profile in _profiles(directory / "openclaw-agent.sqlite", _AGENT_STORE):
            known = found.setdefault(name, profile)
            if as_object(known) != as_object(profile) and agent != first:
                found[f"{name} of {agent}"] = profile
        retired = directory / _RETIRED
        if Path(retired).is_file():
            notes.append(
                f"{retired} is read by no OpenClaw any more: openclaw doctor --fix takes its keys over"
            )
    return found, tuple(notes)


def _agents(host: Host, main: Main, config: Mapping[str, Any]) -> Iterator[tuple[str, PurePosixPath]]:
    """Yield the agents of main with the directories of their stores, the one that answers first first."""
    agents = as_object(config.get("agents"))
    listed = agents.get("list")
    entries = (
        {str(one.get("id")): one for one in listed if isinstance(one, dict)}
        if isinstance(listed, list)
        else {}
    )
    entries |= as_object(agents.get("entries"))
    places = {name: main.state / "agents" / name / "agent" for name in _names(main.state / "agents")}
    for name, entry in entries.items():
        own = as_object(entry).get("agentDir")
        if isinstance(own, str) and own and "\0" not in own:
            places[name] = absolute(host.paths.home, own)
    first = agent_of(config)
    yield from sorted(places.items(), key=lambda place: (place[0] != first, place[0] != "main", place[0]))[
        :_MAX_AGENTS
    ]


def _names(directory: PurePosixPath) -> list[str]:
    try:
        return [path.name for path in Path(directory).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        message = f"the agents in {directory} cannot be read: {error.strerror}"
        raise OcmError(message, hint=HINT, code="credentials_unreadable") from None


def _profiles(path: PurePosixPath, query: str) -> Iterator[tuple[str, Any]]:
    try:
        if not _is_there(Path(path)):
            return
        for (text,) in rows(path, query):
            if isinstance(text, str):
                yield from _stored(text)
    except (sqlite3.Error, OSError) as error:
        message = f"the credentials in {path} cannot be read: {error}"
        raise OcmError(message, hint=HINT, code="credentials_unreadable") from None


def _is_there(path: Path) -> bool:
    """Tell whether there is a file; raises `OSError` where that cannot be told."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def rows(path: PurePosixPath, query: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in a database of the user's, beside which no file comes into being.

    Nothing where there is no such table. Raises `sqlite3.Error` and `OSError`.
    """
    with (
        _unchanged(Path(path)) as address,
        contextlib.closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as database,
    ):
        try:
            return database.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


@contextlib.contextmanager
def _unchanged(path: Path) -> Iterator[str]:
    """Yield how SQLite is to open a database: for reading alone it still makes -wal and -shm where it can.

    What a main that was ended left in -wal counts: then a copy is read, in a directory of its own.
    """
    log = Path(f"{path}-wal")
    if not log.exists() or not log.stat().st_size:
        yield f"file:{quote(str(path))}?mode=ro&immutable=1"
    elif is_open(path):
        yield f"file:{quote(str(path))}?mode=ro"
    else:
        with tempfile.TemporaryDirectory(prefix="ocm-") as folder:
            copy = Path(folder, "main.sqlite")
            shutil.copyfile(path, copy)
            shutil.copyfile(log, f"{copy}-wal")
            yield f"file:{quote(str(copy))}"


def _stored(text: str) -> Iterator[tuple[str, Any]]:
    with contextlib.suppress(ValueError, RecursionError):
        store = json.loads(text)
        profiles = store.get("profiles") if isinstance(store, dict) else None
        yield from profiles.items() if isinstance(profiles, dict) else ()
