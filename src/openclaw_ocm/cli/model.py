"""The command that gives an instance a model and its key."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, json_option, name_argument
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.model import Need


@click.command(epilog="Example: ocm model worker1 openrouter/z-ai/glm-4.6")
@name_argument
@click.argument("model", metavar="[PROVIDER/MODEL]", required=False)
@click.argument("extra", nargs=-1, metavar="")
@click.option("--provider", metavar="PROVIDER", help="List the models of one provider.")
@click.option(
    "--base-url",
    metavar="URL",
    help="Where any other service is that speaks as OpenAI does: https://HOST/v1.",
)
@click.option(
    "--key-stdin", is_flag=True, help="Read a new key from standard input, on a terminal by a prompt."
)
@click.option(
    "--key-variable", metavar="NAME", help="The secret that holds the key, if not the provider's own."
)
@click.option("--no-key", is_flag=True, help="The provider takes no key.")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def model_command(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    name: InstanceName,
    model: str | None,
    *,
    extra: tuple[str, ...],
    provider: str | None,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - those that click read
) -> int:
    """Give an instance a model and the key of its provider.

    Without PROVIDER/MODEL the models are listed that OpenClaw knows. A key is asked for where the instance
    has none for the provider: on a terminal without echo, else with --key-stdin. It is kept as a secret of
    the instance's own, under the name in which OpenClaw looks for it, and the config refers to it. A gateway
    that runs is restarted where it needs that, and proved; where anything fails, all is as it was.
    """
    if extra:
        # Not told back: it may be a key.
        message = "a key comes from a prompt, or with --key-stdin: on the command line every user can read it"
        raise click.UsageError(message)
    if model is None:
        _refuse_given(name, options)
        return _list(ctx, name, provider, as_json=as_json)
    if provider is not None:
        message = "--provider is for a list: PROVIDER/MODEL names its provider itself"
        raise click.UsageError(message)
    return _set(ctx, name, model, as_json=as_json, options=options)


def _refuse_given(name: InstanceName, options: dict[str, Any]) -> None:
    if options["base_url"] or options["key_stdin"] or options["key_variable"] or options["no_key"]:
        message = f"a model is missing: ocm model {name} PROVIDER/MODEL"
        raise click.UsageError(message)


def _list(ctx: click.Context, name: InstanceName, provider: str | None, *, as_json: bool) -> int:
    from openclaw_ocm.cli.progress import progress
    from openclaw_ocm.cli.render.able import show_offers
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.operations.model import offers

    with progress(name) as report:
        found = offers(frame.with_report(frame.look(ctx), report), name, provider)
    if as_json:
        print_json("model", [found])
    else:
        show_offers(found)
    return 0


def _set(
    ctx: click.Context, name: InstanceName, model: str, *, as_json: bool, options: dict[str, Any]
) -> int:
    from openclaw_ocm.cli.progress import progress
    from openclaw_ocm.cli.render.able import show_chosen
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.core.models.choice import parse_choice
    from openclaw_ocm.operations.model import Wanted, choose, look_up

    if options["key_stdin"] and options["no_key"]:
        message = "--key-stdin and --no-key exclude each other"
        raise click.UsageError(message)
    choice = parse_choice(model, options["base_url"])
    context = frame.open_context(ctx)
    need = look_up(context, name, choice, variable=options["key_variable"], no_key=options["no_key"])
    key = _key(name, need, asked=options["key_stdin"])
    with progress(name) as report:
        chosen = choose(
            frame.with_report(context, report),
            name,
            Wanted(need=need, key=key),
            frame.effort(options),
            dry_run=options["dry_run"],
        )
    if as_json:
        print_json("model", [chosen])
    else:
        show_chosen(chosen)
    return 0


def _key(name: InstanceName, need: Need, *, asked: bool) -> str | None:
    """Return the key that the user gives: `asked` for it, or where one is missing and somebody can answer."""
    if asked or (need.missing and sys.stdin.isatty()):
        return frame.read_secret(f"{need.variable} of {name}")
    return None


def offer(
    ctx: click.Context, names: Iterable[InstanceName], options: Mapping[str, Any], *, ask: bool
) -> None:
    """Have the user choose a model for those instances that have none.

    Where nobody is to be asked (`ask`), or the answer is no, the last line is the command that does it.
    `options` are those by which a gateway that restarts is waited for.
    """
    from openclaw_ocm.operations.model import without_model

    left = []
    for name in without_model(frame.this_host(ctx), names):
        model = _asked_model(name) if ask else ""
        if not (model and _offered(ctx, name, model, options)):
            left.append(name)
    for name in left:
        click.echo(f"ocm: {name} has no model: ocm model {name} PROVIDER/MODEL gives it one", err=True)


def _offered(ctx: click.Context, name: InstanceName, model: str, options: Mapping[str, Any]) -> bool:
    """Give an instance the model that was chosen; where that fails, say why: what was deployed stays."""
    from openclaw_ocm.cli.render.outcome import show_error

    given = {"base_url": None, "key_stdin": False, "key_variable": None, "no_key": False, "dry_run": False}
    try:
        _set(ctx, name, model, as_json=False, options={**options, **given})
    except OcmError as error:
        show_error(name, error)
        return False
    except click.UsageError as error:
        click.echo(f"ocm: {error.format_message()}", err=True)
        return False
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        return False
    return True


def _asked_model(name: InstanceName) -> str:
    """Return the model that a user chooses on the terminal, none where he does not want to."""
    from openclaw_ocm.core.models.choice import EXAMPLE

    try:
        if not click.confirm(f"{name} has no model. Choose one now?", default=False, err=True):
            return ""
        return str(
            click.prompt(
                f"PROVIDER/MODEL of {name}, such as {EXAMPLE}; empty for none",
                default="",
                show_default=False,
                err=True,
                value_proc=_model_or_none,
            )
        )
    except click.Abort:
        # What was deployed stays.
        click.echo(err=True)
        return ""


def _model_or_none(text: str) -> str:
    from openclaw_ocm.core.models.choice import parse_choice

    if text.strip():
        try:
            return parse_choice(text.strip()).reference
        except Invalid as error:
            raise click.UsageError(error.message) from None
    return ""


COMMANDS = {"model": model_command}
