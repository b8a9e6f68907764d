"""The commands that look: list, status, health, history, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import NAME, json_option, name_argument
from openclaw_ocm.errors import FAILED

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName


@click.command("list", epilog="Example: ocm list --json")
@json_option
@click.pass_context
def list_command(ctx: click.Context, *, as_json: bool) -> int:
    """List the instances and how they are."""
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.status import show_rows
    from openclaw_ocm.operations.status import observe, selected

    context = frame.look(ctx)
    rows = observe(context, selected(context, ()))
    if as_json:
        print_json("list", rows)
    else:
        show_rows(rows)
    return 0


@click.command(epilog="Example: ocm health worker1 && echo fine")
@click.argument("names", type=NAME, nargs=-1, metavar="[NAME...]")
@json_option
@click.pass_context
def health(ctx: click.Context, names: tuple[InstanceName, ...], *, as_json: bool) -> int:
    """Tell whether instances are ready; exit 1 if one is not.

    Without a name an instance that is stopped and not enabled is left out of the verdict.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.status import show_rows
    from openclaw_ocm.operations.status import observe, selected

    context = frame.look(ctx)
    rows = observe(context, selected(context, names), agents=True)
    healthy = not any(row.unhealthy or (names and row.state != "ready") for row in rows)
    if as_json:
        print_json("health", rows, ok=healthy)
    else:
        show_rows(rows)
    return 0 if healthy else FAILED


@click.command(epilog="Example: ocm status worker1")
@name_argument
@json_option
@click.pass_context
def status(ctx: click.Context, name: InstanceName, *, as_json: bool) -> int:
    """Show everything about an instance."""
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.status import show_status
    from openclaw_ocm.operations.status import status as look

    found = look(frame.look(ctx), name)
    if as_json:
        print_json("status", [found])
    else:
        show_status(found)
    return 0


@click.command(epilog="Example: ocm logs worker1 -n 50 --since '1 hour ago'")
@name_argument
@click.option("-f", "--follow", is_flag=True, help="Go on as more is logged, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="The last N lines.")
@click.option("--since", metavar="T", help="Only what was logged since T: '1 hour ago', '2026-11-22 10:00'.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each line.")
@click.pass_context
def logs(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    name: InstanceName,
    *,
    follow: bool,
    lines: int | None,
    since: str | None,
    as_json: bool,
) -> int:
    """Print what an instance logged."""
    from datetime import datetime

    import msgspec

    from openclaw_ocm.core.times import parse_since
    from openclaw_ocm.operations.logs import logs as read

    began = None if since is None else parse_since(since, datetime.now().astimezone())
    context = frame.look(ctx)
    shown = 200 if lines is None and since is None else lines
    for entry in read(context, name, lines=shown, follow=follow, since=began):
        if as_json:
            line = msgspec.json.encode(entry).decode()
        else:
            line = (
                entry.message
                if entry.source == "gateway"
                else f"{entry.time} [{entry.source}] {entry.message}"
            )
        click.echo(line)
    return 0


@click.command(epilog="Example: ocm history worker1 -n 5")
@click.argument("name", type=NAME, required=False, metavar="[NAME]")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    metavar="N",
    help="The last N changes.",
)
@json_option
@click.pass_context
def history(ctx: click.Context, name: InstanceName | None, *, lines: int, as_json: bool) -> int:
    """Tell what was changed, when, and how it ended.

    Each change of an instance is a line, those of instances that are gone as well. What a command was given,
    such as a value or a secret, is not kept.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.outcome import show_error
    from openclaw_ocm.cli.render.status import show_history
    from openclaw_ocm.instances.history import readable_history

    frame.tell_interrupted(ctx)
    found, refused = readable_history(frame.this_host(ctx).paths, name)
    if refused and not found:
        raise refused[-1]
    shown = found[max(len(found) - lines, 0) :]
    if as_json:
        print_json("history", shown, [(None, error) for error in refused])
    else:
        show_history(shown)
        for error in refused:
            show_error(None, error)
    return FAILED if refused else 0


COMMANDS = {"list": list_command, "health": health, "status": status, "history": history, "logs": logs}
