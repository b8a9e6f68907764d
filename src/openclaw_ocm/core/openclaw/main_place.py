"""Where main is, the user's own OpenClaw, and which variables stand around it, each with where it is set."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openclaw_ocm.core.paths import CONFIG_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import PurePosixPath

_PROFILE = re.compile(r"(?i)[a-z0-9][a-z0-9_-]{0,63}")
_DEFAULT_PORT = 18789
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable that main has: `origin` is the file or the program that sets it, in words."""

    name: str
    value: str = field(repr=False)
    origin: str


def variables_of(values: Mapping[str, str], origin: str) -> dict[str, Variable]:
    """Return variables that one place sets, by name."""
    return {name: Variable(name=name, value=value, origin=origin) for name, value in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The variables that main has, by name, and what of them could not be read, in sentences."""

    variables: Mapping[str, Variable] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def values(self) -> dict[str, str]:
        """Return the values by name."""
        return {name: variable.value for name, variable in self.variables.items()}

    def value(self, name: str) -> str:
        """Return the value of one, nothing where it is not there."""
        variable = self.variables.get(name)
        return variable.value if variable else ""

    def below(self, values: Mapping[str, str], origin: str) -> Surroundings:
        """Return these with more that do not replace any."""
        return Surroundings(variables={**variables_of(values, origin), **self.variables}, notes=self.notes)

    def above(self, values: Mapping[str, str], origin: str) -> Surroundings:
        """Return these with more, which replace those of the same name."""
        return Surroundings(variables={**self.variables, **variables_of(values, origin)}, notes=self.notes)

    def without(self, names: Iterable[str]) -> Surroundings:
        """Return these without some of them: each is a name, or a name with the value that is taken away."""
        gone = frozenset(names)
        kept = {
            name: one
            for name, one in self.variables.items()
            if name not in gone and f"{name}={one.value}" not in gone
        }
        return Surroundings(variables=kept, notes=self.notes)

    def noting(self, notes: Iterable[str]) -> Surroundings:
        """Return these with more sentences."""
        return Surroundings(variables=self.variables, notes=(*self.notes, *notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Main:
    """Where main is.

    `origin` says in words by what it was found, nothing where it lies in its usual place; `found` whether
    its config is there; `looked` are the places that were looked at. `surroundings` are the variables that
    are known without its config; `port` is that on which it listens, None where its config decides.
    """

    state: PurePosixPath
    config: PurePosixPath
    origin: str = ""
    found: bool = True
    looked: tuple[str, ...] = ()
    profile: str | None = None
    port: int | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)

    @property
    def default_port(self) -> int:
        """The port of a gateway whose config says nothing of it (OpenClaw 2026.9.6, dist/paths)."""
        if self.profile is None or self.profile.lower() == "default":
            return _DEFAULT_PORT
        number = 2166136261
        for byte in self.profile.encode():
            number = (number ^ byte) * 16777619 % 2**32
        return 20000 + number % 40000

    def sentence(self, settings: PurePosixPath) -> str:
        """Return where OCM looked for a main that it did not find."""
        told = f"no OpenClaw of your own was found: no {', '.join(self.looked)}"
        return f'{told}; main = "DIRECTORY" in {settings} says where it is'


def state_of(home: PurePosixPath, values: Mapping[str, str], profile: str | None) -> PurePosixPath | None:
    """Return the state directory that variables and `--profile` name, None where they name none.

    As OpenClaw 2026.9.6 has it: OPENCLAW_STATE_DIR before the profile, both in OPENCLAW_HOME, and
    OPENCLAW_PROFILE by itself names no directory (dist/profile, dist/paths).
    """
    own = home_of(home, values)
    named = values.get("OPENCLAW_STATE_DIR", "").strip()
    if named:
        return absolute(own, named)
    if profile is not None and is_profile(profile) and profile.lower() != "default":
        return own / f".openclaw-{profile}"
    return own / ".openclaw" if own != home else None


def is_profile(text: str) -> bool:
    """Tell whether a text is a name that OpenClaw 2026.9.6 takes for a profile's (dist/profile)."""
    return _PROFILE.fullmatch(text) is not None


def config_of(home: PurePosixPath, values: Mapping[str, str], state: PurePosixPath) -> PurePosixPath:
    """Return the config that OPENCLAW_CONFIG_PATH names, or that in `state`."""
    named = values.get("OPENCLAW_CONFIG_PATH", "").strip()
    return absolute(home_of(home, values), named) if named else state / CONFIG_NAME


def home_of(home: PurePosixPath, values: Mapping[str, str]) -> PurePosixPath:
    """Return what OpenClaw takes for the home of its user."""
    named = values.get("OPENCLAW_HOME", "").strip()
    return home if named in ("", "undefined", "null") else absolute(home, named)


def absolute(home: PurePosixPath, text: str) -> PurePosixPath:
    """Return a path of the user's, with `~` for the home."""
    return home / text[2:] if text.startswith("~/") else home if text == "~" else home / text


def port_in(text: object) -> int | None:
    """Return a port that is written somewhere, None where that is none."""
    number = str(text).strip().rpartition(":")[2]
    port = int(number) if re.fullmatch(r"[0-9]{1,5}", number) else 0
    return port if 0 < port <= _LAST_PORT else None
