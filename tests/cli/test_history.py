from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import click
import pytest

from openclaw_ocm.cli.frame import in_words
from openclaw_ocm.cli.main import ocm as group
from openclaw_ocm.system import files

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]


@pytest.fixture
def add(home: Path) -> Callable[..., None]:
    """Return a function that adds a line to the history."""

    def line(**fields: object) -> None:
        path = home / ".local/state/ocm/history.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        change = {
            "when": "2026-11-22T03:00:00+00:00",
            "command": "start --timeout",
            "instance": "worker1",
            "ended": "done",
            "seconds": 21.4,
            **fields,
        }
        with path.open("a") as file:
            file.write(json.dumps(change) + "\n")

    return line


def test_changes_are_told_oldest_first(ocm: Run, add: Callable[..., None]) -> None:
    add()
    add(instance="worker2", command="restart", ended="failed, undone", error="not_ready", seconds=181)
    add(instance="old", others=["new"], command="rename", ended="interrupted, undone", seconds=None)
    done = ocm("history")
    assert done.returncode == 0
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["TIME", "ENDED", "INSTANCE", "TOOK", "COMMAND"]
    assert [line.split("  ")[-1].strip() for line in lines] == ["start --timeout", "restart", "rename"]
    assert "failed, undone (not_ready)" in lines[1]
    assert "3m1s" in lines[1]
    assert "old, new" in lines[2]


def test_those_of_one_instance_the_last_so_many(ocm: Run, add: Callable[..., None]) -> None:
    for number in range(30):
        add(command=f"c{number}")
        add(instance="worker2")
    add(instance="old", others=["worker1"], command="rename")

    def commands(*arguments: str) -> list[str]:
        return [
            change["command"] for change in json.loads(ocm("history", *arguments, "--json").stdout)["results"]
        ]

    assert len(commands()) == 20
    assert commands("worker1", "-n", "3") == ["c28", "c29", "rename"]
    assert len(commands("worker1", "-n", "1000")) == 31
    assert commands("worker1", "-n", "0") == []
    # It may be gone, and what was done to it is known all the same.
    assert commands("worker9") == []


def test_no_history_is_no_error(ocm: Run, home: Path) -> None:
    done = ocm("history")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "ocm: no changes yet\n")
    assert list(home.iterdir()) == []


def test_a_history_that_cannot_be_read_is_told_and_costs_no_other_command(
    ocm: Run, home: Path, add_record: AddRecord
) -> None:
    text = (
        'name = "{name}"\nbackend = "supervisord"\nport = {port}\n\n[runtime]\nnode = "/n"\nopenclaw = "/o"\n'
    )
    add_record("worker1", text=text)
    path = home / ".local/state/ocm/history.jsonl"
    path.mkdir(parents=True)
    done = ocm("history")
    assert done.returncode == 1
    assert str(path) in done.stderr.splitlines()[0]
    assert ocm("status", "worker1").returncode == 0


def test_a_part_of_it_that_cannot_be_read_costs_no_other_part(
    ocm: Run, home: Path, add: Callable[..., None]
) -> None:
    add(command="stop")
    older = home / ".local/state/ocm/history.1.jsonl"
    older.mkdir()
    done = ocm("history")
    assert (done.returncode, "stop" in done.stdout, str(older) in done.stderr) == (1, True, True)
    told = json.loads(ocm("history", "--json").stdout)
    assert [change["command"] for change in told["results"]] == ["stop"]
    assert [error["code"] for error in told["errors"]] == ["unreadable"]


def test_the_status_tells_the_last_change(ocm: Run, add_record: AddRecord, add: Callable[..., None]) -> None:
    text = (
        'name = "{name}"\nbackend = "supervisord"\nport = {port}\n\n[runtime]\nnode = "/n"\nopenclaw = "/o"\n'
    )
    add_record("worker1", text=text)
    assert "changed:    not as far as the history tells" in ocm("status", "worker1").stdout
    add(ended="failed, undone", error="not_ready")
    add(instance="worker2", command="stop")
    shown = ocm("status", "worker1").stdout
    assert "start --timeout: failed, undone (not_ready)" in shown
    (found,) = json.loads(ocm("status", "worker1", "--json").stdout)["results"]
    assert found["last_change"]["command"] == "start --timeout"


def test_nothing_in_it_is_obeyed_by_a_terminal(ocm: Run, add: Callable[..., None]) -> None:
    add(when="\x1b[2J", command="x\x1b[31m\n\u202e", ended="\x07")
    assert not set(ocm("history").stdout) & set("\x1b\x07\u202e")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["start", "worker1"], "start"),
        (["restart", "worker1", "--timeout", "300", "--keep"], "restart --keep --timeout"),
        (["stop", "--all", "--json"], "stop --all --json"),
        (["edit", "worker1", "channels.token", "hunter2"], "edit"),
        (["edit", "worker1", "--unset", "hunter2"], "edit --unset"),
        (["secret", "set", "worker1", "HUNTER2", "--restart"], "secret set --restart"),
        (["delete", "worker1", "--no-backup"], "delete --no-backup"),
        (["delete", "worker1", "--backup"], "delete --backup"),
        (["backup", "worker1", "--encrypt-to", "hunter2", "-o", "hunter2"], "backup --output --encrypt-to"),
        (["expose", "worker1", "--from", "10.0.0.0/8"], "expose --from"),
    ],
)
def test_a_command_is_kept_with_its_options_and_none_of_their_values(typed: list[str], words: str) -> None:
    ctx = group.make_context("ocm", typed)
    while isinstance(ctx.command, click.Group):
        name, command, rest = ctx.command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
        assert command
        ctx = command.make_context(name, rest, parent=ctx)
    assert in_words(ctx) == words


def test_a_line_is_written_where_the_long_file_cannot_be_set_aside(tmp_path: Path) -> None:
    path, older = PurePosixPath(tmp_path / "history.jsonl"), tmp_path / "history.1.jsonl"
    older.mkdir()
    Path(path).write_bytes(b"long enough\n")
    files.append_line(path, b"new", most=1, older=PurePosixPath(older))
    assert files.read_own(path, limit=4, tail=True) == b"new\n"
