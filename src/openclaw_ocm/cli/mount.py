"""The commands that show an instance files and folders of the host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, json_option, name_argument
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.mount import Mounts

restart_option = click.option(
    "--restart", is_flag=True, help="Restart a running gateway, which then sees it."
)


def _complete_shown(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Return what the instance is shown."""
    from click.shell_completion import CompletionItem

    from openclaw_ocm.system.host import current_host
    from openclaw_ocm.system.kept.records import read_record

    del param
    name = ctx.params.get("name")
    if name is None:
        return []
    shown = read_record(current_host(os.environ).paths, name).mounts
    return [CompletionItem(one.path) for one in shown if one.path.startswith(incomplete)]


@click.command(epilog="Example: ocm mount worker1 /srv/data --rw")
@name_argument
@click.argument("path", type=click.Path(), required=False)
@click.option("--rw", "writable", is_flag=True, help="Let the instance write it; else it only reads.")
@click.option("--at", metavar="TARGET", help="Where the instance sees it; at its own path if left out.")
@restart_option
@effort_options
@dry_run_option
@json_option
@click.pass_context
def mount(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    *,
    path: str | None,
    writable: bool,
    at: str | None,
    restart: bool,
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Show an instance a file or folder of this machine, or list what it is shown.

    Its gateway and its sessions see it; boxes, in which chats run programs, do not. Refused is what would
    break the seal: main, other instances, OCM's own, backups, ~/.ssh, sockets, devices, and what holds one of
    these. Where a link leads is looked up at every start. No backup has what is shown.
    """
    from openclaw_ocm.core.sandbox.shown import parse_shown
    from openclaw_ocm.operations import mount as operation

    if path is None:
        if writable or at is not None or restart:
            message = "--rw, --at and --restart are for a PATH"
            raise click.UsageError(message)
        return _list(ctx, name, as_json=as_json)
    shown = parse_shown(_absolute(path), at, writable=writable)
    effort = frame.effort(options)
    return frame.run_each(
        ctx,
        [name],
        lambda context, name: operation.mount(context, name, shown, effort, restart=restart, dry_run=dry_run),
        as_json=as_json,
    )


@click.command(epilog="Example: ocm unmount worker1 /srv/data")
@name_argument
@click.argument("path", shell_complete=_complete_shown)
@restart_option
@effort_options
@dry_run_option
@json_option
@click.pass_context
def unmount(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    *,
    path: str,
    restart: bool,
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Show an instance a file or folder no longer.

    The file or folder itself stays as it is.
    """
    from openclaw_ocm.operations import mount as operation

    effort = frame.effort(options)
    where = _absolute(path)
    return frame.run_each(
        ctx,
        [name],
        lambda context, name: operation.unmount(
            context, name, where, effort, restart=restart, dry_run=dry_run
        ),
        as_json=as_json,
    )


def _absolute(path: str) -> str:
    if not path:
        message = "an empty PATH is none"
        raise click.UsageError(message)
    return os.path.abspath(path)  # noqa: PTH100 - links stay as they are named


def _list(ctx: click.Context, name: InstanceName, *, as_json: bool) -> int:
    from openclaw_ocm.operations.mount import mounted

    return frame.run_each(ctx, [name], mounted, as_json=as_json, show=_show, context=frame.look(ctx))


def _show(found: Mounts) -> None:
    from openclaw_ocm.core.sandbox.shown import in_words

    if not found.mounts:
        click.echo(f"it is shown nothing: ocm mount {found.name} PATH shows it a file or folder", err=True)
    for one in found.mounts:
        click.echo(printable(in_words(one)))
    for problem in found.problems:
        click.echo(f"ocm: {printable(problem)}", err=True)


COMMANDS = {"mount": mount, "unmount": unmount}
