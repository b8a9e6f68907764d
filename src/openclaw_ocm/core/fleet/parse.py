"""Reads a fleet file: each instance with what its groups and the defaults say, and their order."""

from __future__ import annotations

import contextlib
import graphlib
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from openclaw_ocm.core import ports
from openclaw_ocm.core.environment import checked
from openclaw_ocm.core.firewall import exposure
from openclaw_ocm.core.fleet.checks import check, check_shown, looks_secret
from openclaw_ocm.core.fleet.file import OF_ONE, VERSION, Channels, Described, Mount, Source, Telegram
from openclaw_ocm.core.names import is_drill, parse_name
from openclaw_ocm.core.network import allowance
from openclaw_ocm.core.openclaw.document import overlay
from openclaw_ocm.core.record import AutoUpgrade, Keep, Limits, Schedule, Shown
from openclaw_ocm.core.sandbox.shown import parse_shown
from openclaw_ocm.core.secrets import is_key
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName

MOST = 1000
_MOST_SHOWN = 80
_TOP = ("version", "defaults", "groups", "instances")
# Tables whose members are replaced whole.
_WHOLE = ("secrets", "config")
_TABLES: dict[str, type[msgspec.Struct]] = {
    "": Described,
    "limits": Limits,
    "backups": Schedule,
    "backups.keep": Keep,
    "auto_upgrade": AutoUpgrade,
    "channels": Channels,
    "channels.telegram": Telegram,
    "channels.telegram.token": Source,
    "secrets": Source,
    "mounts": Mount,
}
# For what msgspec would show a pattern.
_WORDS = {
    "limits.memory": "write 2G or 1536M",
    "openclaw": "write a version, such as 2026.9.6",
    "backend": "write systemd or supervisord",
    "backups.directory": "write a path from / on",
    "auto_upgrade.at": "write a time of day, such as 04:30",
    "channels.telegram.allow": "write the number of a Telegram user, in quotes",
}
_SOURCE = 'write where it is read, such as { file = "key" }'
_Kind = TypeVar("_Kind", bound=msgspec.Struct)
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<place>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a fleet file describes, each path absolute; `waves` are the instances in an order of inheritance.

    Those of a wave inherit from none that comes later, nor from each other.
    """

    instances: Mapping[InstanceName, Described]
    waves: tuple[tuple[InstanceName, ...], ...]

    def mounts(self, name: InstanceName) -> tuple[Shown, ...]:
        """Return what an instance is to see of the host."""
        return tuple(
            parse_shown(one.path, one.at, writable=one.writable) for one in self.instances[name].mounts
        )


def parse_fleet(text: str, *, home: PurePosixPath, folder: PurePosixPath) -> Fleet:
    """Return what a fleet file says; `folder` is where it lies, `home` the user's.

    Raises `Invalid`, with the place in the file, for what no instance can be.
    """
    top = _decoded(text)
    defaults, groups, given = (_table(top, key) for key in _TOP[1:])
    _described(defaults, "defaults", of_all=True)
    _check_groups(groups)
    if len(given) > MOST:
        raise _invalid("instances", f"are {len(given)}, and {MOST} are the most")
    found: dict[InstanceName, Described] = {}
    for text_of_name, own in given.items():
        place = f"instances.{_shown(text_of_name)}"
        with _at(place):
            name = parse_name(text_of_name)
        if is_drill(name):
            raise _invalid(place, "is a name of throw-away instances, in which backups are tried out")
        _described(own, place)
        merged = defaults
        for group in own.get("groups", defaults.get("groups", ())):
            if group not in groups:
                what = f"names{_named(group)}, which is no group{_near(group, groups)}"
                raise _invalid(f"{place}.groups", what)
            merged = _over(merged, groups[group])
        described = _described(_over(merged, own), place)
        with _at(place):
            found[name] = _settled(described, home, folder)
    _refuse_ports(found)
    return Fleet(instances=found, waves=_waves(found))


def _decoded(text: str) -> dict[str, Any]:
    """Return the tables of a fleet file; raise `Invalid` for what is none."""
    try:
        top = msgspec.toml.decode(text)
    except msgspec.DecodeError as error:
        raise _invalid("the file", f"is no TOML: {error}") from None
    except RecursionError:
        raise _invalid("the file", "is no TOML: it is nested too deeply") from None
    for key in top:
        if key not in _TOP:
            raise _invalid("the file", f"has an unknown key{_named(key)}{_near(key, _TOP)}")
    version = top.get("version", VERSION)
    if version != VERSION or type(version) is not int:
        raise _invalid("version", f"is {_shown(f'{version!r}')}, and this OCM knows {VERSION}")
    found: dict[str, Any] = top
    return found


def _check_groups(groups: Mapping[str, Any]) -> None:
    for name, group in groups.items():
        place = f"groups.{_shown(name)}"
        if isinstance(group, dict) and "groups" in group:
            raise _invalid(f"{place}.groups", "is of instances: a group names no other group")
        _described(group, place, of_all=True)


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with another over it: member by member, but a source or a value of the config whole."""
    merged = overlay(lower, upper)
    for key in _WHOLE:
        if isinstance(lower.get(key), dict) and isinstance(upper.get(key), dict):
            merged[key] = {**lower[key], **upper[key]}
    return merged


