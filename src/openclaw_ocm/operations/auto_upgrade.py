"""`ocm upgrade --auto`: upgrades that an instance gets by itself, and what its timer runs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.record import AutoUpgrade
from openclaw_ocm.core.releases import channel_of, is_newer
from openclaw_ocm.core.steps import RemoveFile
from openclaw_ocm.errors import Locked, OcmError
from openclaw_ocm.instances.history import last_change, note_refusal
from openclaw_ocm.operations import runtimes as installing
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan, record_steps
from openclaw_ocm.operations.planning.result import Outcome
from openclaw_ocm.operations.planning.timers import due_in_words, timer_steps
from openclaw_ocm.operations.planning.turns import NotScheduled, sentence, wait_for_turn
from openclaw_ocm.operations.planning.upgrading import LastUpgrade, read_last_upgrade
from openclaw_ocm.operations.upgrade import Request, upgrade
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.machine import runtimes
from openclaw_ocm.system.openclaw.package import version_of

if TYPE_CHECKING:
    from openclaw_ocm.backends.protocol import Timers
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.system.host import Host

# A deploy of it may wait for a gateway for minutes, and a person may wait with an editor open.
_PATIENCE_SECONDS, _LOOK_SECONDS = 3600.0, 5.0
# What fails by one of these may go well with the same version another day.
_NOT_OF_THE_VERSION = {"no_space", "not_kept", "os_error", "unreachable", "definition_edited"}


def set_auto(
    context: Context, name: InstanceName, versions: str | None, at: str | None, *, dry_run: bool
) -> Outcome:
    """Have an instance taken to newer `versions`, patch or all, by itself; None for no more.

    `at` is the time of day; without one it stays as it is.
    """
    with changing(context, name) as worker:
        record, timers = worker.record, worker.backend.timers(Purpose.UPGRADE)
        wanted = None if versions is None else _asked(record.auto_upgrade, versions, at)
        after = worker.with_record(msgspec.structs.replace(record, auto_upgrade=wanted))
        steps = [*record_steps(worker, after.record), *timer_steps(after, before=record)]
        if wanted is None and Path(worker.paths.last_upgrade).exists():
            steps.append(RemoveFile(path=str(worker.paths.last_upgrade)))
        return carry_out(
            worker.context,
            make_plan(worker.backend, "upgrade", name, steps),
            done="no more scheduled upgrades" if wanted is None else _in_words(timers, wanted),
            nothing="has no scheduled upgrades" if wanted is None else f"already {_in_words(timers, wanted)}",
            dry_run=dry_run,
            notes=() if wanted is None else worker.backend.notes(),
        )


def _asked(before: AutoUpgrade | None, versions: str, at: str | None) -> AutoUpgrade:
    given = {"versions": versions, **({} if before is None else {"at": before.at})}
    return msgspec.convert({**given, **({} if at is None else {"at": at})}, AutoUpgrade)


def _in_words(timers: Timers, wanted: AutoUpgrade) -> str:
    which = "newer ones of its month" if wanted.versions == "patch" else "whatever is newest"
    return f"upgrades scheduled: {which}, at {wanted.at}, next {due_in_words(timers, wanted.at)}"


def run_auto(context: Context, name: InstanceName, effort: Effort, *, watch_seconds: float) -> Outcome:
    """Take an instance to the newest OpenClaw that its record allows; what became of it is kept.

    One instance follows the other. A version with which it failed is not tried again. Raises `OcmError` where
    the record asks for none, and whatever keeps the instance from being upgraded once that is written down.
    """
    _wanted(context, name)
    with contextlib.ExitStack() as held:
        # One at a time: each has a gateway more for as long as it is tried.
        wait_for_turn(context, held, Purpose.UPGRADE, together=1)
        return _Run(context, name, effort, watch_seconds).carry_out()


class _Run:
    """One run of a timer, and what is to be kept of it."""

    def __init__(self, context: Context, name: InstanceName, effort: Effort, watch_seconds: float) -> None:
        self._context, self._name = context, name
        self._effort, self._watch_seconds = effort, watch_seconds
        self._paths = context.host.instance(name)
        self._last = read_last_upgrade(self._paths) or LastUpgrade(ended=0)
        self._tried: str | None = None

    def carry_out(self) -> Outcome:
        """Do what the record asks for now: hours may have gone by in the queue."""
        context, name = self._context, self._name
        began, before = time.time(), last_change(context.host.paths, name)
        version: str | None = None
        try:
            record = _wanted(context, name)
            have = version_of(record.runtime)
            version = _newer(context.host, have, record.auto_upgrade)
            if version is None:
                self._keep(None)
                return self._nothing(f"runs OpenClaw {have}, and there is none newer for it")
            refused = self._last.refused
            if version == refused:
                self._keep(version, error=self._last.error, refused=refused)
                why = "was gone back from" if self._last.error is None else "failed before"
                again = f"it is not tried again by itself: ocm upgrade {name} --to {version} does"
                return self._nothing(f"runs OpenClaw {have}; {version} {why}, and {again}")
            installing.install(context.host, version, lambda told: context.report(told.what), dry_run=False)
            outcome = self._upgrade(version)
        except NotScheduled:
            raise
        except BaseException as error:
            if last_change(context.host.paths, name) == before:
                note_refusal(context, name, "upgrade", error, began=began)
            # The disk may be full for this as well: then the backend tells that the run failed.
            with contextlib.suppress(OSError):
                self._keep(version, error=sentence(error), refused=self._refused(error))
            raise
        self._keep(version)
        return outcome

    def _upgrade(self, version: str) -> Outcome:
        """Do as `ocm upgrade` does; whoever changes the instance is waited for."""
        self._tried = version
        request = Request(version=version, watch_seconds=self._watch_seconds)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return upgrade(self._context, self._name, request, self._effort, dry_run=False)
            except Locked:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_LOOK_SECONDS)

    def _refused(self, error: BaseException) -> str | None:
        """Return with which version the instance does not work, after a run that failed."""
        if not isinstance(error, OcmError) or isinstance(error, Locked) or error.code in _NOT_OF_THE_VERSION:
            return self._last.refused
        return self._tried or self._last.refused

    def _nothing(self, message: str) -> Outcome:
        return Outcome(name=self._name, operation="upgrade", changed=False, message=message)

    def _keep(self, version: str | None, *, error: str | None = None, refused: str | None = None) -> None:
        if self._name not in instance_names(self._paths.host):
            return
        run = LastUpgrade(ended=time.time(), version=version, error=error, refused=refused)
        files.write_file(self._paths.last_upgrade, msgspec.json.encode(run))


def _wanted(context: Context, name: InstanceName) -> Record:
    """Return the record as it is now; raises `OcmError` where it asks for no upgrades."""
    record = read_record(context.host.paths, name)
    if record.auto_upgrade is None:
        hint = f"ocm upgrade {name} --auto patch schedules them"
        raise NotScheduled(f"{name} has no scheduled upgrades", hint=hint, code="not_scheduled")
    return record


def _newer(host: Host, have: str, wanted: AutoUpgrade | None) -> str | None:
    """Return the newest version that is wanted, None where there is none newer."""
    if wanted is None or wanted.versions == "patch":
        return runtimes.newest_patch(host, have)
    newest = runtimes.resolve(host, channel_of(have)).version
    return newest if is_newer(newest, have) else None
