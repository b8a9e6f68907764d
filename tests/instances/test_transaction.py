"""Plans of steps that touch only files: applied, failing, killed, and recovered from what a kill leaves."""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, get_args

import pytest
from tests import hosts, samples
from tests.killing import homes_of_kills, kill_before_each_call

from openclaw_ocm.core import steps
from openclaw_ocm.core.journal import encode_plan
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.plan import Plan, Step
from openclaw_ocm.core.record import Runtime
from openclaw_ocm.errors import UNDO_INCOMPLETE, OcmError, UndoIncomplete
from openclaw_ocm.instances import apply
from openclaw_ocm.instances.transaction import Transaction, recover, unfinished
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.records import encode_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.instances.context import Context

NAME = samples.NAME
REPOSITORY = Path(__file__).parents[2]


def paths_of(context: Context) -> InstancePaths:
    return context.host.instance(NAME)


def creation(context: Context) -> Plan:
    paths = paths_of(context)
    made: tuple[Step, ...] = (
        steps.WriteRecord(path=str(paths.record), text=encode_record(samples.record())),
        steps.MakeState(path=str(paths.state)),
        steps.MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
        steps.WriteConfig(path=str(paths.config), model="fake/fake-1"),
        steps.LinkConfig(link=str(paths.config_link), target=str(paths.config)),
    )
    return Plan(operation="create", name=NAME, backend="systemd", steps=made, commit=len(made))


def removal(context: Context) -> Plan:
    paths = paths_of(context)
    gone: tuple[Step, ...] = (
        steps.RemoveLink(link=str(paths.config_link)),
        steps.RemoveTree(path=str(paths.shell)),
        steps.RemoveTree(path=str(paths.scratch)),
        steps.RemoveTree(path=str(paths.state)),
        steps.RemoveFile(path=str(paths.secrets)),
        steps.RemoveFile(path=str(paths.record)),
    )
    return Plan(operation="delete", name=NAME, backend="systemd", steps=gone, commit=0)


def run(context: Context, plan: Plan, progress: Callable[[str], None] = lambda _words: None) -> None:
    Transaction(context=context, plan=plan, progress=progress).run()


def journal_of(context: Context) -> Path:
    return Path(context.host.paths.transactions, f"{NAME}.jsonl")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return hosts.context(tmp_path)


def failing_at(context: Context, place: int) -> Plan:
    """Return the plan of a creation with a step in it that fails."""
    plan = creation(context)
    obstacle = Path(context.host.paths.home, "obstacle")
    obstacle.write_text("a file")
    failing = steps.RemoveFile(path=str(obstacle / "in it"))
    made = (*plan.steps[:place], failing, *plan.steps[place:])
    return Plan(operation="create", name=NAME, backend="systemd", steps=made, commit=len(made))


def test_every_kind_of_step_can_be_applied() -> None:
    assert set(apply._apply.registry) - {object} == set(get_args(Step))
    assert set(apply._undo.registry) - {object} <= set(get_args(Step))


def test_an_applied_plan_leaves_what_it_says_and_no_journal(context: Context, tmp_path: Path) -> None:
    run(context, creation(context))
    paths = paths_of(context)
    config = json.loads(Path(paths.config).read_text())
    assert config["gateway"]["port"] == 19001
    assert config["browser"]["profiles"]["openclaw"]["cdpPort"] == 19012
    assert config["agents"]["defaults"]["model"] == {"primary": "fake/fake-1"}
    assert Path(paths.config_link).readlink() == Path(paths.config)
    assert Path(paths.temporary(PurePosixPath("/tmp"))).stat().st_mode & 0o7777 == 0o1777
    for path in (paths.state, paths.scratch, paths.root, paths.link_directory):
        assert Path(path).stat().st_mode & 0o7777 == 0o700, path
    for path in (paths.config, paths.record):
        assert Path(path).stat().st_mode & 0o7777 == 0o600, path
    assert list(Path(paths.root).iterdir()) == []
    assert [path.name for path in Path(paths.link_directory).iterdir()] == ["openclaw-worker1.json"]
    assert not any(path.endswith((".jsonl", ".ocm")) for path in hosts.contents(tmp_path))
    assert unfinished(context) == ()


def test_two_instances_get_different_tokens(context: Context, tmp_path: Path) -> None:
    other = hosts.context(tmp_path / "other")
    Path(other.host.paths.home).mkdir()
    tokens = set()
    for one in (context, other):
        run(one, creation(one))
        tokens.add(json.loads(Path(paths_of(one).config).read_text())["gateway"]["auth"]["token"])
    assert len(tokens) == 2
    assert all(len(token) >= 64 for token in tokens)


