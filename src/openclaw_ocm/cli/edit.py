"""The command that changes an instance's OpenClaw config."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, json_option, name_argument

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName


@click.command(epilog="Example: ocm edit worker1 agents.defaults.model minimax/MiniMax-M2.7")
@name_argument
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.option("--unset", metavar="KEY", help="Remove a key.")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def edit(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    key: str | None,
    value: str | None,
    *,
    unset: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - those that click read
) -> int:
    """Change an instance's OpenClaw config, validated by OpenClaw.

    KEY is dotted; VALUE is JSON, or text where it is none, or - for standard input (so that a secret is in no
    argument). Without KEY the config opens in $EDITOR. What OpenClaw would refuse is not written. A gateway
    that runs is restarted where it needs that, and proved; where it is not ready then, the config is again as
    it was.
    """
    from openclaw_ocm.cli.progress import progress
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.outcome import show_edited
    from openclaw_ocm.core.openclaw.document import parse_value
    from openclaw_ocm.operations import edit as operation

    if unset is not None and key is not None:
        message = "--unset takes its key itself: ocm edit NAME --unset KEY"
        raise click.UsageError(message)
    if key is not None and value is None:
        message = f"a value is missing: ocm edit {name} {key} VALUE"
        raise click.UsageError(message)
    effort = frame.effort(options)
    if key is None and unset is None:
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "editor"
        context = frame.open_context(ctx)
        edited = operation.open_editor(context, name, editor, effort=effort, dry_run=dry_run)
    else:
        with progress(name) as report:
            context = frame.with_report(frame.open_context(ctx), report)
            if unset is not None:
                edited = operation.unset_value(context, name, unset, effort=effort, dry_run=dry_run)
            else:
                text = sys.stdin.read().rstrip("\n") if value == "-" else value or ""
                wanted = parse_value(text)
                edited = operation.set_value(context, name, key or "", wanted, effort=effort, dry_run=dry_run)
    if as_json:
        print_json("edit", [edited])
    else:
        show_edited(edited)
    return 0


COMMANDS = {"edit": edit}
