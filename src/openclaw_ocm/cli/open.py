"""The command that leads a person to the Control UI of instances."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import json_option, names_argument

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName


@click.command("open", epilog="Example: ocm open worker1")
@names_argument
@click.option("--print", "only_print", is_flag=True, help="Print the links, and open no browser.")
@click.option("--show-token", is_flag=True, help="Print the links with their tokens, on a terminal or not.")
@json_option
@click.pass_context
def open_command(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    names: tuple[InstanceName, ...],
    *,
    everything: bool,
    only_print: bool,
    show_token: bool,
    as_json: bool,
) -> int:
    """Open the Control UI of instances, with the token that lets you in.

    In a graphical session the browser opens it, or a page with a link to each of several. Over ssh the links
    are printed, and the one ssh line that has them lead here from your own machine. A link has its token on a
    terminal alone, or with --show-token. Whoever has it commands the agent.
    """
    from openclaw_ocm.cli.render.envelope import WARNINGS
    from openclaw_ocm.cli.render.outcome import show_error, show_notes
    from openclaw_ocm.cli.render.pages import show_links, show_opened
    from openclaw_ocm.operations.open import find, hidden, seat, show

    context = frame.look(ctx)
    chosen = frame.choose(context, names, everything=everything)
    place = seat(context.host, os.environ)
    printed = show_token or (_is_terminal() and not as_json)
    opening = place.desktop and not (as_json or only_print or show_token)
    found = find(context, chosen, place, everything=everything, with_tokens=printed or opening)
    if as_json:
        ctx.meta[WARNINGS] = (*ctx.meta[WARNINGS], *found.stopped)
        return frame.conclude(ctx, (found.pages, found.errors), as_json=True)
    problem = show(context, found.pages, os.environ) if opening and found.pages else None
    if opening and problem is None and found.pages:
        show_opened([hidden(page) for page in found.pages])
    elif found.pages:
        show_notes([problem] if problem is not None else [])
        pages = found.pages if printed else [hidden(page) for page in found.pages]
        show_links(pages, place)
    elif not chosen:
        show_notes(["no instances: ocm deploy worker1 makes one"])
    show_notes(found.stopped)
    for name, error in found.errors:
        show_error(name, error)
    return frame.conclude(ctx, (found.pages, found.errors), as_json=False)


def _is_terminal() -> bool:
    """Tell whether what is printed is seen by a person, and goes into no file or program."""
    return sys.stdout.isatty()


COMMANDS = {"open": open_command}
