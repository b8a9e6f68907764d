"""What `ocm rename`, `restore` and `clone` refuse before they touch anything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests import archives
from tests.archives import RECORD

FILE = "worker1-20261122T030000Z.tar.gz"
Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]


def error_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    (error,) = json.loads(done.stdout)["errors"]
    assert isinstance(error, dict)
    return error


def kept(home: Path) -> set[str]:
    """Return what is in the home but for OCM's empty directories and the lock of the list of ports."""
    paths = (path for path in home.rglob("*") if not path.is_dir() or path.name.startswith(".o"))
    return {str(path.relative_to(home)) for path in paths if path.name != "@host.lock"}


def add_state(home: Path, name: str) -> None:
    state = home / f".openclaw-{name}"
    state.mkdir()
    (state / "openclaw.json").write_text("{}")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return archives.write_archive(tmp_path / FILE, archives.tree(tmp_path), record=RECORD, inherited=None)


def test_a_name_cannot_be_given_twice(ocm: Run, add_record: AddRecord, home: Path) -> None:
    add_record("worker1")
    add_record("worker2")
    before = kept(home)
    assert error_of(ocm("rename", "worker1", "worker1", "--json"))["code"] == "name_invalid"
    for verb in ("rename", "clone"):
        add_state(home, "worker1") if verb == "clone" else None
        error = error_of(ocm(verb, "worker1", "worker2", "--json"))
        assert (error["code"], error["message"]) == ("exists", "there is an instance worker2 already")
    assert kept(home) >= before


@pytest.mark.parametrize("verb", ["rename", "clone"])
def test_what_is_not_there_cannot_be_moved(ocm: Run, home: Path, verb: str) -> None:
    assert error_of(ocm(verb, "nosuch", "worker2", "--json"))["code"] == "unknown_instance"
    assert ocm(verb, "nosuch", "UP").returncode == 2
    assert kept(home) == set()


def test_an_archive_of_the_name_of_an_instance_is_refused(
    ocm: Run, add_record: AddRecord, archive: Path, home: Path
) -> None:
    add_record("worker1")
    before = kept(home)
    error = error_of(ocm("restore", str(archive), "--json"))
    assert error["code"] == "exists"
    assert "--replace" in error["hint"]
    error = error_of(ocm("restore", str(archive), "--replace", "--port", "19101", "--json"))
    assert error["code"] == "usage"
    assert kept(home) - {".local/state/ocm/locks/worker1.lock"} == before


def test_an_archive_does_not_say_by_itself_which_instance_it_replaces(
    ocm: Run, add_record: AddRecord, archive: Path, home: Path
) -> None:
    add_record("worker1")
    before = kept(home)
    other = archive.with_name("worker2-20261122T030000Z.tar.gz")
    for file, options, told in (
        (archive.rename(other), ["--replace"], "says worker2"),
        (other, [], "says worker2"),
        (other.with_name("a.tar.gz"), ["--replace"], "says nothing of it"),
    ):
        other.rename(file) if not file.exists() else None
        error = error_of(ocm("restore", str(file), *options, "--dry-run", "--json"))
        assert error["code"] == "archive_ambiguous"
        assert error["message"] == f"{file} is of worker1 by what it holds, and its file name {told}"
        assert error["hint"] == "--as worker1, if it is to be that instance"
        assert kept(home) == before
    error = error_of(ocm("restore", str(file), "--replace", "--as", "worker1", "--port", "19101", "--json"))
    assert error["code"] == "usage", "who says the name is asked no more"
    assert error_of(ocm("restore", str(file), "--json"))["code"] == "exists"


@pytest.mark.parametrize("damage", ["cut off", "flipped", "empty", "missing"])
def test_an_archive_that_is_damaged_is_refused_and_leaves_nothing(
    ocm: Run, archive: Path, home: Path, damage: str
) -> None:
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    content = {"cut off": bytes(data[:-30]), "flipped": bytes(data), "empty": b""}
    archive.unlink() if damage == "missing" else archive.write_bytes(content[damage])
    for options in ((), ("--as", "worker2"), ("--as", "worker2", "--dry-run")):
        error = error_of(ocm("restore", str(archive), *options, "--json"))
        assert error["code"] == ("archive_missing" if damage == "missing" else "archive_invalid")
    assert kept(home) == set()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"openclaw": "2026.9.7"}, "archive_newer"),
        ({"openclaw": "nightly"}, "archive_newer"),
        ({"state": "/"}, "path_invalid"),
        ({"state": "/home/ann"}, "path_invalid"),
    ],
)
def test_an_archive_that_is_newer_or_lies_about_its_state_replaces_nothing(
    ocm: Run, add_record: AddRecord, tmp_path: Path, fields: dict[str, str], code: str
) -> None:
    home = tmp_path / "home"
    package = tmp_path / "openclaw"
    package.mkdir()
    (package / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
    record = add_record("worker1")
    record.write_text(record.read_text().replace("/opt/openclaw", str(package)))
    add_state(home, "worker1")
    before = kept(home)
    header = msgspec.structs.replace(archives.HEADER, **fields)
    archive = archives.write_archive(
        tmp_path / FILE, archives.tree(tmp_path), header=header, record=RECORD, inherited=None
    )
    error = error_of(ocm("restore", str(archive), "--replace", "--json"))
    assert error["code"] == code
    assert kept(home) - {".local/state/ocm/locks/worker1.lock"} == before


def test_what_an_archive_says_does_not_reach_the_terminal_as_it_is(
    ocm: Run, tmp_path: Path, home: Path
) -> None:
    hostile = RECORD + b'["\\u001b[31mred\\u202e"]\n'
    archive = archives.write_archive(tmp_path / FILE, archives.tree(tmp_path), record=hostile, inherited=None)
    done = ocm("restore", str(archive))
    assert "red" in done.stderr
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert kept(home) == set()


def test_a_machine_that_cannot_run_it_keeps_nothing_of_an_archive(
    ocm: Run, archive: Path, home: Path
) -> None:
    done = ocm("restore", str(archive), "--json", PATH="/nowhere")
    assert done.returncode == 1
    assert kept(home) == set()
