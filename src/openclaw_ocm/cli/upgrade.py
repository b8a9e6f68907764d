"""The commands that take instances to a newer OpenClaw, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.check import SECONDS as CHECK_SECONDS
from openclaw_ocm.cli.check import check_option, say_what_it_uses
from openclaw_ocm.cli.frame import NAME, Finite, dry_run_option, json_option, names_argument, wait_options
from openclaw_ocm.cli.runtime import VersionType
from openclaw_ocm.errors import SOME_FAILED, OcmError

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome

_HOUR_SECONDS, _WATCH_SECONDS = 3600.0, 60.0


@click.command(epilog="Example: ocm upgrade worker1 --to 2026.9.6")
@names_argument
@click.option(
    "--to",
    "wanted",
    type=VersionType(),
    metavar="VERSION|latest|beta",
    default="latest",
    show_default=True,
    help="The OpenClaw that they are to run, installed where it is not.",
)
@click.option("--rehearse", is_flag=True, help="Only try it on a copy of each.")
@click.option(
    "--no-rehearsal",
    is_flag=True,
    help="Do not try it on a copy first, as where there is no memory for one more gateway.",
)
@click.option(
    "--watch",
    "watch_seconds",
    type=Finite(min=0, max=_HOUR_SECONDS),
    metavar="SECONDS",
    default=_WATCH_SECONDS,
    show_default=True,
    help="How long a gateway that became ready is watched.",
)
@check_option
@click.option(
    "--auto",
    type=click.Choice(["none", "patch", "all"]),
    help="Have it done by itself each day: patch for newer ones of the same month, all for whatever is newest"
    " on its channel. none ends that.",
)
@click.option("--at", "at", metavar="HH:MM", help="With --auto: the time of day; 04:30 if left out.")
@click.option("--scheduled", type=NAME, hidden=True, help="Make the upgrade of an instance that is due.")
@click.option("--lose-plugins", is_flag=True, help="Upgrade although plugins cannot be loaded then.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options
@dry_run_option
@json_option
@click.pass_context
def upgrade(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    names: tuple[InstanceName, ...],
    *,
    everything: bool,
    wanted: str,
    rehearse: bool,
    no_rehearsal: bool,
    watch_seconds: float,
    checking: bool,
    auto: str | None,
    at: str | None,
    scheduled: InstanceName | None,
    lose_plugins: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of many types
) -> int:
    """Have instances run a newer OpenClaw, tried on a copy first.

    One follows the other, until one fails. The copy has no keys and no channels. Where it becomes ready, the
    gateway is stopped, a copy of its state is kept, and OpenClaw migrates it. Then it is started with the new
    version, proved, asked with --check, and watched. On any failure the instance is again what it was, state
    and version. What is kept stays until the next upgrade: ocm rollback brings it back.

    With --auto none is made now, but from then on each day at that time, one instance after the other. A
    version that failed is not tried again. ocm status and ocm history tell how the last one went.
    """
    from openclaw_ocm.cli.runtime import bring
    from openclaw_ocm.core.releases import check_release
    from openclaw_ocm.operations.status import selected
    from openclaw_ocm.operations.upgrade import Request, any_older
    from openclaw_ocm.operations.upgrade import upgrade as run

    if scheduled is not None:
        return _run_scheduled(ctx, scheduled, frame.effort(options), watch_seconds, as_json=as_json)
    if auto is not None or at is not None:
        return _schedule(ctx, names, auto, at, everything=everything, dry_run=dry_run, as_json=as_json)
    if rehearse and no_rehearsal:
        message = "--rehearse and --no-rehearsal exclude each other"
        raise click.UsageError(message)
    if rehearse and checking:
        message = "--check asks the agent, and the copy of a --rehearse has no keys"
        raise click.UsageError(message)
    check_release(wanted)
    context, effort = frame.open_context(ctx), frame.effort(options)
    # Nothing is fetched for one that is not there.
    chosen = selected(context, frame.choose(context, names, everything=everything))
    version, planned = bring(
        context.host, wanted, lambda version: any_older(context, chosen, version), yes=yes, dry_run=dry_run
    )
    request = Request(
        version=version,
        watch_seconds=watch_seconds,
        check_seconds=CHECK_SECONDS if checking else 0.0,
        rehearse=rehearse,
        rehearsal=not no_rehearsal,
        lose_plugins=lose_plugins,
        planned=planned,
    )
    if checking and not dry_run:
        say_what_it_uses()
    failed: list[InstanceName] = []

    def operation(context: Context, name: InstanceName) -> Outcome:
        if failed:
            message = f"{name} was left as it is, for the upgrade of {failed[0]} failed"
            raise OcmError(message, hint=f"ocm upgrade {name}", code="not_tried")
        try:
            return run(context, name, request, effort, dry_run=dry_run)
        except BaseException:
            failed.append(name)
            raise

    return frame.run_each(ctx, chosen, operation, as_json=as_json, context=context)


def _run_scheduled(
    ctx: click.Context, name: InstanceName, effort: Effort, watch_seconds: float, *, as_json: bool
) -> int:
    """Make the upgrade that is due, as a timer asks for it."""
    from openclaw_ocm.operations.auto_upgrade import run_auto

    def run(context: Context, name: InstanceName) -> Outcome:
        return run_auto(context, name, effort, watch_seconds=watch_seconds)

    return frame.run_each(ctx, [name], run, as_json=as_json)


def _schedule(  # noqa: PLR0913 - what each option gave
    ctx: click.Context,
    names: tuple[InstanceName, ...],
    auto: str | None,
    at: str | None,
    *,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Have upgrades made by themselves, or no more."""
    from openclaw_ocm.core.record import parse_time_of_day
    from openclaw_ocm.operations.auto_upgrade import set_auto

    if auto is None or (auto == "none" and at is not None):
        message = "--at needs --auto patch or --auto all"
        raise click.UsageError(message)
    others = ("wanted", "rehearse", "no_rehearsal", "watch_seconds", "checking", "lose_plugins", "yes")
    if any(ctx.get_parameter_source(word) is ParameterSource.COMMANDLINE for word in others):
        message = (
            "--auto takes no --to, --rehearse, --no-rehearsal, --watch, --check, --lose-plugins nor --yes"
        )
        raise click.UsageError(message)
    time_of_day = None if at is None else parse_time_of_day(at)
    versions = None if auto == "none" else auto
    context = frame.open_context(ctx)
    return frame.run_each(
        ctx,
        frame.choose(context, names, everything=everything),
        lambda context, name: set_auto(context, name, versions, time_of_day, dry_run=dry_run),
        as_json=as_json,
        context=context,
    )


