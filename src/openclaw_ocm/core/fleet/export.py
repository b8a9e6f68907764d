"""The fleet file of what there is: with where secrets are to be read, and none of them. Pure."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from openclaw_ocm.core.fleet.file import VERSION, is_version
from openclaw_ocm.core.openclaw.channels import TELEGRAM, TOKEN
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.record import parse_model
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.fleet.difference import Have

_HEAD = """\
# What the instances of this machine are to be: ocm plan tells what differs, ocm apply brings it about.
# Secrets lie in files beside this one, or where else you say.

"""
# Said of all where all have it.
_COMMON = (
    "running", "autostart", "inherit_from", "model", "openclaw", "network", "expose", "limits",
    "environment", "backups", "auto_upgrade", "config",
)  # fmt: skip
_USER = re.compile(r"[1-9][0-9]{0,19}")
_EVERYBODY = "*"


class Kept(NamedTuple):
    """An instance, the names of the secrets of its own, and whether OCM installed its OpenClaw.

    `settings` are those values of its config that are its own, without what `channels` says of its bot.
    """

    have: Have
    secrets: tuple[str, ...]
    pinned: bool
    settings: Mapping[str, Any]


def fleet_text(instances: Iterable[Kept], *, secrets: str) -> str:
    """Return the text of the fleet file of instances.

    `secrets` is the directory, beside the file, in which they are read: as NAME/KEY.
    """
    tables = {one.have.record.name: _table(one, secrets) for one in instances}
    common = _common(list(tables.values()))
    for table in tables.values():
        for key in common:
            del table[key]
    whole = {"version": VERSION, **({"defaults": common} if common else {}), "instances": tables}
    return _HEAD + msgspec.toml.encode(whole).decode()


def _common(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what all of several tables say."""
    if len(tables) < 2:  # noqa: PLR2004 - of one nothing is common
        return {}
    first = tables[0]
    return {
        key: first[key]
        for key in _COMMON
        if key in first and all(table.get(key) == first[key] for table in tables)
    }


def _table(kept: Kept, secrets: str) -> dict[str, Any]:
    have, record = kept.have, kept.have.record
    told: dict[str, Any] = {
        "running": have.running,
        "autostart": record.autostart,
        "inherit_from": have.source or False,
        "model": _model(have.model),
        # That of the PATH is whatever the machine has.
        "openclaw": have.version if kept.pinned and is_version(have.version) else None,
        "port": record.port,
        "network": record.network,
        "allow": record.allow if record.isolated else (),
        "expose": record.expose,
        "environment": record.environment,
        "mounts": [msgspec.to_builtins(one) for one in record.mounts],
        "limits": _without_defaults(record.limits),
        "backups": None if record.backups is None else _without_defaults(record.backups),
        "auto_upgrade": None if record.auto_upgrade is None else msgspec.to_builtins(record.auto_upgrade),
    }
    found = {key: value for key, value in told.items() if value not in (None, (), [], {})}
    if not record.sealed:
        found["sealed"] = False
    sources = {key: {"file": f"{secrets}/{record.name}/{key}"} for key in kept.secrets}
    allowed = bot_allowed(have.config) if TOKEN in sources else None
    if allowed is not None:
        bot = {"token": sources.pop(TOKEN), "allow": list(allowed)}
        found["channels"] = {"telegram": {key: value for key, value in bot.items() if value}}
    if sources:
        found["secrets"] = sources
    if kept.settings:
        found["config"] = dict(kept.settings)
    return found


def _model(model: str | None) -> str | None:
    """Return the model of a config where that is one that a fleet file may name."""
    with contextlib.suppress(Invalid):
        return None if model is None else parse_model(model)
    return None


def bot_allowed(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the users who may write to the Telegram bot of a config, None where it has no bot.

    Where everybody may there are none: a fleet file would let those alone.
    """
    entry = as_object(lookup(config, f"channels.{TELEGRAM}"))
    allowed = entry.get("allowFrom")
    texts = [f"{one}" for one in allowed] if isinstance(allowed, list) else []
    if _EVERYBODY in texts:
        return ()
    return tuple(text for text in texts if _USER.fullmatch(text)) if entry else None


def _without_defaults(struct: msgspec.Struct) -> dict[str, Any]:
    """Return what of a struct is not as it is by itself."""
    usual = {one.name: one.default for one in msgspec.structs.fields(struct)}
    return {
        key: value
        for key, value in msgspec.to_builtins(struct).items()
        if value is not None and getattr(struct, key) != usual[key]
    }
