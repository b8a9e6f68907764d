"""Backups of real files and real databases, of an instance that is not sealed and has a stand-in for Node.

The stand-in speaks the protocol of `core.copying`; the program that Node runs is tried out in the machine.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

import msgspec
import pytest
from tests import hosts, samples
from tests.archives import snapshot, tree, write_archive
from tests.leases import leased

from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core import steps
from openclaw_ocm.core.backup import holes
from openclaw_ocm.core.backup.retention import parse_backup_file
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.plan import Plan, Step
from openclaw_ocm.core.record import Keep, Runtime
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations import backup as making
from openclaw_ocm.operations.backup import Backup, Request, backup
from openclaw_ocm.operations.backups import (
    archives_of,
    cut_off,
    list_backups,
    names_with_backups,
    prune,
    verify,
)
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.system import files
from openclaw_ocm.system.archive import age, taking
from openclaw_ocm.system.archive import reader as archive
from openclaw_ocm.system.archive import snapshot as system_snapshot
from openclaw_ocm.system.archive.snapshot import InDirectory
from openclaw_ocm.system.files import lock, remove_tree
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.archive.reader import Contents

# Of this run alone: sessions are found by the instance's name, another run's would be ended with them.
NAME = parse_name(f"kept{os.getpid()}")
STATE_DATABASE = "state/openclaw.sqlite"
AGENT_DATABASE = "agents/main/agent/openclaw-agent.sqlite"
# What OCM made when it made the state: cache and logs.
REMADE = {"made anew by OpenClaw": 2}
NODE = """#!{python}
import json, os, shutil, sqlite3, sys
request = json.load(sys.stdin)
os.mkdir(request["into"], 0o700)
for index, path in enumerate(request["paths"]):
    problem = None
    try:
        source = sqlite3.connect(path, timeout=10)
        target = sqlite3.connect(f"{{request['into']}}/{{index}}")
        source.backup(target)
        source.close(), target.close()
    except sqlite3.Error as error:
        problem = str(error)
    print("noise")
    print(json.dumps({{"index": index, "problem": problem}}), flush=True)
{more}
"""

# As the program does with small ones: copies that follow one another in a file.
SHARED = """
with open(f"{request['into']}/small", "wb") as small:
    for index in range(len(request["paths"])):
        path = f"{request['into']}/{index}"
        data = open(path, "rb").read()
        print(json.dumps({"index": index, "problem": None, "place": [small.tell(), len(data)]}))
        small.write(data)
        os.unlink(path)
