"""The command that asks an instance something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import Finite, json_option, name_argument
from openclaw_ocm.errors import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

_F = TypeVar("_F", bound="Callable[..., Any]")
# For both turns: the first after a start takes OpenClaw itself most of a minute on a busy machine.
SECONDS = 120.0


def check_option(function: _F) -> _F:
    """Let a command that ends with a ready gateway ask it as well."""
    option = click.option(
        "--check", "checking", is_flag=True, help="Then ask it, as ocm check does: this uses the model."
    )
    return option(function)


@click.command(epilog="Example: ocm check worker1")
@name_argument
@click.option(
    "--timeout",
    "timeout_seconds",
    type=Finite(min=30, max=frame.DAY_SECONDS),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long both turns may take.",
)
@json_option
@click.pass_context
def check(ctx: click.Context, name: InstanceName, *, timeout_seconds: float, as_json: bool) -> int:
    """Ask an instance something; exit 1 if it does not answer.

    It uses the model: one small turn in the agent's main session, and one in a session as a group has it,
    each with one harmless tool call. What failed is told: no model, no key, a provider that refuses, cannot
    be reached or hangs, a box that cannot be made.
    """
    from openclaw_ocm.cli.progress import progress
    from openclaw_ocm.cli.render.able import show_checked
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.operations.check import check as ask
    from openclaw_ocm.operations.check import prepare

    context = frame.look(ctx)
    prepared = prepare(context, name)
    if prepared.model is not None:
        click.echo(f"ocm: this uses {prepared.model}, the model of {name}: two small turns", err=True)
    with progress(name) as report:
        checked = ask(frame.with_report(context, report), prepared, timeout_seconds=timeout_seconds)
    if as_json:
        print_json("check", [checked], ok=checked.ok)
    else:
        show_checked(checked)
    return 0 if checked.ok else FAILED


def say_what_it_uses() -> None:
    """Tell before a command that ends with a check what that costs."""
    click.echo("ocm: --check uses the model: two small turns", err=True)


def and_check(context: Context, name: InstanceName, outcome: Outcome) -> Outcome:
    """Ask an instance that is ready now and return the outcome with what came of it.

    Raises `OcmError`, which says that the instance is there, where it does not answer.
    """
    from dataclasses import replace

    from openclaw_ocm.cli.render.able import in_words
    from openclaw_ocm.operations.check import check as ask
    from openclaw_ocm.operations.check import prepare, refuse_silent

    checked = ask(context, prepare(context, name), timeout_seconds=SECONDS)
    refuse_silent(checked, outcome)
    return replace(outcome, message=f"{outcome.message}; {in_words(checked)}")


COMMANDS = {"check": check}