def test_the_token_is_in_no_journal(context: Context) -> None:
    journals: list[str] = []
    run(context, creation(context), lambda _words: journals.append(journal_of(context).read_text()))
    token = json.loads(Path(paths_of(context).config).read_text())["gateway"]["auth"]["token"]
    assert len(journals) == 5
    assert journals[-1].count("\n") == 6
    assert not any(token in text for text in journals)


def test_the_shell_of_an_instance_runs_its_own_openclaw(context: Context, tmp_path: Path) -> None:
    node = tmp_path / "it's a node"
    node.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    node.chmod(0o755)
    plan = creation(context)
    runtime = Runtime(node=str(node), openclaw="/opt/open claw")
    record = steps.WriteRecord(
        path=str(paths_of(context).record), text=encode_record(samples.record(runtime=runtime))
    )
    run(
        context,
        Plan(operation="create", name=NAME, backend="systemd", steps=(record, *plan.steps[1:]), commit=5),
    )
    wrapper = str(paths_of(context).bin / "openclaw")
    printed = subprocess.run([wrapper, "a b", "$c"], capture_output=True, text=True, check=True).stdout
    arguments = [
        "--disable-warning=ExperimentalWarning",
        "--disable-sigusr1",
        "/opt/open claw/openclaw.mjs",
        "--profile",
        "worker1",
    ]
    assert printed.splitlines() == [*arguments, "a b", "$c"]


def test_a_removal_leaves_nothing_of_the_instance_and_all_of_the_rest(
    context: Context, tmp_path: Path
) -> None:
    main = Path(context.host.paths.main_state)
    main.mkdir()
    (main / "openclaw.json").write_text("main's own")
    (tmp_path / ".openclaw-worker10").mkdir()
    (tmp_path / ".openclaw-worker10" / "file").write_text("another's")
    before = hosts.contents(tmp_path)
    run(context, creation(context))
    assert hosts.contents(tmp_path) != before
    run(context, removal(context))
    assert hosts.contents(tmp_path) == before


def test_a_removal_takes_the_directory_of_main_along_where_ocm_made_it(
    context: Context, tmp_path: Path
) -> None:
    run(context, creation(context))
    run(context, removal(context))
    assert hosts.contents(tmp_path) == {}
    assert not Path(context.host.paths.main_state).exists()


@pytest.mark.parametrize("place", range(6))
def test_a_failure_at_any_step_undoes_all_steps(context: Context, tmp_path: Path, place: int) -> None:
    plan = failing_at(context, place)
    with pytest.raises(NotADirectoryError):
        run(context, plan)
    assert hosts.contents(tmp_path) == {"obstacle": "a file"}
    for path in (paths_of(context).state, paths_of(context).shell, context.host.paths.main_state):
        assert not Path(path).exists(), path


@pytest.mark.parametrize("place", range(5))
def test_an_interruption_at_any_step_undoes_all_steps(context: Context, tmp_path: Path, place: int) -> None:
    told: list[str] = []

    def interrupt(words: str) -> None:
        told.append(words)
        if len(told) == place + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(context, creation(context), interrupt)
    assert told[-1] == "undo"
    assert hosts.contents(tmp_path) == {}


def test_keep_leaves_what_was_made_for_inspection_and_no_journal(context: Context, tmp_path: Path) -> None:
    paths = paths_of(context)
    plan = creation(context)
    again = Plan(
        operation="create", name=NAME, backend="systemd", steps=(*plan.steps, plan.steps[-1]), commit=6
    )
    with pytest.raises(OcmError, match="exists already"):
        Transaction(context=context, plan=again, progress=lambda _words: None).run(keep=True)
    assert Path(paths.config).exists()
    assert unfinished(context) == ()
    assert recover(context, NAME) is None
    assert str(Path(paths.config).relative_to(tmp_path)) in hosts.contents(tmp_path)


def test_a_state_directory_of_somebody_else_survives_the_undo(context: Context, tmp_path: Path) -> None:
    state = Path(paths_of(context).state)
    state.mkdir()
    (state / "precious").write_text("kept")
    with pytest.raises(OcmError, match="exists already"):
        run(context, creation(context))
    assert hosts.contents(tmp_path) == {".openclaw-worker1/precious": "kept"}


def test_a_link_of_somebody_else_survives_the_undo(context: Context, tmp_path: Path) -> None:
    link = Path(paths_of(context).config_link)
    link.parent.mkdir()
    link.symlink_to("/somewhere/else")
    with pytest.raises(OcmError, match="exists already"):
        run(context, creation(context))
    assert hosts.contents(tmp_path) == {".openclaw/openclaw-worker1.json": "-> /somewhere/else"}


