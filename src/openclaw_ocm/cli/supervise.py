"""The command that is the entry point of a container."""

from __future__ import annotations

from typing import NoReturn

import click

from openclaw_ocm.cli import frame


@click.command(epilog="Example: ocm supervise")
@click.pass_context
def supervise(ctx: click.Context) -> NoReturn:
    """Run supervisord in the foreground: a container's entry point.

    It starts the enabled instances, and stops all of them as ocm stop does when it is told to end.
    """
    from openclaw_ocm.operations.supervise import supervise as run

    run(frame.open_context(ctx))


COMMANDS = {"supervise": supervise}
