"""`ocm edit`: a change to an instance's OpenClaw config that OpenClaw itself has validated first."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.merge import merge
from openclaw_ocm.core.openclaw import document as configs
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.reload import is_live
from openclaw_ocm.core.openclaw.settings import LOOPBACK, weakened
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.status import Activity
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError, as_ocm_error
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.operations.session import capture, ready_for_session
from openclaw_ocm.system import files
from openclaw_ocm.system.exchange import replace_in
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw.config import candidate, read_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.runner import Completed

_VALIDATE_SECONDS = 120.0
_MAX_ISSUES = 10
# Each takes seconds, for OpenClaw validates; it writes its config a few times after a start and then rarely.
_ATTEMPTS = 5
# The record has the last word on these: the unit passes the port on the command line.
_IN_RECORD = ("gateway.port",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What an edit changed, as dotted keys; values are left out, for they may be secrets.

    `restart_keys` are those that a running gateway takes up only with a restart.
    """

    name: str
    changed: bool
    dry_run: bool
    keys: tuple[str, ...]
    restart_keys: tuple[str, ...]
    running: bool
    notes: tuple[str, ...]


def set_value(context: Context, name: InstanceName, key: str, value: Any, *, dry_run: bool) -> Edited:  # noqa: ANN401 - any JSON value
    """Set a dotted key; raises `OcmError` where OpenClaw would refuse the result, and changes nothing."""
    configs.parse_key(key)
    return change_config(
        context, name, lambda config: configs.with_value(config, key, value), dry_run=dry_run
    )


def unset_value(context: Context, name: InstanceName, key: str, *, dry_run: bool) -> Edited:
    """Remove a dotted key; nothing where it is not set."""
    configs.parse_key(key)
    return change_config(context, name, lambda config: configs.without_value(config, key), dry_run=dry_run)


def open_editor(context: Context, name: InstanceName, editor: str, *, dry_run: bool) -> Edited:
    """Let the user change the config in an editor; what OpenClaw refuses is kept in a file to mend."""
    read_record(context.host.paths, name)
    before = read_config(context.host.instance(name))[1]
    descriptor, path = tempfile.mkstemp(prefix=f"ocm-{name}-", suffix=".json")
    with os.fdopen(descriptor, "wb") as file:
        file.write(configs.format_config(before))
    try:
        context.host.runner.edit(editor, path)
    except BaseException:
        Path(path).unlink()
        raise
    text = Path(path).read_bytes()
    try:
        wanted = configs.parse_config(text, source="what you saved")
        edited = change_config(
            context, name, lambda config: _both_changes(before, wanted, config), dry_run=dry_run
        )
    except (OcmError, OSError) as refused:
        error = as_ocm_error(refused)
        message = f"{error.message}; nothing was changed"
        raise OcmError(
            message, hint=f"your text is kept in {path}", code=error.code, details=error.details
        ) from None
    Path(path).unlink()
    return edited


