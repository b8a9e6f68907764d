"""`ocm edit`: a change to an instance's OpenClaw config that OpenClaw itself has validated first."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.merge import merge
from openclaw_ocm.core.openclaw import document as configs
from openclaw_ocm.core.openclaw.reload import is_live
from openclaw_ocm.core.openclaw.settings import unstartable, weakened
from openclaw_ocm.core.openclaw.verdict import parse_verdict
from openclaw_ocm.core.sandbox.obstacle import obstacle
from openclaw_ocm.core.secrets import format_file
from openclaw_ocm.core.steps import Restart
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError, as_ocm_error
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.planning.agents import closed_places
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.operations.planning.contents import Contents, replace_contents, with_attempts
from openclaw_ocm.operations.planning.repair import remember, restart_steps, runs_with_older_secrets
from openclaw_ocm.operations.session import capture, ready_for_session
from openclaw_ocm.system.kept.inherited import encode_inherited, read_inherited, without_secret
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw.config import candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.runner import Completed

_VALIDATE_SECONDS = 120.0
# The record has the last word on these: the unit passes the port on the command line.
_IN_RECORD = ("gateway.port",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What an edit changed, as dotted keys; values are left out, for they may be secrets.

    `restart_keys` are those for which a running gateway is restarted; `steps` are those of the plan.
    """

    name: str
    changed: bool
    dry_run: bool
    keys: tuple[str, ...]
    restart_keys: tuple[str, ...]
    running: bool
    notes: tuple[str, ...]
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A config as it is written and as it is to be, which OpenClaw has validated; `keys` differ."""

    data: bytes = field(repr=False)
    before: dict[str, Any] = field(repr=False)
    after: dict[str, Any] = field(repr=False)
    keys: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def contents(self) -> tuple[bytes, bytes] | None:
        """The two texts, None where there is nothing to change."""
        return (self.data, configs.format_config(self.after)) if self.keys else None

    @property
    def restart_keys(self) -> tuple[str, ...]:
        """The keys that a running gateway takes up only with a restart."""
        return tuple(key for key in self.keys if not is_live(key))


def set_value(  # noqa: PLR0913 - what the command says
    context: Context,
    name: InstanceName,
    key: str,
    value: Any,  # noqa: ANN401 - any JSON value
    *,
    effort: Effort,
    dry_run: bool,
) -> Edited:
    """Set a dotted key; raises `OcmError` where OpenClaw would refuse the result, and changes nothing."""
    return set_values(context, name, {key: value}, effort=effort, dry_run=dry_run)


def set_values(
    context: Context, name: InstanceName, values: Mapping[str, Any], *, effort: Effort, dry_run: bool
) -> Edited:
    """Set dotted keys, all of them or none: so they are judged together, and with one restart at most."""
    for key in values:
        configs.parse_key(key)

    def change(config: dict[str, Any]) -> dict[str, Any]:
        for key, value in values.items():
            config = configs.with_value(config, key, value)
        return config

    return change_config(context, name, change, effort=effort, dry_run=dry_run)


def unset_value(context: Context, name: InstanceName, key: str, *, effort: Effort, dry_run: bool) -> Edited:
    """Remove a dotted key; nothing where it is not set."""
    configs.parse_key(key)
    return change_config(
        context, name, lambda config: configs.without_value(config, key), effort=effort, dry_run=dry_run
    )


def open_editor(
    context: Context, name: InstanceName, editor: str, *, effort: Effort, dry_run: bool
) -> Edited:
    """Let the user change the config in an editor; what is refused or undone is kept in a file to mend."""
    before = open_instance(context, name).read_config()[1]
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
            context,
            name,
            lambda config: _both_changes(before, wanted, config),
            effort=effort,
            dry_run=dry_run,
        )
    except (OcmError, OSError) as refused:
        error = as_ocm_error(refused)
        error.hint = "; ".join(filter(None, (f"your text is kept in {path}", error.hint)))
        raise error from None
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


def change_config(  # noqa: PLR0913 - what the commands say
    context: Context,
    name: InstanceName,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    effort: Effort,
    dry_run: bool,
    operation: str = "edit",
) -> Edited:
    """Replace an instance's config by what `change` makes of it, once OpenClaw has validated that.

    A gateway that runs is restarted where it would not take the change up by itself, and proved. Raises
    `OcmError` and changes nothing where OpenClaw would refuse the config, or the gateway is not ready with
    it. Where OpenClaw writes the config meanwhile, `change` is applied to what it wrote.
    """
    ready_for_session(context, name)
    with changing(context, name) as worker:
        return with_attempts(
            context,
            name,
            lambda: _change_once(worker.again(), change, effort=effort, dry_run=dry_run, operation=operation),
        )


def _change_once(
    worker: Instance,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    effort: Effort,
    dry_run: bool,
    operation: str,
) -> Edited:
    proposal = propose(worker, change)
    gateway = gateway_steps(worker, proposal, effort) if proposal.keys else []
    outcome = replace_contents(
        worker.context,
        operation,
        worker.name,
        Contents(config=proposal.contents, process=remember(worker) if gateway else None, gateway=gateway),
        done="",
        dry_run=dry_run,
        keep=effort.keep,
    )
    return Edited(
        name=worker.name,
        changed=outcome.changed,
        dry_run=dry_run,
        keys=proposal.keys,
        restart_keys=proposal.restart_keys,
        running=worker.process.activity.will_run,
        notes=proposal.notes,
        steps=outcome.steps,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a config and of secrets that changed together; `restarted` as the plan has it."""

    proposal: Proposal
    outcome: Outcome
    restarted: bool


