"""The commands that start and stop instances, and have them start with the machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import (
    dry_run_option,
    effort_options,
    jobs_option,
    json_option,
    names_argument,
    run_each,
)

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

Names = tuple["InstanceName", ...]


def _starting_command(word: str, help_text: str) -> click.Command:
    @click.command(word, help=help_text, epilog=f"Example: ocm {word} --all")
    @names_argument
    @effort_options
    @jobs_option
    @dry_run_option
    @json_option
    @click.pass_context
    def command(
        ctx: click.Context,
        /,
        names: Names,
        *,
        everything: bool,
        dry_run: bool,
        as_json: bool,
        **options: Any,  # noqa: ANN401 - of many types
    ) -> int:
        from openclaw_ocm.core.load import STARTING
        from openclaw_ocm.operations import start as verbs

        run, effort = verbs.start, frame.effort(options)
        if word == "restart":
            run = partial(verbs.restart, stopped_too=not everything)
        context = frame.open_context(ctx)
        return run_each(
            ctx,
            frame.choose(context, names, everything=everything),
            lambda context, name: run(context, name, effort, dry_run=dry_run),
            as_json=as_json,
            context=context,
            jobs=frame.at_once(context, STARTING, options["jobs"]),
        )

    return command


@click.command(epilog="Example: ocm stop worker1 worker2")
@names_argument
@click.option("--now", is_flag=True, help="Do not wait for an agent's work in progress: cut it off.")
@jobs_option
@dry_run_option
@json_option
@click.pass_context
def stop(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    names: Names,
    *,
    everything: bool,
    now: bool,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Stop instances.

    An agent that is at work may bring that to its end first, for five minutes at most.
    """
    from openclaw_ocm.core.load import WAITING
    from openclaw_ocm.operations.start import stop as run

    # Else what was cut off is mended at each of them, and told: the way out waits for no other instance.
    context = frame.open_context(ctx, recover=dry_run or (everything and not now))

    def stop_one(context: Context, name: InstanceName) -> Outcome:
        outcome = run(context, name, dry_run=dry_run, now=now)
        return outcome if as_json else frame.but_told(ctx, outcome)

    return run_each(
        ctx,
        frame.choose(context, names, everything=everything),
        stop_one,
        as_json=as_json,
        context=context,
        jobs=frame.at_once(context, WAITING, jobs),
    )


def _autostart_command(word: str, help_text: str, *, wanted: bool) -> click.Command:
    @click.command(word, help=help_text, epilog=f"Example: ocm {word} worker1")
    @names_argument
    @dry_run_option
    @json_option
    @click.pass_context
    def command(
        ctx: click.Context, /, names: Names, *, everything: bool, dry_run: bool, as_json: bool
    ) -> int:
        from openclaw_ocm.operations.autostart import set_autostart

        context = frame.open_context(ctx)
        return run_each(
            ctx,
            frame.choose(context, names, everything=everything),
            lambda context, name: set_autostart(context, name, wanted=wanted, dry_run=dry_run),
            as_json=as_json,
            context=context,
        )

    return command


COMMANDS = {
    "start": _starting_command("start", "Start instances and prove that they are sealed."),
    "stop": stop,
    "restart": _starting_command(
        "restart",
        "Restart instances and prove that they are sealed.\n\n"
        "One that is stopped is started as well; with --all it is left so.",
    ),
    "enable": _autostart_command("enable", "Have instances start with the machine.", wanted=True),
    "disable": _autostart_command(
        "disable", "Have instances no longer start with the machine.", wanted=False
    ),
}
