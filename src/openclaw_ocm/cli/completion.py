"""The command that prints completion scripts."""

from __future__ import annotations

import click

# Click's scripts complete the name that they were made with, and ask the program of that name on the PATH.
# These complete ./ocm.py as well, by whatever path, and ask the very program that is typed.
_CHANGES = {
    "bash": (
        ("    local response\n", '    local response program="${1//\\\\/}"\n'),
        ("_OCM_COMPLETE=bash_complete $1)", '_OCM_COMPLETE=bash_complete "${program/#~\\//$HOME/}")'),
        ("-F _ocm_completion ocm\n", "-F _ocm_completion ocm ocm.py\n"),
    ),
    "zsh": (
        ("#compdef ocm\n", "#compdef ocm ocm.py\n"),
        ("    (( ! $+commands[ocm] )) && return 1\n", ""),
        ("_OCM_COMPLETE=zsh_complete ocm)", "_OCM_COMPLETE=zsh_complete ${(Q)~words[1]})"),
        ("compdef _ocm_completion ocm\n", "compdef _ocm_completion ocm ocm.py\n"),
    ),
    "fish": (
        (
            "COMP_CWORD=(commandline -t) ocm);",
            "COMP_CWORD=(commandline -t) (string replace -r '^~/' $HOME/ (commandline -opc)[1]));",
        ),
        ("--command ocm ", "--command ocm --command ocm.py "),
    ),
}


@click.command(epilog='Example: eval "$(ocm completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script for bash, zsh or fish.

    It completes ocm, and ocm.py by whatever path.
    """
    from click.shell_completion import get_completion_class

    from openclaw_ocm.cli.main import ocm

    found = get_completion_class(shell)
    if found is None:
        message = f"no completion for {shell}"
        raise click.UsageError(message)
    script = found(ocm, {}, "ocm", "_OCM_COMPLETE").source()
    for before, after in _CHANGES[shell]:
        script = script.replace(before, after)
    click.echo(script)
    return 0


COMMANDS = {"completion": completion}