def write_both(  # noqa: PLR0913 - what the commands say
    worker: Instance,
    operation: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    secrets: dict[str, str],
    *,
    own: str | None,
    effort: Effort,
    dry_run: bool,
) -> Written:
    """Give an instance what `change` makes of its config and these secrets: both or, if it fails, neither.

    The secret `own`, if it was inherited, is the instance's own from then on. A gateway that runs is
    restarted where a secret changes, and proved. The caller holds the lock, and tries anew by
    `with_attempts`.
    """
    proposal, before = propose(worker, change), read_secrets(worker.paths)
    inherited = None if own is None else without_secret(read_inherited(worker.paths), own)
    gateway: list[Step] = []
    # One that goes as well: the process would keep it, and its sandbox has the file that was replaced.
    stale = secrets != before or runs_with_older_secrets(worker)
    if stale and worker.process.activity.will_run:
        gateway = restart_steps(worker, effort)
    elif proposal.keys:
        gateway = gateway_steps(worker, proposal, effort)
    contents = Contents(
        secrets=None if secrets == before else format_file(secrets),
        inherited=None if inherited is None else encode_inherited(inherited),
        config=proposal.contents,
        process=remember(worker) if gateway else None,
        gateway=gateway,
    )
    outcome = replace_contents(
        worker.context, operation, worker.name, contents, done="", dry_run=dry_run, keep=effort.keep
    )
    restarted = any(isinstance(step, Restart) for step in gateway)
    return Written(proposal=proposal, outcome=outcome, restarted=restarted)


def gateway_steps(worker: Instance, proposal: Proposal, effort: Effort) -> list[Step]:
    """Return the steps by which a gateway that runs has a config that was replaced, and is proved."""
    if not worker.process.activity.will_run:
        return []
    return restart_steps(worker, effort) if proposal.restart_keys else [effort.verify(worker.name)]


def propose(worker: Instance, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Proposal:
    """Return what `change` makes of an instance's config, validated by OpenClaw; the caller holds the lock.

    Raises `OcmError` where OpenClaw, or OCM, refuses it.
    """
    name, record = worker.name, worker.record
    data, before = worker.read_config()
    after = change(before)
    keys = configs.changed_keys(before, after)
    _refuse_record_keys(name, keys)
    if keys:
        if (why := unstartable(after)) is not None:
            message = f"the gateway of {name} {why}"
            raise OcmError(message, hint="nothing was changed", code="config_invalid")
        configs.refuse_large(configs.format_config(after))
        _validate(worker, after)
    return Proposal(
        data=data,
        before=before,
        after=after,
        keys=keys,
        notes=(
            *weakened(after, port=record.port, expose=record.expose),
            *_newly_closed(record, before, after),
        )
        if keys
        else (),
    )


def _newly_closed(record: Record, before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """Return what a changed config needs near by that the instance does not reach, as it did not before."""
    known = frozenset(closed_places(record, before))
    return tuple(one for one in closed_places(record, after) if one not in known)


def _refuse_record_keys(name: InstanceName, keys: tuple[str, ...]) -> None:
    for key in _IN_RECORD:
        if key in keys:
            message = f"{key} of {name} is kept in its record, and the unit passes it to OpenClaw"
            raise Invalid(
                message, hint="the port of an instance stays; deploy another one", code="key_in_record"
            )


def _validate(worker: Instance, config: dict[str, Any]) -> None:
    """Have the instance's own OpenClaw judge `config`, in its sandbox: reading one may load its plugins."""
    with candidate(worker.volume, configs.format_config(config)) as beside:
        worker.context.report("validate with OpenClaw")
        completed = capture(
            worker.context,
            worker.record,
            ("config", "validate", "--json"),
            extra={"OPENCLAW_CONFIG_PATH": str(worker.paths.state / beside)},
            timeout=_VALIDATE_SECONDS,
        )
    refuse_invalid(completed, worker.name)


def refuse_invalid(completed: Completed, name: str) -> None:
    """Raise `OcmError` unless `openclaw config validate --json` found the config of `name` valid."""
    verdict = parse_verdict(completed.returncode, completed.stdout, completed.stderr)
    if verdict.valid is None:
        why = obstacle(completed.returncode, completed.stderr) or f"exit status {completed.returncode}"
        message = f"OpenClaw did not judge this config of {name}: {why}"
        raise OcmError(message, hint="nothing was changed", code="not_judged", details=verdict.issues)
    if not verdict.valid:
        message = f"OpenClaw would refuse this config of {name}"
        raise OcmError(message, hint="nothing was changed", code="config_invalid", details=verdict.issues)
