"""The command that changes what an instance may use at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import Finite, dry_run_option, effort_options, json_option, name_argument

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

_NONE = "none"


class _CpusType(Finite):
    """A number of CPUs, or `none`."""

    name = "cpus"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - as click's
        """Return the number, or `none` as it is."""
        return value if value == _NONE else super().convert(value, param, ctx)


@click.command(epilog="Example: ocm limits worker1 --memory 2G --cpus 1 --restart")
@name_argument
@click.option("--memory", metavar="SIZE|none", help="Memory at most, such as 2G.")
@click.option("--cpus", type=_CpusType(min=0.05, max=1024), metavar="N|none", help="CPUs at most.")
@click.option("--tasks", type=click.IntRange(64, 100_000), metavar="N", help="Threads at most.")
@click.option("--restart", is_flag=True, help="Restart a running gateway, which then has them.")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def limits(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    *,
    memory: str | None,
    cpus: float | str | None,
    tasks: int | None,
    restart: bool,
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Show or change what an instance may use at most.

    A gateway that runs has it from its next start on, or with --restart now.
    """
    from openclaw_ocm.core.record import parse_memory

    wanted: dict[str, Any] = {
        key: None if value == _NONE else value
        for key, value in (("memory", memory), ("cpus", cpus), ("tasks", tasks))
        if value is not None
    }
    if not wanted:
        if restart:
            message = "--restart is for a change: name one of --memory, --cpus and --tasks"
            raise click.UsageError(message)
        return _show(ctx, name, as_json=as_json)
    if wanted.get("memory") is not None:
        parse_memory(wanted["memory"])
    effort = frame.effort(options)

    def change(context: Context, name: InstanceName) -> Outcome:
        from openclaw_ocm.operations.limits import set_limits

        return set_limits(context, name, wanted, effort, restart=restart, dry_run=dry_run)

    return frame.run_each(ctx, [name], change, as_json=as_json)


def _show(ctx: click.Context, name: InstanceName, *, as_json: bool) -> int:
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.operations.limits import limits_of

    found = limits_of(frame.look(ctx), name)
    if as_json:
        print_json("limits", [found])
    else:
        for key in ("memory", "cpus", "tasks"):
            value = getattr(found, key)
            click.echo(f"{key + ':':<8} {'none' if value is None else value}")
    return 0


COMMANDS = {"limits": limits}