def test_a_replaced_record_is_put_back(context: Context) -> None:
    run(context, creation(context))
    record = Path(paths_of(context).record)
    before = record.read_text()
    write = steps.WriteRecord(path=str(record), text="autostart = true\n", previous=before)
    failing = failing_at(context, 0).steps[0]
    with pytest.raises(NotADirectoryError):
        run(context, Plan(operation="enable", name=NAME, backend="systemd", steps=(write, failing), commit=2))
    assert record.read_text() == before


def test_steps_are_undone_from_the_last_to_the_first(context: Context) -> None:
    record = Path(paths_of(context).record)
    record.parent.mkdir(parents=True)
    record.write_text("one")
    first = steps.WriteRecord(path=str(record), text="two", previous="one")
    second = steps.WriteRecord(path=str(record), text="three", previous="two")
    failing = failing_at(context, 0).steps[0]
    with pytest.raises(NotADirectoryError):
        run(
            context,
            Plan(operation="enable", name=NAME, backend="systemd", steps=(first, second, failing), commit=3),
        )
    assert record.read_text() == "one"


def test_an_undo_that_fails_needs_a_person_and_is_tried_again_by_the_next_command(
    context: Context, tmp_path: Path
) -> None:
    shell = Path(paths_of(context).shell)

    def put_a_file_in_the_way(words: str) -> None:
        if words == "undo":
            shell.rename(tmp_path / "aside")
            shell.touch()

    with pytest.raises(UndoIncomplete, match="create worker1 failed and could not be undone") as caught:
        run(context, failing_at(context, 5), put_a_file_in_the_way)
    assert caught.value.exit_code == UNDO_INCOMPLETE
    assert len(caught.value.details) == 2
    assert str(shell) in caught.value.details[1]
    assert not Path(paths_of(context).state).exists(), "the other steps are undone all the same"
    shell.unlink()
    assert recover(context, NAME) == "an interrupted create of worker1 was undone"
    assert unfinished(context) == ()


@pytest.mark.parametrize("gives_back", [True, False])
def test_an_undo_for_which_the_disk_is_full_uses_what_another_gives_back_and_starts_nothing_half_old(
    context: Context, monkeypatch: pytest.MonkeyPatch, *, gives_back: bool
) -> None:
    run(context, creation(context))
    record, large = Path(paths_of(context).record), Path(context.host.paths.home, "large")
    before, write, started = record.read_text(), files.write_file, list[str]()

    def on_a_full_disk(path: PurePosixPath, data: bytes, *, mode: int = 0o600) -> None:
        if data == before.encode() and (large.exists() or not gives_back):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data, mode=mode)

    monkeypatch.setattr(files, "write_file", on_a_full_disk)
    monkeypatch.setattr(apply, "launch", lambda _context, name: started.append(name))
    monkeypatch.setattr(apply, "halt", lambda _context, _name: None)
    monkeypatch.setattr(type(context.backend), "stop_sessions", lambda _self, _names: None)
    change = (
        steps.Stop(name=NAME, ran=True),
        steps.MakeState(path=str(large)),
        steps.WriteRecord(path=str(record), text="autostart = true\n", previous=before),
        failing_at(context, 0).steps[0],
    )
    plan = Plan(operation="enable", name=NAME, backend="systemd", steps=change, commit=len(change))
    if gives_back:
        with pytest.raises(NotADirectoryError):
            run(context, plan)
    else:
        with pytest.raises(UndoIncomplete, match="enable worker1 failed and could not be undone") as caught:
            run(context, plan)
        assert caught.value.details[1:] == (
            f"write record {record}: [Errno {errno.ENOSPC}] No space left on device",
            "what ran before was not started again",
        )
        assert started == []
        monkeypatch.setattr(files, "write_file", write)
        recover(context, NAME)
    assert (record.read_text(), started) == (before, [NAME])


def test_a_failure_past_the_commit_point_is_finished_by_the_next_command(
    context: Context, tmp_path: Path
) -> None:
    run(context, creation(context))
    shells = Path(paths_of(context).shell).parent
    shells.rename(tmp_path / "aside")
    shells.touch()
    with pytest.raises(OcmError, match="cannot be looked at: Not a directory"):
        run(context, removal(context))
    assert Path(paths_of(context).state).exists()
    shells.unlink()
    (tmp_path / "aside").rename(shells)
    assert recover(context, NAME) == "an interrupted delete of worker1 was finished"
    assert hosts.contents(tmp_path) == {}


def main(parent: str, operation: str) -> None:
    """Kill an operation before each call; see `homes_of_kills`."""
    made = operation == "create"
    kill_before_each_call(
        parent,
        lambda context: None if made else run(context, creation(context)),
        lambda context: run(context, creation(context) if made else removal(context)),
    )


