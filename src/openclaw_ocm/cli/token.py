"""The command that replaces the token of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, json_option, name_argument

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName


@click.group(epilog="Example: ocm token rotate worker1")
def token() -> None:
    """Keep the token with which a gateway lets people in."""


@token.command("rotate", epilog="Example: ocm token rotate worker1")
@name_argument
@effort_options
@dry_run_option
@json_option
@click.pass_context
def rotate(
    ctx: click.Context, /, name: InstanceName, *, dry_run: bool, as_json: bool, **options: bool
) -> int:
    """Give a gateway a new token: whoever has the old one is let in no more.

    A gateway that runs is restarted and proved. Browsers and other clients that had the old token are to be
    given the new one.
    """
    from openclaw_ocm.cli.progress import progress
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.outcome import show_edited
    from openclaw_ocm.operations.token import rotate as operation

    with progress(name) as report:
        context = frame.with_report(frame.open_context(ctx), report)
        edited = operation(context, name, effort=frame.effort(options), dry_run=dry_run)
    if as_json:
        print_json("token rotate", [edited])
    else:
        show_edited(edited)
    return 0


COMMANDS = {"token": token}
