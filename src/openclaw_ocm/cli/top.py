"""The command that shows instances live, on a terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import Finite
from openclaw_ocm.errors import FAILED, Invalid, bug

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.cli.screen.app import Top, Works
    from openclaw_ocm.system.host import Host

_NO_SCREEN = ("", "dumb", "unknown")
_FEWEST_COLOURS = 8


@click.command(epilog="Example: ocm top --every 5")
@click.option(
    "--every",
    type=Finite(min=1, max=3600),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look; less often where that would cost more than 2 % of a core.",
)
@click.pass_context
def top(ctx: click.Context, *, every: float) -> int:
    """Show all instances live: memory, CPU, logs, and keys to start and stop them.

    It needs a terminal, over ssh as well. There is no daemon, and nothing listens. The key ? shows what the
    others do: start, stop, restart, backup and check are what the commands of these names are. What goes on
    when you leave is waited for or undone, as you say.
    """
    refuse_no_terminal(os.environ)
    context = frame.look(ctx)
    # What is printed would meet the screen.
    host = dataclasses.replace(context.host, runner=dataclasses.replace(context.host.runner, verbose=False))
    return _run(host, every)


def refuse_no_terminal(environ: Mapping[str, str]) -> None:
    """Raise `Invalid` where there is no terminal that a screen can be drawn on."""
    hint = "ocm list prints the same once"
    if not has_terminal():
        raise Invalid("ocm top needs a terminal to draw on", hint=hint, code="no_terminal")
    term = environ.get("TERM", "")
    if term in _NO_SCREEN:
        named = f"TERM is {term}" if term else "TERM is not set"
        raise Invalid(f"ocm top needs a terminal to draw on, and {named}", hint=hint, code="no_terminal")


def has_terminal() -> bool:
    """Tell whether all standard streams are a terminal: keys come from one, and lines go to the others."""
    return frame.streams_are_terminals() and sys.stderr.isatty()


def _run(host: Host, every: float) -> int:
    from functools import partial

    from openclaw_ocm.cli.screen.work import perform
    from openclaw_ocm.system.beside import Beside

    # Before there is a second thread.
    works = Beside(partial(perform, host))
    try:
        app = _screen(host, works, every)
        app.run(mouse=False)
    finally:
        works.close()
    failure = app.failure
    if failure is not None:
        raise bug(failure) from failure
    for ok, lines in app.last_words:
        click.echo("\n".join(lines), err=not ok)
    return 0 if all(ok for ok, _lines in app.last_words) else FAILED


def _screen(host: Host, works: Works, every: float) -> Top:
    from openclaw_ocm.cli.screen.app import Terminal, Top
    from openclaw_ocm.cli.screen.source import Source
    from openclaw_ocm.system.host import local_zone

    terminal = Terminal(
        colours=has_colours(os.environ), plain=not knows_unicode(os.environ), every=every, zone=local_zone()
    )
    return Top(Source(host=host), works, terminal)


def has_colours(environ: Mapping[str, str]) -> bool:
    """Tell whether there are to be colours: not with NO_COLOR, nor where terminfo(5) knows of none."""
    if environ.get("NO_COLOR"):
        return False
    with contextlib.suppress(ImportError):
        import curses

        with contextlib.suppress(curses.error):
            curses.setupterm(environ.get("TERM"))
            return curses.tigetnum("colors") >= _FEWEST_COLOURS
    return True


def knows_unicode(environ: Mapping[str, str]) -> bool:
    """Tell whether the terminal is said to take more than ASCII (locale(7))."""
    for variable in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = environ.get(variable)
        if value:
            return "utf" in value.lower()
    return False


COMMANDS = {"top": top}
