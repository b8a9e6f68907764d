"""`ocm rollback`: an instance is again what it was before its last upgrade, and what that loses is told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.openclaw.lost import in_words, linked_anew, parse_since
from openclaw_ocm.core.openclaw.settings import on_port
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.steps import Start, Stop, WriteRecord
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.instances.sandboxed import run_node
from openclaw_ocm.operations import backup
from openclaw_ocm.operations.backup import backup_locked
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.planning.repair import repair_steps, shell_for_undo
from openclaw_ocm.operations.planning.upgrading import pass_over
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.records import encode_record, parse_record
from openclaw_ocm.system.openclaw.config import find_config
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.slots import Slots
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.slots import Before

_COUNT_SECONDS = 60.0


def rollback(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Have an instance be again what it was before its last upgrade: its state, and the OpenClaw it ran.

    What it has now is backed up first. Its secrets, port and all else in its record stay. Raises `OcmError`.
    """
    with changing(context, name) as worker:
        before, slots = _kept(worker), Slots(worker.paths)
        record = parse_record(before.record, str(before.directory))
        after = msgspec.structs.replace(worker.record, runtime=record.runtime)
        ran = worker.process.activity.will_run
        told = _lost(worker, before)
        if not dry_run:
            _follow_port(before, record, after)
            worker.context.report("back up what is there now")
            told = (*told, f"what it had since then is in {backup_locked(worker, backup.Request()).path}")
        now = encode_record(worker.record)
        steps: list[Step] = [
            Stop(name=name, ran=ran),
            slots.exchange(before.state, before.inode),
            shell_for_undo(worker),
            WriteRecord(
                path=str(worker.paths.record),
                text=encode_record(after),
                previous=now,
            ),
            *repair_steps(worker.with_record(after), repair=effort.repair, replaced=True),
            *((Start(name=name), effort.verify(name)) if ran else ()),
        ]
        outcome = carry_out(
            worker.context,
            make_plan(worker.backend, "rollback", name, [*steps, *slots.discard()], commit=len(steps)),
            done=f"runs OpenClaw {version_of(after.runtime)}, as it was at {_when(before)}",
            nothing="",
            dry_run=dry_run,
            notes=told,
        )
        return outcome if dry_run else replace(outcome, notes=(*outcome.notes, *_passed_over(worker)))


def _passed_over(worker: Instance) -> tuple[str, ...]:
    """Have the version that an instance ran not be taken again by itself."""
    try:
        note = pass_over(worker, version_of(worker.record.runtime))
    except OcmError:
        # Of one that is gone nobody knows the version.
        return ()
    return () if note is None else (note,)


def forget(context: Context, name: InstanceName, *, dry_run: bool) -> Outcome:
    """Remove what is kept of an instance from before its last upgrade."""
    with changing(context, name) as worker:
        plan = make_plan(worker.backend, "rollback", name, Slots(worker.paths).discard(), commit=0)
        done = "nothing is kept from before its upgrade"
        return carry_out(worker.context, plan, done=done, nothing=done, dry_run=dry_run)


def rollback_question(context: Context, name: InstanceName) -> str:
    """Return what a user is asked before a rollback; raises `OcmError` where nothing is kept."""
    worker = open_instance(context, name)
    before = _kept(worker)
    have = version_of(parse_record(before.record, str(before.directory)).runtime)
    lost = "; ".join(_lost(worker, before))
    return f"Bring {name} back to OpenClaw {have} and its state of {_when(before)} ({lost})?"


def forget_question(context: Context, name: InstanceName) -> str:
    """Return what a user is asked before the way back is removed."""
    return f"Remove the state of {name} as it was at {_when(_kept(open_instance(context, name)))}?"


def _lost(worker: Instance, before: Before) -> tuple[str, ...]:
    """Return what a way back loses, in sentences: counted in the sandbox, as far as that can be."""
    lines: list[str] = []
    request = json.dumps({"since": int(before.when * 1000)}).encode()
    try:
        run_node(worker, "count_since.mjs", request, lines.append, timeout=_COUNT_SECONDS)
    except OcmError:
        lines.clear()
    return in_words(parse_since(lines)), *linked_anew(worker.config, worker.name)


def _when(before: Before) -> str:
    return f"{datetime.fromtimestamp(before.when, local_zone()):%Y-%m-%d %H:%M}"


def _kept(worker: Instance) -> Before:
    found = Slots(worker.paths).kept()
    if not found:
        message = f"nothing is kept of {worker.name} from before an upgrade"
        hint = f"ocm backups list {worker.name} shows its backups"
        raise OcmError(message, hint=hint, code="nothing_kept")
    return found[0]


def _follow_port(before: Before, then: Record, now: Record) -> None:
    """Have the config that was kept name the port that the instance has now."""
    if then.port == now.port:
        return
    kept = Directory(before.state)
    config = on_port(find_config(kept), before=then.port, after=now.port)
    kept.write(CONFIG_NAME, format_config(config))
