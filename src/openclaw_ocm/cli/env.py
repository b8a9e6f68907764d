"""The command that keeps the variables of instances."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import NAME, dry_run_option, effort_options, json_option
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.create import Wanted
    from openclaw_ocm.operations.environment import Variables
    from openclaw_ocm.operations.planning.result import Outcome

_VERBS = ("list", "set", "unset")


env_option = click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="KEY=VALUE",
    help="A variable that is no secret, such as TZ=Europe/Berlin; more than once for more.",
)


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Return what a word may be by its place: an instance, what is done, a variable that it has."""
    from click.shell_completion import CompletionItem

    given = list(ctx.params.get("words") or ())
    everything = bool(ctx.params.get("everything"))
    if not given and not everything:
        return NAME.shell_complete(ctx, param, incomplete)
    verb = given[0:1] if everything else given[1:2]
    if not verb:
        return [CompletionItem(one) for one in _VERBS if one.startswith(incomplete)]
    if verb != ["unset"] or everything:
        return []
    from openclaw_ocm.core.names import parse_name
    from openclaw_ocm.system.host import current_host
    from openclaw_ocm.system.kept.records import read_record

    known = read_record(current_host(os.environ).paths, parse_name(given[0])).environment
    return [CompletionItem(one) for one in known if one.startswith(incomplete) and one not in given]


@click.command(epilog="Example: ocm env worker1 set TZ=Europe/Berlin HTTPS_PROXY=http://proxy.example:3128")
@click.argument(
    "words", nargs=-1, metavar="NAME [list|set|unset] [KEY=VALUE|KEY]...", shell_complete=_complete
)
@click.option("--all", "everything", is_flag=True, help="In the place of NAME: all instances, and new ones.")
@click.option("--restart", is_flag=True, help="Restart a running gateway, which then has them.")
@effort_options
@dry_run_option
@json_option
@click.pass_context
def env(  # noqa: PLR0913 - one for each option
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    *,
    everything: bool,
    restart: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - of many types
) -> int:
    """Show or change an instance's variables: proxies, certificates, a time zone.

    Its gateway and its sessions have them. With --all it is about all instances, and those still to be made.
    Every user of this machine can read them: a secret is for ocm secret. A file is shown to the instance,
    read-only, and a place near by that a proxy or URL names may be reached.
    """
    from openclaw_ocm.operations import environment as operation

    name, verb, rest = _parsed(words, everything=everything)
    if verb == "list":
        return _list(ctx, name, as_json=as_json)
    change = _change(verb, rest, of=name or "NAME")
    effort = frame.effort(options)
    context = frame.open_context(ctx)

    def change_one(context: Context, one: str) -> Outcome:
        if one == operation.SETTINGS:
            return operation.change_settings(context, change, dry_run=dry_run)
        return operation.change_variables(
            context,
            _as_name(one),
            change,
            effort,
            restart=restart,
            dry_run=dry_run,
            of_all=everything,
        )

    return frame.run_each(ctx, _items(context, name), change_one, as_json=as_json, context=context)


def accepted(context: Context, wanted: Wanted, names: Sequence[InstanceName]) -> Wanted:
    """Return what is wanted with the variables around main and the machine, where the user agrees to them.

    Asks on a terminal, and only where all of `names` are still to be made.
    """
    from dataclasses import replace

    from openclaw_ocm.operations.create import offers_for
    from openclaw_ocm.system.kept.names import instance_names

    if set(names) & set(instance_names(context.host.paths)):
        return wanted
    offered = offers_for(context, wanted)
    if not offered:
        return wanted
    click.echo("Set around main or this machine, and not for a new instance by itself:", err=True)
    for key, value in offered.items():
        click.echo(f"  {printable(f'{key}={value}')}", err=True)
    if not click.confirm(f"Give {'it' if len(names) == 1 else 'each'} these?", default=True, err=True):
        return wanted
    return replace(wanted, environment={**offered, **wanted.environment})


def _parsed(words: Sequence[str], *, everything: bool) -> tuple[InstanceName | None, str, Sequence[str]]:
    """Return the instance, None for all, what is to be done, and with what."""
    from openclaw_ocm.core.names import parse_name

    if not words and not everything:
        message = "name an instance, or say --all"
        raise click.UsageError(message)
    name, rest = (None, words) if everything else (parse_name(words[0]), words[1:])
    verb, rest = (rest[0], rest[1:]) if rest else ("list", ())
    if verb not in _VERBS:
        message = f"after the name comes {', '.join(_VERBS[:-1])} or {_VERBS[-1]}"
        raise click.UsageError(message)
    if (verb == "list") == bool(rest):
        what = {"list": "nothing", "set": "one or more KEY=VALUE", "unset": "one or more names"}[verb]
        message = f"{verb} takes {what}"
        raise click.UsageError(message)
    return name, verb, rest


def _change(verb: str, rest: Sequence[str], *, of: str) -> Mapping[str, str | None]:
    from openclaw_ocm.core.environment import parse_variable, parse_variables

    return parse_variables(rest, of=of) if verb == "set" else {parse_variable(one): None for one in rest}


def _as_name(text: str) -> InstanceName:
    from openclaw_ocm.core.names import parse_name

    return parse_name(text)


def _list(ctx: click.Context, name: InstanceName | None, *, as_json: bool) -> int:
    from openclaw_ocm.operations import environment as operation

    def find(context: Context, one: str) -> Variables:
        if one == operation.SETTINGS:
            return operation.list_settings(context)
        return operation.list_variables(context, _as_name(one))

    context, show = frame.look(ctx), _show if name else _show_named
    return frame.run_each(ctx, _items(context, name), find, as_json=as_json, context=context, show=show)


def _items(context: Context, name: InstanceName | None) -> tuple[str, ...]:
    """Return an instance by its name, or with None the settings and all instances."""
    from openclaw_ocm.operations.environment import SETTINGS
    from openclaw_ocm.system.kept.names import instance_names

    return (name,) if name is not None else (SETTINGS, *instance_names(context.host.paths))


def _show(found: Variables) -> None:
    if not found.variables:
        click.echo(f"no variables: ocm env {found.name} set KEY=VALUE adds one", err=True)
    for key, value in found.variables.items():
        click.echo(printable(f"{key}={value}"))


def _show_named(found: Variables) -> None:
    for key, value in found.variables.items():
        click.echo(printable(f"{found.name}: {key}={value}"))


COMMANDS = {"env": env}
