"""The references are made from the code: run this file to write them anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import pytest
from tests.documents import blocks
from tests.reference import ANSWERS, VARIABLES, references, variables_read

from openclaw_ocm import errors
from openclaw_ocm.cli.main import COMMANDS, ocm
from openclaw_ocm.core.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
WIDTH = 100
EXIT_CODES = {
    errors.DONE: "done, or nothing to do",
    errors.FAILED: (
        "failed; changes were undone, unless `--keep` kept them; what `delete` and `stop` began, "
        "the next command that changes something finishes"
    ),
    errors.USAGE: "the command line or a value in it is wrong; nothing was touched",
    errors.SOME_FAILED: "some of several instances failed",
    errors.UNDO_INCOMPLETE: "failed, and could not be undone in full: a person is needed",
    errors.BUG: "a bug in OCM",
    errors.INTERRUPTED: "interrupted; changes were undone",
}


def cli_reference() -> str:
    """Return the text of docs/reference/cli.md."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield from ("# Command line", "", "Made by `script/docs` from the program's own help; do not edit.", "")
    group = click.Context(ocm, info_name="ocm", terminal_width=WIDTH, **ocm.context_settings)
    yield from _help(group)
    for name in COMMANDS:
        command = command_of(name)
        context = click.Context(command, parent=group, info_name=name, **command.context_settings)
        yield from (f"## ocm {name}", "", *_help(context))
        for below, verb in command.commands.items() if isinstance(command, click.Group) else ():
            yield from (f"## ocm {name} {below}", "")
            yield from _help(
                click.Context(verb, parent=context, info_name=below, **context.command.context_settings)
            )
    yield from ("## Exit codes", "", "| code | meaning |", "|---|---|")
    yield from (f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    yield from ("", "`ocm use` and `ocm enter` end with the exit code of what they ran.", "")


def _help(context: click.Context) -> Iterator[str]:
    yield from ("```text", *context.get_help().splitlines(), "```", "")


def command_of(name: str) -> click.Command:
    first, _, below = name.partition(" ")
    command = ocm.get_command(click.Context(ocm), first)
    if below:
        assert isinstance(command, click.Group)
        command = command.commands.get(below)
    assert command is not None
    return command


def _every_command() -> Iterator[str]:
    """Yield every command that does something: of a group those below it."""
    for name in COMMANDS:
        command = command_of(name)
        yield from (
            (f"{name} {below}" for below in command.commands) if isinstance(command, click.Group) else [name]
        )


EVERY = tuple(_every_command())


def test_the_reference_is_what_the_commands_say() -> None:
    assert REFERENCE.read_text() == cli_reference(), "script/docs writes it anew"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_the_same_in_the_list_and_in_its_own_help(name: str) -> None:
    command = command_of(name)
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ").strip() == COMMANDS[name][1]


@pytest.mark.parametrize("name", sorted({*COMMANDS, *EVERY}))
def test_every_command_has_an_example_of_itself(name: str) -> None:
    epilog = command_of(name).epilog or ""
    assert epilog.startswith("Example: ")
    assert f"ocm {name}" in epilog


@pytest.mark.parametrize("name", EVERY)
def test_every_option_of_a_command_is_explained(name: str) -> None:
    for parameter in command_of(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
            assert parameter.help[0].isupper(), parameter.opts
            assert parameter.help.endswith("."), parameter.opts


def test_every_exit_code_is_in_the_reference() -> None:
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert set(EXIT_CODES) == codes


def test_every_command_that_answers_or_changes_says_so_in_its_options() -> None:
    options = {
        name: {option for parameter in command_of(name).params for option in parameter.opts} for name in EVERY
    }
    not_in_json = {"use", "enter", "supervise", "completion", "top"}
    looks = {
        "list",
        "status",
        "health",
        "open",
        "check",
        "channel list",
        "history",
        "logs",
        "notify list",
        "notify test",
        "secret list",
        "runtime list",
        "outdated",
        "backups list",
        "backups verify",
        "doctor",
        "plan",
        "export",
    }  # doctor without --fix is its dry run
    assert {name for name in EVERY if "--json" not in options[name]} == not_in_json
    assert {name for name in EVERY if "--dry-run" not in options[name]} == not_in_json | looks


@pytest.mark.parametrize("path", references(), ids=lambda path: path.name)
def test_the_references_of_files_and_answers_are_what_the_code_says(path: Path) -> None:
    assert path.read_text() == references()[path], "script/docs writes it anew"


def test_the_example_of_a_record_is_one() -> None:
    (example,) = (
        block.text for block in blocks(REFERENCE.with_name("record.md")) if block.language == "toml"
    )
    assert msgspec.toml.decode(example, type=Record).limits.memory == "2G"


def test_every_variable_that_is_read_is_in_the_reference() -> None:
    assert variables_read() == set(VARIABLES)


def test_every_command_that_answers_with_something_of_its_own_is_one() -> None:
    assert set(ANSWERS) <= set(EVERY)


if __name__ == "__main__":
    for reference, text in {REFERENCE: cli_reference(), **references()}.items():
        reference.write_text(text)
