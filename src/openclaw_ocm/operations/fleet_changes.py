"""The changes that a fleet file asks for, each carried out by the verb that there is for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from openclaw_ocm.core.fleet.difference import auto_upgrade, opened, schedule
from openclaw_ocm.core.models.choice import parse_choice
from openclaw_ocm.core.openclaw.channels import parse_token
from openclaw_ocm.core.releases import is_newer
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.auto_upgrade import set_auto
from openclaw_ocm.operations.autostart import set_autostart
from openclaw_ocm.operations.channel import Bot
from openclaw_ocm.operations.channel import add as add_bot
from openclaw_ocm.operations.edit import set_values
from openclaw_ocm.operations.environment import change_variables
from openclaw_ocm.operations.expose import set_exposure
from openclaw_ocm.operations.limits import set_limits
from openclaw_ocm.operations.model import Wanted, choose, look_up
from openclaw_ocm.operations.mount import mount, unmount
from openclaw_ocm.operations.network import Change as NetworkChange
from openclaw_ocm.operations.network import set_network
from openclaw_ocm.operations.port import move_port
from openclaw_ocm.operations.schedule import Asked, set_schedule
from openclaw_ocm.operations.secret import set_secret
from openclaw_ocm.operations.start import restart, start, stop
from openclaw_ocm.operations.sync import end_inheriting, sync
from openclaw_ocm.operations.upgrade import Request, upgrade
from openclaw_ocm.system.openclaw.package import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.core.fleet.difference import Change, Kind
    from openclaw_ocm.core.fleet.file import Described, Source
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Runtime, Shown
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

_WATCH_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What the sources of a fleet file said: of each the value, or why there is none."""

    values: Mapping[Source, str | OcmError] = field(repr=False)

    def __getitem__(self, source: Source) -> str:
        """Return what a source said; raise `OcmError` where it failed."""
        found = self.values[source]
        if isinstance(found, OcmError):
            raise found
        return found


class Brought(NamedTuple):
    """What one is to run: the version, and in a dry run what that would be where it is not there.

    `installs` is what a dry run would bring of it first, in words, unless another is told of it already.
    """

    version: str | None
    planned: Runtime | None
    installs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to become of one instance: what is described, what its sources said, and what it is to run.

    `spared` are ports that others are to have.
    """

    name: InstanceName
    described: Described
    mounts: tuple[Shown, ...]
    read: Read
    brought: Brought
    effort: Effort
    dry_run: bool
    spared: tuple[int, ...] = ()

    @property
    def bot(self) -> str | None:
        """The token of its Telegram bot."""
        telegram = self.described.channels.telegram
        return None if telegram is None else parse_token(self.read[telegram.token])

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets that it is to have, by their names."""
        return {key: self.read[source] for key, source in self.described.secrets.items()}


def _set_source(context: Context, job: Job, _change: Change) -> Outcome:
    source = job.described.inherit_from
    if not isinstance(source, str):
        return end_inheriting(context, job.name, dry_run=job.dry_run)
    return sync(context, job.name, job.effort, source=source, dry_run=job.dry_run)


def _set_network(context: Context, job: Job, _change: Change) -> Outcome:
    record = open_instance(context, job.name).record
    wanted = NetworkChange(network=job.described.network, allow=opened(job.described, record))
    return set_network(context, job.name, wanted, job.effort, dry_run=job.dry_run)


def _set_environment(context: Context, job: Job, _change: Change) -> Outcome:
    wanted = job.described.environment
    return change_variables(context, job.name, wanted, job.effort, restart=True, dry_run=job.dry_run)


def _mount(context: Context, job: Job, change: Change) -> Outcome:
    shown = next(one for one in job.mounts if one.path == change.key)
    return mount(context, job.name, shown, job.effort, restart=False, dry_run=job.dry_run)


def _unmount(context: Context, job: Job, change: Change) -> Outcome:
    return unmount(context, job.name, change.key, job.effort, restart=False, dry_run=job.dry_run)


def _set_limits(context: Context, job: Job, _change: Change) -> Outcome:
    wanted = msgspec.structs.asdict(job.described.limits)
    return set_limits(context, job.name, wanted, job.effort, restart=False, dry_run=job.dry_run)


