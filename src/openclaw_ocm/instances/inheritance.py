"""What an instance, new or old, has to inherit: of main, or of another instance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.inheritance.clone import duplicate
from openclaw_ocm.core.inheritance.extract import inherit
from openclaw_ocm.core.names import MAIN, parse_name
from openclaw_ocm.core.openclaw.main_place import variables_of
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.system.kept.inherited import read_inherited, write_inherited
from openclaw_ocm.system.kept.secrets import read_secrets, write_secrets
from openclaw_ocm.system.openclaw.source import read_instance_source, read_main_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.inheritance.extract import Inheritance
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.openclaw.main_place import Variable
    from openclaw_ocm.core.record import Record, Runtime
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.host import Host


def read_inheritance(
    context: Context, source: str, runtime: Runtime, heir: InstanceName, given: Mapping[str, str]
) -> Inheritance:
    """Return what main, or the instance `source`, now has for `heir`, which runs with `runtime`.

    `given` are the variables that the heir has anyway.
    Raises `OcmError` where it cannot be read, or where that OpenClaw calls main's config invalid.
    """
    package = PurePosixPath(runtime.openclaw)
    if source == MAIN:
        return inherit(read_main_source(context.host, package, node=runtime.node, given=given), heir)
    worker = open_instance(context, parse_name(source))
    variables = {**worker.record.environment, **read_secrets(worker.paths)}
    found = inherit(read_instance_source(worker.name, worker.volume, package, variables, given=given), heir)
    return replace(found, around=given_variables(worker.record))


def given_variables(record: Record) -> dict[str, Variable]:
    """Return the variables that an instance was given, as those around what another inherits from."""
    return variables_of(record.environment, str(record.name))


def read_duplicate(source: Instance, record: Record) -> Inheritance:
    """Return what the instance `source` now has that its clone, the instance of `record`, is to have."""
    move = Move(before=source.paths.state, after=source.host.instance(record.name).state)
    package = PurePosixPath(record.runtime.openclaw)
    given = record.environment
    variables = {**given, **read_secrets(source.paths)}
    found = read_instance_source(source.name, source.volume, package, variables, given=given)
    return duplicate(found, move, record.name)


def write_duplicate(host: Host, source: InstanceName, clone: InstanceName, found: Inheritance) -> None:
    """Give a clone the secrets that it has of `source`, and have it follow what `source` follows."""
    paths = host.instance(clone)
    inherited = read_inherited(host.instance(source))
    if inherited is not None and inherited.source != clone:
        kept = tuple(name for name in inherited.secrets if name in found.secrets)
        write_inherited(paths, msgspec.structs.replace(inherited, secrets=kept))
    write_secrets(host, clone, found.secrets)
