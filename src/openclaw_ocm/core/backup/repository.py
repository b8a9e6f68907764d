"""Repositories of restic: what a user may name, and what restic says of the backups in one."""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from openclaw_ocm.core.backup.retention import parse_backup_file
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from openclaw_ocm.core.backup.retention import BackupFile

# By this a snapshot in a repository is known as one of OCM's.
TAG = "ocm"
_BYTES = "bytes="
# restic(1), "Preparing a new repository".
_ELSEWHERE = re.compile(r"(?:sftp|rest|s3|b2|azure|gs|swift|rclone):[!-~]{1,1000}")
_PASSWORD = re.compile(r"//[^/@]*:[^/@]*@")
_VARIABLE = re.compile(
    r"RESTIC_(?:PASSWORD|PASSWORD_FILE|PASSWORD_COMMAND|REST_USERNAME|REST_PASSWORD|CACERT)|SSH_AUTH_SOCK"
    r"|(?:AWS|B2|AZURE|GOOGLE|OS|ST|RCLONE)_[A-Z0-9_]{1,100}|(?:HTTP|HTTPS|NO)_PROXY"
)
_PASSWORDS = frozenset({"RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND"})
# Only where its config is not there, there is no repository: else it could not be read.
_UNOPENED = re.compile(r"repository does not exist|unable to open config file")
_NOWHERE = re.compile(r"no such file|not exist|n't exist|not ?found|NoSuch|\b404\b", re.IGNORECASE)
_WHERE = "\nIs there a repository at"
# What restic passes on of the program that leads it there, which knows better why it ended.
_LEADING = re.compile(r"^(?:subprocess (ssh)|(rclone)): (?:ssh: )?(\S.*)", re.MULTILINE)
_NO_SESSION = "unable to start the sftp session"
_SERVER = re.compile(r"sftp://([^/:]+)(?::([0-9]+))?/|sftp:([^/:]+):")


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot, as `restic snapshots --json` has it."""

    id: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    paths: Annotated[list[str], msgspec.Meta(min_length=1)]
    tags: list[str] = []
    hostname: str = ""


class Summary(msgspec.Struct, frozen=True):
    """The last line of `restic backup --json`."""

    snapshot_id: str
    data_added: int = 0


class _Exit(msgspec.Struct, frozen=True):
    """What restic says at the end where it failed."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A backup in a repository: its short ID, what its file was called and where, and how large it was.

    `host` is the machine that it came from.
    """

    id: str
    path: str
    file: BackupFile
    size_bytes: int
    host: str


def parse_repository(text: str) -> str:
    """Return the repository that a user names, or raise `Invalid`: a directory in full, or elsewhere.

    One with a password in it is refused: that would stand in the record, and in what is printed.
    """
    place = posixpath.normpath(text) if text.startswith("/") else text
    is_directory = place.startswith("/") and place.isprintable() and len(place) <= 1000  # noqa: PLR2004 - as above
    # First of all: what is refused is printed.
    if _PASSWORD.search(place):
        message = "a repository is named without its password"
        hint = "RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD in restic.env say it"
        raise Invalid(message, hint=hint, code="repository_invalid")
    if not is_directory and not _ELSEWHERE.fullmatch(place):
        message = f"{text!r} is no repository of restic"
        hint = "a directory, or sftp:USER@HOST:/PATH, s3:ENDPOINT/BUCKET, rclone:REMOTE:PATH and the like"
        raise Invalid(message, hint=hint, code="repository_invalid")
    return place


def parse_identifier(text: str) -> bool:
    """Tell whether a word is the ID of a snapshot, or the beginning of one."""
    return re.fullmatch(r"[0-9a-f]{8,64}", text) is not None


def unknown_variables(names: frozenset[str]) -> list[str]:
    """Return those names that are no variable which restic and its backends are given."""
    return sorted(name for name in names if not _VARIABLE.fullmatch(name))


def has_password(names: frozenset[str]) -> bool:
    """Tell whether one of these variables opens a repository."""
    return bool(names & _PASSWORDS)


def is_missing(stderr: str) -> bool:
    """Tell whether restic says that there is no repository."""
    return any(_UNOPENED.search(line) and _NOWHERE.search(line) for line in stderr.splitlines())


def last_words(stderr: str) -> str:
    """Return why restic failed, by its last line: of 0.17 with --json that is an object with a message.

    Where ssh or rclone ended that leads there, it is what that said last.
    """
    if said := [(ssh or rclone, words.strip()) for ssh, rclone, words in _LEADING.findall(stderr)]:
        return ": ".join(said[-1])
    line = _last_line(stderr)
    try:
        return _last_line(msgspec.json.decode(line, type=_Exit).message)
    except msgspec.MsgspecError:
        return line


def way(place: str, why: str) -> str | None:
    """Return the command that leads to the server of a repository, None where `why` is no matter of ssh's."""
    found = _SERVER.match(place)
    if found is None or not (why.startswith("ssh: ") or _NO_SESSION in why):
        return None
    port = ("-p", found[2]) if found[2] else ()
    return shlex.join(("ssh", *port, found[1] or found[3]))


def _last_line(said: str) -> str:
    """Return the last line but for the question whether the repository is where the user said."""
    return said.partition(_WHERE)[0].strip().rpartition("\n")[2]


def size_tag(size: int) -> str:
    """Return the tag that tells how large a backup is."""
    return f"{_BYTES}{size}"


def parse_snapshots(text: str) -> tuple[Kept, ...]:
    """Return the backups of OCM's, those of one instance together and oldest first; others are passed over.

    Raises `msgspec.MsgspecError` for what is not restic's.
    """
    found = []
    for one in msgspec.json.decode(text or "[]", type=list[Snapshot] | None) or []:
        # It is called as one on this machine is, and is not compressed: restic does that.
        file = parse_backup_file(f"{posixpath.basename(one.paths[0])}.gz")
        is_place = one.paths[0].startswith("/") and ".." not in one.paths[0].split("/")
        if file is None or TAG not in one.tags or len(one.paths) != 1 or not is_place:
            continue
        sizes = [tag.removeprefix(_BYTES) for tag in one.tags if tag.startswith(_BYTES)]
        size = int(sizes[0][:18]) if sizes and sizes[0].isdecimal() else 0
        found.append(Kept(id=one.id[:8], path=one.paths[0], file=file, size_bytes=size, host=one.hostname))
    return tuple(sorted(found, key=lambda kept: (kept.file.name, kept.file.time, kept.id)))


def parse_summary(text: str) -> Summary:
    """Return what `restic backup --json` says at its end; raises `msgspec.MsgspecError` for anything else."""
    return msgspec.json.decode(text.strip().rpartition("\n")[2], type=Summary)
