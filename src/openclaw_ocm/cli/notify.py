"""The commands that say who is told what is wrong."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.notify.ways import Way
    from openclaw_ocm.system.host import Host

_KINDS = ("command", "email", "ntfy", "webhook")


@click.group(epilog="Example: ocm notify add email ann@example.org")
def notify() -> None:
    """Have yourself told what is wrong, and when it is well again.

    Told is when an instance is not ready for five minutes, is down, keeps restarting or loses a channel; when
    a scheduled backup fails or is late; when a scheduled upgrade fails; when the disk is running full. There
    is one message on each, and one when it is well again. A timer looks every two minutes.

    Messages are fixed sentences: nothing that an agent wrote is in them.
    """


def _complete_way(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    from openclaw_ocm.errors import OcmError
    from openclaw_ocm.system.host import current_host
    from openclaw_ocm.system.kept.notices import read_ways

    try:
        names = [way.name for way in read_ways(current_host(os.environ).paths).way]
    except OcmError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@notify.command("add", epilog="Example: ocm notify add ntfy --name phone < topic.txt")
@click.argument("kind", metavar="KIND", type=click.Choice(_KINDS))
@click.argument("words", nargs=-1, metavar="[ADDRESS|PROGRAM [ARGUMENT]...]")
@click.option("--name", metavar="NAME", help="What it is called; its kind if left out.")
@dry_run_option
@json_option
@click.pass_context
def add(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    kind: str,
    words: tuple[str, ...],
    *,
    name: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Add a way by which messages go: command, email, ntfy or webhook.

    ntfy: the address of a topic, such as https://ntfy.sh/TOPIC. webhook: an address that takes JSON by POST,
    as those of Slack and Discord. Both are secrets, and are read from standard input, on a terminal from a
    prompt. A redirect is not followed.

    email: ocm notify add email ann@example.org sends by this machine's sendmail.

    command: ocm notify add command -- PROGRAM ARGUMENT... runs a program as you, with the message on its
    standard input. Every user can read the arguments while it runs: put no secret there.
    """
    from openclaw_ocm.core.notify.ways import parse_way_name
    from openclaw_ocm.operations.notify import add as run

    if name is not None:
        parse_way_name(name)
    make = _maker(kind, words, frame.this_host(ctx))
    return frame.run_each(
        ctx,
        [name or kind],
        lambda context, _item: run(context, kind, name, make, dry_run=dry_run),
        as_json=as_json,
    )


def _maker(kind: str, words: tuple[str, ...], host: Host) -> Callable[[str], Way]:
    from openclaw_ocm.operations import notify as operation

    if kind == "command":
        return operation.command_way(host, words)
    if kind == "email":
        if len(words) != 1:
            message = "name one address: ocm notify add email ann@example.org"
            raise click.UsageError(message)
        return operation.email_way(host, words[0])
    if words:
        # Not told back: whoever has it can read the topic, or post.
        message = "the address comes from standard input: on the command line every user can read it"
        raise click.UsageError(message)
    url = frame.read_secret(f"Address of the {'topic' if kind == 'ntfy' else 'webhook'}")
    return operation.ntfy_way(url) if kind == "ntfy" else operation.webhook_way(url)


@notify.command("list", epilog="Example: ocm notify list")
@json_option
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> int:
    """List the ways by which messages go, and how each does.

    Of an address that is a secret the server alone is shown.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.notify import show_ways
    from openclaw_ocm.operations.notify import list_ways

    found = list_ways(frame.look(ctx))
    if as_json:
        print_json("notify list", found)
    else:
        show_ways(found)
    return 0


@notify.command("remove", epilog="Example: ocm notify remove phone")
@click.argument("names", metavar="NAME...", nargs=-1, shell_complete=_complete_way)
@click.option("--all", "everything", is_flag=True, help="All ways.")
@dry_run_option
@json_option
@click.pass_context
def remove(
    ctx: click.Context, names: tuple[str, ...], *, everything: bool, dry_run: bool, as_json: bool
) -> int:
    """Have no more messages go by a way.

    With the last one the timer goes, and what was told is forgotten.
    """
    from openclaw_ocm.operations.notify import list_ways
    from openclaw_ocm.operations.notify import remove as run

    if bool(names) == everything:
        message = "name one or more ways, or say --all"
        raise click.UsageError(message)
    context = frame.open_context(ctx)
    return frame.run_each(
        ctx,
        [way.name for way in list_ways(context)] if everything else names,
        lambda context, name: run(context, name, dry_run=dry_run),
        as_json=as_json,
        context=context,
    )


@notify.command("test", epilog="Example: ocm notify test phone")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete_way)
@json_option
@click.pass_context
def test(ctx: click.Context, names: tuple[str, ...], *, as_json: bool) -> int:
    """Send a test message by the ways named, or by all; it fails where one does not get there."""
    from openclaw_ocm.cli.render.notify import show_tested
    from openclaw_ocm.operations.notify import chosen, send_test

    context = frame.look(ctx)
    return frame.run_each(
        ctx, chosen(context, names), send_test, as_json=as_json, context=context, show=show_tested
    )


@notify.command("check", epilog="Example: ocm notify check --dry-run")
@dry_run_option
@json_option
@click.pass_context
def check(ctx: click.Context, *, dry_run: bool, as_json: bool) -> int:
    """Look once, and send what changed: what the timer runs.

    What does not go by one way is tried again at the next look; exit 1 then.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.notify import show_notified
    from openclaw_ocm.cli.render.outcome import show_error
    from openclaw_ocm.operations.notify import check as run

    notified = run(frame.look(ctx), dry_run=dry_run)
    if as_json:
        print_json("notify check", notified.told, notified.failures)
    else:
        show_notified(notified)
    for name, error in notified.failures:
        show_error(name, error)
    return 1 if notified.failures else 0


COMMANDS = {"notify": notify}
