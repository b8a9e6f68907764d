"""What is wrong with one instance, or is left of one that has no record."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup.schedule import IDLE
from openclaw_ocm.core.names import is_drill
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose
from openclaw_ocm.core.status import State
from openclaw_ocm.core.steps import (
    LinkConfig,
    Load,
    MakeShell,
    RemoveDefinition,
    RemoveFile,
    RemoveLink,
    RemoveTree,
    Restart,
    SetTimer,
    Stop,
)
from openclaw_ocm.errors import OcmError, as_ocm_error
from openclaw_ocm.operations.planning.drift import drift
from openclaw_ocm.operations.planning.repair import Effort, repair_steps
from openclaw_ocm.operations.planning.runtimes import Preferred, next_runtime, runtime_steps
from openclaw_ocm.operations.planning.timers import look, timer_steps
from openclaw_ocm.operations.planning.upgrading import IDLE_UPGRADES, look_at_upgrades
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.names import names_in
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.names import BackendName, InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.status import Health
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.drift import Drift

MACHINE = "this machine"
_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with an instance, or with the machine (`about`).

    `fix` is in words what --fix does about it, `mend` what a person types where it does nothing. `steps` are
    what it does to an instance, and to what `backend` has of it.
    """

    about: str
    what: str
    fix: str | None = None
    mend: str | None = None
    steps: tuple[Step, ...] = ()
    backend: BackendName | None = None


def instance_problems(worker: Instance, verdict: Health | None) -> Iterator[Problem]:
    """Yield what is wrong with an instance; without a verdict it is not known how it does."""
    name = worker.name
    yield from _kept_problems(worker)
    try:
        process = worker.process
        yield from _differences(worker)
    except OcmError as error:
        yield refusal(name, error)
        return
    if is_drill(name) and not files.is_locked(worker.host.paths.locks / f"{name}.lock"):
        what = "it may be left of ocm backups verify --drill, cut off"
        yield Problem(about=name, what=what, mend=f"ocm delete {name} --force")
    if verdict is None:
        return
    backups = look(worker)
    if backups is not None and backups.problem is not None and backups.problem != IDLE:
        yield Problem(about=name, what=backups.problem, mend=f"ocm backup {name} shows whether it works now")
    upgrades = look_at_upgrades(worker)
    if upgrades is not None and upgrades.problem not in (None, IDLE_UPGRADES):
        yield Problem(about=name, what=f"{upgrades.problem}", mend=f"ocm upgrade {name} tries it again")
    if process.missed and verdict.reason is not None:
        yield Problem(about=name, what=verdict.reason)
    if process.installed and verdict.state is State.FAILED:
        yield Problem(about=name, what=f"failed: {verdict.reason}", mend=f"ocm logs {name}")


def refusal(about: str, error: OcmError | OSError) -> Problem:
    """Return as a problem what an instance, or something of the machine, cannot be looked at for."""
    mend = error.hint if isinstance(error, OcmError) else None
    return Problem(about=about, what=as_ocm_error(error).message, mend=mend)


def as_far(about: str, found: Iterator[Problem]) -> Iterator[Problem]:
    """Yield the problems that are `found`, and what keeps the look from going on as one more."""
    try:
        yield from found
    except (OcmError, OSError) as error:
        yield refusal(about, error)


def _kept_problems(worker: Instance) -> Iterator[Problem]:
    """Yield what cannot be read of what OCM keeps for an instance."""
    for read in (read_secrets, read_inherited):
        try:
            read(worker.paths)
        except OcmError as error:
            yield refusal(worker.name, error)


