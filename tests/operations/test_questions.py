"""How often one command asks the same: what it reads, and what it asks of backend, timers, UFW and main."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import msgspec
import pyrage
import pytest
from tests import archives
from tests.backends import fake
from tests.backends.fake import FakeTimers, World, world_of
from tests.backends.home import Home, make_home

from openclaw_ocm.backends import registry
from openclaw_ocm.core.firewall import Firewall
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.openclaw.settings import initial_config
from openclaw_ocm.core.ports import CDP_OFFSET
from openclaw_ocm.core.record import Schedule
from openclaw_ocm.instances import inheritance
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.clone import clone
from openclaw_ocm.operations.create import Wanted, create
from openclaw_ocm.operations.doctor import examine
from openclaw_ocm.operations.planning.repair import Effort
from openclaw_ocm.operations.planning.staging import RestoreRequest
from openclaw_ocm.operations.rename import rename
from openclaw_ocm.operations.restore import name_of, restore
from openclaw_ocm.operations.start import start
from openclaw_ocm.operations.status import observe, status
from openclaw_ocm.system import processes, ufw
from openclaw_ocm.system.archive import age
from openclaw_ocm.system.files import write_file
from openclaw_ocm.system.kept import records
from openclaw_ocm.system.kept.records import encode_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context

ONE, TWO, NEW = map(parse_name, ("one", "two", "new"))
EFFORT = Effort(timeout_seconds=1)
# What is asked to judge one that is up.
HEALTH = {"ask": 1, "strangers": 1}
# The paths that are opened for reading while somebody counts; a hook cannot be taken away again.
_COUNTING: list[Counter[str]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _COUNTING:
        path, _mode, flags = arguments
        if isinstance(path, (str, os.PathLike)) and flags & os.O_ACCMODE == os.O_RDONLY:
            _COUNTING[-1][os.fspath(path)] += 1


sys.addaudithook(_hook)


@dataclass(kw_only=True)
class Asked:
    """How often what was asked in a block: `read` by path, the rest by a word."""

    read: Counter[str] = field(default_factory=Counter)
    of: Counter[str] = field(default_factory=Counter)


@dataclass(kw_only=True)
class Place:
    """A home with instances of the fake backend, and the counts of what is asked there."""

    home: Home[Backend]
    counts: Counter[str] = field(default_factory=Counter)
    firewall: Firewall = field(default_factory=lambda: Firewall(installed=False))

    @property
    def context(self) -> Context:
        return self.home.context()

    @property
    def world(self) -> World:
        return world_of(self.home.host)

    def add(self, name: InstanceName, *, port: int, every: str | None = None) -> None:
        """Make an instance with a record."""
        self.home.make(name, sealed=False)
        schedule = None if every is None else Schedule(every=every)
        record = msgspec.structs.replace(self.home.record(name, sealed=False), port=port, backups=schedule)
        made = instance_of(self.context, record)
        write_file(made.paths.record, encode_record(record).encode())
        write_file(made.definition.path, made.definition.text.encode())
        config = initial_config(made.paths, port=port, cdp_port=port + CDP_OFFSET, token="t", model=None)
        write_file(made.paths.config, format_config(config))

    def record(self, name: InstanceName) -> str:
        return str(self.home.host.instance(name).record)

    @contextlib.contextmanager
    def asked(self) -> Iterator[Asked]:
        """Count what is asked in the block."""
        found = Asked()
        self.world.calls.clear()
        self.counts.clear()
        # A command is a process of its own.
        records._record_of.cache_clear()
        _COUNTING.append(found.read)
        try:
            yield found
        finally:
            _COUNTING.pop()
            found.of.update(self.counts)
            found.of.update(method for method, _names in self.world.calls if method != "timers")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setitem(registry.BACKENDS, fake.NAME, fake.REGISTERED)
    made = Place(home=make_home(fake.NAME, tmp_path))

    def count(owner: object, name: str, word: str) -> None:
        real = getattr(owner, name)

        def counting(*arguments: object, **options: object) -> object:
            made.counts[word] += 1
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, counting)

    monkeypatch.setattr(ufw, "observe", lambda _host: made.firewall)
    monkeypatch.setattr(processes, "can_bind", lambda _port: True)
    count(ufw, "observe", "ufw")
    count(FakeTimers, "observe", "when")
    count(inheritance, "read_main_source", "main")
    count(inheritance, "read_instance_source", "source")
    made.add(ONE, port=19001, every="daily")
    made.context.backend.timers().set({ONE: "daily"})
    return made


def test_status_reads_the_record_once_and_asks_backend_and_timers_once(place: Place) -> None:
    place.context.backend.start([ONE])
    with place.asked() as asked:
        found = status(place.context, ONE)
    assert (found.row.state, found.backups is not None, found.drift) == ("ready", True, ())
    assert asked.read[place.record(ONE)] == 1
    assert asked.of == {"observe": 1, "when": 1, "definition": 1, "ufw": 1, **HEALTH}


def test_list_asks_each_backend_once_for_all(place: Place) -> None:
    place.add(TWO, port=19021, every="daily")
    with place.asked() as asked:
        rows = observe(place.context, (ONE, TWO))
    assert [row.name for row in rows] == [ONE, TWO]
    assert (asked.read[place.record(ONE)], asked.read[place.record(TWO)]) == (1, 1)
    assert asked.of == {"observe": 1, "when": 1}


def test_a_start_asks_once_whether_the_instance_runs_or_not(place: Place) -> None:
    asked_once = {"observe": 1, "when": 1, "definition": 1, "check": 1}
    with place.asked() as asked:
        steps = start(place.context, ONE, EFFORT, dry_run=True).steps
    assert len(steps) == 2
    assert (asked.read[place.record(ONE)], asked.of) == (1, asked_once)
    place.context.backend.start([ONE])
    with place.asked() as asked:
        assert start(place.context, ONE, EFFORT, dry_run=False).message == "already ready, not sealed"
    assert (asked.read[place.record(ONE)], asked.of) == (1, {**asked_once, **HEALTH, "prove": 1})


def test_a_start_renders_the_definition_once_to_write_it(place: Place) -> None:
    Path(place.context.backend.definition_path(ONE)).unlink()
    with place.asked() as asked:
        steps = start(place.context, ONE, EFFORT, dry_run=True).steps
    assert len(steps) == 4
    assert (asked.of["definition"], asked.of["observe"]) == (1, 1)


def test_a_rename_renders_the_new_definition_alone_and_asks_ufw_once(place: Place) -> None:
    place.firewall = Firewall(active=True, rules=())
    with place.asked() as asked:
        assert rename(place.context, ONE, NEW, EFFORT, dry_run=True).steps
    assert asked.read[place.record(ONE)] == 1
    assert asked.of == {"observe": 1, "definition": 1, "ufw": 1, "check": 1}


def test_doctor_reads_each_record_once(place: Place) -> None:
    place.add(TWO, port=19021)
    with place.asked() as asked:
        assert not [problem for problem in examine(place.context).problems if problem.about in (ONE, TWO)]
    assert (asked.read[place.record(ONE)], asked.read[place.record(TWO)]) == (1, 1)
    assert (asked.of["observe"], asked.of["definition"], asked.of["when"], asked.of["ufw"]) == (1, 2, 1, 1)


def main_with(place: Place, key: str) -> None:
    """Give main a provider and its key."""
    state = Path(place.home.host.paths.main_state)
    provider = {"baseUrl": "http://127.0.0.1:1/v1", "apiKey": "${A_KEY}", "models": []}
    (state / "openclaw.json").write_text(json.dumps({"models": {"providers": {"a": provider}}}))
    (state / ".env").write_text(f"A_KEY={key}\n")


def test_create_reads_main_once_and_writes_what_it_read(place: Place) -> None:
    main_with(place, "sk-then")
    wanted = Wanted(name=NEW, sealed=False, planned=place.home.record(ONE).runtime)

    def change_main(_step: str) -> None:
        main_with(place, "sk-PLANTED")

    context = replace(place.context, report=change_main)
    with place.asked() as asked:
        outcome = create(context, wanted, dry_run=False)
    assert outcome.changed
    assert asked.of["main"] == 1
    assert asked.read[str(place.home.host.paths.main_state / ".env")] == 1
    assert asked.read[str(place.home.host.paths.main_config)] == 1
    assert asked.of["definition"] == 1
    assert Path(place.home.host.instance(NEW).secrets).read_text().endswith("\nA_KEY=sk-then\n")


def test_a_clone_reads_its_source_once(place: Place) -> None:
    with place.asked() as asked:
        assert clone(place.context, ONE, NEW, EFFORT, port=None, start=False, dry_run=False).changed
    assert (asked.of["source"], asked.of["definition"]) == (1, 1)


def test_an_encrypted_archive_is_decrypted_once_by_a_restore(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, recipient = age.momentary()
    archive = encrypted(place, tmp_path, recipient)
    size, taken = archive.stat().st_size, []
    real = pyrage.decrypt_io

    def decrypt(source: IO[bytes], target: IO[bytes], identities: Sequence[object]) -> None:
        try:
            real(source, target, identities)
        finally:
            taken.append(source.tell())

    monkeypatch.setattr(pyrage, "decrypt_io", decrypt)
    request = RestoreRequest(archive=PurePosixPath(archive), replace=True, identities=(identity,))
    name = name_of(request)
    assert name == ONE
    restore(place.context, name, request, EFFORT, dry_run=True)
    beginning, whole = taken
    assert whole == size
    assert beginning < size / 3


def encrypted(place: Place, directory: Path, recipient: object) -> Path:
    """Return an encrypted backup of an instance, with much in it that cannot be compressed."""
    header = msgspec.structs.replace(
        archives.HEADER, name=ONE, state=str(place.home.host.instance(ONE).state), home=str(place.home.home)
    )
    plain = archives.write_archive(
        directory / "plain",
        {"state": None, "state/openclaw.json": b"{}", "state/much": os.urandom(6 * 2**20)},
        header=header,
        inherited=None,
        record=Path(place.record(ONE)).read_bytes(),
    )
    archive = directory / f"{ONE}-20261122T030000Z.tar.gz.age"
    with plain.open("rb") as source, archive.open("wb") as target:
        age.encrypt(source, target, [recipient])
    return archive
