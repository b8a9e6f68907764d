"""The command that prints completion scripts."""

from __future__ import annotations

import click


@click.command(epilog='Example: eval "$(ocm completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script for bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    from openclaw_ocm.cli.main import ocm

    found = get_completion_class(shell)
    if found is None:
        message = f"no completion for {shell}"
        raise click.UsageError(message)
    click.echo(found(ocm, {}, "ocm", "_OCM_COMPLETE").source())
    return 0


COMMANDS = {"completion": completion}