def _differences(worker: Instance) -> Iterator[Problem]:
    name, process = worker.name, worker.process
    repair: list[Step] = []
    try:
        repair = repair_steps(worker, repair=False)
    except OcmError as error:
        # These are among the differences below.
        if error.code not in ("definition_edited", "runtime_gone"):
            yield refusal(name, error)
    for step in repair:
        if isinstance(step, MakeShell):
            what = "what its sandbox shows of OCM is not as this ocm makes it"
            yield _of(worker, what, "make it anew", (step,))
    definition = tuple(step for step in repair if not isinstance(step, MakeShell))
    for difference in drift(worker):
        # Of what a drop-in changes only that counts which weakens the sandbox: those are violations.
        if difference.kind == "runtime":
            yield _runtime_problem(worker, difference)
        elif difference.kind != "override":
            yield _difference_problem(worker, difference, definition)
    for violation in worker.backend.violations(name, process) if process.installed else ():
        yield Problem(about=name, what=violation, mend=f"remove it, then ocm restart {name}")


def _of(worker: Instance, what: str, fix: str, steps: tuple[Step, ...]) -> Problem:
    """Return what is wrong with an instance and can be mended."""
    return Problem(about=worker.name, what=what, fix=fix, steps=steps, backend=worker.backend.name)


def _difference_problem(worker: Instance, difference: Drift, definition: tuple[Step, ...]) -> Problem:
    """Return a difference as a problem; `definition` are the steps that write the definition anew."""
    name, what = worker.name, difference.what
    if difference.kind == "missing" and definition:
        return _of(worker, what, "write it", definition)
    if difference.kind == "unread":
        return _of(worker, what, "load it", (Load(name=name),))
    if difference.kind == "timer":
        steps = tuple(timer_steps(worker))
        if not steps:
            return Problem(about=name, what=what, mend=f"ocm backup {name} --every TIME")
        return _of(worker, what, "mend it", steps)
    if difference.kind == "link":
        return _link_problem(worker, what)
    return Problem(about=name, what=what, mend=difference.mend)


def _runtime_problem(worker: Instance, difference: Drift) -> Problem:
    """Return that a Node or an OpenClaw is gone, and what this machine has in its place."""
    what = difference.what
    try:
        runtime = next_runtime(worker.host, worker.record.runtime, Preferred())
        steps = runtime_steps(worker, runtime, Effort(timeout_seconds=_READY_SECONDS))
    except OcmError as error:
        what = f"{what}; and there is no other: {error.message}"
        return Problem(about=worker.name, what=what, mend=f"{error.hint}; then {difference.mend}")
    again = ", and restart it" if any(isinstance(step, Restart) for step in steps) else ""
    return _of(worker, what, f"have it run {runtime.openclaw} on {runtime.node}{again}", tuple(steps))


def _link_problem(worker: Instance, what: str) -> Problem:
    """Return what is to be done about a link that is gone, leads nowhere, or is none of OCM's."""
    paths = worker.paths
    link = Path(paths.config_link)
    if link.exists() or (link.is_symlink() and not Path(paths.config).exists()):
        return Problem(about=worker.name, what=what, mend="move it away, then ocm doctor --fix")
    remove = (RemoveLink(link=str(link)),) if link.is_symlink() else ()
    return _of(worker, what, "link it", (*remove, LinkConfig(link=str(link), target=str(paths.config))))


def silent_backends(context: Context) -> Iterator[Problem]:
    """Yield the backends that do not tell of what they have definitions."""
    for backend in context.backends.values():
        try:
            backend.defined(), _scheduled(backend), backend.in_session()
        except OcmError as error:
            what = f"{backend.name} does not tell what it has: {error.message}"
            yield Problem(about=MACHINE, what=what, mend=error.hint)


def _known_to(backend: Backend) -> tuple[tuple[InstanceName, ...], ...]:
    """Return of which instances a backend has definitions, timers and sessions; none where it is silent."""
    with contextlib.suppress(OcmError):
        return backend.defined(), tuple(name for name, _purpose in _scheduled(backend)), backend.in_session()
    return (), (), ()


def _scheduled(backend: Backend) -> tuple[tuple[InstanceName, Purpose], ...]:
    return tuple((name, purpose) for purpose in OF_INSTANCES for name in backend.timers(purpose).known())


