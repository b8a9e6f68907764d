"""Reads and writes a tar of OCM's own kind; all else that a tar may be is refused.

Of a foreign one, which other programs made, more is read: what GNU tar, bsdtar and Node's tar write.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from openclaw_ocm.core.backup.holes import MAX_REAL
from openclaw_ocm.core.backup.layout import MAX_MEMBERS, OWN_MODE, Entry, Refused, is_plain, path_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openclaw_ocm.core.backup.layout import Kind

BLOCK = tarfile.BLOCKSIZE
_CHUNK = 2**16
Shape = Literal["file", "directory", "link", "alias", "special", "unnameable"]
# A path and the target of a link, both as long as they may be, and the words of their records.
_MAX_PAX = 2**14
_SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
_NAME, _REAL = "GNU.sparse.name", "GNU.sparse.realsize"
_PAX_KEYS = {"path", "linkpath", "size", *_SPARSE, _NAME, _REAL}
_KINDS: dict[bytes, Literal["file", "directory", "link"]] = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "link",
}
# Of a foreign archive: what attributes of a file may take, how many headers tell of one member, and by what
# GNU tar has a name that is longer than a header holds (tar(5)).
_MAX_FOREIGN_PAX = 2**20
_MAX_DIGITS = len(str(_MAX_FOREIGN_PAX))
_MAX_HEADERS = 10
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_OLD_SPARSE, _PARTIAL = tarfile.GNUTYPE_SPARSE, b"M"
_FOREIGN_KINDS: dict[bytes, Shape] = {
    **_KINDS,
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.LNKTYPE: "alias",
}
# Whatever size their header tells.
_NO_CONTENT = (
    *_KINDS.keys() - {tarfile.REGTYPE},
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)
# What tar(1) fills the end up to.
_MAX_END = tarfile.RECORDSIZE
_LAST_SECOND = 2**33


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member: `size` is that of a file, `target` that of a link, `mtime` in seconds since the epoch.

    A file whose holes are left out has its `real` size, and its content is what `core.backup.holes` says.
    Foreign ones alone have an `alias`, a hard link to the member `target`, a `special` file, and one that is
    `unnameable` here.
    """

    path: str
    kind: Shape
    mode: int
    size: int = 0
    target: str = ""
    mtime: int = 0
    real: int | None = None


# As what a manifest lists members of OCM's own.
LISTED: Mapping[Shape, Kind] = {"file": "file", "directory": "directory", "link": "link"}


def entry_of(member: Member, kind: Kind, digest: str) -> Entry:
    """Return what a manifest says of a member."""
    return Entry(
        path=member.path,
        kind=kind,
        mode=member.mode & OWN_MODE,
        size=member.size,
        sha256=digest,
        target=member.target,
        real=member.real,
    )


def encode_member(member: Member) -> bytes:
    """Return the header of a member; the same for the same member, whoever makes it and whenever."""
    info = tarfile.TarInfo(member.path)
    info.type = next(kind for kind, name in _KINDS.items() if name == member.kind)
    info.mode, info.size, info.linkname = member.mode, member.size, member.target
    info.mtime = min(max(member.mtime, 0), _LAST_SECOND - 1)
    if member.real is not None:
        folder, _slash, name = member.path.rpartition("/")
        # Under this name a tar finds it that knows nothing of holes.
        info.name = f"{folder}/GNUSparseFile.0/{name}"
        info.pax_headers = {**_SPARSE, _NAME: member.path, _REAL: str(member.real)}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def padding(size: int) -> bytes:
    """Return what follows the content of a file of `size` bytes."""
    return bytes(-size % BLOCK)


def end() -> bytes:
    """Return what follows the last member."""
    return bytes(2 * BLOCK)


