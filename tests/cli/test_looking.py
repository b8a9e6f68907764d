"""Commands that look mend nothing and wait for nobody; they say that a change was cut off."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from openclaw_ocm.core import plan as steps
from openclaw_ocm.core.journal import encode_plan
from openclaw_ocm.core.plan import Plan

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]

LOOKING = (
    ("list",),
    ("status", "worker1"),
    ("health",),
    ("logs", "worker1"),
    ("backups", "list"),
    ("secret", "list", "worker1"),
)
SENTENCE = (
    "a change of worker1 was interrupted: the next command that changes something mends it, "
    "or ocm doctor --fix"
)


@pytest.fixture
def journal(home: Path, add_record: AddRecord) -> Path:
    """Leave a change that was cut off after its first step; return its journal."""
    record = add_record("worker1")
    record.write_text('backend = "supervisord"\n' + record.read_text())
    settings = home / ".config/ocm/settings.toml"
    settings.write_text('backend = "supervisord"\n')
    made = steps.WriteRecord(path=str(record), text="broken", previous=record.read_text())
    plan = Plan(operation="enable", name="worker1", backend="supervisord", steps=(made,), commit=1)
    path = home / ".local/state/ocm/transactions/worker1.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(encode_plan(plan) + b"\n0\n")
    return path


def files(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_what_was_cut_off_is_told_and_left_alone(
    ocm: Run, home: Path, journal: Path, arguments: tuple[str, ...]
) -> None:
    before = files(home)
    done = ocm(*arguments)
    assert f"ocm: {SENTENCE}" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    told = ocm(*arguments, "--json")
    assert f"ocm: {SENTENCE}" in told.stderr.splitlines()
    if arguments[0] != "logs":
        assert json.loads(told.stdout)["warnings"] == [SENTENCE]
    assert files(home) == before
    assert journal.exists()


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_nobody_is_waited_for_who_changes_something(
    ocm: Run, home: Path, journal: Path, arguments: tuple[str, ...]
) -> None:
    lock = home / ".local/state/ocm/locks/worker1.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = ocm(*arguments)
    assert "interrupted" not in done.stderr, "it is under way"
    assert "another ocm" not in done.stderr
    assert journal.exists()


def test_the_next_command_that_changes_something_mends_it(ocm: Run, home: Path, journal: Path) -> None:
    record = home / ".config/ocm/instances/worker1.toml"
    before = record.read_text()
    record.write_text("broken")
    assert "is corrupt" in ocm("status", "worker1").stderr
    done = ocm("disable", "worker1")
    assert "an interrupted enable of worker1 was undone" in done.stderr
    assert record.read_text() == before
    assert not journal.exists()
    assert json.loads(ocm("list", "--json").stdout)["warnings"] == []


def test_doctor_mends_what_was_cut_off_of_mains_config(ocm: Run, home: Path, journal: Path) -> None:
    journal.unlink()
    staged = home / ".config/ocm/secrets/.main.after.0123456789ab.ocm"
    staged.parent.mkdir()
    staged.write_text("{}")
    plan = Plan(
        operation="update-models",
        name="main",
        backend="supervisord",
        steps=(steps.StageFiles(files=(str(staged),)),),
        commit=1,
    )
    path = journal.with_name("main.jsonl")
    path.write_bytes(encode_plan(plan) + b"\n0\n")
    assert "a change of main was interrupted" in ocm("list").stderr
    done = ocm("doctor", "--fix", "--yes")
    assert "fixed: an interrupted update-models of main was undone" in done.stdout.splitlines()
    assert not staged.exists()
    assert not path.exists()


@pytest.mark.parametrize("trouble", ["newer", "damaged", "directory", "closed"])
def test_a_journal_that_cannot_be_read_costs_its_own_instance_alone(
    process: Run, journal: Path, add_record: AddRecord, trouble: str
) -> None:
    other = add_record("worker2", port=19101)
    other.write_text('backend = "supervisord"\n' + other.read_text())
    if trouble == "newer":
        journal.write_bytes(b'{"version":1000,"plan":{"steps":[{"type":"fly"}]}}\n0\n')
    elif trouble == "damaged":
        journal.write_bytes(b"{")
    elif trouble == "directory":
        journal.unlink()
        journal.mkdir()
    else:
        journal.unlink()
        journal.symlink_to("/proc/1/mem")
    told = process("list")
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["NAME", "worker1", "worker2"]
    assert SENTENCE in told.stderr
    done = process("disable", "worker2")
    assert done.returncode == 0, done
    assert "worker1" in done.stderr
    refused = process("disable", "worker1")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert str(PurePosixPath(journal)) in refused.stderr
    if trouble == "newer":
        assert "is of a newer OCM" in refused.stderr
