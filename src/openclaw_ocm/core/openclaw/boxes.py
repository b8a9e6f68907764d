"""The box that OpenClaw makes for an agent's sessions other than main, read from the config of an instance.

As OpenClaw 2026.9.6 has it: names, copies of workspaces and mounts are those of its src/agents/sandbox. The
config is the instance's to write, so nothing in it is taken for more than it is.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.openclaw.turn import agent_of
from openclaw_ocm.core.sandbox.policy import Mount
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.paths import InstancePaths

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# A path that docker's `-v SOURCE:TARGET` can say.
_PATH = re.compile(r"[^:\x00-\x1f\x7f]{1,1024}")
_MOST_AGENTS = 1000
_MOST_SHOWN = 20
_WORKSPACE, _AGENT = PurePosixPath("/workspace"), PurePosixPath("/agent")
_SKILLS = ("skills", ".agents/skills")
# Where OpenClaw puts the skills that lie in no workspace.
_OTHER_SKILLS = ".openclaw/sandbox-skills"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBox:
    """What the sessions other than main of an agent have for a box, with what it sees of the host."""

    agent: str
    mounts: tuple[Mount, ...]


def agents(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entry of each agent that a config names, main's alone where it names none."""
    entries = as_object(lookup(config, "agents.entries"))
    named = islice(((name, entry) for name, entry in entries.items() if _ID.fullmatch(name)), _MOST_AGENTS)
    return {name.lower(): as_object(entry) for name, entry in named} or {"main": {}}


def agent_box(paths: InstancePaths, config: Mapping[str, Any], agent: str | None) -> AgentBox:
    """Return the box of an agent, of main or the first where none is named.

    Raises `OcmError` where there is no such agent, or where its sessions have no box of OCM's.
    """
    known, wanted = agents(config), (agent or agent_of(config)).lower()
    if wanted not in known:
        shown = [*islice(known, _MOST_SHOWN), *(["..."] if len(known) > _MOST_SHOWN else [])]
        message = f"{paths.name} has no agent {printable(wanted, limit=64)!r}"
        raise OcmError(message, hint=f"it has {', '.join(shown)}", code="agent_unknown")
    of = _Sandbox(config, known[wanted])
    mode = of.text("mode", "off")
    if mode not in ("non-main", "all"):
        message = f"sessions of {wanted} run without a box: sandbox.mode is {printable(mode, limit=32)}"
        raise OcmError(message, hint=f"ocm enter {paths.name} shows what they see", code="box_impossible")
    backend = of.text("backend", "docker")
    if backend != "docker":
        message = (
            f"sessions of {wanted} have no box of OCM's: sandbox.backend is {printable(backend, limit=32)}"
        )
        raise OcmError(message, code="box_impossible")
    return AgentBox(agent=wanted, mounts=_mounts(paths, config, wanted, of))


class _Sandbox:
    """The sandbox settings of an agent over those of all agents."""

    def __init__(self, config: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
        self.own = as_object(entry.get("sandbox"))
        self.shared = as_object(lookup(config, "agents.defaults.sandbox"))
        self.workspace = entry.get("workspace")

    def text(self, key: str, otherwise: str) -> str:
        """Return a setting, `otherwise` where there is none that is a text."""
        found = self.own.get(key, self.shared.get(key))
        return found.strip() or otherwise if isinstance(found, str) else otherwise


def _mounts(paths: InstancePaths, config: Mapping[str, Any], agent: str, of: _Sandbox) -> tuple[Mount, ...]:
    workspace = _workspace(paths, config, agent, of.workspace)
    access = of.text("workspaceAccess", "none")
    scope = "shared" if of.text("scope", "agent") == "shared" else f"agent:{agent}:{_qualified(workspace)}"
    if access == "rw":
        other = paths.state / "sandbox/skills-workspaces" / _slug(scope) / _OTHER_SKILLS / "skills"
        return (
            Mount(source=workspace, target=_WORKSPACE, writable=True),
            *_skills(workspace),
            Mount(source=other, target=_WORKSPACE / _OTHER_SKILLS / "skills", optional=True),
        )
    root = _path(paths, of.text("workspaceRoot", str(paths.state / "sandboxes")))
    copy = root if scope == "shared" else root / _slug(scope)
    if access == "ro":
        return (Mount(source=copy, target=_WORKSPACE), Mount(source=workspace, target=_AGENT))
    return (Mount(source=copy, target=_WORKSPACE, writable=True), *_skills(copy))


def _skills(workspace: PurePosixPath) -> tuple[Mount, ...]:
    return tuple(Mount(source=workspace / each, target=_WORKSPACE / each, optional=True) for each in _SKILLS)


def _workspace(paths: InstancePaths, config: Mapping[str, Any], agent: str, own: object) -> PurePosixPath:
    if isinstance(own, str) and own.strip():
        return _path(paths, own.strip())
    shared, known = lookup(config, "agents.defaults.workspace"), agents(config)
    marked = [name for name, entry in known.items() if entry.get("default") is True]
    first = marked[0] if len(marked) == 1 else "main" if "main" in known else next(iter(known))
    if isinstance(shared, str) and shared.strip():
        return _path(paths, shared.strip()) / ("" if agent == first else agent)
    return paths.workspace if agent == first else paths.state / f"workspace-{agent}"


def _path(paths: InstancePaths, text: str) -> PurePosixPath:
    """Return a path as OpenClaw resolves it; raises `OcmError` for one that no box can be given."""
    if not _PATH.fullmatch(text):
        message = (
            f"{printable(text, limit=80)!r} in the config of {paths.name} is no path that a box can have"
        )
        raise OcmError(message, code="box_impossible")
    home = f"{paths.host.home}{text[1:]}" if text == "~" or text.startswith("~/") else text
    return PurePosixPath(posixpath.normpath(posixpath.join(paths.state, home)))


def _qualified(workspace: PurePosixPath) -> str:
    return f"workspace:{_digest(str(workspace))[:32]}"


def _slug(scope: str) -> str:
    """Return the name of a directory for a scope: of all agents, or of one with its workspace."""
    if scope == "shared":
        return f"shared-{_digest(scope)[:8]}"
    return f"workspace-{_digest(scope)[:32]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
