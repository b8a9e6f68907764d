"""`ocm unadopt`: an instance that was adopted goes back to where it was, with what it learned since."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.adoption.steps import AwaitGateway, PutBack, Service, SetService, TakeBack
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.releases import is_newer
from openclaw_ocm.core.steps import (
    Disable,
    RemoveDefinition,
    RemoveFile,
    RemoveTree,
    RewritePaths,
    Stop,
    WriteDefinition,
)
from openclaw_ocm.core.upgrade_steps import KeepState
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.delete import delete
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.removal import refuse_unremovable, removal_steps
from openclaw_ocm.operations.planning.timers import ending_steps
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.reader import free_bytes
from openclaw_ocm.system.kept.adopted import read_adopted
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw import own_dotenv
from openclaw_ocm.system.openclaw.find import find_runtime
from openclaw_ocm.system.openclaw.own_copy import size_of
from openclaw_ocm.system.openclaw.own_state import links_in
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.slots import Slots

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.kept.adopted import Adopted

_ASIDE = Service(there=False, enabled=False, runs=False)
# One copy for the undo, one to go back.
_ROOM = 2


def unadopt(context: Context, name: InstanceName, effort: Effort, *, dry_run: bool) -> Outcome:
    """Bring what was adopted back: state, config, service; of a copy nothing but the copy goes.

    What the agent learned since comes along. What OCM changed in its config is taken back, and what was
    changed since stays. A failure leaves the instance as it was. Raises `OcmError`.
    """
    adopted = _adopted(open_instance(context, name))
    if not adopted.moved:
        outcome = delete(context, name, force=True, dry_run=dry_run)
        said = outcome.message if dry_run else f"deleted, a copy: {adopted.what} is as it was"
        return replace(outcome, operation="unadopt", message=said)
    others = (MAIN,) if adopted.state == str(context.host.paths.main_state) else ()
    with changing(context, name, *others) as worker:
        adopted = _adopted(worker)
        _refuse_taken(worker, adopted)
        undoable = _steps(worker, adopted, effort)
        rules = guard(context.host, before=worker.record, after=None)
        kept = next(step.kept for step in undoable if isinstance(step, KeepState))
        cleaning = _removal(worker, adopted, kept)
        refuse_unremovable(worker.backend, cleaning)
        plan = make_plan(
            worker.backend,
            "unadopt",
            name,
            [*undoable, *rules.steps, *cleaning],
            commit=len(undoable) + len(rules.steps),
            others=others,
        )
        began = time.monotonic()
        outcome = carry_out(
            worker.context,
            plan,
            done=_done(adopted),
            nothing="",
            dry_run=dry_run,
            notes=_notes(worker, adopted),
        )
        again = adopted.service is not None and adopted.service.runs
        if again and worker.process.activity.will_run and not dry_run:
            silent = f"it gave no answer for {round(time.monotonic() - began)} s"
            outcome = replace(outcome, notes=(silent, *outcome.notes))
        return rules.told(context.host, outcome)


def unadopt_question(context: Context, name: InstanceName) -> str:
    """Return what a user is asked before an instance goes back."""
    adopted = _adopted(open_instance(context, name))
    if not adopted.moved:
        return f"Delete {name}, a copy of {adopted.what}, with what it learned since?"
    return f"Bring {name} back as {adopted.what}, without a sandbox?"


def _adopted(worker: Instance) -> Adopted:
    adopted = read_adopted(worker.paths)
    if adopted is None:
        message = f"{worker.name} was not adopted"
        raise OcmError(message, hint=f"ocm delete {worker.name} deletes it", code="not_adopted")
    return adopted


def _refuse_taken(worker: Instance, adopted: Adopted) -> None:
    """Raise `OcmError` where something is by now where the state is to go, or there is no room for it."""
    state, former = worker.paths.state, PurePosixPath(adopted.state)
    if former != state and os.path.lexists(former):
        found = set(os.listdir(former)) if Path(former).is_dir() else {""}  # noqa: PTH208 - a pure path
        if found - set(links_in(worker.host, former)):
            message = f"there is something in {former} by now, where {worker.name} is to go back to"
            raise OcmError(message, hint="move it away", code="exists")
    _refuse_lost(worker, adopted)
    free, needed = free_bytes(state), size_of(state) * _ROOM
    if free < needed:
        message = f"copies of {state} take {needed} bytes, and {free} are free beside it"
        raise OcmError(message, hint="make room there; nothing was changed", code="no_space")


def _refuse_lost(worker: Instance, adopted: Adopted) -> None:
    """Raise `OcmError` where what was made since would be lost, or the state could not be read."""
    own = worker.backend.definition_path(worker.name)
    for one in adopted.files:
        path = PurePosixPath(one.path)
        if path != own and os.path.lexists(path) and files.read_own(path) != one.data:
            message = f"{path} was made since, where the service of {adopted.what} is to come back"
            hint = f"systemctl --user disable --now {adopted.unit}, and move it away"
            raise OcmError(message, hint=hint, code="exists")
    if adopted.dotenv is not None:
        own_dotenv.as_it_was(worker.volume, adopted.dotenv)
    if adopted.unit is None:
        _refuse_older(worker)


def _refuse_older(worker: Instance) -> None:
    """Raise `OcmError` where the OpenClaw that the user has is older than the one that wrote the state."""
    try:
        has = version_of(find_runtime(worker.host))
        have = version_of(worker.record.runtime)
    except OcmError:
        # Without one there is nothing that could not read it.
        return
    if is_newer(have, has):
        message = f"{worker.name} runs OpenClaw {have}; yours is {has}, which cannot read what that wrote"
        raise OcmError(message, hint=f"npm install -g openclaw@{have}, then try again", code="version_older")


def _steps(worker: Instance, adopted: Adopted, effort: Effort) -> list[Step]:
    name, paths, record = worker.name, worker.paths, worker.record
    ran, former = worker.process.activity.will_run, PurePosixPath(adopted.state)
    move = Move(before=paths.state, after=former, anywhere=True)
    steps: list[Step] = [Stop(name=name, ran=ran)]
    if worker.process.autostart:
        steps.append(Disable(name=name))
    steps += [
        *ending_steps(name, worker.backend, record),
        Slots(paths).keep(encode_record(record)),
        # A session that began meanwhile would go on with what goes back.
        Stop(name=name, ran=False),
        RewritePaths(name=name, before=str(move.before), after=str(move.after), fresh=False, copied=True),
        TakeBack(name=name),
    ]
    if former != paths.state:
        steps.append(PutBack(source=str(paths.state), path=str(former)))
    path = worker.backend.definition_path(name)
    text = files.read_own(path)
    if text is not None:
        # For its undo alone: the unit that comes back may bear this name.
        same = text.decode(errors="replace")
        steps.append(WriteDefinition(name=name, path=str(path), text=same, previous=same))
    steps.append(RemoveDefinition(name=name))
    if adopted.unit is not None and adopted.service is not None:
        place = tuple(one.path for one in adopted.files)
        aside = _ASIDE if place else Service(there=True, enabled=False, runs=False)
        steps.append(
            SetService(name=name, unit=adopted.unit, files=place, before=aside, after=adopted.service)
        )
        if adopted.service.runs:
            seconds = effort.timeout_seconds
            steps.append(AwaitGateway(unit=adopted.unit, port=adopted.port, timeout_seconds=seconds))
    return steps


def _removal(worker: Instance, adopted: Adopted, kept: str) -> list[Step]:
    paths = worker.paths
    trees = [kept] if PurePosixPath(adopted.state) == paths.state else [kept, str(paths.state)]
    return [
        RemoveFile(path=str(paths.record)),
        *removal_steps(paths),
        *(RemoveTree(path=path) for path in trees),
    ]


def _notes(worker: Instance, adopted: Adopted) -> tuple[str, ...]:
    now, then = read_secrets(worker.paths), {key: value.decode() for key, value in adopted.secrets.items()}
    notes = []
    if since := sorted(now.keys() - then.keys()):
        notes.append(f"secrets that {worker.name} was given since are not set there: {', '.join(since)}")
    if other := sorted(key for key in then if now.get(key) != then[key]):
        notes.append(f"secrets that were changed since have their former values there: {', '.join(other)}")
    if adopted.link is not None:
        notes.append(f"its config was a link to {adopted.link}, which stays as it is; now it is a file")
    if PurePosixPath(adopted.config) != PurePosixPath(adopted.state, CONFIG_NAME):
        notes.append(f"it reads {adopted.config} again, as that is")
    if adopted.unit is None:
        notes.append("no service ran it: start it as you did, such as by openclaw gateway")
    return tuple(notes)


def _done(adopted: Adopted) -> str:
    again = f", {adopted.unit} runs again" if adopted.service is not None and adopted.service.runs else ""
    return f"is {adopted.what} again, in {adopted.state}{again}"
