"""The command that updates the models of a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ocm.cli import frame
from ocm.cli.frame import dry_run_option, json_option, names_argument

if TYPE_CHECKING:
    from ocm.core.names import InstanceName


@click.command("update-models", epilog="Example: ocm update-models --provider openrouter worker1")
@names_argument
@click.option(
    "--provider",
    "provider_id",
    type=click.Choice(["ppq", "openrouter"]),
    default="ppq",
    show_default=True,
    help="Whose models.",
)
@click.option("--url", metavar="URL", help="Where the list is, if not at the provider's own address.")
@click.option("--force", is_flag=True, help="Take an empty list, and one of less than half the models.")
@dry_run_option
@json_option
@click.pass_context
def update_models(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    names: tuple[InstanceName, ...],
    provider_id: str,
    url: str | None,
    *,
    everything: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Update a provider's models from the list that it publishes.

    Without NAME in main's config, ~/.openclaw/openclaw.json, which no other command changes. Prices, context
    windows, images and reasoning become those of the list; the rest of a model stays, its name and a smaller
    maxTokens too, and so does every model that the config names. OpenClaw validates the result before it is
    written. A running gateway takes it up without a restart; after one it lists hundreds of models faster.
    """
    from ocm.cli import render
    from ocm.cli.progress import progress
    from ocm.core.catalog import PROVIDERS
    from ocm.operations import models as operation

    provider = PROVIDERS[provider_id]
    context = frame.open_context(ctx)
    chosen = frame.choose(context, names, everything=everything) if names or everything else (operation.MAIN,)
    with progress(provider_id) as report:
        listing = operation.fetch(frame.with_report(context, report), provider, url)
    request = operation.Request(provider=provider, listing=listing, force=force, dry_run=dry_run)
    return frame.run_each(
        ctx,
        chosen,
        lambda context, name: operation.update(context, name, request),
        as_json=as_json,
        context=context,
        show=render.show_models,
    )


COMMANDS = {"update-models": update_models}
