"""The command that has instances follow main."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, json_option

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome


@click.command(epilog="Example: ocm sync --all --dry-run")
@frame.names_argument
@click.option(
    "--inherit-from",
    type=frame.SOURCE,
    metavar="main|INSTANCE",
    help="Inherit from there from now on, also where nothing was inherited before.",
)
@click.option("--no-inherit", is_flag=True, help="Inherit no more; the instance keeps what it has.")
@effort_options
@frame.jobs_option
@dry_run_option
@json_option
@click.pass_context
def sync(
    ctx: click.Context,
    /,
    names: tuple[InstanceName, ...],
    *,
    everything: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - those that click read
) -> int:
    """Have instances follow what changed in main: providers, models and keys.

    Compares what was inherited then with main now and the instance now: main's changes are taken over, the
    instance's own stay, and where both changed the same the instance's stays and that is said. OpenClaw
    validates the result before it is written. A gateway is restarted only for what it does not take up while
    it runs, such as a new key. One with an instance for its source follows that instance.
    """
    from openclaw_ocm.core.load import STARTING
    from openclaw_ocm.operations.sync import end_inheriting
    from openclaw_ocm.operations.sync import sync as follow

    frame.refuse_both(options)
    effort, source = frame.effort(options), options["inherit_from"]
    context = frame.open_context(ctx)

    def run(context: Context, name: InstanceName) -> Outcome:
        if options["no_inherit"]:
            return end_inheriting(context, name, dry_run=dry_run)
        return follow(context, name, effort, source=source, dry_run=dry_run)

    return frame.run_each(
        ctx,
        frame.choose(context, names, everything=everything),
        run,
        as_json=as_json,
        context=context,
        jobs=frame.at_once(context, STARTING, options["jobs"]),
    )


COMMANDS = {"sync": sync}
