"""Commands that look mend nothing and wait for nobody; they say that a change was cut off."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click
import pytest

from openclaw_ocm.cli.main import ocm as group
from openclaw_ocm.core import steps
from openclaw_ocm.core.journal import encode_plan
from openclaw_ocm.core.plan import Plan
from openclaw_ocm.errors import as_ocm_error

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]

LOOKING = (
    ("list",),
    ("status", "worker1"),
    ("health",),
    ("logs", "worker1"),
    ("backups", "list"),
    ("secret", "list", "worker1"),
    ("backups", "verify", "--all"),
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


def dry_runs(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return every command that has --dry-run, with a word for each of its arguments."""
    context = click.Context(command)
    if isinstance(command, click.Group):
        found = []
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            found += dry_runs(inner, (*words, name))
        return found
    if not any("--dry-run" in option.opts for option in command.params):
        return []
    values = {"new": "worker9", "model": "ppq/one", "key": "A_KEY", "channel": "telegram"}
    arguments = [one.name or "" for one in command.params if isinstance(one, click.Argument)]
    return [(*words, *(values.get(one, "worker2") for one in arguments), "--dry-run")]


@pytest.mark.parametrize("arguments", dry_runs(group), ids=" ".join)
def test_a_dry_run_mends_nothing_and_leaves_nothing_behind(
    ocm: Run, home: Path, journal: Path, add_record: AddRecord, arguments: tuple[str, ...]
) -> None:
    add_record("worker2", port=18999)
    before = files(home)
    done = ocm(*arguments)
    assert "Traceback" not in done.stderr
    assert files(home) == before
    assert journal.exists()


def test_a_dry_run_of_what_was_cut_off_is_refused(ocm: Run, home: Path, journal: Path) -> None:
    before = files(home)
    done = ocm("stop", "worker1", "--dry-run")
    assert done.returncode == 1
    assert "a change of worker1 was interrupted, and --dry-run mends nothing" in done.stderr
    assert "ocm doctor --fix" in done.stderr
    assert files(home) == before
    assert journal.exists()


@pytest.mark.usefixtures("journal")
def test_status_names_the_directory_apart_from_the_state(ocm: Run) -> None:
    _name, *lines = ocm("status", "worker1").stdout.splitlines()
    facts = [line.strip().partition(":") for line in lines if not line.startswith("    ")]
    keys = [key for key, _colon, _value in facts]
    assert [key for key, _colon, value in facts if value and not value.startswith(" ")] == []
    assert keys.count("state") == 1
    assert "directory" in keys


def test_what_cannot_be_opened_is_to_be_looked_at() -> None:
    error = as_ocm_error(PermissionError(13, "Permission denied", "/some/file"))
    assert error.hint == "look at /some/file: put back what belongs there, or make it yours again"
