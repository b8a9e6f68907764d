"""The commands that make and delete instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.backends import registry
from openclaw_ocm.cli import frame
from openclaw_ocm.cli.check import SECONDS, and_check, check, check_option, say_what_it_uses
from openclaw_ocm.cli.env import accepted, env_option
from openclaw_ocm.cli.frame import (
    NAME,
    NETWORKS,
    SOURCE,
    Finite,
    dry_run_option,
    effort_options,
    install_options,
    jobs_option,
    json_option,
    names_argument,
    run_each,
)
from openclaw_ocm.cli.runtime import VersionType
from openclaw_ocm.errors import FAILED, SOME_FAILED, OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.create import Wanted
    from openclaw_ocm.operations.planning.result import Outcome

Names = tuple["InstanceName", ...]


def creation_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command say what an instance is to be."""
    for option in (
        click.option("--tasks", type=click.IntRange(64, 100_000), metavar="N", help="Threads at most."),
        click.option("--cpus", type=Finite(min=0.05, max=1024), metavar="N", help="CPUs at most."),
        click.option("--memory", metavar="SIZE", help="Memory at most, such as 2G."),
        env_option,
        click.option("--autostart", is_flag=True, help="Start with the machine."),
        click.option("--unsealed", is_flag=True, help="Accept that it runs without a sandbox."),
        click.option(
            "--network",
            type=click.Choice(NETWORKS),
            help="What it reaches (default: own, where there can be one).",
        ),
        click.option(
            "--backend",
            type=click.Choice(tuple(registry.BACKENDS)),
            help=f"What keeps the gateway running; {registry.CHOICE}.",
        ),
        click.option(
            "--openclaw",
            type=VersionType(),
            metavar="VERSION",
            help="The OpenClaw that it runs, installed where it is not; that of the PATH if left out.",
        ),
        click.option("--port", type=int, help="The gateway's port; the first free one of yours if left out."),
        click.option(
            "--inherit-from",
            type=SOURCE,
            metavar="main|INSTANCE",
            help="Where providers, models and keys come from; main if left out.",
        ),
        click.option("--no-inherit", is_flag=True, help="Take no providers, models and keys from anywhere."),
        click.option("--model", metavar="P/M", help="The agent's model, such as minimax/MiniMax-M2.7."),
    ):
        function = option(function)
    return click.argument("names", type=NAME, nargs=-1, required=True, metavar="NAME...")(function)


def _wanted(names: Names, options: Mapping[str, Any]) -> Wanted:
    """Return what is wanted of each instance; bad input is refused before anything is touched."""
    from openclaw_ocm.core.environment import parse_variables
    from openclaw_ocm.core.record import DEFAULT_TASKS, Limits, parse_memory, parse_model
    from openclaw_ocm.operations.create import Wanted, check_wanted

    if options["port"] is not None and len(names) > 1:
        message = "--port takes one instance: each needs a port of its own"
        raise click.UsageError(message)
    frame.refuse_both(options)
    memory, model = options["memory"], options["model"]
    limits = Limits(
        memory=None if memory is None else parse_memory(memory),
        cpus=options["cpus"],
        tasks=options["tasks"] or DEFAULT_TASKS,
    )
    checked = None if model is None else parse_model(model)

    wanted = Wanted(
        name=names[0],
        model=checked,
        port=options["port"],
        autostart=options["autostart"],
        sealed=not options["unsealed"],
        network=options["network"],
        limits=limits,
        environment=parse_variables(options["variables"], of=names[0] if len(names) == 1 else "NAME"),
        inherit_from=options["inherit_from"],
        no_inherit=options["no_inherit"],
    )
    check_wanted(wanted)
    return wanted


def _create_each(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    wanted: Wanted,
    run: Callable[[Context, Wanted], Outcome],
    *,
    names: Names,
    options: Mapping[str, Any],
    dry_run: bool,
    as_json: bool,
    jobs: Callable[[Context], int] = lambda _context: 1,
) -> int:
    """Bring what the machine lacks, then run an operation that makes instances, on each of `names`."""
    from dataclasses import replace

    from openclaw_ocm.cli.setup import prepare

    setup, version = prepare(frame.this_host(ctx), names, options, dry_run=dry_run)
    planned = setup if dry_run and setup is not None and setup.steps else None
    wanted = replace(wanted, openclaw=version, planned=None if planned is None else planned.runtime)

    def operation(context: Context, name: InstanceName) -> Outcome:
        outcome = run(context, replace(wanted, name=name))
        installs = () if planned is None or not outcome.steps else planned.describe()
        return replace(outcome, steps=(*installs, *outcome.steps))

    context = frame.open_context(ctx, backend=options["backend"])
    if frame.streams_are_terminals() and not (dry_run or as_json or options["yes"]):
        wanted = accepted(context, wanted, names)
    return run_each(ctx, names, operation, as_json=as_json, context=context, jobs=jobs(context))


