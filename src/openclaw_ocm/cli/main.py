"""The command group: loads a command when it is asked for, turns errors into a line and an exit code."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import Any, TextIO

import click

from openclaw_ocm import __version__
from openclaw_ocm.errors import INTERRUPTED, OcmError, as_ocm_error, bug

# Where each command lives, and the line that `ocm --help` shows for it without loading it.
COMMANDS = {
    "create": ("lifecycle", "Create an instance without starting it."),
    "deploy": ("lifecycle", "Create an instance, start it and prove that it is sealed."),
    "delete": ("lifecycle", "Delete instances with all that belongs to them."),
    "clone": ("copies", "Make a new instance with the settings and workspaces of another."),
    "rename": ("copies", "Give an instance another name."),
    "adopt": ("adopt", "Make an instance of an OpenClaw of your own, which runs already."),
    "unadopt": ("adopt", "Give back what was adopted: its state, its config and its service, as they were."),
    "start": ("running", "Start instances and prove that they are sealed."),
    "stop": ("running", "Stop instances."),
    "restart": ("running", "Restart instances and prove that they are sealed."),
    "enable": ("running", "Have instances start with the machine."),
    "disable": ("running", "Have instances no longer start with the machine."),
    "expose": ("expose", "Let machines of a network reach an instance's gateway."),
    "unexpose": ("expose", "Let only this machine reach an instance's gateway."),
    "env": ("env", "Show or change an instance's variables: proxies, certificates, a time zone."),
    "network": ("network", "Show or change what an instance reaches."),
    "port": ("port", "Move an instance to another port."),
    "mount": ("mount", "Show an instance a file or folder of this machine, or list what it is shown."),
    "unmount": ("mount", "Show an instance a file or folder no longer."),
    "list": ("inspect", "List the instances and how they are."),
    "top": ("top", "Show all instances live: memory, CPU, logs, and keys to start and stop them."),
    "status": ("inspect", "Show everything about an instance."),
    "open": ("open", "Open the Control UI of instances, with the token that lets you in."),
    "health": ("inspect", "Tell whether instances are ready; exit 1 if one is not."),
    "check": ("check", "Ask an instance something; exit 1 if it does not answer."),
    "history": ("inspect", "Tell what was changed, when, and how it ended."),
    "notify": ("notify", "Have yourself told what is wrong, and when it is well again."),
    "logs": ("inspect", "Print what an instance logged."),
    "metrics": ("metrics", "Print how all instances are, as metrics for Prometheus."),
    "use": ("session", "Run openclaw as an instance, in its sandbox."),
    "enter": ("session", "Open a shell in an instance's sandbox."),
    "setup": ("setup", "Check what OCM needs of this machine, and install what is missing."),
    "upgrade": ("upgrade", "Have instances run a newer OpenClaw, tried on a copy first."),
    "rollback": ("upgrade", "Bring an instance back to what it was before its last upgrade."),
    "outdated": ("upgrade", "Tell which instances run an older OpenClaw than there is."),
    "runtime": ("runtime", "Keep the Node and the OpenClaw that instances run."),
    "image": ("image", "Make images that gateways run from in containers and clusters."),
    "doctor": ("setup", "Find what is wrong with this machine and with all that OCM made on it."),
    "model": ("model", "Give an instance a model and the key of its provider."),
    "limits": ("limits", "Show or change what an instance may use at most."),
    "plan": ("fleet", "Tell in what the instances differ from a fleet file."),
    "apply": ("fleet", "Have instances be as a fleet file describes them."),
    "export": ("fleet", "Write the fleet file of the instances that there are."),
    "channel": ("channel", "Keep the channels over which people write to an instance."),
    "edit": ("edit", "Change an instance's OpenClaw config, validated by OpenClaw."),
    "sync": ("sync", "Have instances follow what changed in main: providers, models and keys."),
    "token": ("token", "Keep the token with which a gateway lets people in."),
    "secret": ("secret", "Keep the secrets that an instance's config refers to as ${NAME}."),
    "update-models": ("models", "Update a provider's models from the list that it publishes."),
    "backup": ("backup", "Back up instances, running or not, each into one file."),
    "backups": ("backup", "List, check and prune backups."),
    "restore": ("copies", "Make an instance of a backup, or put its content back."),
    "supervise": ("supervise", "Run supervisord in the foreground: a container's entry point."),
    "completion": ("completion", "Print the completion script for bash, zsh or fish."),
}
_BROKEN_PIPE = 141


class Commands(click.Group):
    """A group whose commands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order in which they are best read."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, None where there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"openclaw_ocm.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.COMMANDS[cmd_name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is asked for; where there is none, the nearest names are told."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # Click knows of no command that it has not imported.
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=COMMANDS, ctx=ctx
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_module, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete the names of commands without importing one."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names or super().shell_complete(ctx, incomplete)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: ocm deploy worker1 --model minimax/MiniMax-M2.7",
)
@click.version_option(__version__, prog_name="ocm", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Print every command that is run, to stderr.")
@click.option("--debug", is_flag=True, help="Print a traceback where OCM itself fails.")
@click.pass_context
def ocm(ctx: click.Context, *, verbose: bool, debug: bool) -> None:
    """Run many sealed OpenClaw gateways on one machine."""
    ctx.obj = {"verbose": verbose, "debug": debug}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code; every error ends here, in one place."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    _open_streams()
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except BrokenPipeError:
        # The reader has gone; the flush at exit must not find the pipe again.
        _silence(sys.stdout)
        return _BROKEN_PIPE


def _open_streams() -> None:
    """Have nobody on standard streams that were closed, lest the next file to be opened takes their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.dup2(descriptor, number)
            if descriptor != number:
                os.close(descriptor)
            os.set_inheritable(number, True)  # noqa: FBT003 - its only argument
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _silence(stream: TextIO) -> None:
    """Have what a stream still holds, and all that follows, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _unwritten(error: OSError | None = None) -> OcmError | None:
    """Return why what was printed went nowhere, None where it did not; what follows does.

    `error` is one that was raised: of what is longer than a buffer nothing is left to be flushed.
    """
    problem = _not_written(error) if error is not None and _was_printing(error) else None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as failed:
            _silence(stream)
            problem = _not_written(failed)
    return problem


def _was_printing(error: OSError) -> bool:
    """Tell whether an error was raised by what prints."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and at.tb_frame.f_code is click.echo.__code__


def _not_written(error: OSError) -> OcmError:
    message = f"the answer could not be written: {error.strerror}"
    hint = "what was done is done: ocm list and ocm history tell"
    return OcmError(message, hint=hint, code="unwritten")


def _run(words: list[str]) -> int:
    try:
        result = ocm.main(args=list(words), prog_name="ocm", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last resort: no user meets a traceback
        unwritten = _unwritten(error) if isinstance(error, OSError) else None
        return _answer(unwritten or _explain(error, debug="--debug" in words), words)
    return result if isinstance(result, int) else 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _explain(error: BaseException, *, debug: bool) -> OcmError:
    """Return any error as one that a user can act on; with `debug` raise a bug anew."""
    if isinstance(error, (OcmError, OSError)):
        return as_ocm_error(error)
    if isinstance(error, click.ClickException):
        hint = "ocm --help shows the commands"
        return OcmError(error.format_message(), hint=hint, code="usage", exit_code=error.exit_code)
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return OcmError("interrupted", code="interrupted", exit_code=INTERRUPTED)
    if debug:
        raise error
    return bug(error)


def _answer(error: OcmError, words: list[str]) -> int:
    """Tell an error to a person, and to a program that asked for JSON."""
    from openclaw_ocm.cli.render.outcome import show_error

    with contextlib.suppress(OSError):
        show_error(None, error)
    command = _json_command(words)
    if command is not None:
        from openclaw_ocm.cli.render.envelope import print_json

        with contextlib.suppress(OSError):
            print_json(command, [], [(None, error)])
    # Python would change the exit code where it cannot flush at its end.
    _unwritten()
    return error.exit_code


def _json_command(words: list[str]) -> str | None:
    """Return the command that is to answer in JSON, None where it answers in text."""
    options = words[: words.index("--")] if "--" in words else words
    names = [word for word in options if not word.startswith("-")]
    if not names or "--json" not in options:
        return None
    name, command = names[0], ocm.get_command(click.Context(ocm), names[0])
    if isinstance(command, click.Group) and len(names) > 1:
        name, command = f"{name} {names[1]}", command.commands.get(names[1])
    # What `ocm use` passes on to openclaw is no option of its own.
    takes_json = command is None or any(parameter.name == "as_json" for parameter in command.params)
    return name if takes_json else None
