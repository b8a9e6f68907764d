"""What a systemd service says of main: its command line, its user, and the variables that it sets.

Read as systemd.exec(5), systemd.unit(5) and environment.d(5) have it, as far as an OpenClaw needs it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What may stand before a command: systemd.service(5).
_PREFIXES = "@-:+!|"
_SPECIFIER = re.compile(r"%(.)")
_REFERENCE = re.compile(r"\$(?:\{(\w+)(?:(:[-+])([^}]*))?\}|(\w+))")
_FILE_LINE = re.compile(r"[ \t]*([^=\n]*?)[ \t]*=[ \t]*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that runs OpenClaw: `place` is its unit file, `words` its command line.

    `variables` are those that it sets, each with the file that does; `files` are those from which it reads
    more, an optional one with a `-` before it; `unset` are taken away from all of these. `user` is None where
    it says nothing of one.
    """

    place: str
    words: tuple[str, ...] = ()
    user: str | None = None
    variables: Mapping[str, tuple[str, str]] = field(repr=False, default_factory=dict)
    files: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()

    @property
    def runs_gateway(self) -> bool:
        """Whether its command line is that of a gateway of OpenClaw's."""
        return any("openclaw" in word for word in self.words) and "gateway" in self.words

    def option(self, name: str) -> str | None:
        """Return the value of an option of its command line, None where that is not there."""
        for number, word in enumerate(self.words):
            if word == name and number + 1 < len(self.words):
                return self.words[number + 1]
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
        return None


def parse_service(texts: Iterable[tuple[str, str]], specifiers: Mapping[str, str]) -> Service:
    """Return what a unit and its drop-ins say, each a file with its text, the unit first.

    `specifiers` are the values of `%h` and its like, by their letter; one that is unknown stays as it is.
    """
    known = {**specifiers, "%": "%"}
    place, user, words = "", None, tuple[str, ...]()
    variables: dict[str, tuple[str, str]] = {}
    files: list[str] = []
    unset: list[str] = []
    for source, text in texts:
        place = place or source
        for key, written in _assignments(text):
            value = _SPECIFIER.sub(lambda match: known.get(match[1], match[0]), written)
            if key == "Environment":
                variables = variables if value else {}
                pairs = (word.partition("=") for word in _words(value))
                variables |= {name: (said, source) for name, separator, said in pairs if separator}
            elif key == "EnvironmentFile":
                files = [*files, value] if value else []
            elif key == "UnsetEnvironment":
                unset = [*unset, *_words(value)] if value else []
            elif key == "ExecStart":
                words = tuple(_words(value.lstrip(_PREFIXES)))
            elif key == "User":
                user = value or None
    kept = tuple(file for file in files if file.removeprefix("-").startswith("/"))
    return Service(place=place, words=words, user=user, variables=variables, files=kept, unset=tuple(unset))


def _assignments(text: str) -> Iterable[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line[:1] not in ("#", ";"):
            key, separator, value = line.partition("=")
            if separator:
                yield key.strip(), value.strip()


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return []


def parse_environment_file(text: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables of an `EnvironmentFile=`, and the names that stand behind an `export`.

    These systemd passes over: its files are no shell scripts (systemd.exec(5)).
    """
    found: dict[str, str] = {}
    exported: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\\\n", "").split("\n"):
        match = None if line.lstrip()[:1] in ("#", ";") else _FILE_LINE.fullmatch(line)
        if match is None:
            continue
        name, value = match[1], "".join(_words(match[2])) if match[2][:1] in ("'", '"') else match[2].rstrip()
        if _NAME.fullmatch(name):
            found[name] = value
        elif name.startswith("export ") and _NAME.fullmatch(name[7:].strip()):
            exported.append(name[7:].strip())
    return found, tuple(exported)


def parse_environment_d(text: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a file of environment.d, whose `${NAME}` are `known` or set before in it."""
    found: dict[str, str] = {}

    def value_of(match: re.Match[str]) -> str:
        name, operator, other = match[1] or match[4], match[2], match[3]
        value = found.get(name, known.get(name, ""))
        if operator == ":+":
            return other if value else ""
        return value or (other if operator == ":-" else "")

    for name, value in parse_environment_file(text)[0].items():
        found[name] = _REFERENCE.sub(value_of, value)
    return found
