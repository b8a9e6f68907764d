"""The commands that run something inside an instance's sandbox."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import name_argument

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.session import Terminal

_PASSED = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")
_PLAIN = re.compile(r"[A-Za-z0-9._:+-]{1,64}")


def _terminal() -> Terminal:
    from openclaw_ocm.operations.session import Terminal

    environ = {name: os.environ.get(name, "") for name in _PASSED}
    return Terminal(
        attached=frame.streams_are_terminals(),
        environ={name: value for name, value in environ.items() if _PLAIN.fullmatch(value)},
    )


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help"],
    },
    epilog="Example: ocm use worker1 agent --message hi --json",
)
@name_argument
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="ARGS...")
@click.pass_context
def use(ctx: click.Context, name: InstanceName, arguments: tuple[str, ...]) -> int:
    """Run openclaw as an instance, in its sandbox.

    Everything after NAME goes to openclaw; standard input, output, exit status and terminal are passed
    through.
    """
    from openclaw_ocm.operations.session import use as run

    return run(frame.open_context(ctx), name, arguments, _terminal())


@click.command(epilog="Example: ocm enter worker1")
@name_argument
@click.pass_context
def enter(ctx: click.Context, name: InstanceName) -> int:
    """Open a shell in an instance's sandbox.

    There `openclaw` means this instance. Without a terminal the shell reads commands from standard input.
    """
    from openclaw_ocm.operations.session import enter as run

    return run(frame.open_context(ctx), name, _terminal())


COMMANDS = {"use": use, "enter": enter}
