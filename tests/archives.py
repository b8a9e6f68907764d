"""Archives for tests, true ones and hostile ones, made by the very writer that backups are made with."""

from __future__ import annotations

import io
import sqlite3
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.layout import Header
from openclaw_ocm.system.archive import members as tar
from openclaw_ocm.system.archive.compression import Target
from openclaw_ocm.system.archive.members import Member
from openclaw_ocm.system.archive.writer import ArchiveWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from openclaw_ocm.system.archive.compression import Format

HEADER = Header(
    name="worker1", openclaw="2026.9.6", ocm="0.1.0", state="/home/ann/.openclaw-worker1", home="/home/ann"
)
SECRET = b"# kept\nONE_API_KEY=sk-PLANTED\n"
RECORD = b'name = "worker1"\nport = 19001\n[runtime]\nnode = "/usr/bin/node"\nopenclaw = "/opt/openclaw"\n'
INHERITED = b'{"source": "main", "config": {}, "secrets": []}'
# A directory is None, a link its target in text.
Tree = dict[str, "bytes | str | None"]


def database_bytes(directory: Path, rows: int = 1, name: str = "made.sqlite") -> bytes:
    """Return a database with a table `notes` of that many rows."""
    path = directory / name
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("create table notes (line text)")
        database.executemany("insert into notes values (?)", [(f"row {n}",) for n in range(rows)])
    database.close()
    return path.read_bytes()


def tree(directory: Path) -> Tree:
    """Return a small state with everything that one may hold."""
    return {
        "state": None,
        "state/openclaw.json": b'{"gateway": {}}\n',
        "state/state": None,
        "state/state/openclaw.sqlite": database_bytes(directory),
        "state/workspace": None,
        "state/workspace/NOTES.md": b"remember\n" * 3000,
        "state/workspace/\u00e4\u00f6 " + "n" * 120: b"",
        "state/workspace/latest": "NOTES.md",
    }


def write_archive(  # noqa: PLR0913 - all but two have a default
    path: Path,
    tree: Tree,
    *,
    form: Format = "gz",
    header: Header = HEADER,
    record: bytes = RECORD,
    secrets: bytes | None = SECRET,
    inherited: bytes | None = INHERITED,
    more: Callable[[ArchiveWriter], None] = lambda _writer: None,
    plugins: tuple[layout.Plugin, ...] = (),
) -> Path:
    """Write an archive of that state, and of what `more` adds."""
    with path.open("wb") as file:
        target = Target(file, form)
        writer = ArchiveWriter(target.write)
        writer.small(layout.HEADER, layout.encode(header))
        writer.small(layout.RECORD, record)
        if secrets is not None:
            writer.small(layout.SECRETS, secrets)
        if inherited is not None:
            writer.small(layout.INHERITED, inherited)
        add(writer, tree)
        more(writer)
        writer.finish(left_out={"temporary": 2}, notes=("a note",), plugins=plugins)
        target.finish()
    return path


def add(writer: ArchiveWriter, tree: Mapping[str, bytes | str | None]) -> None:
    for path, content in tree.items():
        if content is None:
            writer.directory(path, 0o700)
        elif isinstance(content, str):
            writer.link(path, content)
        else:
            member = Member(path=path, kind="file", mode=0o600, size=len(content), mtime=1_700_000_000)
            kind: layout.Kind = "database" if content.startswith(layout.DATABASE_MAGIC) else "file"
            writer.file(member, [content], kind)


def write_compressed(path: Path, data: bytes, form: Format = "gz") -> Path:
    with path.open("wb") as file:
        target = Target(file, form)
        target.write(data)
        target.finish()
    return path


def plain(tree: Tree) -> bytes:
    """Return the tar of an archive, for a test to bend."""
    with tempfile.TemporaryDirectory() as directory:
        data = write_archive(Path(directory, "archive"), tree).read_bytes()
    return zlib.decompress(data, wbits=31)


def snapshot(directory: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Return everything below a directory: mode, and content or target."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in sorted(directory.rglob("*")):
        content: bytes | str | None = None
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(directory))] = (path.lstat().st_mode & 0o777, content)
    return found


def pure(path: Path) -> PurePosixPath:
    return PurePosixPath(path)


def raw_tar(members: Iterable[tuple[Member, bytes]]) -> bytes:
    """Return a tar of just these members, with an end."""
    out = io.BytesIO()
    for member, content in members:
        out.write(tar.encode_member(member) + content + tar.padding(len(content)))
    return out.getvalue() + tar.end()