@click.command(epilog="Example: ocm rollback worker1")
@click.argument("name", type=NAME)
@click.option("--forget", is_flag=True, help="Remove the copy instead: there is no way back then.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options
@dry_run_option
@json_option
@click.pass_context
def rollback(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    *,
    forget: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of many types
) -> int:
    """Bring an instance back to what it was before its last upgrade.

    That is its state, and the OpenClaw that it ran. What is lost is told first: messages since then, and
    channels that may have to be linked again. What it has now is backed up first. Secrets, port and
    limits stay as they are.
    """
    from openclaw_ocm.operations import rollback as verbs

    context, effort = frame.open_context(ctx), frame.effort(options)
    if not (yes or dry_run):
        question = verbs.forget_question(context, name) if forget else verbs.rollback_question(context, name)
        frame.confirm(question)

    def operation(context: Context, name: InstanceName) -> Outcome:
        if forget:
            return verbs.forget(context, name, dry_run=dry_run)
        return verbs.rollback(context, name, effort, dry_run=dry_run)

    return frame.run_each(ctx, (name,), operation, as_json=as_json, context=context)


@click.command(epilog="Example: ocm outdated")
@click.argument("names", type=NAME, nargs=-1, metavar="[NAME]...")
@json_option
@click.pass_context
def outdated(ctx: click.Context, /, names: tuple[InstanceName, ...], *, as_json: bool) -> int:
    """Tell which instances run an older OpenClaw than there is.

    npm's registry is asked, and nothing is installed. Exits with 0 whatever it finds, and
    with 3 where an instance cannot be read.
    """
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.machine import show_ages
    from openclaw_ocm.cli.render.outcome import show_error
    from openclaw_ocm.operations.outdated import outdated as look
    from openclaw_ocm.operations.status import selected

    context = frame.look(ctx)
    found, broken = look(context, selected(context, names))
    if as_json:
        print_json("outdated", found, tuple(broken.items()))
    else:
        show_ages(found)
        for name, error in broken.items():
            show_error(name, error)
    return SOME_FAILED if broken else 0


COMMANDS = {"upgrade": upgrade, "rollback": rollback, "outdated": outdated}
