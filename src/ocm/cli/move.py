"""The commands that give an instance another name or place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ocm.cli import frame
from ocm.cli.frame import NEW_NAME, dry_run_option, json_option, name_argument, wait_options

if TYPE_CHECKING:
    from ocm.core.names import InstanceName

_new_argument = click.argument("new", type=NEW_NAME, metavar="NEW")


@click.command(epilog="Example: ocm rename worker1 researcher")
@name_argument
@_new_argument
@wait_options
@dry_run_option
@json_option
@click.pass_context
def rename(
    ctx: click.Context,
    /,
    name: InstanceName,
    new: InstanceName,
    *,
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Give an instance another name.

    Everything comes along: memory, sessions, cron jobs, workspace, secrets, port, firewall rules. One that
    runs is stopped for a moment. A rename that fails gives the old name back. Backups keep their names.
    """
    from ocm.operations.rename import rename as run

    effort = frame.effort(options)
    return frame.run_each(
        ctx,
        [name],
        lambda context, one: run(context, one, new, effort, dry_run=dry_run),
        as_json=as_json,
    )


COMMANDS = {"rename": rename}
