"""The command that updates the models of a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, json_option, names_argument
from openclaw_ocm.core.names import MAIN

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort


def _complete_provider(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the providers whose names begin with what was typed; of main's config those that stand in it."""
    import contextlib
    import os

    from openclaw_ocm.core.models.listing import PROVIDERS
    from openclaw_ocm.core.openclaw.document import as_object, lookup, parse_config
    from openclaw_ocm.errors import OcmError
    from openclaw_ocm.system.host import current_host
    from openclaw_ocm.system.openclaw.main_config import read_main

    del ctx, param
    names = list(PROVIDERS)
    with contextlib.suppress(OcmError, OSError):
        config = parse_config(read_main(current_host(os.environ)), source="main's config")
        names += as_object(lookup(config, "models.providers"))
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


@click.command("update-models", epilog="Example: ocm update-models --provider openrouter worker1")
@names_argument
@click.option(
    "--provider",
    "provider_id",
    metavar="NAME",
    default="ppq",
    show_default=True,
    shell_complete=_complete_provider,
    help="Whose models: ppq, openrouter, or a provider of main's config.",
)
@click.option("--url", metavar="URL", help="Where the list is, if not at the provider's own address.")
@click.option("--force", is_flag=True, help="Take an empty list, and one of less than half the models.")
@frame.jobs_option
@click.option("--sync", is_flag=True, help="Also sync every instance that inherits from main; do not ask.")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def update_models(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    names: tuple[InstanceName, ...],
    provider_id: str,
    url: str | None,
    *,
    everything: bool,
    force: bool,
    sync: bool,
    jobs: int | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - those that click read
) -> int:
    """Update a provider's models from the list that it publishes.

    A provider is ppq, openrouter, or any of main's config whose server lists models as OpenAI's does:
    LiteLLM, Ollama, LM Studio, vLLM, Groq. Its key goes to its baseUrl alone. What a list does not say,
    prices and limits, stays unknown.

    Without NAME in main's config, ~/.openclaw/openclaw.json, which no other command changes. Prices, context
    windows, images and reasoning become those of the list; the rest of a model stays, its name and a smaller
    maxTokens too, and so does every model that the config names. OpenClaw validates the result before it is
    written. A running gateway takes it up without a restart, and is proved; after one it lists hundreds of
    models faster.
    Where main changed, the instances that inherit from it follow with ocm sync, which is offered.
    """
    from openclaw_ocm.cli.progress import progress
    from openclaw_ocm.cli.render.outcome import show_models
    from openclaw_ocm.core.load import WORKING
    from openclaw_ocm.operations import models as operation

    if sync and (names or everything):
        message = "--sync is for what inherits from main: the instances named are updated themselves"
        raise click.UsageError(message)
    context = frame.open_context(ctx)
    chosen = frame.choose(context, names, everything=everything) if names or everything else (MAIN,)
    with progress(provider_id) as report:
        provider, listing = operation.fetch(frame.with_report(context, report), provider_id, url)
    effort = frame.effort(options)
    request = operation.Request(
        provider=provider, listing=listing, force=force, dry_run=dry_run, effort=effort
    )
    updated, errors = frame.attempt_each(
        context,
        chosen,
        lambda context, name: operation.update(context, name, request),
        as_json=as_json,
        show=show_models,
        jobs=frame.at_once(context, WORKING, jobs),
    )
    if not dry_run and any(one.name == MAIN and (one.changed or sync) for one in updated):
        followed, failed = _sync(context, effort, sync=sync, jobs=jobs, as_json=as_json)
        updated, errors = [*updated, *followed], [*errors, *failed]
    return frame.conclude(ctx, (updated, errors), as_json=as_json)


def _sync(context: Context, effort: Effort, *, sync: bool, jobs: int | None, as_json: bool) -> frame.Attempts:
    """Have what inherits from main follow it: with `sync`, or where the user says so on a terminal."""
    from openclaw_ocm.core.load import STARTING
    from openclaw_ocm.operations.planning.followers import followers
    from openclaw_ocm.operations.sync import sync as follow

    names = followers(context.host)
    if not names:
        return [], []
    if not sync:
        question = f"Sync what inherits from main ({', '.join(names)})?"
        asked = not as_json and frame.streams_are_terminals()
        if not asked or not click.confirm(question, default=False, err=True):
            hint = "ocm sync --all --dry-run shows what would change, ocm sync --all does it"
            click.echo(f"ocm: not in step with main: {', '.join(names)}; {hint}", err=True)
            return [], []
    return frame.attempt_each(
        context,
        names,
        lambda context, name: follow(context, name, effort, dry_run=False),
        as_json=as_json,
        jobs=frame.at_once(context, STARTING, jobs),
    )


COMMANDS = {"update-models": update_models}
