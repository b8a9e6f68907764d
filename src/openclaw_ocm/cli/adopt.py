"""The commands that make an instance of an OpenClaw that runs already, and give it back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import NAME, NETWORKS, NEW_NAME, dry_run_option, json_option, wait_options

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome


class OwnType(click.ParamType[str]):
    """An OpenClaw of the user's own; completes to main, to profiles and to services."""

    name = "what"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return those that there are, else files: what is adopted may be an archive."""
        import os

        from click.shell_completion import CompletionItem

        from openclaw_ocm.system.host import current_host
        from openclaw_ocm.system.openclaw.own_places import own_names

        del ctx, param
        names = own_names(current_host(os.environ))
        found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


@click.command(epilog="Example: ocm adopt work --move")
@click.argument("what", type=OwnType(), default="main", metavar="[main|PROFILE|SERVICE|DIRECTORY|ARCHIVE]")
@click.option(
    "--name", type=NEW_NAME, metavar="NAME", help="Call the instance so; as the profile if left out."
)
@click.option("--move", is_flag=True, help="Have it become the instance, with its channels, and not a copy.")
@click.option("--port", type=int, help="The gateway's port; with --move the one that it has, if left out.")
@click.option(
    "--network", type=click.Choice(NETWORKS), help="What it reaches (default: own, where there can be one)."
)
@click.option(
    "--allow", "allowed", multiple=True, metavar="ADDRESS", help="An address near by that it is to reach."
)
@click.option("--no-start", is_flag=True, help="Do not start it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options
@dry_run_option
@json_option
@click.pass_context
def adopt(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    what: str,
    *,
    name: InstanceName | None,
    move: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of many types
) -> int:
    """Make an instance of an OpenClaw of your own, which runs already.

    Without --move that is a copy, made while it runs: with its memory, sessions and keys, but without
    channels, and it runs no cron jobs. With --move it becomes the instance itself: its service is stopped and
    set aside, it keeps its port, and ocm unadopt brings it back. An archive of openclaw backup create, or a
    tar of a state directory, becomes an instance with its channels. A failure leaves all as it was.
    """
    from openclaw_ocm.core.network import allowance
    from openclaw_ocm.operations.adopt import adopt as run
    from openclaw_ocm.operations.planning.adoption import Request

    request = Request(
        name=name,
        move=move,
        port=options["port"],
        network=options["network"],
        allow=allowance(options["allowed"]),
        start=not options["no_start"],
    )
    context, effort = frame.open_context(ctx), frame.effort(options)
    if move and not (yes or dry_run):
        from openclaw_ocm.cli.render.outcome import show_outcome

        seen = run(dataclasses.replace(context, dry_run=True), what, request, effort, dry_run=True)
        if not as_json:
            show_outcome(seen)
        frame.confirm(f"Stop {what}, and make it the instance {seen.name}?")

    def operation(context: Context, one: str) -> Outcome:
        return run(context, one, request, effort, dry_run=dry_run)

    return frame.run_each(ctx, [what], operation, as_json=as_json, context=context)


@click.command(epilog="Example: ocm unadopt work")
@click.argument("name", type=NAME)
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options
@dry_run_option
@json_option
@click.pass_context
def unadopt(
    ctx: click.Context,
    /,
    name: InstanceName,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of many types
) -> int:
    """Give back what was adopted: its state, its config and its service, as they were.

    What the agent learned since comes along, and so do changes of its config that were made since. Of what
    was adopted as a copy, the copy is deleted.
    """
    from openclaw_ocm.operations import unadopt as verbs

    context, effort = frame.open_context(ctx), frame.effort(options)
    if not (yes or dry_run):
        frame.confirm(verbs.unadopt_question(context, name))

    def operation(context: Context, one: InstanceName) -> Outcome:
        return verbs.unadopt(context, one, effort, dry_run=dry_run)

    return frame.run_each(ctx, (name,), operation, as_json=as_json, context=context)


COMMANDS = {"adopt": adopt, "unadopt": unadopt}