"""
WRITER = """
import select, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=30)
# No commit waits for the disk: there are to be many.
database.execute("pragma synchronous = off")
database.execute("pragma wal_autocheckpoint = 0")
print("begun", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for one, other in (("a", "b"), ("b", "a")):
        database.execute("update accounts set units = units - 1 where name = ?", (one,))
        database.execute("insert into notes values ('more')")
        database.execute("update accounts set units = units + 1 where name = ?", (other,))
        database.commit()
"""
# Of the rules that keep backups this one alone.
LAST = Keep(last=1, daily=0, weekly=0, monthly=0)


class Instance:
    """An instance that is not sealed, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        context = hosts.context(home)
        backend = Supervisord(host=context.host)
        self.said: list[str] = []
        self.context: Context = replace(
            context, backends={"supervisord": backend}, chosen=backend, report=self.said.append
        )
        self.paths = self.context.host.instance(NAME)
        self.state = Path(self.paths.state)

    def create(self) -> None:
        self.node()
        (self.home / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
        runtime = Runtime(node=str(self.home / "node"), openclaw=str(self.home))
        record = msgspec.structs.replace(
            samples.record(name=NAME, runtime=runtime), backend="supervisord", sealed=False
        )
        made: tuple[Step, ...] = (
            steps.WriteRecord(path=str(self.paths.record), text=encode_record(record)),
            steps.MakeState(path=str(self.paths.state)),
            steps.MakeShell(shell=str(self.paths.shell), scratch=str(self.paths.scratch), fresh=True),
        )
        plan = Plan(operation="create", name=NAME, backend="supervisord", steps=made, commit=len(made))
        Transaction(context=self.context, plan=plan, progress=lambda _step: None).run()
        self.write("openclaw.json", '{"gateway": {}}\n')
        Path(self.paths.secrets).write_text("ONE_API_KEY=sk-PLANTED\n")

    def node(self, more: str = "") -> None:
        path = self.home / "node"
        path.write_text(NODE.format(python=sys.executable, more=more))
        path.chmod(0o755)

    def write(self, path: str, text: str) -> Path:
        file = self.state / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    @contextlib.contextmanager
    def database(self, path: str, rows: int = 100) -> Iterator[sqlite3.Connection]:
        """Yield an open database whose rows are in its write-ahead log and nowhere else."""
        file = self.state / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(file, check_same_thread=False)) as database:
            database.execute("pragma journal_mode = wal")
            database.execute("pragma wal_autocheckpoint = 0")
            database.execute("create table if not exists notes (line text)")
            database.executemany("insert into notes values (?)", [(f"row {n}",) for n in range(rows)])
            database.commit()
            yield database

    def backup(self, **options: object) -> Backup:
        return backup(self.context, NAME, Request(**options))  # type: ignore[arg-type]

    def extract(self, made: Backup, identities: tuple[object, ...] = ()) -> tuple[Contents, Path]:
        into = self.home / f"out-{random.getrandbits(40):x}"
        contents = archive.extract(
            PurePosixPath(made.path), PurePosixPath(into), identities=identities, free_bytes=2**32
        )
        return contents, into / "state"

    def leftovers(self) -> list[str]:
        """Return what a backup that is over has no use for any more."""
        backups = self.home / "backups"
        files = [path.name for path in backups.iterdir()] if backups.is_dir() else []
        beside = [name for name in files if parse_backup_file(name) is None]
        return [*beside, *(path.name for path in self.state.glob(".ocm-*"))]


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = Instance(tmp_path)
    made.create()
    return made


def rows(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as database:
        count: int = database.execute("select count(*) from notes").fetchone()[0]
        return count


def test_a_backup_holds_what_is_in_the_log_of_an_open_database(instance: Instance) -> None:
    with instance.database(STATE_DATABASE), instance.database(AGENT_DATABASE, 3000):
        assert (instance.state / AGENT_DATABASE).stat().st_size <= 4096
        made = instance.backup()
    contents, state = instance.extract(made)
    assert (rows(state / STATE_DATABASE), rows(state / AGENT_DATABASE)) == (100, 3000)
    assert sorted(contents.manifest.databases) == [f"state/{AGENT_DATABASE}", f"state/{STATE_DATABASE}"]
    assert sorted(path.name for path in state.rglob("*") if path.is_file()) == [
        "openclaw-agent.sqlite",
        "openclaw.json",
        "openclaw.sqlite",
    ]
    assert contents.secrets == b"ONE_API_KEY=sk-PLANTED\n"
    assert contents.record == Path(instance.paths.record).read_text()
    assert contents.header.openclaw == "2026.9.6"
    assert (made.databases, made.files, made.encrypted) == (2, 1, False)
    assert made.size_bytes == Path(made.path).stat().st_size
    assert stat.S_IMODE(Path(made.path).stat().st_mode) == 0o600
    assert stat.S_IMODE((instance.home / "backups").stat().st_mode) == 0o700
    assert instance.leftovers() == []
    assert "copying databases" in instance.said


def test_a_database_that_is_written_to_meanwhile_is_copied_as_of_one_moment(instance: Instance) -> None:
    """Each transaction moves a unit from one table to another: a copy of two moments has another sum."""
    with instance.database(AGENT_DATABASE, 20_000) as database:
        database.execute("create table accounts (name text, units int)")
        database.executemany("insert into accounts values (?, 1000)", [("a",), ("b",)])
        database.commit()
        # A process of its own, as a gateway is: whoever closes a file gives up what his process locked of it.
        argv = [sys.executable, "-c", WRITER, str(instance.state / AGENT_DATABASE)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"begun\n"
            try:
                made = [instance.backup(output=instance.home / f"{n}.tar.gz") for n in range(2)]
            finally:
                # It ends with its input.
                writer.communicate()
            assert writer.returncode == 0
    written = []
    for one in made:
        _, state = instance.extract(one)
        written.append(rows(state / AGENT_DATABASE))
        path = (state / AGENT_DATABASE).as_uri()
        with contextlib.closing(sqlite3.connect(f"{path}?immutable=1", uri=True)) as copy:
            assert copy.execute("select sum(units) from accounts").fetchone() == (2000,)
    assert 20_000 < written[0] < written[1]


def test_the_same_state_gives_the_same_bytes(instance: Instance) -> None:
    instance.write("workspace/NOTES.md", "remember\n")
    with instance.database(STATE_DATABASE):
        pass
    for form in ("gz", "zst"):
        one, two = (instance.backup(output=instance.home / f"{n}.{form}", form=form) for n in range(2))
        assert Path(one.path).read_bytes() == Path(two.path).read_bytes()


def test_what_an_instance_may_put_there_comes_along_or_is_told(instance: Instance) -> None:
    secret = instance.home / ".openclaw"
    secret.mkdir()
    (secret / "openclaw.json").write_text("PLANTED main")
    instance.write("cache/x", "PLANTED cache")
    instance.write("logs/gateway.log", "PLANTED log")
    instance.write("openclaw.json.lock", "PLANTED lock")
    instance.write("workspace/yarn.lock", "kept")
    instance.write("workspace/a\nb", "PLANTED name")
    (instance.state / os.fsdecode(b"workspace/\xff")).write_text("PLANTED bytes")
    os.mkfifo(instance.state / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"{instance.state}/socket")
    for name, target in {
        "shadow": "/etc/shadow",
        "main": "../.openclaw/openclaw.json",
        "up": "workspace/../../.openclaw",
        "own": str(instance.state / "workspace/yarn.lock"),
        "near": "workspace",
        "broken": "nothing",
    }.items():
        (instance.state / name).symlink_to(target)
    made = instance.backup()
    _, state = instance.extract(made)
    found = snapshot(state)
    assert {path: content for path, (_mode, content) in found.items()} == {
        "broken": "nothing",
        "credentials": None,
        "near": "workspace",
        "openclaw.json": b'{"gateway": {}}\n',
        "own": "workspace/yarn.lock",
        "workspace": None,
        "workspace/yarn.lock": b"kept",
    }
    assert made.left_out == {
        "links out of the state": 3,
        "made anew by OpenClaw": 2,
        "names that no archive can hold": 2,
        "sockets, pipes and devices": 2,
        "temporary": 1,
    }
    assert "left out: state/shadow (links out of the state)" in made.notes
    assert all("\n" not in note and note.isprintable() for note in made.notes)


# A lease that another holds, a disk that fails, a server of files that is away, a mode.
FAILING = (errno.EWOULDBLOCK, errno.EIO, errno.ESTALE, errno.EACCES)


@contextlib.contextmanager
def failing(name: str, number: int, call: str = "open") -> Iterator[None]:
    """Have a call of `os` fail for the files and directories of a name."""
    true = getattr(os, call)

    def refuse(path: object, *arguments: object, **options: object) -> object:
        if path == name:
            raise OSError(number, os.strerror(number), name)
        return true(path, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, call, refuse)
        yield


@pytest.mark.parametrize("number", FAILING)
@pytest.mark.parametrize("call", ["open", "stat"])
def test_what_cannot_be_read_is_told(instance: Instance, call: str, number: int) -> None:
    instance.write("workspace/closed", "x")
    with failing("closed", number, call):
        made = instance.backup()
    assert made.left_out == {**REMADE, "cannot be read": 1}
    assert made.notes == ("left out: state/workspace/closed (cannot be read)",)


def test_what_is_under_a_lease_is_told_or_makes_no_backup(instance: Instance) -> None:
    with leased(instance.write("workspace/held", "x")):
        assert instance.backup().notes == ("left out: state/workspace/held (cannot be read)",)
    with (
        leased(Path(instance.state, "openclaw.json")),
        pytest.raises(OcmError, match=r"openclaw\.json cannot be read: Resource temp") as caught,
    ):
        instance.backup()
    assert caught.value.code == "backup_failed"


@pytest.mark.parametrize("number", FAILING)
def test_a_directory_that_cannot_be_read_is_told(instance: Instance, number: int) -> None:
    instance.write("workspace/closed/file", "x")
    with failing("closed", number):
        made = instance.backup()
    assert made.notes == ("left out: state/workspace/closed (cannot be read)",)


@pytest.mark.parametrize("number", FAILING)
@pytest.mark.parametrize("name", ["openclaw.json", "agents.json5", "openclaw.sqlite"])
def test_without_what_a_restore_needs_there_is_no_backup(instance: Instance, name: str, number: int) -> None:
    instance.write("openclaw.json", '{"agents": {"$include": "./parts/agents.json5"}}')
    instance.write("parts/agents.json5", "{}")
    with instance.database(STATE_DATABASE):
        for call in ("open", "stat"):
            with (
                failing(name, number, call),
                pytest.raises(OcmError, match=f"{name} cannot be read: ") as caught,
            ):
                instance.backup()
            assert caught.value.code == "backup_failed"
    assert instance.leftovers() == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "has no config"),
        ("{ broken", "not valid JSON5"),
        (Path("other.json"), "openclaw.json is a link"),
    ],
    ids=["missing", "broken", "link"],
)
def test_without_a_config_that_a_restore_takes_there_is_no_backup(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, content: str | Path | None, why: str
) -> None:
    config = instance.write("openclaw.json", "{}")
    config.unlink()
    instance.write("other.json", "{}")
    if isinstance(content, Path):
        config.symlink_to(content)
    elif content is not None:
        config.write_text(content)
    for dry_run in (True, False):
        with pytest.raises(OcmError, match=why) as caught:
            instance.backup(dry_run=dry_run)
        assert caught.value.code == "backup_failed"
    # One that an instance takes away after the look is found when what was written is read back.
    monkeypatch.setattr(making, "_refuse_unrestorable", lambda _paths: None)
    with pytest.raises(OcmError, match=r"^what was written is no backup that can be restored: ") as caught:
        instance.backup()
    assert caught.value.code == "backup_failed"
    assert instance.leftovers() == []
    assert list_backups(instance.context.host) == ()


