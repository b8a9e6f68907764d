"""The command that moves an instance to another port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.frame import (
    dry_run_option,
    effort,
    effort_options,
    json_option,
    name_argument,
    run_each,
)

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName


@click.command(epilog="Example: ocm port worker1 20000")
@name_argument
@click.argument("port", type=int, required=False, metavar="[PORT]")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def port(
    ctx: click.Context,
    /,
    name: InstanceName,
    *,
    port: int | None,
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Move an instance to another port.

    Without PORT it is the next one that is free. Its config, its definition and the firewall rules of its
    exposure follow. A gateway that runs is stopped for it, started again and proved; where that fails all is
    as it was.
    """
    from openclaw_ocm.core import ports
    from openclaw_ocm.operations.port import move_port

    if port is not None:
        ports.parse_port(port)
    return run_each(
        ctx,
        [name],
        lambda context, name: move_port(context, name, port, effort(options), dry_run=dry_run),
        as_json=as_json,
    )


COMMANDS = {"port": port}
