"""`ocm plan` and `ocm apply`: instances as a fleet file describes them, by the verbs that there are."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.backends.definition import Standing, compare
from openclaw_ocm.core.crowd import IDLE_BYTES
from openclaw_ocm.core.firewall import ANY
from openclaw_ocm.core.fleet.difference import UNTIL_RESTART, Have, differences
from openclaw_ocm.core.names import InstanceName, is_drill
from openclaw_ocm.core.record import Record, Runtime
from openclaw_ocm.core.releases import is_newer
from openclaw_ocm.core.text import counted
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import observed, open_all, open_instance
from openclaw_ocm.operations.create import Wanted, create, model_of
from openclaw_ocm.operations.expose import questions as exposure_questions
from openclaw_ocm.operations.fleet_changes import AFTER, BY_KIND, Read
from openclaw_ocm.operations.fleet_checks import refuse_impossible
from openclaw_ocm.operations.planning.able import ability
from openclaw_ocm.operations.planning.agents import closed_places, unanswered
from openclaw_ocm.operations.planning.repair import runs_with_older_secrets
from openclaw_ocm.operations.planning.result import Outcome
from openclaw_ocm.operations.start import restart
from openclaw_ocm.system import capacity, files
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.secret_sources import LATE, read_source, source_note
from openclaw_ocm.system.variables import settled
from openclaw_ocm.system.ways import writable_places

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.core.fleet.difference import Change, Kind
    from openclaw_ocm.core.fleet.file import Described, Source
    from openclaw_ocm.core.fleet.parse import Fleet
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.fleet_changes import Job

_NOWHERE = Runtime(node="/", openclaw="/")


def read_sources(context: Context, fleet: Fleet, names: Iterable[InstanceName]) -> Read:
    """Ask each source of these instances once; a program that did not end is not run for another secret."""
    sources = dict.fromkeys(source for name in names for source in _sources(fleet.instances[name]))
    writable = writable_places(context.host.paths) if sources else {}
    values: dict[Source, str | OcmError] = {}
    late: set[str] = set()
    for source in sources:
        program = (source.command or ("",))[0]
        if program in late:
            message = f"{source.describe()}: it was not run, for it did not end for another secret"
            values[source] = OcmError(message, code="source_failed")
            continue
        try:
            values[source] = read_source(context.host, source, writable)
        except OcmError as error:
            values[source] = error
            late |= {program} if error.code == LATE else set()
    return Read(values=values)


def _sources(described: Described) -> tuple[Source, ...]:
    telegram = described.channels.telegram
    return (*described.secrets.values(), *(() if telegram is None else (telegram.token,)))


def beside(context: Context, fleet: Fleet) -> tuple[InstanceName, ...]:
    """Return the instances that there are and that a fleet file does not name.

    Those in which backups are tried out are there for a moment only.
    """
    known = instance_names(context.host.paths)
    return tuple(name for name in known if name not in fleet.instances and not is_drill(name))


def questions(context: Context, fleet: Fleet, name: InstanceName) -> tuple[str, ...]:
    """Return what is to be asked before an instance is as described: where everybody would reach it."""
    expose = fleet.instances[name].expose
    if name in instance_names(context.host.paths):
        return exposure_questions(context, name, expose)
    return (f"Let every machine that reaches this one reach {name}?",) if ANY in expose else ()


def lacking(
    context: Context, fleet: Fleet, names: Iterable[InstanceName]
) -> tuple[tuple[InstanceName, bool], ...]:
    """Return those that are to be made (True), and those that are to run a newer OpenClaw (False).

    One whose record cannot be read is told of when its turn comes, and so is what is older than it runs.
    """
    paths = context.host.paths
    known = instance_names(paths)
    found: list[tuple[InstanceName, bool]] = []
    for name in names:
        wanted = fleet.instances[name].openclaw
        if name not in known:
            found.append((name, True))
        elif wanted is not None:
            with contextlib.suppress(OcmError):
                if is_newer(wanted, version_of(read_record(paths, name).runtime)):
                    found.append((name, False))
    return tuple(found)


def too_many(context: Context, fleet: Fleet) -> OcmError | None:
    """Return why this machine cannot hold all gateways that are to run, None where it can.

    Those of a fleet file, and what runs beside them.
    """
    described = sum(one.running for one in fleet.instances.values())
    memory = capacity.memory()
    if memory is None or not described:
        return None
    seen = observed(open_all(context, beside(context, fleet)).instances.values())
    others = sum(one.process.activity.will_run for one in seen.instances.values())
    if (described + others) * IDLE_BYTES <= memory:
        return None
    fit = memory // IDLE_BYTES
    more = f" beside {counted(others, 'other')}" if others else ""
    to_run = f"{counted(described, 'gateway')} {'is' if described == 1 else 'are'} to run{more}"
    message = f"{to_run}, and the memory of this machine is enough for about {fit}"
    return OcmError(message, hint="running = false for some, or --overcommit", code="fleet_too_large")


def bring(context: Context, job: Job) -> Outcome:
    """Have an instance be as described; with a dry run say what that takes.

    Where a change fails those before it stay, and the error tells them: the next time goes on from there.
    """
    is_new = job.name not in instance_names(context.host.paths)
    # Read before anything is made.
    secrets, bot = job.secrets, job.bot
    found = _planned(context, job) if is_new else have(context, job.name)
    refuse_impossible(context, job, found.record, is_new=is_new)
    done = [_made(context, job)] if is_new else []
    if is_new and not job.dry_run:
        found = have(context, job.name)
    job = replace(job, described=_settled(context, job.described, found.record))
    changes = differences(job.described, found, mounts=job.mounts, secrets=secrets, bot=bot)
    words = [*(["make it"] if is_new else []), *(change.words for change in changes)]
    if not (is_new and job.dry_run):
        done += _carried_out(context, job, found, changes, is_new=is_new)
    misses = _misses(open_instance(context, job.name)) if is_new and not job.dry_run else ()
    return Outcome(
        name=job.name,
        operation="apply",
        changed=bool(words) and not job.dry_run,
        message=_message(words, done, job, is_new=is_new),
        dry_run=job.dry_run,
        changes=tuple(words),
        steps=(*(job.brought.installs if done else ()), *(step for one in done for step in one.steps)),
        notes=tuple(
            dict.fromkeys((*(note for one in done for note in one.notes), *misses, *_source_notes(job)))
        ),
    )


def _misses(worker: Instance) -> tuple[str, ...]:
    """Return what to know of a new instance once it has all that the file says."""
    record, config = worker.record, worker.config
    return (*closed_places(record, config), *unanswered(record, config), *ability(worker).notes)


def _settled(context: Context, described: Described, record: Record) -> Described:
    """Return a description with variables as a record has them: with files by their real paths."""
    new = {key: value for key, value in described.environment.items() if record.environment.get(key) != value}
    environment = {**described.environment, **settled(context.host.paths, new)}
    return msgspec.structs.replace(described, environment=environment)


def _source_notes(job: Job) -> tuple[str, ...]:
    return tuple(filter(None, map(source_note, _sources(job.described))))


def _message(words: list[str], done: list[Any], job: Job, *, is_new: bool) -> str:
    if not words:
        return "as the file says"
    if job.dry_run:
        return "would be made" if is_new else "would be changed"
    last = getattr(done[-1], "message", "") if done else ""
    if is_new:
        return f"made, {last}" if job.described.running and last else "made, not started"
    return "; ".join(words)


def _made(context: Context, job: Job) -> Outcome:
    described, source = job.described, job.described.inherit_from
    wanted = Wanted(
        name=job.name,
        model=described.model,
        port=described.port,
        autostart=described.autostart,
        sealed=described.sealed,
        network=described.network,
        limits=described.limits,
        environment=described.environment,
        spared=job.spared,
        unfinished=True,
        openclaw=job.brought.version,
        planned=job.brought.planned,
        inherit_from=InstanceName(source) if isinstance(source, str) else None,
        no_inherit=source is False,
    )
    on = context if described.backend is None else context.on(described.backend)
    return create(on, wanted, dry_run=job.dry_run)


def have(context: Context, name: InstanceName) -> Have:
    """Return what of an instance a fleet file speaks of, as it is."""
    worker = open_instance(context, name)
    inherited = read_inherited(worker.paths)
    return Have(
        record=worker.record,
        version=version_of(worker.record.runtime),
        running=worker.process.activity.will_run,
        behind=_is_behind(worker),
        source=None if inherited is None else inherited.source or None,
        model=model_of(worker),
        config=worker.config,
        secrets=read_secrets(worker.paths),
    )


def _is_behind(worker: Instance) -> bool:
    """Tell whether a gateway runs as it was before its record or its secrets were changed."""
    if not worker.process.activity.will_run:
        return False
    is_old = worker.process.changed_on_disk
    with contextlib.suppress(OSError):
        is_old = is_old or runs_with_older_secrets(worker)
    # What cannot be read is told when it is to be replaced.
    with contextlib.suppress(OcmError):
        found = compare(worker.definition, files.read_own(worker.definition.path))
        is_old = is_old or found.standing is Standing.OLD
    return is_old


def _planned(context: Context, job: Job) -> Have:
    """Return what an instance would be once it is made, as far as that is for the rest of its plan."""
    described, source = job.described, job.described.inherit_from
    record = Record(
        name=job.name,
        backend=described.backend or context.backend.name,
        sealed=described.sealed,
        port=described.port or 1024,
        autostart=described.autostart,
        network=described.network or "own",
        runtime=_NOWHERE,
        limits=described.limits,
        environment=described.environment,
    )
    return Have(
        record=record,
        version=described.openclaw or "",
        running=False,
        source=source if isinstance(source, str) else None,
        model=described.model,
        config={},
        secrets={},
    )


def _carried_out(
    context: Context, job: Job, found: Have, changes: tuple[Change, ...], *, is_new: bool
) -> list[Any]:
    done: list[Any] = []
    told = ["it was made, not started"] if is_new else []
    runs = found.running and job.described.running
    waiting = [change for change in changes if change.kind in UNTIL_RESTART]
    before: set[Kind] = set()
    try:
        for change in changes:
            try:
                done.append(BY_KIND[change.kind](context, job, change))
            except OcmError:
                if not (job.dry_run and before & AFTER.get(change.kind, frozenset())):
                    raise
            before.add(change.kind)
            told.append(change.words)
            if waiting and runs and change is waiting[-1]:
                done.append(restart(context, job.name, job.effort, dry_run=job.dry_run, stopped_too=False))
    except OcmError as error:
        if told and not job.dry_run:
            error.details = (*error.details, f"done before that, and kept: {'; '.join(told)}")
            error.hint = error.hint or "mend that, and then: ocm apply"
        raise
    return done
