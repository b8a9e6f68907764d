"""`ocm channel`: the channels over which people write to an instance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.channels import (
    OTHERS,
    TELEGRAM,
    TOKEN,
    access_in_words,
    bots,
    channels_in,
    with_telegram,
    without_channel,
)
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.openclaw.secret_places import references
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.edit import write_both
from openclaw_ocm.operations.planning.agents import unanswered
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.operations.planning.contents import with_attempts
from openclaw_ocm.operations.planning.twins import refuse_twin
from openclaw_ocm.operations.session import ready_for_session
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.edit import Written
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel of an instance, whether it is on, and who may write to it, in words."""

    name: str
    channel: str
    enabled: bool
    access: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """A Telegram bot's token, and who may write to it: without any, whoever is approved.

    Whoever was allowed before still is, unless `only` those may.
    """

    token: str = field(repr=False)
    allow: tuple[str, ...] = ()
    only: bool = False


def list_channels(context: Context, name: InstanceName) -> tuple[Channel, ...]:
    """Return the channels in the config of an instance."""
    config = open_instance(context, name).read_config()[1]
    return tuple(
        Channel(
            name=name,
            channel=printable(channel),
            enabled=as_object(entry).get("enabled") is not False,
            access=access_in_words(as_object(entry)) if channel == TELEGRAM else "as its config says",
        )
        for channel, entry in channels_in(config).items()
    )


def add(context: Context, name: InstanceName, bot: Bot, effort: Effort, *, dry_run: bool) -> Outcome:
    """Give an instance a Telegram bot; its token becomes a secret to which the config refers.

    Raises `OcmError` where main or another instance has that bot, and changes nothing where OpenClaw would
    refuse the config, or the gateway is not ready with it.
    """
    ready_for_session(context, name)
    with changing(context, name) as worker:
        config = with_telegram({}, ())
        refuse_twin(context.host, name, bots(config, {TOKEN: bot.token}))
        return with_attempts(context, name, lambda: _add_once(worker.again(), bot, effort, dry_run=dry_run))


def _add_once(worker: Instance, bot: Bot, effort: Effort, *, dry_run: bool) -> Outcome:
    written = write_both(
        worker,
        "channel",
        lambda config: with_telegram(config, bot.allow, worker.name, only=bot.only),
        {**read_secrets(worker.paths), TOKEN: bot.token},
        own=TOKEN,
        effort=effort,
        dry_run=dry_run,
    )
    entry = as_object(lookup(written.proposal.after, f"channels.{TELEGRAM}"))
    approving = entry.get("dmPolicy") == "pairing"
    next_step = (
        f"write to the bot, then: ocm use {worker.name} pairing approve telegram CODE"
        if approving
        else f"{access_in_words(entry)} may write to it; in a group, mention it"
    )
    if not worker.process.activity.will_run:
        next_step = f"ocm start {worker.name}, then {next_step}"
    told = _told(written, f"has a Telegram bot, its token in {TOKEN}; {next_step}", dry_run=dry_run)
    return replace(told, notes=(*told.notes, *unanswered(worker.record, written.proposal.after)))


def remove(context: Context, name: InstanceName, channel: str, effort: Effort, *, dry_run: bool) -> Outcome:
    """Take a channel from an instance, with the token of a Telegram bot where nothing else refers to it."""
    ready_for_session(context, name)
    with changing(context, name) as worker:
        return with_attempts(
            context, name, lambda: _remove_once(worker.again(), channel, effort, dry_run=dry_run)
        )


def _remove_once(worker: Instance, channel: str, effort: Effort, *, dry_run: bool) -> Outcome:
    secrets = read_secrets(worker.paths)
    config = worker.read_config()[1]
    there = channels_in(config)
    if channel not in {*there, TELEGRAM, *OTHERS}:
        has = ", ".join(map(printable, there)) or "none"
        message = f"{worker.name} has no channel {printable(channel)!r}; its channels: {has}"
        raise OcmError(message, hint=f"ocm channel list {worker.name}", code="channel_unknown")
    left = without_channel(config, channel)
    if channel == TELEGRAM and TOKEN not in references(left):
        secrets = {key: value for key, value in secrets.items() if key != TOKEN}
    written = write_both(
        worker,
        "channel",
        lambda config: without_channel(config, channel),
        secrets,
        own=None,
        effort=effort,
        dry_run=dry_run,
    )
    return _told(written, f"has no {printable(channel)} any more", dry_run=dry_run)


def _told(written: Written, done: str, *, dry_run: bool) -> Outcome:
    outcome = written.outcome
    message = done if outcome.changed else outcome.message
    return replace(
        outcome,
        message=message if outcome.steps or dry_run else "nothing to change",
        notes=written.proposal.notes,
    )