@pytest.mark.parametrize("operation", ["create", "delete"])
def test_a_kill_before_any_single_call_to_the_file_system_is_recovered(
    tmp_path: Path, operation: str
) -> None:
    homes = homes_of_kills(tmp_path, __name__, operation)
    assert len(homes) > 30
    sentences = set()
    outcomes = []
    for home in homes:
        context = hosts.context(home)
        paths = paths_of(context)
        assert unfinished(context) in ((), (NAME,))
        sentences.add(recover(context, NAME))
        assert unfinished(context) == ()
        whole = [Path(path).exists() for path in (paths.record, paths.config, paths.config_link, paths.shell)]
        assert len(set(whole)) == 1, f"killed before call {home.name}: half an instance is left"
        outcomes.append(whole[0])
        assert not [path for path in hosts.contents(home) if path.endswith(".ocm")]
        if not whole[0]:
            assert list(hosts.contents(home)) == [], f"killed before call {home.name}"
            assert not Path(paths.state).exists()
            assert not Path(paths.scratch).exists()
    done = "undone" if operation == "create" else "finished"
    assert f"an interrupted {operation} of worker1 was {done}" in sentences
    assert outcomes[0] is (operation == "delete"), "killed before anything was begun"
    assert outcomes[-1] is (operation == "create"), "not killed at all"
    assert len(set(outcomes)) == 2


def test_a_journal_cut_at_any_byte_is_recovered_or_kept_and_said(context: Context, tmp_path: Path) -> None:
    journals: list[bytes] = []
    run(context, creation(context), lambda _words: journals.append(journal_of(context).read_bytes()))
    run(context, removal(context))
    whole = journals[-1]
    first_line = whole.index(b"\n")
    for length in range(len(whole) + 1):
        journal_of(context).write_bytes(whole[:length])
        if length < first_line:
            with pytest.raises(OcmError, match="cannot be read"):
                recover(context, NAME)
        else:
            assert recover(context, NAME) is not None
        assert journal_of(context).exists() is (length < first_line)
    assert hosts.contents(tmp_path) == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n0\n",
        b"\xff\xfe\x00\n0\n",
        b"null\n0\n",
        b"[" * 100_000,
        b'{"operation":"\xff"}\n',
        b"0\n",
    ],
)
def test_a_journal_without_a_plan_is_said_and_kept(context: Context, data: bytes) -> None:
    journal_of(context).parent.mkdir(parents=True)
    journal_of(context).write_bytes(data)
    with pytest.raises(OcmError, match="cannot be read: it is damaged"):
        recover(context, NAME)
    assert journal_of(context).read_bytes() == data


def test_a_journal_that_speaks_of_another_instance_touches_nothing(context: Context, tmp_path: Path) -> None:
    other = Path(tmp_path, ".openclaw-worker1")
    other.mkdir()
    journal = Path(context.host.paths.transactions, "worker2.jsonl")
    journal.parent.mkdir(parents=True)
    plan = Plan(
        operation="create", name=NAME, backend="systemd", steps=(steps.MakeState(path=str(other)),), commit=1
    )
    journal.write_bytes(encode_plan(plan) + b"\n0\n")
    with pytest.raises(OcmError, match="speaks of worker1"):
        recover(context, parse_name("worker2"))
    assert other.exists()


def test_files_that_are_no_journals_are_passed_over(context: Context) -> None:
    directory = Path(context.host.paths.transactions)
    directory.mkdir(parents=True)
    for name in ("UP.jsonl", ".worker1.jsonl.abc.ocm", "notes.txt", "b.jsonl", "a.jsonl"):
        (directory / name).touch()
    assert unfinished(context) == ("a", "b")


def test_without_a_journal_there_is_nothing_to_recover(context: Context) -> None:
    assert unfinished(context) == ()
    assert recover(context, NAME) is None


@pytest.mark.parametrize("before", ["loopback", "custom", None])
def test_a_bind_is_set_and_by_an_undo_again_what_it_was(context: Context, before: str | None) -> None:
    run(context, creation(context))
    path = Path(paths_of(context).config)
    config = json.loads(path.read_text())
    config["gateway"] = {**config["gateway"], "bind": before}
    if before is None:
        del config["gateway"]["bind"]
    path.write_bytes(format_config(config))
    whole = path.read_bytes()
    step = steps.SetBind(name=NAME, bind="lan", previous=before)
    for _time in range(2):
        apply.apply_step(context, step)
        changed = json.loads(path.read_text())
        assert changed["gateway"].pop("bind") == "lan"
        assert changed["gateway"] == {k: v for k, v in config["gateway"].items() if k != "bind"}
        assert path.stat().st_mode & 0o7777 == 0o600
    for _time in range(2):
        assert apply.undo_step(context, step)
        assert json.loads(path.read_text()) == json.loads(whole)
