"""The commands that keep an instance's secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.frame import dry_run_option, effort_options, json_option, name_argument

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


@click.group(epilog="Example: ocm secret set worker1 OPENROUTER_API_KEY")
def secret() -> None:
    """Keep the secrets that an instance's config refers to as ${NAME}.

    Its processes get them when they start, from a file that only you and the instance can read. Those that it
    inherited are among them.
    """


def _key_argument(function: Callable[..., object]) -> Callable[..., object]:
    return click.argument("key", metavar="KEY")(function)


restart_option = click.option("--restart", is_flag=True, help="Restart a running gateway, which then has it.")


@secret.command("set", epilog="Example: ocm secret set worker1 OPENROUTER_API_KEY --restart < key.txt")
@name_argument
@_key_argument
@click.argument("extra", nargs=-1, metavar="")
@restart_option
@effort_options
@dry_run_option
@json_option
@click.pass_context
def set_(
    ctx: click.Context,
    /,
    name: InstanceName,
    key: str,
    *,
    extra: tuple[str, ...],
    as_json: bool,
    **options: bool,
) -> int:
    """Set a secret; the value comes from standard input, on a terminal from a prompt.

    An inherited one becomes the instance's own, which ocm sync leaves alone.
    """
    from openclaw_ocm.core.secrets import parse_key
    from openclaw_ocm.operations.secret import set_secret

    if extra:
        # Not told back: it is a secret.
        message = (
            "the value comes from standard input: on the command line every user of the machine can read it"
        )
        raise click.UsageError(message)
    parse_key(key, of=name)
    value = frame.read_secret(f"{key} of {name}")
    return _run(
        ctx,
        name,
        lambda context, effort: set_secret(
            context, name, key, value, restart=effort, dry_run=options["dry_run"]
        ),
        as_json=as_json,
        options=options,
    )


@secret.command("unset", epilog="Example: ocm secret unset worker1 OPENROUTER_API_KEY")
@name_argument
@_key_argument
@restart_option
@effort_options
@dry_run_option
@json_option
@click.pass_context
def unset(ctx: click.Context, /, name: InstanceName, key: str, *, as_json: bool, **options: bool) -> int:
    """Remove a secret of an instance's own.

    Where the instance inherits one of that name, ocm sync brings it.
    """
    from openclaw_ocm.core.secrets import parse_key
    from openclaw_ocm.operations.secret import unset_secret

    parse_key(key, of=name)
    return _run(
        ctx,
        name,
        lambda context, effort: unset_secret(context, name, key, restart=effort, dry_run=options["dry_run"]),
        as_json=as_json,
        options=options,
    )


@secret.command("list", epilog="Example: ocm secret list worker1")
@name_argument
@json_option
@click.pass_context
def list_(ctx: click.Context, name: InstanceName, *, as_json: bool) -> int:
    """List an instance's secrets: names, last characters, where each comes from."""
    from openclaw_ocm.cli.render.envelope import print_json
    from openclaw_ocm.cli.render.outcome import show_secrets
    from openclaw_ocm.operations.secret import list_secrets

    found = list_secrets(frame.look(ctx), name)
    if as_json:
        print_json("secret list", found)
    else:
        show_secrets(found)
    return 0


def _run(
    ctx: click.Context,
    name: InstanceName,
    operation: Callable[[Context, Effort | None], Outcome],
    *,
    as_json: bool,
    options: dict[str, bool],
) -> int:
    effort = frame.effort(options) if options["restart"] else None
    return frame.run_each(ctx, [name], lambda context, _name: operation(context, effort), as_json=as_json)


COMMANDS = {"secret": secret}