@click.command(epilog="Example: ocm create worker1 --memory 2G --cpus 1")
@creation_options
@install_options
@dry_run_option
@json_option
@click.pass_context
def create(ctx: click.Context, /, names: Names, *, dry_run: bool, as_json: bool, **options: object) -> int:
    """Create an instance without starting it.

    What it needs and this machine lacks is installed first, as by ocm setup.
    """
    from openclaw_ocm.operations.create import create as run

    return _create_each(
        ctx,
        _wanted(names, options),
        lambda context, wanted: run(context, wanted, dry_run=dry_run),
        names=names,
        options=options,
        dry_run=dry_run,
        as_json=as_json,
    )


@click.command(epilog="Example: ocm deploy worker1 --model minimax/MiniMax-M2.7")
@creation_options
@install_options
@effort_options
@check_option
@jobs_option
@dry_run_option
@json_option
@click.pass_context
def deploy(ctx: click.Context, /, names: Names, *, dry_run: bool, as_json: bool, **options: Any) -> int:  # noqa: ANN401 - of many types
    """Create an instance, start it and prove that it is sealed.

    Succeeds only once the gateway is ready and a probe inside its sandbox found the policy in force.
    A deploy that fails leaves no trace, unless --keep is given; an instance that is ready and does not answer
    with --check stays, and the exit code is 1. What it needs and this machine lacks is installed first, as by
    ocm setup. On a terminal it offers to choose a model where there is none.
    """
    from openclaw_ocm.core.load import STARTING
    from openclaw_ocm.operations.create import deploy as run

    effort, checking = frame.effort(options), options["checking"] and not dry_run
    ask = frame.streams_are_terminals() and not (options["yes"] or as_json)
    if checking:
        say_what_it_uses()

    def deploy_one(context: Context, wanted: Wanted) -> Outcome:
        outcome = run(context, wanted, effort, dry_run=dry_run)
        # A user who is asked for a model first has one to check.
        return and_check(context, wanted.name, outcome) if checking and not ask else outcome

    code = _create_each(
        ctx,
        _wanted(names, options),
        deploy_one,
        names=names,
        options=options,
        dry_run=dry_run,
        as_json=as_json,
        jobs=lambda context: frame.at_once(context, STARTING, options["jobs"]),
    )
    if not (dry_run or as_json):
        from openclaw_ocm.cli.model import offer
        from openclaw_ocm.system.kept.names import instance_names

        known = instance_names(frame.this_host(ctx).paths)
        there = [name for name in names if name in known]
        offer(ctx, there, options, ask=ask)
        if checking and ask:
            asked = _check_each(ctx, there)
            code = code or asked
    return code


def _check_each(ctx: click.Context, names: Sequence[InstanceName]) -> int:
    """Ask each instance and return the exit code; one that cannot be asked costs no other."""
    from openclaw_ocm.cli.render.outcome import show_error

    silent = 0
    for name in names:
        try:
            silent += bool(ctx.invoke(check, name=name, timeout_seconds=SECONDS, as_json=False))
        except OcmError as error:
            show_error(name, error)
            silent += 1
    return 0 if not silent else FAILED if silent == len(names) else SOME_FAILED


@click.command(epilog="Example: ocm delete worker1 --force --yes")
@names_argument
@click.option("--force", is_flag=True, help="Delete an instance that is running.")
@click.option(
    "--backup/--no-backup",
    default=None,
    help="Make a last backup first, or none; without either ocm asks on a terminal and elsewhere makes none.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@jobs_option
@dry_run_option
@json_option
@click.pass_context
def delete(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    names: Names,
    *,
    everything: bool,
    force: bool,
    backup: bool | None,
    yes: bool,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Delete instances with all that belongs to them.

    Removes definition, state, config link, record, secrets and scheduled backups. Nothing else is touched,
    backups that were made neither. Nothing can be undone. An instance whose last backup fails stays.
    """
    from openclaw_ocm.core.load import WAITING, WORKING
    from openclaw_ocm.operations.delete import delete as run
    from openclaw_ocm.operations.delete import has_backup, taken_over
    from openclaw_ocm.operations.status import selected

    context = frame.open_context(ctx)
    chosen = selected(context, frame.choose(context, names, everything=everything))
    if chosen and not yes and not dry_run:
        for said in taken_over(context, chosen):
            click.echo(f"ocm: {said}", err=True)
        frame.confirm(
            f"Delete {', '.join(chosen)} with all that is in {'it' if len(chosen) == 1 else 'them'}?"
        )
        if backup is None:
            backup = click.confirm("Make a last backup first?", default=True, err=True)
    elif backup is None and not dry_run:
        bare = [name for name in chosen if not has_backup(context, name)]
        if bare:
            click.echo(f"ocm: there is no backup of {', '.join(bare)}; --backup makes one first", err=True)
    # Not --all again: what came into being meanwhile was not asked about.
    return run_each(
        ctx,
        chosen,
        lambda context, name: run(context, name, force=force, dry_run=dry_run, backup=bool(backup)),
        as_json=as_json,
        context=context,
        jobs=frame.at_once(context, WORKING if backup else WAITING, jobs),
    )


COMMANDS = {"create": create, "deploy": deploy, "delete": delete}