def _table(top: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = top.get(key, {})
    if not isinstance(value, dict):
        raise _invalid(key, "is no table")
    return value


def _described(value: object, place: str, *, of_all: bool = False) -> Described:
    """Return what a table says; raises `Invalid` for an unknown key and a wrong value."""
    if isinstance(value, dict):
        if of_all and (shared := [key for key in OF_ONE if key in value]):
            raise _invalid(f"{place}.{shared[0]}", "cannot be of several instances")
        sources = value.get("secrets")
        for key, source in sources.items() if isinstance(sources, dict) else ():
            _converted(source, Source, place, f".secrets{_member(key)}")
    return _converted(value, Described, place)


def _converted(value: object, kind: type[_Kind], place: str, within: str = "") -> _Kind:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        match = _PLACE.fullmatch(f"{error}")
        what, below = (match["what"], match["place"] or "") if match else (f"{error}", "")
        where = f"{place}{within}{below}"
        if unknown := _UNKNOWN.fullmatch(what):
            table = kind if kind is Source else _TABLES.get(_table_of(below), Described)
            near = _near(unknown[1], table.__struct_fields__)
            raise _invalid(where, f"has an unknown key{_named(unknown[1])}{near}") from None
        of_source = _TABLES.get(_table_of(below)) is Source if kind is not Source else not below
        if of_source and what.startswith("Expected `object`"):
            raise _invalid(where, f"cannot be: {_SOURCE}") from None
        wanted = _WORDS.get(_table_of(below))
        raise _invalid(where, f"cannot be: {wanted or what}") from None


def _table_of(below: str) -> str:
    """Return which table a place of msgspec's is, such as `.secrets[...]`."""
    return re.sub(r"\[[^]]*\]", "", below).lstrip(".")


def _settled(described: Described, home: PurePosixPath, folder: PurePosixPath) -> Described:
    """Return a description as records have it, with absolute paths. Raises `Invalid`."""
    check(described)
    sources = {key: _found(source, home, folder) for key, source in described.secrets.items()}
    mounts = tuple(
        msgspec.structs.replace(one, path=_path(one.path, home, folder), at=_path(one.at, home, folder))
        for one in described.mounts
    )
    check_shown(tuple(parse_shown(one.path, one.at, writable=one.writable) for one in mounts))
    telegram = described.channels.telegram
    if telegram is not None:
        telegram = msgspec.structs.replace(telegram, token=_found(telegram.token, home, folder))
    return msgspec.structs.replace(
        described,
        expose=exposure(described.expose),
        allow=allowance(described.allow),
        environment=checked(described.environment),
        secrets=sources,
        mounts=mounts,
        channels=Channels(telegram=telegram),
    )


def _found(source: Source, home: PurePosixPath, folder: PurePosixPath) -> Source:
    """Return a source with absolute paths; a program without a slash is one of the PATH."""
    command = source.command
    if command is not None and "/" in command[0]:
        command = (_path(command[0], home, folder) or "", *command[1:])
    return msgspec.structs.replace(source, file=_path(source.file, home, folder), command=command)


def _path(path: str | None, home: PurePosixPath, folder: PurePosixPath) -> str | None:
    if path is None or path.startswith("/"):
        return path
    return str(home / path[2:] if path == "~" or path.startswith("~/") else folder / path)


def _refuse_ports(found: Mapping[InstanceName, Described]) -> None:
    owners = [(name, one.port) for name, one in found.items() if one.port is not None]
    for one, other in ports.overlaps(owners):
        raise _invalid(f"instances.{one}.port", f"is too near to that of {other}: each takes {ports.WINDOW}")


def _waves(found: Mapping[InstanceName, Described]) -> tuple[tuple[InstanceName, ...], ...]:
    """Return instances in waves, each after those that it inherits from; raises `Invalid` for a cycle."""
    sources = {name: one.inherit_from for name, one in found.items()}
    sorter = graphlib.TopologicalSorter(
        {name: [source] if source in found else [] for name, source in sources.items()}
    )
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        cycle = " from ".join(error.args[1][::-1])
        raise _invalid("instances", f"inherit in a circle: {cycle}") from None
    waves: list[tuple[InstanceName, ...]] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        waves.append(tuple(name for name in found if name in ready))
        sorter.done(*ready)
    return tuple(waves)


@contextlib.contextmanager
def _at(place: str) -> Iterator[None]:
    """Have what is wrong be told with its place in the file."""
    try:
        yield
    except OcmError as error:
        said = "a secret is in the wrong place" if looks_secret(error.message) else error.message
        raise Invalid(f"{place}: {said}", hint=error.hint, code="fleet_invalid") from None


def _invalid(place: str, what: str) -> Invalid:
    hint = "ocm plan --example prints all that can be said"
    return Invalid(f"{place} {what}", hint=hint, code="fleet_invalid")


def _shown(text: str) -> str:
    """Return what stands in a file as it may be printed: no more than a few words, and no secret."""
    return "..." if looks_secret(text) else printable(text, limit=_MOST_SHOWN)


def _named(key: str) -> str:
    """Return a key with a space before it; nothing of one that may be a secret in the wrong place."""
    return "" if looks_secret(key) else f" {printable(key, limit=_MOST_SHOWN)!r}"


def _member(key: str) -> str:
    """Return the place of a secret; nothing of one whose name may be the secret itself."""
    return f".{key}" if is_key(key) else "[...]"


def _near(word: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    near = get_close_matches(word, known, n=1)
    return f": did you mean {near[0]!r}?" if near else ""