def read_members(
    read: Callable[[int], bytes], expect: Callable[[int], None], *, foreign: bool = False
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Yield each member with its content, which is to be taken before the next one is asked for.

    `read` returns as many bytes as it is asked for, fewer only at the end; `expect` is told the size of a
    member before any of it is read, and may refuse it. Of a `foreign` archive paths come as they are meant:
    without `./`, and empty for the directory that holds all. Raises `Refused`.
    """
    for _ in range(MAX_MEMBERS + 1):
        header = _exactly(read, BLOCK)
        if not any(header):
            _check_end(read, foreign=foreign)
            return
        member = _foreign_member(read, header) if foreign else _member(read, header)
        expect(member.size)
        content = _content(read, member.size)
        yield member, content
        for _chunk in content:
            pass
    raise Refused(f"it has more than {MAX_MEMBERS} members")


def _member(read: Callable[[int], bytes], header: bytes) -> Member:
    info, extended = _parse(header), {}
    if info.type == tarfile.XHDTYPE:
        extended = _extended(read, info.size)
        info = _parse(_exactly(read, BLOCK))
    kind = _KINDS.get(info.type)
    real = _real_size(extended, is_file=kind == "file")
    path = extended[_NAME] if real is not None else extended.get("path", info.name)
    if kind == "directory":
        path = path.removesuffix("/")
    problem = path_problem(path)
    if problem:
        raise Refused(f"a member {problem}: {path[:100]!r}")
    if kind is None:
        raise Refused(f"{path} is neither a file, a directory nor a symbolic link")
    size = extended.get("size", str(info.size))
    if not size.isdecimal() or not size.isascii() or (kind != "file" and size != "0"):
        raise Refused(f"{path} has no size that can be")
    target = extended.get("linkpath", info.linkname)
    if bool(target) != (kind == "link") or not 0 <= info.mtime < _LAST_SECOND or not is_plain(target):
        raise Refused(f"{path} has a header that is not OCM's")
    return Member(
        path=path,
        kind=kind,
        mode=info.mode,
        size=int(size[:20]),
        target=target,
        mtime=int(info.mtime),
        real=real,
    )


def _foreign_member(read: Callable[[int], bytes], header: bytes) -> Member:
    extended: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        info = _parse(header, "surrogateescape")
        if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            extended |= _extended(read, info.size, foreign=True)
        elif info.type == tarfile.XGLTYPE:
            # It is of all, and names nothing.
            _extended(read, info.size, foreign=True)
        elif info.type in _LONG:
            extended[_LONG[info.type]] = _long_name(read, info.size)
        else:
            return _foreign(info, extended)
        header = _exactly(read, BLOCK)
    raise Refused("a header in it is damaged")


def _long_name(read: Callable[[int], bytes], size: int) -> str:
    if not 0 < size <= _MAX_PAX:
        raise Refused("a header in it is too large")
    data = _exactly(read, size)
    _padded(read, size)
    return data.rstrip(b"\0").decode(errors="surrogateescape")


def _foreign(info: tarfile.TarInfo, extended: dict[str, str]) -> Member:
    """Return what the headers of a foreign member say; what it cannot be here has a kind that says so."""
    kind = _FOREIGN_KINDS.get(info.type, "special")
    real = _real_size(extended, is_file=kind == "file")
    named = extended[_NAME] if real is not None else extended.get("path", info.name)
    path = _own_path(named)
    if info.type in (_OLD_SPARSE, _PARTIAL):
        how = "holds a part of a file" if info.type == _PARTIAL else "has holes"
        raise Refused(f"{path[:100]!r} {how} in a way that OCM does not read: make it without --sparse")
    size = extended.get("size", str(info.size))
    if not size.isdecimal() or not size.isascii():
        raise Refused(f"{path[:100]!r} has no size that can be")
    target = extended.get("linkpath", info.linkname) if kind in ("link", "alias") else ""
    if (path and path_problem(path)) or not is_plain(target) or (kind == "link" and not target):
        kind, target = "unnameable", ""
    is_empty = info.type in _NO_CONTENT
    return Member(
        path=path,
        kind=kind,
        mode=info.mode & OWN_MODE,
        size=0 if is_empty else int(size[:20]),
        target=_own_path(target) if kind == "alias" else target,
        mtime=min(max(int(info.mtime), 0), _LAST_SECOND - 1),
        real=real,
    )


def _own_path(text: str) -> str:
    """Return the path of a foreign member as it is meant; raise `Refused` where it leads out."""
    names = [name for name in text.split("/") if name not in ("", ".")]
    if text.startswith("/") or ".." in names:
        raise Refused(f"a member has a path that is not its own: {text[:100]!r}")
    return "/".join(names)


def _real_size(extended: dict[str, str], *, is_file: bool) -> int | None:
    """Return the size of a file whose holes are left out, None for what is none of these."""
    found = {key: value for key, value in extended.items() if key.startswith("GNU.")}
    if not found:
        return None
    real = found.get(_REAL, "")
    is_right = found == {**_SPARSE, _NAME: found.get(_NAME), _REAL: real}
    is_number = real.isdecimal() and real.isascii() and len(real) <= len(str(MAX_REAL))
    if not is_right or not is_file or not is_number or int(real) > MAX_REAL:
        raise Refused("a header in it is not OCM's")
    return int(real)


def _parse(header: bytes, errors: str = "strict") -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", errors)
    except (tarfile.HeaderError, ValueError):
        raise Refused("a header in it is damaged") from None


def _extended(read: Callable[[int], bytes], size: int, *, foreign: bool = False) -> dict[str, str]:
    """Return the records of a pax header (pax(1), "pax Extended Header"): a line LENGTH KEY=VALUE each.

    A foreign one has others too, of times and attributes, which are passed over.
    """
    if not 0 < size <= (_MAX_FOREIGN_PAX if foreign else _MAX_PAX):
        raise Refused("a header in it is too large")
    data = _exactly(read, size)
    _padded(read, size)
    found: dict[str, str] = {}
    position = 0
    while position < size:
        digits, _, _rest = data[position : position + _MAX_DIGITS + 1].partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) <= _MAX_DIGITS else 0
        record = data[position : position + length]
        position += length
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        name = key.decode(errors="replace")
        is_whole = length and len(record) == length and equals and value.endswith(b"\n")
        if not is_whole or (not foreign and name not in _PAX_KEYS - found.keys()):
            raise Refused("a header in it is damaged" if foreign else "a header in it is not OCM's")
        if not foreign:
            found[name] = _text(value[:-1])
        elif name in _PAX_KEYS:
            found[name] = value[:-1].decode(errors="surrogateescape")
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refused("a name in it is no UTF-8") from None


def _content(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = _exactly(read, min(left, _CHUNK))
        left -= len(chunk)
        yield chunk
    _padded(read, size)


def _padded(read: Callable[[int], bytes], size: int) -> None:
    if any(_exactly(read, len(padding(size)))):
        raise Refused("there is something between its members")


def _check_end(read: Callable[[int], bytes], *, foreign: bool) -> None:
    rest = read(_MAX_END)
    while foreign and len(rest) == _MAX_END and not any(rest):
        # As many as whoever made it writes at once.
        rest = read(_MAX_END) or bytes(BLOCK)
    if len(rest) < BLOCK or len(rest) == _MAX_END or len(rest) % BLOCK or any(rest):
        raise Refused("something else than its end is at its end")


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = read(size)
    if len(data) != size:
        raise Refused("it is cut off")
    return data