def remaining(context: Context) -> tuple[tuple[InstanceName, ...], tuple[Problem, ...]]:
    """Return the names for which something of OCM's may be left without a record, and what cannot be read."""
    paths = context.host.paths
    found: list[InstanceName] = []
    unread: list[Problem] = []
    for backend in context.backends.values():
        found += itertools.chain(*_known_to(backend))
    for directory, prefix, suffix in (
        (paths.last_backups, "", ".json"),
        (paths.last_upgrades, "", ".json"),
        (paths.ocm_data / "instances", "", ""),
        (paths.ocm_state / "tmp", "", ""),
        (paths.locks, "", ".lock"),
        (paths.ocm_config / "secrets", "", ".env"),
        (paths.ocm_config / "inherited", "", ".json"),
        (paths.ocm_config / "adopted", "", ".json"),
        (paths.main_state, "openclaw-", ".json"),
    ):
        try:
            names = names_in(directory, prefix=prefix, suffix=suffix)
        except OcmError as error:
            unread.append(refusal(MACHINE, error))
            continue
        # A link of that name that leads elsewhere is the user's.
        found += [name for name in names if directory != paths.main_state or _is_linked(context, name)]
    return tuple(found), tuple(unread)


def _is_linked(context: Context, name: InstanceName) -> bool:
    paths = context.host.instance(name)
    return files.link_target(paths.config_link) == str(paths.config)


def remains(context: Context, name: InstanceName) -> Iterator[Problem]:
    """Yield what is left of an instance without a record: what to remove only where its state is gone too.

    With the state it may be an instance that runs, whose record is elsewhere (another XDG_CONFIG_HOME, say).
    """
    paths = context.host.instance(name)
    if Path(paths.state).is_dir():
        what = f"it has the state {paths.state}, but no record"
        yield Problem(about=name, what=what, mend=f"put {paths.record} back, or move the state away")
        return
    yield from _known_remains(context, name)
    for directory in (paths.shell, paths.scratch):
        if Path(directory).is_dir():
            what, steps = f"{directory} is left of it", (RemoveTree(path=str(directory)),)
            yield Problem(about=name, what=what, fix="remove it", steps=steps)
    for path in (paths.secrets, paths.inherited, paths.last_backup, paths.last_upgrade):
        if Path(path).exists():
            what, step = f"{path} is left of it", RemoveFile(path=str(path))
            yield Problem(about=name, what=what, fix="remove it", steps=(step,))
    if Path(paths.adopted).exists():
        # It may be the only copy of the service that ran it.
        what = f"{paths.adopted} is left of it, with the keys and the service that it had before"
        yield Problem(about=name, what=what, mend="keep what you need of it, and remove it")
    if _is_linked(context, name):
        what, link = f"{paths.config_link} leads nowhere", RemoveLink(link=str(paths.config_link))
        yield Problem(about=name, what=what, fix="remove it", steps=(link,))


def _known_remains(context: Context, name: InstanceName) -> Iterator[Problem]:
    """Yield what backends have of an instance without a record."""
    for backend in context.backends.values():
        defined, scheduled, in_session = _known_to(backend)
        if name in in_session:
            yield Problem(
                about=name,
                what="a program runs in its sandbox, but it has no record",
                fix="end it",
                steps=(Stop(name=name, ran=False),),
                backend=backend.name,
            )
        if name in defined:
            yield Problem(
                about=name,
                what=f"{backend.name} has its definition, but it has no record",
                fix="stop it and remove the definition",
                steps=(Stop(name=name, ran=False), RemoveDefinition(name=name)),
                backend=backend.name,
            )
        for purpose in OF_INSTANCES if name in scheduled else ():
            if (name, purpose) in _scheduled(backend):
                yield Problem(
                    about=name,
                    what=f"{backend.name} has its scheduled {purpose.plural}, but it has no record",
                    fix="end them",
                    steps=(SetTimer(name=name, every=None, previous=None, purpose=purpose),),
                    backend=backend.name,
                )
