"""Has OpenClaw migrate the databases of an instance, and tells which versions they are: in its sandbox."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw import schemas
from openclaw_ocm.core.openclaw.turn import agent_of, agents_in
from openclaw_ocm.errors import CommandFailed, OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.instances.sandboxed import run_node, run_openclaw
from openclaw_ocm.system.openclaw.package import stated_schemas, version_of

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.openclaw.schemas import Schema
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance

_READ_SECONDS = 60.0
# How long OpenClaw may take: an instance can make a database that takes for ever.
_START_SECONDS = 300.0
_BYTES_PER_SECOND = 1_000_000
_MAIN = "main"


def read_schemas(worker: Instance) -> tuple[Schema, ...]:
    """Return which databases an instance has; raises `OcmError` where that cannot be told."""
    lines: list[str] = []
    run_node(worker, "read_schemas.mjs", b'{"schemas": true}', lines.append, timeout=_READ_SECONDS)
    found = schemas.parse_schemas(lines)
    if found is None:
        message = f"which databases {worker.name} has cannot be told: what was printed inside is not whole"
        raise OcmError(message, hint=f"ocm status {worker.name}", code="wrong_schema")
    return found


def migrate(context: Context, name: InstanceName) -> None:
    """Have OpenClaw bring the state of an instance that is stopped up to its own version, as its update does.

    One that has no databases yet is left alone. Raises `OcmError` with its last words where it fails.
    """
    worker = open_instance(context, name)
    if not read_schemas(worker):
        return
    version = version_of(worker.record.runtime)
    seconds = _START_SECONDS + sum(worker.volume.sizes(*schemas.DATABASES)) / _BYTES_PER_SECOND
    context.report(f"have OpenClaw {version} migrate it, for {seconds:.0f} s at the most")
    try:
        run_openclaw(worker, schemas.MIGRATE, schemas.MIGRATING, timeout=seconds)
    except CommandFailed as error:
        message = f"OpenClaw {version} did not migrate the state of {name} (status {error.returncode})"
        words = tuple(error.stderr.splitlines())
        raise OcmError(message, hint=_hint(name), code="not_migrated", details=words) from None
    except OcmError as error:
        if error.code != "timeout":
            raise
        message = f"OpenClaw {version} did not migrate the state of {name} within {seconds:.0f} s"
        raise OcmError(message, hint=_hint(name), code="not_migrated") from None


def prove_state(context: Context, name: InstanceName) -> None:
    """Return where the databases of an instance are what its OpenClaw reads; raises `OcmError` otherwise.

    A gateway becomes ready without, and its agent fails at the next message (OpenClaw 2026.9.5).
    """
    worker = open_instance(context, name)
    stated = stated_schemas(PurePosixPath(worker.record.runtime.openclaw))
    if stated is None:
        return
    one = schemas.unreadable(read_schemas(worker), stated, _agents(worker))
    if one is not None:
        has = "cannot be read" if one.version is None else f"has version {one.version}"
        version = version_of(worker.record.runtime)
        message = (
            f"{one.describe()} of {name} {has}, and OpenClaw {version} reads version {one.stated(stated)}"
        )
        raise OcmError(message, hint=_hint(name), code="wrong_schema")


def refuse_newer_state(worker: Instance, runtime: Runtime) -> None:
    """Raise `OcmError` where an instance has a database that is too new for an OpenClaw."""
    stated = stated_schemas(PurePosixPath(runtime.openclaw))
    one = None if stated is None else schemas.newer(read_schemas(worker), stated)
    if stated is not None and one is not None:
        version = version_of(runtime)
        message = (
            f"{one.describe()} of {worker.name} has version {one.version}, and OpenClaw {version} reads up "
            f"to version {one.stated(stated)}"
        )
        hint = f"ocm rollback {worker.name} goes back to before an upgrade"
        raise OcmError(message, hint=hint, code="version_older")


def refuse_migration(worker: Instance, runtime: Runtime) -> None:
    """Raise `OcmError` where an OpenClaw has to change the state first: only an upgrade can go back."""
    stated = stated_schemas(PurePosixPath(runtime.openclaw))
    one = None if stated is None else schemas.unreadable(read_schemas(worker), stated, _agents(worker))
    if one is not None:
        version = version_of(runtime)
        message = (
            f"OpenClaw {version} changes the state of {worker.name}, and what runs now cannot read it then"
        )
        hint = f"ocm upgrade {worker.name} --to {version} keeps a way back"
        raise OcmError(message, hint=hint, code="needs_upgrade")


def _agents(worker: Instance) -> set[str]:
    """Return the agents in use."""
    return {_MAIN, agent_of(worker.config), *agents_in(worker.config)}


def _hint(name: InstanceName) -> str:
    return f"ocm logs {name}"
