"""What a backup holds: its layout, its manifest, what is left out, which paths and links it may have.

Format 1 is a tar whose members come in this order: `ocm.json`, `record.toml`, `secrets.env` and
`inherited.json` where there are any, `state` with all that is below it, `manifest.json`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec

from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.record import Absolute
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import PurePosixPath

VERSION = 1
HEADER, RECORD, SECRETS, INHERITED = "ocm.json", "record.toml", "secrets.env", "inherited.json"
STATE, MANIFEST = "state", "manifest.json"
CONFIG = f"{STATE}/{CONFIG_NAME}"
DATABASE_MAGIC = b"SQLite format 3\0"
SIDECARS = ("-wal", "-shm", "-journal")
MAX_MEMBERS = 1_000_000
# What a path may have below an open directory: PATH_MAX of Linux counts the NUL at its end.
MAX_PATH = 4095
MAX_NAME = 255
MAX_PLUGINS = 200
# For what is no part of the state, and is held in memory.
MAX_SIZES = {HEADER: 64 * 2**10, RECORD: 2**20, SECRETS: 2**20, INHERITED: 8 * 2**20, MANIFEST: 256 * 2**20}
OWN_MODE = 0o700
# What an entry of the manifest takes besides its path and its target, and what all takes that is no entry.
_ENTRY = 256
_TOLD = 2 * 2**20

Kind = Literal["header", "record", "secrets", "inherited", "directory", "file", "database", "link"]
KINDS: Mapping[str, Kind] = {
    HEADER: "header",
    RECORD: "record",
    SECRETS: "secrets",
    INHERITED: "inherited",
}
Mode = Annotated[int, msgspec.Meta(ge=0, le=OWN_MODE)]
# Far more kinds and notes than there are.
Counts = Annotated[dict[str, int], msgspec.Meta(max_length=100)]
Notes = Annotated[tuple[str, ...], msgspec.Meta(max_length=100)]
Hash = Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]
_T = TypeVar("_T", bound=msgspec.Struct)

# What OpenClaw itself follows as it begins: there a link that leads out of the state is none of an agent's.
_OWN_PLACES = frozenset({"state", "credentials", "identity", "devices"})
_NOT_PLAIN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_OWN_DATABASE = re.compile(r"state/(?:state/[^/]+\.sqlite|agents/[^/]+/agent/[^/]+\.sqlite)")
_MAIN_DATABASE = re.compile(r"state/(?:state/openclaw|agents/[^/]+/agent/openclaw-agent)\.sqlite")


class Refused(Exception):
    """Why an archive is not taken, in a few words."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose state an archive holds: the instance, the versions, and where on its machine it lay."""

    version: Annotated[int, msgspec.Meta(ge=VERSION, le=VERSION)] = VERSION
    name: str
    openclaw: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z.+-]{1,64}\Z")]
    ocm: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z.+-]{1,64}\Z")]
    state: Absolute
    home: Absolute

    def __post_init__(self) -> None:
        """Refuse what is no instance's name or no plain path; msgspec tells where it is."""
        try:
            parse_name(self.name)
        except Invalid as error:
            raise ValueError(error.message) from None
        if not is_plain(self.state + self.home):
            message = "a path that is no plain text"
            raise ValueError(message)

    @property
    def instance(self) -> InstanceName:
        """The name of the instance."""
        return InstanceName(self.name)


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One member of an archive; a file has a size and a hash, a link has a target.

    A file whose holes are left out has its `real` size, and is in the archive as `core.backup.holes` says.
    """

    path: str
    kind: Kind
    mode: Mode
    size: Annotated[int, msgspec.Meta(ge=0)] = 0
    sha256: Hash = ""
    target: str = ""
    real: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Plugin(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that OpenClaw installed below the state, where no backup keeps it: it is installed again.

    `package` is what is given to `plugins install`; `path` is its place below the state.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9@._/-]{1,214}\Z")]
    package: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9@][A-Za-z0-9@._:/+~^#-]{0,299}\Z")]
    version: Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z.+-]{0,64}\Z")] = ""
    path: Annotated[str, msgspec.Meta(max_length=MAX_PATH)]

    def __post_init__(self) -> None:
        """Refuse what is no path below the state; msgspec tells where it is."""
        if path_problem(self.path):
            message = "a path that is none below the state"
            raise ValueError(message)


# Far more than there are.
Plugins = Annotated[tuple[Plugin, ...], msgspec.Meta(max_length=MAX_PLUGINS)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every member in order, how much was left out and why, and what else is told or to be installed."""

    version: Annotated[int, msgspec.Meta(ge=VERSION, le=VERSION)] = VERSION
    members: tuple[Entry, ...]
    left_out: Counts = {}
    notes: Notes = ()
    plugins: Plugins = ()

    @property
    def databases(self) -> tuple[str, ...]:
        """Paths of the databases, which SQLite can read."""
        return tuple(entry.path for entry in self.members if entry.kind == "database")