def _both_changes(before: dict[str, Any], wanted: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the config with what the user made of it, and what OpenClaw made of it meanwhile."""
    merged = merge(before, now, wanted)
    if merged.conflicts:
        places = printable(", ".join(".".join(place) for place in merged.conflicts[:5]))
        message = f"the config was changed meanwhile, in the same place: {places or 'everywhere'}"
        raise OcmError(message, code="config_changed")
    changed: dict[str, Any] = merged.value
    return changed


def change_config(
    context: Context,
    name: InstanceName,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    dry_run: bool,
) -> Edited:
    """Replace an instance's config by what `change` makes of it, once OpenClaw has validated that.

    Raises `OcmError` and changes nothing where OpenClaw would refuse it. Where OpenClaw writes the config
    meanwhile, `change` is applied to what it wrote.
    """
    record = ready_for_session(context, name)
    with changing(context, name):
        return apply_change(context, name, record, change, dry_run=dry_run)


def apply_change(
    context: Context,
    name: InstanceName,
    record: Record,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    dry_run: bool,
) -> Edited:
    """Do what `change_config` does, for a caller who holds the lock of the instance and has its record."""
    for attempt in range(_ATTEMPTS):
        data, before = read_config(context.host.instance(name))
        after = change(before)
        keys = configs.changed_keys(before, after)
        _refuse_record_keys(name, keys)
        if keys:
            _refuse_unstartable(name, after)
            configs.refuse_large(configs.format_config(after))
            _validate(context, name, record, after)
        if not keys or dry_run or _replace(context, name, data, after):
            break
        context.report(f"OpenClaw wrote the config meanwhile: again ({attempt + 1})")
    else:
        message = f"OpenClaw changes the config of {name} all the time; nothing was changed"
        raise OcmError(message, hint="try again", code="config_changed")
    return Edited(
        name=name,
        changed=bool(keys) and not dry_run,
        dry_run=dry_run,
        keys=keys,
        restart_keys=tuple(key for key in keys if not is_live(key)),
        running=instance_of(context, record).process.activity is Activity.RUNNING,
        notes=weakened(after, port=record.port, expose=record.expose) if keys else (),
    )


def _refuse_record_keys(name: InstanceName, keys: tuple[str, ...]) -> None:
    for key in _IN_RECORD:
        if key in keys:
            message = f"{key} of {name} is kept in its record, and the unit passes it to OpenClaw"
            raise Invalid(
                message, hint="the port of an instance stays; deploy another one", code="key_in_record"
            )


def _refuse_unstartable(name: InstanceName, config: dict[str, Any]) -> None:
    """Refuse what the schema allows and the gateway does not start with (exit 78, OpenClaw 2026.9.6)."""
    if lookup(config, "gateway.mode") != "local":
        message = f"the gateway of {name} starts with gateway.mode local and no other"
        raise OcmError(message, hint="nothing was changed", code="config_invalid")
    exposed = lookup(config, "gateway.bind") != LOOPBACK
    if exposed and lookup(config, "gateway.auth.mode") not in ("token", "password"):
        message = f"the gateway of {name} does not start beyond the loopback without authentication"
        raise OcmError(message, hint="nothing was changed", code="config_invalid")


def _validate(context: Context, name: InstanceName, record: Record, config: dict[str, Any]) -> None:
    """Have the instance's own OpenClaw judge `config`, in its sandbox: reading one may load its plugins."""
    paths = context.host.instance(name)
    with (
        files.open_state(paths.state) as directory,
        candidate(directory, configs.format_config(config)) as beside,
    ):
        context.report("validate with OpenClaw")
        completed = capture(
            context,
            record,
            ("config", "validate", "--json"),
            extra={"OPENCLAW_CONFIG_PATH": str(paths.state / beside)},
            timeout=_VALIDATE_SECONDS,
        )
    refuse_invalid(completed, name)


def refuse_invalid(completed: Completed, name: str) -> None:
    """Raise `OcmError` unless `openclaw config validate --json` found the config of `name` valid."""
    verdict = _parse_verdict(completed.stdout)
    if completed.returncode == 0 and verdict.get("valid") is True:
        return
    issues = tuple(_issues(verdict)) or tuple(map(printable, completed.stderr.strip().splitlines()[-5:]))
    message = f"OpenClaw would refuse this config of {name}"
    raise OcmError(message, hint="nothing was changed", code="config_invalid", details=issues)


def _parse_verdict(text: str) -> dict[str, Any]:
    try:
        verdict = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return verdict if isinstance(verdict, dict) else {}


def _issues(verdict: dict[str, Any]) -> list[str]:
    issues = verdict.get("issues")
    return [
        printable(f"{issue.get('path') or '<root>'}: {issue.get('message')}")
        for issue in (issues[:_MAX_ISSUES] if isinstance(issues, list) else [])
        if isinstance(issue, dict)
    ]


def _replace(context: Context, name: InstanceName, before: bytes, config: dict[str, Any]) -> bool:
    """Put `config` in place and tell so; False, and nothing is done, where the file is not what was read."""
    with files.open_state(context.host.instance(name).state) as directory:
        return replace_in(
            directory, CONFIG_NAME, configs.format_config(config), before=before, limit=configs.MAX_BYTES
        )
