"""How OpenClaw is run as an instance: the whole environment from nothing, and the argument vector.

The environment is passed through `env -i` and not through the unit's Environment=, because a user
manager hands its own environment (environment.d, import-environment) to every unit: a main's API key or
an OPENCLAW_STATE_DIR in there must not reach an instance, and UnsetEnvironment= takes no patterns.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.record import memory_bytes
from openclaw_ocm.core.sandbox.policy import ADDRESS_FAMILIES, SECRETS, TEMPORARY
from openclaw_ocm.core.sandbox.system_calls import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record

ENV = "/usr/bin/env"
PERL = "/usr/bin/perl"
BWRAP = "/usr/bin/bwrap"
# The system's own: OCM's may lie where the sandbox does not reach.
PYTHON = "/usr/bin/python3"
# The first process of a PID namespace gets no signal that it does not handle and inherits every orphan. Node
# while it starts would not hear SIGTERM, and never buries an orphan: so this goes before it. Perl, because
# perl-base is essential on Debian and takes 5 MB; a shell would start the program with SIGINT ignored.
INIT_NAME = "init"
# Between `env -i` and the program: no argument, which every user of the machine can read, holds a secret, and
# nothing else of the file reaches a shell. It ends by exec, so signals and exit status are the program's.
SECRETS_NAME = "with-secrets"
ENTRY = "openclaw.mjs"
TOOL_HOST_NAME = "tool-host"
DOCKER_NAME = "docker"
# In the sandbox's /tmp, which sessions share with the gateway: their `docker` asks the gateway's tool host.
TOOL_HOST_SOCKET = PurePosixPath("/tmp/.ocm-tool-host")  # noqa: S108 - its name is no secret

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")

# SIGUSR1 would open Node's debugger on the loopback: before systemd 257 another instance can send it.
NODE_FLAGS = ("--disable-warning=ExperimentalWarning", "--disable-sigusr1")

# OpenClaw drains for up to 325 s. In its sandbox it cannot ask systemd for the stop timeout: where it finds
# its unit in /proc/self/cgroup it assumes 90 s, elsewhere 330 s (dist/run-*.mjs, readSystemdStopTimeout).
STOP_TIMEOUT_SECONDS = 330

# Measured on OpenClaw 2026.9.6 (bench/): less memory for an idle gateway at the same CPU time.
_HEAP_MB = 1024
_SEMI_SPACE_MB = 2
_HEAP_SHARE = 0.6


def environment(paths: InstancePaths, record: Record) -> dict[str, str]:
    """Return every environment variable of the instance's processes. Holds no secret."""
    state = paths.state
    return {
        "HOME": str(paths.host.home),
        "PATH": ":".join((str(paths.bin), *SYSTEM_PATH)),
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox has a /tmp of its own
        # The home itself is not writable inside: what tools keep there goes into the state instead.
        "XDG_CACHE_HOME": str(state / "cache"),
        "XDG_CONFIG_HOME": str(state / "xdg" / "config"),
        "XDG_DATA_HOME": str(state / "xdg" / "data"),
        "XDG_STATE_HOME": str(state / "xdg" / "state"),
        "NPM_CONFIG_CACHE": str(state / "cache" / "npm"),
        # OpenClaw's own choice is /tmp, which is no place for what is to last.
        "NODE_COMPILE_CACHE": str(state / "cache" / "node-compile-cache"),
        # Set, it keeps the launcher from starting itself a second time for a cache path of its own.
        "OPENCLAW_PACKAGED_COMPILE_CACHE_RESPAWNED": "1",
        "OPENCLAW_NODE_OPTIONS_READY": "1",
        "OPENCLAW_STATE_DIR": str(state),
        "OPENCLAW_CONFIG_PATH": str(paths.config),
        "OPENCLAW_OAUTH_DIR": str(state / "credentials"),
        "OPENCLAW_PROFILE": paths.name,
        "OPENCLAW_GATEWAY_PORT": str(record.port),
        "OPENCLAW_SUPERVISOR_MODE": "external",
        "OPENCLAW_SERVICE_REPAIR_POLICY": "external",
        "OPENCLAW_NO_AUTO_UPDATE": "1",
        "OPENCLAW_DISABLE_BONJOUR": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def node_flags(record: Record) -> tuple[str, ...]:
    """Return the V8 flags of the gateway, the heap bounded by the record's memory limit."""
    heap = _HEAP_MB
    if record.limits.memory is not None:
        heap = min(heap, int(memory_bytes(record.limits.memory) * _HEAP_SHARE) // 2**20)
    return (f"--max-old-space-size={heap}", f"--max-semi-space-size={_SEMI_SPACE_MB}")


def openclaw_argv(record: Record, arguments: tuple[str, ...], *flags: str) -> tuple[str, ...]:
    """Return the argument vector of `openclaw ARGUMENTS` as the instance; trap 2 wants --profile always."""
    entry = str(PurePosixPath(record.runtime.openclaw) / ENTRY)
    return (record.runtime.node, *flags, *NODE_FLAGS, entry, "--profile", record.name, *arguments)


def node_argv(record: Record, script: str) -> tuple[str, ...]:
    """Return the argument vector that runs the text of a module by the instance's Node."""
    return (record.runtime.node, *NODE_FLAGS, "--input-type=module", "--eval", script)


def gateway_argv(paths: InstancePaths, record: Record) -> tuple[str, ...]:
    """Return the argument vector of the gateway, where it is sealed below the tool host that makes boxes."""
    openclaw = openclaw_argv(record, ("gateway", "--port", str(record.port)), *node_flags(record))
    argv = with_secrets(paths, record, openclaw)
    if record.sealed:
        roots = (paths.state, *TEMPORARY)
        boxes = () if record.docker else ("--socket", str(TOOL_HOST_SOCKET), *_each("--root", roots))
        argv = under_tool_host(paths, argv, *boxes)
    return clean(environment(paths, record), argv)


def under_tool_host(paths: InstancePaths, argv: tuple[str, ...], *options: str) -> tuple[str, ...]:
    """Return `argv` run by the tool host: in namespaces and on terminals of its own, below the filters."""
    host = (PYTHON, "-IS", str(paths.bin / TOOL_HOST_NAME), *_each("--filter", filter_paths(paths)), *options)
    return (*host, "--", PERL, str(paths.bin / INIT_NAME), *argv)


def filter_paths(paths: InstancePaths) -> tuple[PurePosixPath, ...]:
    """Return where an instance has the two compiled filters of its gateway, as its sandbox sees them too."""
    name = digest(ADDRESS_FAMILIES)
    return paths.bin / f"{name}.calls", paths.bin / f"{name}.arguments"


def _each(option: str, values: Iterable[PurePosixPath]) -> tuple[str, ...]:
    return tuple(word for value in values for word in (option, str(value)))


def with_secrets(paths: InstancePaths, record: Record, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return `argv` run with the instance's secrets in its environment, as they are when it starts."""
    file = SECRETS if record.sealed else paths.secrets
    return (PERL, str(paths.bin / SECRETS_NAME), str(file), *argv)


def clean(environ: Mapping[str, str], argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return `argv` run under `env -i` with nothing but `environ`."""
    return (ENV, "-i", *(f"{name}={value}" for name, value in environ.items()), *argv)