def decode(data: bytes, kind: type[_T], what: str) -> _T:
    """Return a header or a manifest; raise `Refused` where it is damaged or of another version."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"{what} is damaged: {error}") from None


def manifest_limit(seen: Iterable[Entry]) -> int:
    """Return how many bytes the manifest of those members can have: in memory it takes many times as many."""
    # In JSON a character of a path is at the most two.
    texts = sum(2 * len(entry.path.encode() + entry.target.encode()) + _ENTRY for entry in seen)
    return min(texts + _TOLD, MAX_SIZES[MANIFEST])


def encode(value: msgspec.Struct) -> bytes:
    """Return a header or a manifest as its member holds it."""
    return msgspec.json.encode(value, order="deterministic") + b"\n"


def path_problem(path: str) -> str | None:
    """Return in words what is wrong with a member's path, None where nothing is."""
    if not is_plain(path):
        return "has a name that is no plain text"
    if len(path.encode()) > MAX_PATH:
        return "has too long a path"
    for name in path.split("/"):
        if name in ("", ".", ".."):
            return "has a path that is not its own" if name else "has an absolute or empty path"
        if len(name.encode()) > MAX_NAME:
            return "has too long a name"
    return None


def is_plain(text: str) -> bool:
    """Tell whether text has no control characters and is Unicode."""
    return _NOT_PLAIN.search(text) is None


def stays_inside(path: str, target: str) -> bool:
    """Tell whether a link at `path`, a member's, leads to a place within the state.

    `..` is taken at its beginning only: after the name of another link it would lead elsewhere than it says.
    So each link climbs true directories only, and whatever it then names lies within, through links or not.
    """
    if not target or target.startswith("/") or not is_plain(target) or len(target.encode()) > MAX_PATH:
        return False
    names = [name for name in target.split("/") if name not in ("", ".")]
    climbs = next((index for index, name in enumerate(names) if name != ".."), len(names))
    # `state/a/b` lies one directory below the state.
    return ".." not in names[climbs:] and climbs <= path.count("/") - 1


def may_lead_out(path: str, target: str) -> bool:
    """Tell whether a link at `path`, a member's, may have a target that leads out of the state.

    An environment of Python's in a workspace has one to the Python that made it. Nothing of OCM's follows
    it, and within the sandbox it leads no further than the instance does.
    """
    if not target or not is_plain(target) or len(target.encode()) > MAX_PATH:
        return False
    top, *below = path.split("/")[1:]
    if top == "agents":
        return len(below) > 1 and below[1] != "agent"
    return bool(below) and top not in _OWN_PLACES


def stored_target(path: str, target: str, state: PurePosixPath) -> str | None:
    """Return a link's target as an archive holds it, None where the link leaves the state.

    One that is absolute and leads into the instance's own state becomes relative: it then holds wherever the
    state is restored.
    """
    if target.startswith(f"{state}/") or target == str(state):
        inner = target[len(str(state)) :].strip("/")
        climb = "/".join([".."] * (path.count("/") - 1))
        target = "/".join(part for part in (climb, inner) if part) or "."
    return target if stays_inside(path, target) else None


def is_own_database(path: str) -> bool:
    """Tell whether a member is a database of OpenClaw's own, without which its state is not whole."""
    return _OWN_DATABASE.fullmatch(path) is not None


def is_main_database(path: str) -> bool:
    """Tell whether a member is one of the databases that every OpenClaw has, of an agent or of all."""
    return _MAIN_DATABASE.fullmatch(path) is not None


def check_order(path: str, seen: Mapping[str, Entry]) -> None:
    """Raise `Refused` where a member is not one of the layout, or does not come in its place."""
    if path in seen:
        raise Refused(f"{path} is in it twice")
    if path == HEADER or not seen:
        if path != HEADER or seen:
            raise Refused(f"it does not begin with {HEADER}")
        return
    if path in KINDS or path in (STATE, MANIFEST):
        order = (*KINDS, STATE, MANIFEST)
        late = [name for name in order[order.index(path) :] if name in seen]
        early = path != RECORD and RECORD not in seen
        if late or early or (path == MANIFEST and STATE not in seen):
            raise Refused(f"{path} is not in its place")
        return
    parent = seen.get(path.rpartition("/")[0])
    if not path.startswith(f"{STATE}/") or parent is None:
        raise Refused(f"{path} is no part of a backup" if parent is None else f"{path} is not in its place")
    if parent.kind != "directory":
        raise Refused(f"{path} lies below what is no directory")


def check_manifest(manifest: Manifest, seen: Mapping[str, Entry], databases: frozenset[str]) -> None:
    """Raise `Refused` where the manifest is not what the archive holds.

    `seen` are the members but the manifest in their order, a database being a file; `databases` are those
    that begin as SQLite's files do.
    """
    listed = manifest.members
    for entry, found in zip(listed, seen.values(), strict=False):
        if entry != found and not (entry.kind == "database" and _as_file(entry) == found):
            raise Refused(f"{found.path} is not what the manifest says")
    if len(listed) != len(seen):
        raise Refused("the manifest does not list what is in it")
    for path in manifest.databases:
        beside = [path + suffix for suffix in SIDECARS if path + suffix in seen]
        if beside:
            raise Refused(f"{beside[0]} would change a database")
        if path not in databases:
            raise Refused(f"{path} is no database")
    for path in sorted(databases):
        if is_own_database(path) and path not in manifest.databases:
            raise Refused(f"{path} is a database and not listed as one")


def _as_file(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, kind="file")
