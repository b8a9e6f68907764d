"""The versions of OpenClaw's databases: what is there, against what a package states that it reads.

An OpenClaw brings an older database up to its own version or refuses it, and refuses a newer one
(docs/reference/database-schemas of OpenClaw 2026.9.6). Its package.json states both versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.answers import parse_answers
from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# What OpenClaw's own update runs between the two versions (dist/update-command-package, 2026.9.5), and what
# keeps it from what is no migration. Who starts the gateway is in the environment of every program inside.
MIGRATE = ("doctor", "--fix", "--non-interactive", "--no-workspace-suggestions")
MIGRATING = {"OPENCLAW_UPDATE_IN_PROGRESS": "1"}
# The directories of a state that databases lie in.
DATABASES = ("state", "agents/*/agent")
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """The versions of the databases that an OpenClaw reads and writes."""

    state: int
    agent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One database: that of an agent, None for that of all, and its version, None where it cannot be read."""

    agent: str | None
    version: int | None

    def stated(self, by: Stated) -> int:
        """Return the version that an OpenClaw has of such a database."""
        return by.state if self.agent is None else by.agent

    def describe(self) -> str:
        """Return in words which it is."""
        return "the database of the gateway" if self.agent is None else f"the database of agent {self.agent}"


def parse_stated(package: Mapping[str, Any]) -> Stated | None:
    """Return what the package.json of an OpenClaw states, None where it states nothing of it."""
    versions = as_object(as_object(package.get("openclaw")).get("schemaVersions"))
    state, agent = _version(versions.get("state")), _version(versions.get("agent"))
    return None if state is None or agent is None else Stated(state=state, agent=agent)


def parse_schemas(lines: Iterable[str]) -> tuple[Schema, ...] | None:
    """Return what read_schemas.mjs printed, None where that is not whole: an instance can write there."""
    answers = parse_answers(lines)
    if answers is None:
        return None
    found: list[Schema] = []
    for words in answers:
        if not isinstance(words, list) or len(words) != len(("kind", "agent", "version")):
            return None
        agent = printable(str(words[1]))[:_LONGEST_NAME] if words[0] == "agent" else None
        found.append(Schema(agent=agent, version=_version(words[2])))
    return tuple(found)


def newer(found: Iterable[Schema], stated: Stated) -> Schema | None:
    """Return a database that an OpenClaw is too old for, None for none."""
    return next((one for one in found if (one.version or 0) > one.stated(stated)), None)


def unreadable(found: Iterable[Schema], stated: Stated, agents: Collection[str]) -> Schema | None:
    """Return a database that an OpenClaw does not read as it is, None for none.

    Of agents those count that a config names: of one that is gone nobody makes the database newer.
    """
    used = (one for one in found if one.agent is None or one.agent in agents)
    return next((one for one in used if one.version != one.stated(stated)), None)


def _version(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
