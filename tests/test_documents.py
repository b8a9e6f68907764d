"""What the documents say that a machine can check: commands, links, errors, how long sentences are."""

from __future__ import annotations

import ast
import contextlib
import itertools
import re
import shlex
import statistics
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import click
import pytest
from tests import documents
from tests.documents import ROOT
from tests.test_docs import command_of

from openclaw_ocm.cli.main import ocm
from openclaw_ocm.core import needs
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.turn import Failure
from openclaw_ocm.core.paths import host_paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCUMENTS = documents.documents()
FOR_NEWCOMERS = [ROOT / "README.md", *ROOT.glob("docs/tutorial/*.md"), *ROOT.glob("docs/how-to/*.md")]
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"


def title(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parse(words: list[str]) -> None:
    """Parse a command line as ocm does, and run nothing; raises what ocm would tell."""
    context: click.Context = ocm.make_context("ocm", list(words))
    command: click.Command = ocm
    with contextlib.suppress(click.exceptions.Exit):  # --help prints and ends
        while isinstance(command, click.Group):
            rest = [*context._protected_args, *context.args]
            name, found, below = command.resolve_command(context, rest)
            assert found is not None
            assert name is not None
            command, context = found, found.make_context(name, below, parent=context)


@pytest.mark.parametrize("path", DOCUMENTS, ids=title)
def test_every_command_in_a_block_is_one_that_ocm_takes(path: Path) -> None:
    for block in documents.blocks(path):
        if block.language in ("sh", "dockerfile"):
            for words in documents.commands_in(block.text):
                parse(words)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("./ocm.py list  # all", [["list"]]),
        ("cd x && ~/ocm/ocm.py backup w -o 'a b' > log; ocm list", [["backup", "w", "-o", "a b"], ["list"]]),
        ("ocm edit w k - <<'END'\nocm nonsense\nEND\nocm list", [["edit", "w", "k", "-"], ["list"]]),
        ('out=$(ocm health 2>&1) || echo "$out"', [["health"]]),
        ("docker exec agents ocm setup --yes", [["setup", "--yes"]]),
        ("RUN ln -s /opt/ocm/ocm.py ocm && git clone URL ocm", []),
    ],
)
def test_commands_are_found_in_a_shells_text(text: str, found: list[list[str]]) -> None:
    assert list(documents.commands_in(text)) == found


def test_a_command_that_ocm_does_not_take_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse(["deploy", "worker1", "--no-such-option"])
    with pytest.raises(click.UsageError):
        parse(["no-such-command"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=title)
def test_every_command_between_backticks_is_there_with_its_options(path: Path) -> None:
    for span in documents.spans(path):
        words = shlex.split(span)[1:]
        rest = list(itertools.dropwhile(lambda word: word.startswith("-"), words))
        command: click.Command = ocm
        known = options_of(ocm)
        while rest and isinstance(command, click.Group):
            name = rest.pop(0)
            command = command_of(name if command is ocm else f"{command.name} {name}")
            known |= options_of(command)
        passed_on = command.name == "use"
        given = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
        assert passed_on or given <= known, span


def options_of(command: click.Command) -> set[str]:
    options = {text for one in command.params for text in (*one.opts, *one.secondary_opts)}
    return {*options, "--help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=title)
def test_every_link_leads_somewhere(path: Path) -> None:
    for file, anchor in documents.links(path):
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), file
        assert not anchor or anchor in documents.anchors(target), f"{file}#{anchor}"


def test_the_readme_tells_how_long_the_whole_table_of_access_is() -> None:
    whole = (ROOT / "docs" / "explanation" / "isolation.md").read_text()
    table = whole.partition("| what can be reached |")[2].partition("\n\n")[0]
    assert f"has {table.count(chr(10)) - 1}.\n" in (ROOT / "README.md").read_text()


def test_every_document_is_found_from_the_readme() -> None:
    found = {ROOT / "README.md"}
    new = set(found)
    while new:
        new = {
            (path.parent / file).resolve()
            for path in new
            for file, _anchor in documents.links(path)
            if file.endswith(".md")
        } - found
        found |= new
    assert found == set(DOCUMENTS)


@pytest.mark.parametrize("path", DOCUMENTS, ids=title)
def test_every_block_of_commands_says_how_it_is_played(path: Path) -> None:
    for block in documents.blocks(path):
        assert block.language, block.text
        assert block.way in (documents.WAYS if block.language == "sh" else ("",)), block.text


@pytest.mark.parametrize("path", FOR_NEWCOMERS, ids=title)
def test_sentences_for_newcomers_are_short(path: Path) -> None:
    lengths = {sentence: len(sentence.split()) for sentence in documents.sentences(path)}
    assert statistics.median(lengths.values()) <= 12
    assert [sentence for sentence, length in lengths.items() if length > 25] == []


def slugs() -> set[str]:
    """Return the slug of every error that the source raises, those by default too."""
    found = set()
    for path in ROOT.glob("src/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                given = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            elif isinstance(node, ast.arguments):
                named = zip(node.kwonlyargs, node.kw_defaults, strict=True)
                given = [value for argument, value in named if argument.arg == "code" and value is not None]
            else:
                continue
            found |= {
                text.value
                for value in given
                for text in ast.walk(value)
                if isinstance(text, ast.Constant) and isinstance(text.value, str)
            }
    # What `ocm check` tells as well, where it raises nothing, and what setup and commands tell alike.
    return found | set(needs.CODES.values()) | {failure.value for failure in Failure}


def test_every_error_has_its_place_in_troubleshooting_and_no_other_has() -> None:
    entries = re.findall(r"^### `(\w+)`$", TROUBLESHOOTING.read_text(), re.MULTILINE)
    assert set(entries) == slugs()
    assert entries == sorted(entries), "in the order of the alphabet, each once"
    assert len(entries) == len(set(entries))


@pytest.mark.parametrize("path", DOCUMENTS, ids=title)
def test_every_module_that_a_document_names_is_there(path: Path) -> None:
    floors = "cli|operations|instances|backends|system|core|programs|src|tests|script|docs"
    for name in re.findall(rf"`((?:{floors})/[\w/.-]+)`", documents.prose(path)):
        assert (ROOT / name).exists() or (ROOT / "src" / "openclaw_ocm" / name).exists(), name


def test_every_place_of_a_file_is_in_the_table_of_files() -> None:
    """A directory may stand for what is below it, and what is below a directory for the directory."""
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    table = {PurePosixPath(place) for place in re.findall(r"`(~/[^`]+)`", text)}
    host = host_paths(PurePosixPath("~"), {})
    found = {place for of in (host, host.instance(parse_name("name"))) for place in places(of)}
    named = {PurePosixPath(str(place).replace("name", "NAME")) for place in found}
    assert {
        place
        for place in named
        if not any(place.is_relative_to(known) or known.is_relative_to(place) for known in table)
    } == set()


def places(of: object) -> Iterator[PurePosixPath]:
    for name in dir(of):
        value = None if name.startswith("_") else getattr(of, name)
        if isinstance(value, PurePosixPath):
            yield value