def test_what_fails_while_it_is_read_is_told(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    instance.write("workspace/broken", "x" * 100)
    true = system_snapshot._read

    def refuse(source: IO[bytes], size: int) -> bytes:
        if Path(f"/proc/self/fd/{source.fileno()}").readlink().name == "broken":
            raise taking.Unreadable("Input/output error")
        return true(source, size)

    monkeypatch.setattr(system_snapshot, "_read", refuse)
    assert instance.backup().notes == ("left out: state/workspace/broken (cannot be read)",)


@pytest.mark.parametrize(
    ("name", "reason"), [("d" * 20, "names that no archive can hold"), ("d", "too deep")]
)
def test_a_tree_deeper_than_any_path_does_no_harm(instance: Instance, name: str, reason: str) -> None:
    directory = os.open(instance.state, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir(name, dir_fd=directory)
        below = os.open(name, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)
    try:
        made = instance.backup()
        assert made.left_out == {**REMADE, reason: 1}
        assert archive.verify(PurePosixPath(made.path), PurePosixPath(instance.home / "scratch"))
    finally:
        # pytest's own clean-up is not up to it.
        remove_tree(PurePosixPath(instance.state))


def test_databases_of_an_agents_own_fall_back_to_a_plain_copy(instance: Instance) -> None:
    instance.write("workspace/fake.db", "SQLite format 3\0" + "nonsense" * 1000)
    with instance.database("workspace/mine.db"):
        made = instance.backup()
    contents, state = instance.extract(made)
    assert contents.manifest.databases == ("state/workspace/mine.db",)
    assert rows(state / "workspace/mine.db") == 100
    assert (state / "workspace/fake.db").read_text().endswith("nonsense")
    assert "fake.db was copied as a plain file" in made.notes[0]


def test_any_number_of_databases_is_checked_by_one_process(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own ones once more as they are read back, and when they are verified and restored."""
    true, begun = Runner.companion, 0

    def companion(
        runner: Runner, argv: tuple[str, ...]
    ) -> AbstractContextManager[tuple[IO[bytes], IO[bytes]]]:
        nonlocal begun
        begun += 1
        return true(runner, argv)

    monkeypatch.setattr(Runner, "companion", companion)
    for count, path in enumerate((STATE_DATABASE, *(f"a/{number}.sqlite" for number in range(5)))):
        with instance.database(path, rows=count):
            pass
    asked = instance.home / "asked"
    instance.node(f"open({str(asked)!r}, 'w').write('\\n'.join(request['paths']))")
    made = instance.backup()
    assert made.databases == 6
    assert asked.read_text().splitlines()[0] == f"./{STATE_DATABASE}"
    assert begun == 2
    verify(instance.context, PurePosixPath(made.path), ())
    instance.extract(made)
    assert begun == 4


def test_a_damaged_database_of_openclaws_own_makes_no_backup(instance: Instance) -> None:
    instance.write(STATE_DATABASE, "SQLite format 3\0" + "nonsense" * 1000)
    with pytest.raises(OcmError, match=r"state/state/openclaw\.sqlite of kept[0-9]+ could not be copied"):
        instance.backup()
    assert (list_backups(instance.context.host), instance.leftovers()) == ((), [])


def test_a_copy_that_sqlite_finds_fault_with_makes_no_backup(instance: Instance) -> None:
    with instance.database(STATE_DATABASE, 5000):
        pass
    # What the program in the sandbox says counts for nothing: here it has spoilt what it made.
    instance.node(
        "file = open(f\"{request['into']}/0\", 'r+b')\nfile.seek(9000)\nfile.write(b'\\xff' * 3000)\n"
    )
    with pytest.raises(OcmError, match="is damaged") as error:
        instance.backup()
    assert error.value.code == "backup_failed"
    assert ".ocm" not in error.value.message
    assert (list_backups(instance.context.host), instance.leftovers()) == ((), [])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("sys.exit('out of memory')", "could not be copied: .* out of memory"),
        ("shutil.rmtree(request['into'])", "taken away"),
        ("os.unlink(f\"{request['into']}/0\")", "taken away"),
        (
            "os.unlink(f\"{request['into']}/0\"); os.symlink('/etc/passwd', f\"{request['into']}/0\")",
            "taken away",
        ),
        ("os.unlink(f\"{request['into']}/0\"); os.mkfifo(f\"{request['into']}/0\")", "taken away"),
        ("import signal; signal.signal(2, signal.SIG_DFL); print('x' * 4_500_000)", "printed more than"),
        ("print(json.dumps({'index': 0, 'problem': 'a' + chr(27) + 'b'}))", "could not be copied: a b"),
    ],
)
def test_a_program_in_the_sandbox_that_lies_makes_no_backup(
    instance: Instance, more: str, message: str
) -> None:
    with instance.database(STATE_DATABASE):
        pass
    instance.node(more)
    with pytest.raises(OcmError, match=message):
        instance.backup()
    assert (list_backups(instance.context.host), instance.leftovers()) == ((), [])


def test_copies_that_share_a_file_are_each_taken_from_their_place(instance: Instance) -> None:
    paths = (STATE_DATABASE, *(f"workspace/{number}.sqlite" for number in range(3)))
    for count, path in enumerate(paths):
        with instance.database(path, rows=400 * count):
            pass
    instance.node(SHARED)
    made = instance.backup()
    assert (made.databases, made.notes, instance.leftovers()) == (4, (), [])
    _, state = instance.extract(made)
    for count, path in enumerate(paths):
        with contextlib.closing(sqlite3.connect(state / path)) as database:
            assert database.execute("select count(*) from notes").fetchone() == (400 * count,)


@pytest.mark.parametrize("place", ["[0, 5000]", "[4096, 10 ** 12]", "[512, 8192]"])
def test_a_place_that_is_none_of_a_copy_is_found_out(instance: Instance, place: str) -> None:
    for path in (STATE_DATABASE, "workspace/one.sqlite"):
        with instance.database(path, rows=400):
            pass
    lie = f"print(json.dumps({{'index': %d, 'problem': None, 'place': {place}}}))"
    instance.node(SHARED + lie % 1)
    made = instance.backup()
    assert made.databases == 1
    (note,) = made.notes
    assert "workspace/one.sqlite is kept as a plain file, for SQLite finds fault with it" in note
    instance.node(SHARED + lie % 0)
    with pytest.raises(OcmError, match=r"damaged|is a database and not listed|is no database"):
        instance.backup()


def test_answers_that_are_none_count_for_nothing(instance: Instance) -> None:
    with instance.database(STATE_DATABASE):
        pass
    instance.node("print('[]'); print('{\"index\": 99, \"problem\": null}'); print('[' * 100000)")
    assert instance.backup().databases == 1


def test_plugins_are_listed_for_they_are_installed_again(instance: Instance) -> None:
    with instance.database(STATE_DATABASE):
        pass
    told = {
        "name": "discord",
        "package": "@openclaw/discord",
        "version": "2026.9.6",
        "path": "npm/projects/x",
    }
    instance.node(f"print(json.dumps({{'plugins': [{told}]}}))")
    made = instance.backup()
    assert made.plugins == ("@openclaw/discord 2026.9.6",)
    assert instance.extract(made)[0].manifest.plugins[0].path == "npm/projects/x"


def test_a_file_of_holes_comes_back_with_them(instance: Instance) -> None:
    path = instance.write("workspace/disk.img", "")
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(2**20 + 5)
        file.write(b"middle" * 100_000)
        file.truncate(2**33)
    instance.write("workspace/zeros", "\0" * 2**21)
    instance.write("workspace/few", "x" + "\0" * 2**19)
    made = instance.backup()
    assert made.size_bytes < 2**20
    assert not made.notes
    _, state = instance.extract(made)
    found = state / "workspace/disk.img"
    assert (found.stat().st_size, found.stat().st_blocks < 2**12) == (2**33, True)
    with path.open("rb") as one, found.open("rb") as other:
        assert one.read(2**22) == other.read(2**22)
    assert (state / "workspace/zeros").read_bytes() == bytes(2**21)
    assert (state / "workspace/few").read_bytes() == b"x" + bytes(2**19)
    # Whoever has no OCM any more has tar.
    subprocess.run(["tar", "-xf", made.path, "-C", instance.home, "state/workspace"], check=True)
    again = instance.home / "state/workspace/disk.img"
    assert again.stat().st_size == 2**33
    with path.open("rb") as one, again.open("rb") as other:
        assert one.read(2**22) == other.read(2**22)


def test_a_file_of_one_hole_larger_than_any_archive_has_is_left_out(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holes, "MAX_REAL", 2**30)
    os.truncate(instance.write("workspace/disk.img", ""), 2**30 + 1)
    made = instance.backup()
    assert [one.path for one in made.left_out_paths if one.path == "workspace/disk.img"]
    assert not (instance.extract(made)[1] / "workspace/disk.img").exists()


def test_what_the_disk_cannot_hold_is_left_out_and_the_rest_is_kept(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.write("workspace/large", "x" * 300_000)
    instance.write("workspace/NOTES.md", "kept")
    true = os.fstatvfs

    def small(descriptor: int) -> os.statvfs_result:
        found = list(true(descriptor))
        found[1:3] = [1, 200_000]
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "fstatvfs", small)
    made = instance.backup()
    assert made.notes == ("left out: state/workspace/large (larger than what is left of its disk)",)
    assert (instance.extract(made)[1] / "workspace/NOTES.md").read_text() == "kept"


def test_where_there_is_no_room_the_largest_file_is_named(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.write("workspace/my video", "x" * 3_000_000)

    def full(*_arguments: object, **_options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(making, "write_backup", full)
    with pytest.raises(OcmError, match="no room") as caught:
        instance.backup()
    assert caught.value.code == "no_space"
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("(3 MB): --exclude 'workspace/my video'")


def test_what_is_excluded_or_a_cache_is_left_out_and_told(instance: Instance) -> None:
    for path in ("workspace/videos/a", "workspace/b.img", "workspace/target/x", "workspace/false/x"):
        instance.write(path, "x")
    signature = "Signature: 8a477f597d28d172789f06886806bc55\n# made by cargo"
    for path in ("workspace/target", "workspace", "agents/main/agent"):
        instance.write(f"{path}/CACHEDIR.TAG", signature)
    instance.write("workspace/false/CACHEDIR.TAG", "Signature: none")
    (instance.state / "workspace/linked").mkdir()
    (instance.state / "workspace/linked/CACHEDIR.TAG").symlink_to("../target/CACHEDIR.TAG")
    exclude = ("*.img", "workspace/videos", "nowhere", "openclaw.json")
    planned, made = (instance.backup(exclude=exclude, dry_run=dry_run) for dry_run in (True, False))
    assert made.left_out == {
        **REMADE,
        "excluded by *.img": 1,
        "excluded by workspace/videos": 1,
        "marked as a cache by CACHEDIR.TAG": 1,
    }
    assert [(one.path, one.reason) for one in made.left_out_paths] == [
        ("cache", "made anew by OpenClaw"),
        ("logs", "made anew by OpenClaw"),
        ("workspace/b.img", "excluded by *.img"),
        ("workspace/target", "marked as a cache by CACHEDIR.TAG"),
        ("workspace/videos", "excluded by workspace/videos"),
    ]
    assert made.notes == (
        "--exclude nowhere leaves out nothing: there is no such file or directory",
        "--exclude openclaw.json does not leave out openclaw.json, which a restore needs",
    )
    assert (planned.left_out, planned.left_out_paths, planned.notes) == (
        made.left_out,
        made.left_out_paths,
        made.notes,
    )
    assert (instance.extract(made)[1] / "agents/main/agent/CACHEDIR.TAG").exists()


def test_environments_of_installed_programs_are_no_caches_whatever_uv_marks(instance: Instance) -> None:
    tagged = ("uv/tools/httpie", "uv/tools", "pipx/venvs/black", "pipx/.cache")
    for path in tagged:
        instance.write(f"programs/{path}/bin/run", "x")
        instance.write(f"programs/{path}/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
    made = instance.backup()
    state = instance.extract(made)[1]
    kept = [path for path in tagged if (state / "programs" / path / "bin/run").is_file()]
    assert kept == ["uv/tools/httpie", "uv/tools", "pipx/venvs/black"]


def test_workspaces_that_the_config_names_are_kept_whole(instance: Instance) -> None:
    entries = {"coder": {"workspace": f"{instance.state}/projects/app"}, "dev": {"workspace": "/data/dev"}}
    instance.write(
        "openclaw.json", json.dumps({"agents": {"entries": entries, "$include": "parts/more.json5"}})
    )
    instance.write("parts/more.json5", json.dumps({"list": [{"workspace": f"{instance.state}/dev"}]}))
    for path in ("projects/app/Cargo.lock", "projects/app/tools/x", "dev/NOTES.md", "dev/b.lock", "tools/x"):
        instance.write(path, "kept")
    (instance.state / "projects/app/python3").symlink_to("/usr/bin/python3")
    made = instance.backup()
    assert made.notes == ("left out, for it lies outside of the state: a workspace, /data/dev",)
    assert made.left_out == {"made anew by OpenClaw": 3}
    found = snapshot(instance.extract(made)[1])
    assert {path for path, (_mode, content) in found.items() if content == b"kept"} == {
        "dev/NOTES.md",
        "dev/b.lock",
        "projects/app/Cargo.lock",
        "projects/app/tools/x",
    }
    assert found["projects/app/python3"][1] == "/usr/bin/python3"


def test_an_archive_of_an_empty_database_is_not_called_whole(instance: Instance, tmp_path: Path) -> None:
    state = {**tree(tmp_path), "state/state/openclaw.sqlite": b""}
    path = PurePosixPath(write_archive(tmp_path / "a", state))
    with pytest.raises(OcmError, match=r"not whole: state/state/openclaw\.sqlite in it is empty"):
        verify(instance.context, path, ())


@pytest.mark.parametrize("content", ["", "no database"])
@pytest.mark.parametrize("path", [STATE_DATABASE, AGENT_DATABASE])
def test_a_database_of_openclaws_that_is_none_makes_no_backup(
    instance: Instance, path: str, content: str
) -> None:
    instance.write(path, content)
    with pytest.raises(OcmError, match=f"{path} of {NAME} is damaged: it is empty") as caught:
        instance.backup()
    assert caught.value.code == "backup_failed"
    assert instance.leftovers() == []


def test_more_than_an_archive_holds_is_refused_before_it_is_read(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        instance.write(f"workspace/{number // 10}/{number}", "")
    monkeypatch.setattr(system_snapshot, "_MAX_NAMES", 40)
    with pytest.raises(OcmError, match="more than 40 files in the state") as error:
        instance.backup()
    assert error.value.code == "state_too_large"
    assert instance.leftovers() == []


def test_a_time_in_the_future_is_not_waited_for(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    path = instance.write("workspace/file", "from tomorrow")
    tomorrow = time.time() + 86400
    os.utime(path, (tomorrow, tomorrow))
    # Until the change itself is one of an earlier tick.
    time.sleep(2 * system_snapshot._TICK_SECONDS)
    monkeypatch.setattr(time, "sleep", lambda _seconds: pytest.fail("it waits"))
    with (
        files.open_state(PurePosixPath(path.parent)) as directory,
        taking.copied(InDirectory(directory, path.name), instance.paths.state, limit=100) as copy,
    ):
        assert copy is not None
        assert (copy.steady, copy.file.read()) == (True, b"from tomorrow")


class Interrupted:
    """A file being read, to which somebody writes after the first chunk."""

    def __init__(self, source: IO[bytes], write: Callable[[], object]) -> None:
        self._source = source
        self._write: Callable[[], object] | None = write
        self.fileno = source.fileno

    def read(self, size: int) -> bytes:
        data = self._source.read(min(size, 1000))
        if self._write is not None:
            self._write()
            self._write = None
        return data


def test_what_is_written_to_each_time_it_is_read_is_told(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = instance.write("workspace/log", "line\n" * 1000)
    true = system_snapshot._pieces

    def pieces(source: IO[bytes], begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        if not os.path.samestat(os.fstat(source.fileno()), path.stat()):
            return true(source, begin, end)
        interrupted = Interrupted(source, lambda: append(path, "more\n"))
        return true(cast("IO[bytes]", interrupted), begin, end)

    monkeypatch.setattr(system_snapshot, "_pieces", pieces)
    made = instance.backup()
    assert made.notes == ("state/workspace/log changed each time it was read",)
    _, state = instance.extract(made)
    assert (state / "workspace/log").read_text() == "line\n" * 1000 + "more\n" * 4


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_what_is_written_to_while_it_is_read_is_read_again(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = instance.write("workspace/log", "old " * 100_000)
    true, attempts = system_snapshot._pieces, []

    def pieces(source: IO[bytes], begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        if not os.path.samestat(os.fstat(source.fileno()), path.stat()):
            return true(source, begin, end)
        attempts.append(source)
        if len(attempts) > 1:
            return true(source, begin, end)
        interrupted = Interrupted(source, lambda: path.write_text("new " * 100_000))
        return true(cast("IO[bytes]", interrupted), begin, end)

    monkeypatch.setattr(system_snapshot, "_pieces", pieces)
    made = instance.backup()
    assert len(attempts) == 2
    assert made.notes == ()
    _, state = instance.extract(made)
    assert (state / "workspace/log").read_text() == "new " * 100_000


def test_an_encrypted_backup_is_read_back_and_opened_by_its_key_only(
    instance: Instance, tmp_path: Path
) -> None:
    identity, recipient = age.momentary()
    with instance.database(STATE_DATABASE):
        made = instance.backup(recipients=(recipient,), form="zst")
    assert made.path.endswith(".tar.zst.age")
    data = Path(made.path).read_bytes()
    assert b"PLANTED" not in data
    assert NAME.encode() not in data
    contents, state = instance.extract(made, (identity,))
    assert contents.secrets == b"ONE_API_KEY=sk-PLANTED\n"
    assert rows(state / STATE_DATABASE) == 100
    key = tmp_path / "key.txt"
    key.write_text(f"# a comment\n{identity}\n")
    assert len(age.read_identities(PurePosixPath(key))) == 1
    assert instance.leftovers() == []


def test_what_was_left_by_a_backup_that_was_killed_is_removed(instance: Instance) -> None:
    backups = instance.home / "backups"
    backups.mkdir()
    ours = backups / f".{NAME}-20260101T000000Z.0123456789ab.ocm"
    ours.mkdir()
    (ours / "x").write_text("x")
    (backups / f".{NAME}-20260101T000000Z.0123456789ac.ocm").write_text("x")
    others = [f".{NAME}0-20260101T000000Z.0123456789ab.ocm", f"{NAME}-20260101T000000Z.tar.gz", "mine"]
    for name in others:
        (backups / name).write_text("x")
    made = instance.backup()
    assert sorted(path.name for path in backups.iterdir()) == sorted([*others, Path(made.path).name])


def test_what_was_left_is_told_while_nothing_is_under_way(instance: Instance) -> None:
    host = instance.context.host
    assert cut_off(host) == ()
    backups = instance.home / "backups"
    backups.mkdir()
    left = backups / f".{NAME}-20261122T030000Z.0123456789ab.ocm"
    left.write_text("half")
    (backups / ".mine-20261122T030000Z.ocm").write_text("the user's own")
    scratch = Path(host.paths.ocm_state) / "tmp" / "@verify"
    scratch.mkdir()
    assert cut_off(host) == (str(scratch), str(left))
    with changing(instance.context, NAME), lock(host.paths.locks / "@verify.lock", "it"):
        assert cut_off(host) == ()


def test_what_was_just_made_stays_whatever_the_clock_once_was(instance: Instance) -> None:
    made = PurePosixPath(instance.backup().path)
    later = Path(made.parent) / f"{NAME}-20990101T000000Z.tar.gz"
    later.write_text("made when the clock was wrong")
    pruned = prune(instance.context.host, NAME, LAST, dry_run=False, spare=made)
    assert pruned.removed == ()
    assert prune(instance.context.host, NAME, LAST, dry_run=True).removed == (str(made),)


def test_an_existing_file_is_never_replaced(instance: Instance) -> None:
    path = instance.home / "mine.tar.gz"
    path.write_text("precious")
    with pytest.raises(OcmError, match="is there already"):
        instance.backup(output=PurePosixPath(path))
    assert path.read_text() == "precious"


def test_two_backups_in_the_same_second_have_names_of_their_own(instance: Instance) -> None:
    paths = [instance.backup().path for _ in range(3)]
    assert len(set(paths)) == 3
    assert paths == sorted(paths)


def test_an_archive_within_the_instances_own_reach_is_refused(instance: Instance) -> None:
    (instance.home / "link").symlink_to(instance.state / "workspace")
    instance.write("workspace/x", "x")
    other = instance.home / ".openclaw-other"
    other.mkdir()
    record = instance.context.host.paths.records / "other.toml"
    Path(record).write_text("whatever it says")
    out = instance.state / "workspace" / "out"
    out.symlink_to(instance.home)
    for directory in (instance.state, instance.state / "workspace", instance.home / "link", other, out):
        for output in (directory, directory / "mine.tar.gz"):
            with pytest.raises(OcmError, match="lies in the state"):
                instance.backup(output=PurePosixPath(output))


def test_a_dry_run_makes_nothing(instance: Instance) -> None:
    with instance.database(STATE_DATABASE):
        before = snapshot(instance.home)
        told = instance.backup(dry_run=True)
        assert {k: v for k, v in snapshot(instance.home).items() if ".local/state" not in k} == {
            k: v for k, v in before.items() if ".local/state" not in k
        }
    assert (told.dry_run, told.databases, told.files, told.size_bytes) == (True, 1, 1, 0)


def test_a_corrupt_record_is_a_clear_error(instance: Instance) -> None:
    Path(instance.paths.record).write_text("port = ")
    with pytest.raises(OcmError, match=r"kept[0-9]+\.toml is corrupt") as error:
        instance.backup()
    assert error.value.code == "record_corrupt"


def test_one_who_changes_the_instance_keeps_a_backup_from_it(instance: Instance) -> None:
    path = instance.context.host.paths.locks / f"{NAME}.lock"
    with lock(path, NAME), pytest.raises(OcmError, match="another ocm"):
        instance.backup(patience_seconds=0)


def test_backups_are_listed_checked_and_pruned(instance: Instance) -> None:
    host = instance.context.host
    assert list_backups(host) == ()
    made = instance.backup()
    (found,) = list_backups(host)
    assert (found.path, found.size_bytes, found.name) == (made.path, made.size_bytes, NAME)
    (one,) = archives_of(host, [NAME])
    assert one == PurePosixPath(made.path)
    checked = verify(instance.context, one, ())
    assert (checked.name, checked.files, checked.databases) == (NAME, made.files, made.databases)
    with pytest.raises(OcmError, match="no backup of other"):
        archives_of(host, ["other"])
    backups = instance.home / "backups"
    for name in (f"{NAME}-20260101T000000Z.tar.gz", "worker2-20260101T000000Z.tar.gz", f"{NAME}-notes.txt"):
        (backups / name).write_text("x")
    (backups / f"{NAME}-20250101T000000Z.tar.gz").mkdir()
    assert names_with_backups(host) == (NAME, "worker2")
    with pytest.raises(OcmError, match="no backup that can be used"):
        verify(instance.context, PurePosixPath(backups / "worker2-20260101T000000Z.tar.gz"), ())
    told = prune(host, NAME, LAST, dry_run=True)
    assert told.removed == (str(backups / f"{NAME}-20260101T000000Z.tar.gz"),)
    assert told.kept == (made.path,)
    before = set(backups.iterdir())
    assert prune(host, NAME, LAST, dry_run=False).removed == told.removed
    assert before - set(backups.iterdir()) == {backups / f"{NAME}-20260101T000000Z.tar.gz"}
    assert json.loads(msgspec.json.encode(told))["kept"] == [made.path]
