"""The command that has instances run another Node and OpenClaw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, jobs_option, json_option

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome


class _NameOrPath(frame.NameType):
    """The name of an instance, or a path, which holds a slash as no name does."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> InstanceName:
        """Return what was typed, or raise `Invalid` where it is neither."""
        return value if "/" in value else super().convert(value, param, ctx)  # type: ignore[return-value]


@click.group(epilog="Example: ocm runtime use")
def runtime() -> None:
    """Keep the Node and the OpenClaw that instances run."""


@runtime.command("use", epilog="Example: ocm runtime use worker1 ~/.nvm/versions/node/v24.19.0/bin")
@click.argument("words", type=_NameOrPath(), nargs=-1, metavar="[NAME|PATH]...")
@click.option("--all", "everything", is_flag=True, help="All instances.")
@effort_options
@jobs_option
@dry_run_option
@json_option
@click.pass_context
def use(
    ctx: click.Context,
    /,
    *,
    words: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - those that click read
) -> int:
    """Have instances run another Node and OpenClaw than they were made with.

    Without a name it is for those whose Node or OpenClaw is gone, as after an update by nvm, brew or pnpm:
    they get what is on the PATH now. Those that are named, or --all, get that too. A PATH, with a slash in
    it, is a Node, a package of OpenClaw, or a directory with programs of these names: what it names changes
    and the rest stays. A gateway that runs is restarted and proved.
    """
    from openclaw_ocm.operations.planning.jobs import STARTING
    from openclaw_ocm.operations.runtime import use_runtime, without_runtime

    paths = tuple(word for word in words if "/" in word)
    named: list[Any] = [word for word in words if "/" not in word]
    context, effort = frame.open_context(ctx), frame.effort(options)
    if named or everything:
        names = frame.choose(context, named, everything=everything)
    else:
        names = without_runtime(context)
        if not names and not as_json:
            click.echo("each has its Node and its OpenClaw: --all or a name takes what is found now")
    anew = not paths and bool(named or everything)

    def run(context: Context, name: InstanceName) -> Outcome:
        return use_runtime(context, name, paths, anew=anew, effort=effort, dry_run=dry_run)

    return frame.run_each(
        ctx,
        names,
        run,
        as_json=as_json,
        context=context,
        jobs=frame.at_once(context, STARTING, options["jobs"]),
    )


COMMANDS = {"runtime": runtime}
