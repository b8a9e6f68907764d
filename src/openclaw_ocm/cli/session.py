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


def _complete_agent(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the agents of the instance whose names begin with what was typed."""
    from openclaw_ocm.core.openclaw.boxes import agents
    from openclaw_ocm.system.host import current_host
    from openclaw_ocm.system.openclaw.config import find_config
    from openclaw_ocm.system.volume import Directory

    del param
    name = ctx.params.get("name")
    if name is None:
        return []
    config = find_config(Directory(current_host(os.environ).instance(name).state))
    return [agent for agent in agents(config) if agent.startswith(incomplete)]


@click.command(epilog="Example: ocm enter worker1")
@name_argument
@click.argument("agent", required=False, metavar="[AGENT]", shell_complete=_complete_agent)
@click.option("--box", is_flag=True, help="In a box, as sessions other than main of AGENT have it.")
@click.pass_context
def enter(ctx: click.Context, name: InstanceName, agent: str | None, *, box: bool) -> int:
    """Open a shell in an instance's sandbox.

    There `openclaw` means this instance. Without a terminal the shell reads commands from standard input.
    With --box it sees what programs see that an agent runs for a chat, a group, a cron job or a sub-agent.
    The gateway has to run for that. AGENT is main, or the first, if left out.
    """
    from openclaw_ocm.operations.session import enter as run
    from openclaw_ocm.operations.session import enter_box

    if box:
        return enter_box(frame.open_context(ctx), name, agent, _terminal())
    if agent is not None:
        message = f"AGENT is for a box: ocm enter {name} --box AGENT"
        raise click.UsageError(message)
    return run(frame.open_context(ctx), name, _terminal())


COMMANDS = {"use": use, "enter": enter}
