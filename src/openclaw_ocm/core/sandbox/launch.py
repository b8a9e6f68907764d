"""How a program is run as an instance: with an environment from nothing, its secrets, and an init.

The environment is passed through `env -i` and not through the unit's Environment=, because a user
manager hands its own environment (environment.d, import-environment) to every unit: a main's API key or
an OPENCLAW_STATE_DIR in there must not reach an instance, and UnsetEnvironment= takes no patterns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.run import environment, node_flags, openclaw_argv
from openclaw_ocm.core.sandbox.policy import SECRETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record

ENV = "/usr/bin/env"
PERL = "/usr/bin/perl"
BWRAP = "/usr/bin/bwrap"
# The first process of a PID namespace gets no signal that it does not handle and inherits every orphan. Node
# while it starts would not hear SIGTERM, and never buries an orphan: so this goes before it. Perl, because
# perl-base is essential on Debian and takes 5 MB; a shell would start the program with SIGINT ignored.
INIT_NAME = "init"
# Between `env -i` and the program: no argument, which every user of the machine can read, holds a secret, and
# nothing else of the file reaches a shell. It ends by exec, so signals and exit status are the program's.
SECRETS_NAME = "with-secrets"


def gateway_argv(paths: InstancePaths, record: Record, *, private_pids: bool) -> tuple[str, ...]:
    """Return the argument vector of the gateway itself, under an init of its own with `private_pids`."""
    openclaw = openclaw_argv(record, ("gateway", "--port", str(record.port)), *node_flags(record))
    argv = with_secrets(paths, record, openclaw)
    return clean(environment(paths, record), under_init(paths, argv) if private_pids else argv)


def with_secrets(paths: InstancePaths, record: Record, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return `argv` run with the instance's secrets in its environment, as they are when it starts."""
    file = SECRETS if record.sealed else paths.secrets
    return (PERL, str(paths.bin / SECRETS_NAME), str(file), *argv)


def under_init(paths: InstancePaths, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return `argv` run by the instance's init, for a PID namespace of its own."""
    return (PERL, str(paths.bin / INIT_NAME), *argv)


def clean(environ: Mapping[str, str], argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return `argv` run under `env -i` with nothing but `environ`."""
    return (ENV, "-i", *(f"{name}={value}" for name, value in environ.items()), *argv)
