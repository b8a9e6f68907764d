"""How OpenClaw is run as an instance: the environment of its processes, and its argument vectors."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core import prefix
from openclaw_ocm.core.environment import seen_inside
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.record import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record

ENTRY = "openclaw.mjs"
# Node holds in memory what it once read of a cache, 57 MB in a gateway, and runs it without a look at its
# source: whoever can write there decides what OpenClaw does. With the others the launcher starts once.
WITHOUT_CACHE = {
    "NODE_DISABLE_COMPILE_CACHE": "1",
    "OPENCLAW_PACKAGED_COMPILE_CACHE_RESPAWNED": "1",
    "OPENCLAW_NODE_OPTIONS_READY": "1",
}
# OpenClaw asks by its name which shell it is.
SHELL_NAME = "bash"
SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")

# SIGUSR1 would open Node's debugger on the loopback: before systemd 257 another instance can send it.
NODE_FLAGS = ("--disable-warning=ExperimentalWarning", "--disable-sigusr1")

# In the directory of an instance's commands: what has its gateway give memory back.
COLLECT_NAME = "collect-when-idle.mjs"
# As OpenClaw's own unit has it (2026.9.6): what ends a gateway is its memory limit or the machine's memory.
_HEAP_MB = 8192
# What every gateway is told, wherever it runs: it looks after no service and no version of its own.
MANNERS = {
    "OPENCLAW_SUPERVISOR_MODE": "external",
    "OPENCLAW_SERVICE_REPAIR_POLICY": "external",
    "OPENCLAW_NO_AUTO_UPDATE": "1",
    "OPENCLAW_DISABLE_BONJOUR": "1",
    # What the machine trusts Node trusts too: read at the first connection over TLS, in some 20 ms.
    "NODE_USE_SYSTEM_CA": "1",
    "MALLOC_ARENA_MAX": "2",
}
# Measured on OpenClaw 2026.9.6 (bench/): less memory for an idle gateway at the same CPU time.
_SEMI_SPACE_MB = 2
_HEAP_SHARE = 0.6


def environment(paths: InstancePaths, record: Record) -> dict[str, str]:
    """Return every environment variable of the instance's processes. Holds no secret."""
    return {
        **places(paths.host.home, paths.state, paths.bin, _shown_programs(record)),
        "OPENCLAW_PROFILE": paths.name,
        "OPENCLAW_GATEWAY_PORT": str(record.port),
        **MANNERS,
        **(seen_inside(record.environment) if record.sealed else record.environment),
    }


def places(
    home: PurePosixPath, state: PurePosixPath, programs: PurePosixPath, more: Iterable[str] = ()
) -> dict[str, str]:
    """Return the variables that tell a gateway where things are: its home, its state, OCM's `programs`.

    `more` are directories of programs beside those of the system.
    """
    return {
        "HOME": str(home),
        # What the instance can write comes last: it must not stand for what OCM or the system has.
        "PATH": ":".join(map(str, (programs, *SYSTEM_PATH, *prefix.search_path(state), *more))),
        "LANG": "C.UTF-8",
        # By it OpenClaw runs what its agents ask for: it sets what OpenClaw takes away.
        "SHELL": str(programs / SHELL_NAME),
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox has a /tmp of its own
        # The home itself is not writable inside: what tools keep there goes into the state instead.
        "XDG_CACHE_HOME": str(state / "cache"),
        "XDG_CONFIG_HOME": str(state / "xdg" / "config"),
        "XDG_DATA_HOME": str(state / "xdg" / "data"),
        "XDG_STATE_HOME": str(state / "xdg" / "state"),
        "NPM_CONFIG_CACHE": str(state / "cache" / "npm"),
        **prefix.variables(state),
        **WITHOUT_CACHE,
        "OPENCLAW_STATE_DIR": str(state),
        "OPENCLAW_CONFIG_PATH": str(state / CONFIG_NAME),
        "OPENCLAW_OAUTH_DIR": str(state / "credentials"),
    }


def _shown_programs(record: Record) -> Iterator[str]:
    """Yield where programs of the host may lie that the instance is shown."""
    for shown in record.mounts:
        # A colon would make two places of one, and the second may be no absolute one.
        if ":" in shown.at:
            continue
        at = PurePosixPath(shown.at)
        if at.name == "bin":
            yield str(at)
        elif at.parent.name == "bin":
            yield str(at.parent)
        elif not shown.writable:
            yield str(at / "bin")


def node_flags(paths: InstancePaths, record: Record) -> tuple[str, ...]:
    """Return Node's flags of the gateway, the heap bounded by the record's memory limit."""
    return (*heap_flags(record), f"--import={paths.bin / COLLECT_NAME}")


def heap_flags(record: Record) -> tuple[str, ...]:
    """Return those of them that bound the heap."""
    heap = _HEAP_MB
    if record.limits.memory is not None:
        heap = int(memory_bytes(record.limits.memory) * _HEAP_SHARE) // 2**20
    return (f"--max-old-space-size={heap}", f"--max-semi-space-size={_SEMI_SPACE_MB}")


def memory_flags(programs: PurePosixPath) -> tuple[str, ...]:
    """Return those of Node's flags that have a gateway take less memory, whatever its limit is."""
    return (f"--max-semi-space-size={_SEMI_SPACE_MB}", f"--import={programs / COLLECT_NAME}")


def openclaw_script(node: str, package: PurePosixPath, *options: str) -> str:
    """Return the script that is `openclaw` for agents and in sessions."""
    words = (node, *NODE_FLAGS, str(package / ENTRY))
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    return f'#!/bin/sh\nexec {" ".join((quoted, *options))} "$@"\n'


def shell_script(state: PurePosixPath) -> str:
    """Return the script that is the shell of agents: it sets what OpenClaw takes away."""
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in prefix.steering(state).items())
    return f'#!/bin/sh\nexport {exports}\nexec /bin/bash "$@"\n'


def openclaw_argv(record: Record, arguments: tuple[str, ...], *flags: str) -> tuple[str, ...]:
    """Return the argument vector of `openclaw ARGUMENTS` as the instance, which it is by its --profile."""
    entry = str(PurePosixPath(record.runtime.openclaw) / ENTRY)
    return (record.runtime.node, *flags, *NODE_FLAGS, entry, "--profile", record.name, *arguments)


def node_argv(record: Record, script: str) -> tuple[str, ...]:
    """Return the argument vector that runs the text of a module by the instance's Node."""
    return (record.runtime.node, *NODE_FLAGS, "--input-type=module", "--eval", script)
