"""The command that decides what an instance reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli.frame import (
    NETWORKS,
    dry_run_option,
    effort,
    effort_options,
    json_option,
    name_argument,
    run_each,
)

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.network import Reached

_VERBS = ("show", "allow", "deny", *NETWORKS)


@click.command(epilog="Example: ocm network worker1 allow 127.0.0.1:11434")
@name_argument
@click.argument("verb", type=click.Choice(_VERBS), default="show")
@click.argument("places", nargs=-1, metavar="[ADDRESS]...")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def network(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    *,
    verb: str,
    places: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> int:
    """Show or change what an instance reaches.

    In a network of its OWN it reaches the internet, and nothing that is near: neither this machine and its
    other instances, nor the local network. With NONE there is no internet either; SHARED is the network of
    this machine. ALLOW and DENY take addresses and networks, each with or without a port, such as
    127.0.0.1:11434 and 192.168.1.0/24. A running gateway is restarted and proved.
    """
    from openclaw_ocm.operations.network import Change, reached, set_network

    if (verb in ("allow", "deny")) != bool(places):
        message = f"{verb} takes no address" if places else f"{verb} takes one or more addresses"
        raise click.UsageError(message)
    if verb == "show":
        return run_each(ctx, [name], reached, as_json=as_json, show=_show)
    change = Change(
        network=verb if verb in NETWORKS else None,  # type: ignore[arg-type]
        allow=places if verb == "allow" else (),
        deny=places if verb == "deny" else (),
    )
    return run_each(
        ctx,
        [name],
        lambda context, name: set_network(context, name, change, effort(options), dry_run=dry_run),
        as_json=as_json,
    )


def _show(found: Reached) -> None:
    click.echo(f"network  {found.network}")
    for each in found.allow:
        click.echo(f"allow    {each}")


COMMANDS = {"network": network}
