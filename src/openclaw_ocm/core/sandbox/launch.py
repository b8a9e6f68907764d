"""How a program is run as an instance: with an environment from nothing, its secrets, and an init.

The environment is passed through `env -i` and not through the unit's Environment=, because a user
manager hands its own environment (environment.d, import-environment) to every unit: a main's API key or
an OPENCLAW_STATE_DIR in there must not reach an instance, and UnsetEnvironment= takes no patterns.
"""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.network import Rules, parse_allowed
from openclaw_ocm.core.openclaw.run import environment, node_flags, openclaw_argv
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
TOOL_HOST_NAME = "tool-host"
DOCKER_NAME = "docker"
# Outside of the sandbox: what makes its network, and the rules of that.
UPLINK_NAME, GATEWAY_RULES, SESSION_RULES = "uplink", "gateway.nft", "session.nft"
# An environment file of the uplink's own unit.
UPLINK_OPTIONS = "options"
# In the sandbox's /tmp, which sessions share with the gateway: their `docker` asks the gateway's tool host.
TOOL_HOST_SOCKET = PurePosixPath("/tmp/.ocm-tool-host")  # noqa: S108 - its name is no secret


def gateway_argv(paths: InstancePaths, record: Record, *options: str) -> tuple[str, ...]:
    """Return the argument vector of the gateway, where it is sealed below the tool host that makes boxes.

    `options` are further ones of the tool host.
    """
    openclaw = openclaw_argv(record, ("gateway", "--port", str(record.port)), *node_flags(paths, record))
    argv = with_secrets(paths, record, openclaw)
    if record.sealed:
        roots = (paths.state, *TEMPORARY)
        boxes = () if record.docker else ("--socket", str(TOOL_HOST_SOCKET), *_each("--root", roots))
        argv = under_tool_host(paths, record, argv, *options, "--bound-output", *boxes)
    return clean(environment(paths, record), argv)


def under_tool_host(
    paths: InstancePaths, record: Record, argv: tuple[str, ...], *options: str
) -> tuple[str, ...]:
    """Return `argv` run by the tool host: in namespaces and on terminals of its own, below the filters."""
    host = (PYTHON, "-IS", str(paths.bin / TOOL_HOST_NAME), *_each("--filter", filter_paths(paths)))
    tasks = ("--tasks", str(record.limits.tasks))
    network = ("--network",) if record.isolated else ()
    return (*host, *tasks, *network, *options, "--", PERL, str(paths.bin / INIT_NAME), *argv)


def uplink_argv(paths: InstancePaths, record: Record, *rest: str, gateway: bool) -> tuple[str, ...]:
    """Return what gives a sandbox its network, from outside: that of the `gateway`, or of a session.

    `rest` is what makes the sandbox and how that is found: see the program itself.
    """
    rules = GATEWAY_RULES if gateway else SESSION_RULES
    words = ("--rules", str(paths.network / rules), *(("--state", str(paths.uplink)) if gateway else ()))
    options = uplink_options(record, gateway=gateway)
    return (PYTHON, "-IS", str(paths.network / UPLINK_NAME), *words, *options, *rest)


def uplink_options(record: Record, *, gateway: bool) -> tuple[str, ...]:
    """Return those options of an uplink that come of the record."""
    serve = ("--serve", f"127.0.0.1:{record.port}") if gateway else ()
    expose = ("--expose",) if gateway and record.expose else ()
    return (
        *serve,
        *expose,
        *(("--reach-host",) if network_rules(record, gateway=gateway).reaches_host else ()),
    )


def network_rules(record: Record, *, gateway: bool) -> Rules:
    """Return what the network of a gateway is to be, or that of a session, which reaches its gateway besides.

    Who serves that port on the host is the gateway's own uplink; `use` looks who it is before.
    """
    allowed = tuple(map(parse_allowed, record.allow))
    own = () if gateway else (parse_allowed(f"127.0.0.1:{record.port}"),)
    served = record.port if gateway else None
    return Rules(
        served=served,
        exposed=bool(record.expose),
        allowed=(*allowed, *own),
        out=record.network == "own",
    )


def on_own_terminal(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return `argv` run on a terminal of the sandbox's own, which programs like tmux find by its name."""
    # Not by bash, which takes the prompt out of the environment of what it is to run.
    command = f"exec {shlex.join((ENV, 'SHELL=/bin/bash', *argv))}"
    return (ENV, "SHELL=/bin/sh", "/usr/bin/script", "-qefc", command, "/dev/null")


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
