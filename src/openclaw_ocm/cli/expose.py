"""The commands that decide who reaches a gateway from outside this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
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


@click.command(epilog="Example: ocm expose worker1 --from 192.168.1.0/24")
@name_argument
@click.option(
    "--from",
    "sources",
    multiple=True,
    required=True,
    metavar="CIDR",
    help="A network or an address, or any; several, if repeated.",
)
@click.option("--yes", count=True, help="Answer one question with yes; --from any asks two.")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def expose(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    *,
    sources: tuple[str, ...],
    yes: int,
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Let machines of a network reach an instance's gateway.

    Sets gateway.bind and the rules of UFW together: what is named reaches the gateway, and nothing else
    does. A running gateway is restarted and proved. Asks where everyone would reach it: twice for any, once
    where UFW is not there or inactive. OCM's rules come before all others, and it never enables UFW.
    """
    from openclaw_ocm.core.firewall import exposure
    from openclaw_ocm.operations.expose import questions, set_exposure

    wanted = exposure(sources)
    context = frame.open_context(ctx)
    if not dry_run:
        asked = questions(context, name, wanted)
        for question in asked[yes:]:
            frame.confirm(question, answered_by=" ".join(["--yes"] * len(asked)))
    return run_each(
        ctx,
        [name],
        lambda context, name: set_exposure(context, name, wanted, effort(options), dry_run=dry_run),
        as_json=as_json,
        context=context,
    )


@click.command(epilog="Example: ocm unexpose worker1")
@name_argument
@effort_options
@dry_run_option
@json_option
@click.pass_context
def unexpose(
    ctx: click.Context, /, name: InstanceName, *, dry_run: bool, as_json: bool, **options: object
) -> int:
    """Let only this machine reach an instance's gateway.

    Takes back what `ocm expose` did, and sets the rules of UFW where they are missing.
    """
    from openclaw_ocm.operations.expose import set_exposure

    return run_each(
        ctx,
        [name],
        lambda context, name: set_exposure(context, name, (), effort(options), dry_run=dry_run),
        as_json=as_json,
    )


COMMANDS = {"expose": expose, "unexpose": unexpose}
