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
from openclaw_ocm.core.openclaw.turn import agent_of, agents_in
from openclaw_ocm.core.sandbox.policy import Mount
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.paths import InstancePaths

# A path that docker's `-v SOURCE:TARGET` can say.
_PATH = re.compile(r"[^:\x00-\x1f\x7f]{1,1024}")
# What can be said to a program; half of a character of UTF-16 cannot.
_TEXT = re.compile(r"[^\x00\ud800-\udfff]*")
_VARIABLE = re.compile(r"[^=\x00\n\r\ud800-\udfff]+")
# By this programs know that OpenClaw runs them.
_MARK = {"OPENCLAW_CLI": "1"}
_MOST_AGENTS = 1000
_MOST_SHOWN = 20
_WORKSPACE, _AGENT = PurePosixPath("/workspace"), PurePosixPath("/agent")
_SKILLS = ("skills", ".agents/skills")
# Where OpenClaw puts the skills that lie in no workspace.
_OTHER_SKILLS = ".openclaw/sandbox-skills"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBox:
    """What the sessions other than main of an agent have for a box, with what it sees of the host.

    `binds` are what the config adds to `mounts`, as docker's -v has it; commands begin in `directory`.
    """

    agent: str
    mounts: tuple[Mount, ...]
    directory: PurePosixPath
    binds: tuple[str, ...]
    environ: Mapping[str, str]


def agents(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entry of each agent that a config names, main's alone where it names none."""
    named = islice(agents_in(config).items(), _MOST_AGENTS)
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
    access, directory = of.text("workspaceAccess", "none"), of.directory(paths)
    if access != "rw" and of.text("scope", "agent") == "session":
        message = f"no box is that of all sessions of {wanted}: sandbox.scope is session"
        raise OcmError(message, hint="with sandbox.scope agent they have one", code="box_impossible")
    return AgentBox(
        agent=wanted,
        mounts=_mounts(paths, config, wanted, of),
        directory=directory,
        binds=of.binds(),
        environ=of.environ(),
    )


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

    def docker(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings of docker of all agents, and this one's own; a shared box has none of these."""
        shared = self.text("scope", "agent") == "shared"
        return as_object(self.shared.get("docker")), {} if shared else as_object(self.own.get("docker"))

    def directory(self, paths: InstancePaths) -> PurePosixPath:
        """Return where in the box the workspace is; raises `OcmError` for what is no place in one."""
        everybody, own = self.docker()
        found = own.get("workdir", everybody.get("workdir"))
        text = found if isinstance(found, str) else str(_WORKSPACE)
        if not _PATH.fullmatch(text) or not text.startswith("/"):
            raise _no_path(paths, text)
        return PurePosixPath(posixpath.normpath(text))

    def binds(self) -> tuple[str, ...]:
        """Return what the config adds to what a box sees."""
        lists = [docker["binds"] for docker in self.docker() if isinstance(docker.get("binds"), list)]
        return tuple(
            bind for binds in lists for bind in binds if isinstance(bind, str) and _TEXT.fullmatch(bind)
        )

    def environ(self) -> dict[str, str]:
        """Return the variables of a box, as OpenClaw passes them on."""
        everybody, own = self.docker()
        env = as_object(everybody["env"]) if "env" in everybody else {"LANG": "C.UTF-8"}
        found = {key.strip(): value for key, value in {**env, **as_object(own.get("env"))}.items()}
        texts = {
            key: value for key, value in found.items() if isinstance(value, str) and _TEXT.fullmatch(value)
        }
        return {key: value for key, value in texts.items() if _VARIABLE.fullmatch(key)} | _MARK


def _mounts(paths: InstancePaths, config: Mapping[str, Any], agent: str, of: _Sandbox) -> tuple[Mount, ...]:
    workspace = _workspace(paths, config, agent, of.workspace)
    access, directory = of.text("workspaceAccess", "none"), of.directory(paths)
    scope = "shared" if of.text("scope", "agent") == "shared" else f"agent:{agent}:{_qualified(workspace)}"
    if access == "rw":
        other = paths.state / "sandbox/skills-workspaces" / _slug(scope) / _OTHER_SKILLS / "skills"
        return (
            Mount(source=workspace, target=directory, writable=True),
            *_skills(workspace, directory),
            Mount(source=other, target=directory / _OTHER_SKILLS / "skills", optional=True),
        )
    root = _path(paths, of.text("workspaceRoot", str(paths.state / "sandboxes")))
    copy = root if scope == "shared" else root / _slug(scope)
    if access == "ro":
        return (Mount(source=copy, target=directory), Mount(source=workspace, target=_AGENT))
    return (Mount(source=copy, target=directory, writable=True), *_skills(copy, directory))


def _skills(workspace: PurePosixPath, directory: PurePosixPath) -> tuple[Mount, ...]:
    return tuple(Mount(source=workspace / each, target=directory / each, optional=True) for each in _SKILLS)


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
        raise _no_path(paths, text)
    home = f"{paths.host.home}{text[1:]}" if text == "~" or text.startswith("~/") else text
    return PurePosixPath(posixpath.normpath(posixpath.join(paths.state, home)))


def _no_path(paths: InstancePaths, text: str) -> OcmError:
    message = f"{printable(text, limit=80)!r} in the config of {paths.name} is no path that a box can have"
    return OcmError(message, code="box_impossible")


def _qualified(workspace: PurePosixPath) -> str:
    return f"workspace:{_digest(str(workspace))[:32]}"


def _slug(scope: str) -> str:
    """Return the name of a directory for a scope: of all agents, or of one with its workspace."""
    if scope == "shared":
        return f"shared-{_digest(scope)[:8]}"
    return f"workspace-{_digest(scope)[:32]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
