"""The first config of an instance: what OCM puts into it, with what it inherits or has of another."""

from __future__ import annotations

import secrets
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.openclaw.document import format_config, overlay, refuse_large
from openclaw_ocm.core.openclaw.settings import initial_config
from openclaw_ocm.core.openclaw.traits import TOKEN_BYTES
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.ports import CDP_OFFSET
from openclaw_ocm.instances.inheritance import read_duplicate, read_inheritance, write_duplicate
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.system.kept.inherited import Inherited, write_inherited
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.kept.secrets import write_secrets

if TYPE_CHECKING:
    from openclaw_ocm.core.inheritance.extract import Inheritance
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.steps import CloneConfig, WriteConfig
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.host import Host


def write_first_config(context: Context, step: WriteConfig) -> None:
    """Write the config of a new instance, and keep what it inherited; its gateway gets a new token.

    What there is to inherit is what was read for the plan, or where that is not known what is read now.
    """
    host, name = context.host, name_of_config(step.path)
    record = read_record(host.paths, name)
    inheritance = None
    if step.inherit is not None:
        inheritance = context.inheritance or read_inheritance(
            context, step.inherit, record.runtime, name, record.environment
        )
        names = tuple(sorted(inheritance.secrets))
        inherited = Inherited(source=step.inherit, config=inheritance.config, secrets=names)
        write_inherited(host.instance(name), inherited)
        write_secrets(host, name, inheritance.secrets)
    _write(context, name, first_config(host, record, step.model, inheritance))


def write_cloned_config(context: Context, step: CloneConfig) -> None:
    """Write the config of a clone: that of its source, but for what OCM puts into that of a new instance.

    What the source has is what was read for the plan, or where that is not known what is read now.
    """
    host = context.host
    record, source = read_record(host.paths, name_of_config(step.path)), parse_name(step.source)
    found = context.inheritance or read_duplicate(open_instance(context, source), record)
    write_duplicate(host, source, record.name, found)
    _write(context, record.name, cloned_config(host, record, found))


def first_config(
    host: Host, record: Record, model: str | None, inheritance: Inheritance | None
) -> dict[str, Any]:
    """Return the config of a new instance, with a token of its own."""
    own = _initial_config(host, record, model)
    return own if inheritance is None else overlay(inheritance.config, own)


def cloned_config(host: Host, record: Record, found: Inheritance) -> dict[str, Any]:
    """Return the config of a clone that has `found` of its source, with a token of its own."""
    return overlay(_initial_config(host, record, None), found.config)


def name_of_config(path: str) -> InstanceName:
    """Return the instance whose config is at `path`."""
    return name_of_state(str(PurePosixPath(path).parent))


def name_of_state(path: str) -> InstanceName:
    """Return the instance whose state is at `path`."""
    return parse_name(PurePosixPath(path).name.removeprefix(".openclaw-"))


def _initial_config(host: Host, record: Record, model: str | None) -> dict[str, Any]:
    return initial_config(
        host.instance(record.name),
        port=record.port,
        cdp_port=record.port + CDP_OFFSET,
        token=secrets.token_hex(TOKEN_BYTES),
        model=model,
    )


def _write(context: Context, name: InstanceName, config: dict[str, Any]) -> None:
    text = format_config(config)
    refuse_large(text)
    context.backend.volume(name).write(CONFIG_NAME, text)
