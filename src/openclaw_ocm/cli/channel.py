"""The commands that keep an instance's channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, json_option, name_argument

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName


@click.group(epilog="Example: ocm channel add worker1 telegram --allow 4242")
def channel() -> None:
    """Keep the channels over which people write to an instance."""


@channel.command("add", epilog="Example: ocm channel add worker1 telegram --allow 4242 < token.txt")
@name_argument
@click.argument("channel", metavar="CHANNEL")
@click.argument("extra", nargs=-1, metavar="")
@click.option("--allow", metavar="ID", multiple=True, help="The number of a user who may write to it.")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def add(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    channel: str,
    *,
    extra: tuple[str, ...],
    allow: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **options: bool,
) -> int:
    """Give an instance a Telegram bot, or tell what another channel needs.

    The token that BotFather gave comes from standard input, on a terminal from a prompt, and is kept as a
    secret. Those of --allow may write to the bot, in groups too, where it answers if it is mentioned.
    Without --allow whoever writes to it alone gets a code, with which you approve them; that does not count
    in groups.
    A bot that main or another instance has is refused.

    Discord, Slack, WhatsApp and Signal are set up with OpenClaw itself: for them it tells what to type.
    """
    from openclaw_ocm.core.openclaw.channels import parse_channel, parse_token, parse_user
    from openclaw_ocm.operations.channel import Bot
    from openclaw_ocm.operations.channel import add as run

    if extra:
        # Not told back: it may be a token.
        message = "the token comes from standard input: on the command line every user can read it"
        raise click.UsageError(message)
    parse_channel(channel, name)
    users = tuple(map(parse_user, allow))
    token = parse_token(frame.read_secret(f"Token of the bot of {name}"))
    effort = frame.effort(options)
    return frame.run_each(
        ctx,
        [name],
        lambda context, one: run(context, one, Bot(token=token, allow=users), effort, dry_run=dry_run),
        as_json=as_json,
    )


@channel.command("list", epilog="Example: ocm channel list worker1")
@name_argument
@json_option
@click.pass_context
def list_(ctx: click.Context, name: InstanceName, *, as_json: bool) -> int:
    """List an instance's channels, and who may write to it over each."""
    from openclaw_ocm.cli.render.able import show_channels
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.operations.channel import list_channels

    found = list_channels(frame.look(ctx), name)
    if as_json:
        print_json("channel list", found)
    else:
        show_channels(found)
    return 0


@channel.command("remove", epilog="Example: ocm channel remove worker1 telegram")
@name_argument
@click.argument("channel", metavar="CHANNEL")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def remove(
    ctx: click.Context,
    /,
    name: InstanceName,
    channel: str,
    *,
    dry_run: bool,
    as_json: bool,
    **options: bool,
) -> int:
    """Take a channel from an instance, with the bot's token.

    Whom it knows stays in its state; the bot itself is BotFather's to delete.
    """
    from openclaw_ocm.operations.channel import remove as run

    effort = frame.effort(options)
    return frame.run_each(
        ctx,
        [name],
        lambda context, one: run(context, one, channel, effort, dry_run=dry_run),
        as_json=as_json,
    )


COMMANDS = {"channel": channel}
