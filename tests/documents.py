"""The documents as a reader meets them: blocks of commands, what is between backticks, links, sentences.

A fenced block whose language is `sh` is played by a test in a machine. One more word after `sh` says how:
`root` as root, `terminal` on a terminal, `elsewhere` not at all, for it belongs to another machine.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
WAYS = ("", "root", "terminal", "elsewhere")
_FENCE = re.compile(r"^```(?P<language>\w*) ?(?P<way>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'?(?P<end>[A-Z]+)'?\n.*?^(?P=end)$", re.MULTILINE | re.DOTALL)
_SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
_COMMANDS = ("ocm", "ocm.py")


@dataclass(frozen=True)
class Block:
    """A fenced block: what stands in it, the language, and for `sh` in which way it is played."""

    language: str
    way: str
    text: str


def documents() -> tuple[Path, ...]:
    """Return all documents for people."""
    return (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))


def blocks(path: Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a document."""
    found = _FENCE.finditer(path.read_text())
    return tuple(Block(match["language"], match["way"], match["text"]) for match in found)


def prose(path: Path) -> str:
    """Return a document without its blocks."""
    return _FENCE.sub("", path.read_text())


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the arguments of every call of OCM in a shell's text, or in a Dockerfile's."""
    script = _HEREDOC.sub("", text).replace("\\\n", " ").replace("2>&1", "")
    for inner in _SUBSTITUTION.findall(script):
        yield from commands_in(inner)
    for line in _SUBSTITUTION.sub("", script).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set(";&|()"):
                command.append(word)
                continue
            yield from _call(command)
            command = []


def _call(words: list[str]) -> Iterator[list[str]]:
    """Yield the arguments of a simple command if it is one of OCM."""
    if words[:2] == ["docker", "exec"]:
        words = words[3:]
    elif words[:1] == ["RUN"]:
        words = words[1:]
    if words and words[0].rpartition("/")[2] in _COMMANDS:
        redirected = next((place for place, word in enumerate(words) if set(word) <= set("<>")), len(words))
        yield words[1:redirected]


def spans(path: Path) -> Iterator[str]:
    """Yield what stands between backticks outside of blocks and begins with a call of OCM."""
    for span in re.findall(r"`([^`\n]+)`", prose(path)):
        if re.match(r"(\./ocm\.py|ocm) [a-z-]", span):
            yield span


def sentences(path: Path) -> Iterator[str]:
    """Yield the sentences of a document's paragraphs and lists; what is between backticks is one word."""
    text = re.sub(r"`[^`\n]+`", "code", prose(path))
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    kept = (line for line in text.splitlines() if not re.match(r"#|\||    ", line))
    for paragraph in "\n".join(kept).split("\n\n"):
        for item in re.split(r"^(?:- |[0-9]+\. )", paragraph, flags=re.MULTILINE):
            for sentence in re.split(r"(?<=[.?])\s+", " ".join(item.split())):
                if sentence:
                    yield sentence


def anchors(path: Path) -> set[str]:
    """Return the names by which links reach the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the links of a document to other files of the project, and to which of their headings."""
    for target in re.findall(r"\]\(([^)]+)\)", prose(path)):
        file, _, anchor = target.partition("#")
        if "://" not in target:
            yield file, anchor