def _set_secret(context: Context, job: Job, change: Change) -> Outcome:
    return set_secret(
        context, job.name, change.key, job.secrets[change.key], restart=None, dry_run=job.dry_run
    )


def _set_model(context: Context, job: Job, _change: Change) -> Any:  # noqa: ANN401 - of each verb its own
    choice = parse_choice(job.described.model or "")
    need = look_up(context, job.name, choice, variable=None, no_key=False)
    return choose(context, job.name, Wanted(need=need), job.effort, dry_run=job.dry_run)


def _set_values(context: Context, job: Job, _change: Change) -> Any:  # noqa: ANN401 - of each verb its own
    return set_values(context, job.name, job.described.config, effort=job.effort, dry_run=job.dry_run)


def _give_bot(context: Context, job: Job, _change: Change) -> Outcome:
    telegram = job.described.channels.telegram
    bot = Bot(token=job.bot or "", allow=() if telegram is None else telegram.allow, only=True)
    return add_bot(context, job.name, bot, job.effort, dry_run=job.dry_run)


def _move(context: Context, job: Job, _change: Change) -> Outcome:
    return move_port(context, job.name, job.described.port, job.effort, dry_run=job.dry_run)


def _expose(context: Context, job: Job, _change: Change) -> Outcome:
    return set_exposure(context, job.name, job.described.expose, job.effort, dry_run=job.dry_run)


def _upgrade(context: Context, job: Job, _change: Change) -> Outcome:
    have = version_of(open_instance(context, job.name).record.runtime)
    wanted = job.described.openclaw or have
    if is_newer(have, wanted):
        message = f"{job.name} runs OpenClaw {have}, and the file says {wanted}, which is older"
        raise OcmError(message, hint=f"ocm rollback {job.name} goes back", code="version_older")
    request = Request(version=wanted, watch_seconds=_WATCH_SECONDS, planned=job.brought.planned)
    return upgrade(context, job.name, request, job.effort, dry_run=job.dry_run)


def _set_autostart(context: Context, job: Job, _change: Change) -> Outcome:
    return set_autostart(context, job.name, wanted=job.described.autostart, dry_run=job.dry_run)


def _set_schedule(context: Context, job: Job, _change: Change) -> Outcome:
    wanted = schedule(job.described)
    asked = None
    if wanted is not None:
        # All of it: what a file does not say is not as it was.
        given = msgspec.structs.asdict(wanted)
        every, keep = given.pop("every"), given.pop("keep")
        asked = Asked(every=every, keep=msgspec.structs.asdict(keep), given=given)
    return set_schedule(context, job.name, asked, dry_run=job.dry_run)


def _set_auto(context: Context, job: Job, _change: Change) -> Outcome:
    wanted = auto_upgrade(job.described)
    versions, at = (None, None) if wanted is None else (wanted.versions, wanted.at)
    return set_auto(context, job.name, versions, at, dry_run=job.dry_run)


def _start(context: Context, job: Job, _change: Change) -> Outcome:
    return start(context, job.name, job.effort, dry_run=job.dry_run)


def _restart(context: Context, job: Job, _change: Change) -> Outcome:
    return restart(context, job.name, job.effort, dry_run=job.dry_run, stopped_too=False)


def _stop(context: Context, job: Job, _change: Change) -> Outcome:
    return stop(context, job.name, dry_run=job.dry_run)


# What may come true only by changes before it, which a dry run does not make.
AFTER: Mapping[Kind, frozenset[Kind]] = {
    "mount": frozenset({"unmount", "mount"}),
    "secret": frozenset({"source"}),
    "model": frozenset({"source", "secret", "environment", "config"}),
    "config": frozenset({"source", "secret", "environment"}),
    "telegram": frozenset({"source", "secret", "model", "config"}),
}
BY_KIND: Mapping[Kind, Callable[[Context, Job, Change], Any]] = {
    "source": _set_source,
    "network": _set_network,
    "environment": _set_environment,
    "mount": _mount,
    "unmount": _unmount,
    "limits": _set_limits,
    "secret": _set_secret,
    "model": _set_model,
    "config": _set_values,
    "telegram": _give_bot,
    "port": _move,
    "expose": _expose,
    "openclaw": _upgrade,
    "autostart": _set_autostart,
    "backups": _set_schedule,
    "auto_upgrade": _set_auto,
    "start": _start,
    "stop": _stop,
    "restart": _restart,
}
