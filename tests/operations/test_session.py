"""Commands in the sandbox of an instance, its log, and a backend in the foreground."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.leases import leased
from tests.operations.kept import NAME

from openclaw_ocm.backends import registry
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.document import with_value
from openclaw_ocm.core.plan import Plan
from openclaw_ocm.core.record import Limits
from openclaw_ocm.core.status import Listener
from openclaw_ocm.core.steps import WriteRecord
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations import session
from openclaw_ocm.operations.edit import change_config
from openclaw_ocm.operations.planning.repair import Effort
from openclaw_ocm.operations.session import ready_for_session
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from tests.operations.kept import Kept


def called(kept: Kept) -> dict[str, Any]:
    """Return how OpenClaw was called last."""
    found: dict[str, Any] = json.loads(Path(kept.home, "called").read_text())
    return found


def test_use_runs_openclaw_as_the_instance_with_its_secrets_and_returns_its_status(
    kept: Kept, capfd: pytest.CaptureFixture[str]
) -> None:
    kept.create(sealed=False)
    Path(kept.paths(NAME).secrets).write_text("ONE_API_KEY=sk-PLANTED\n")
    os.environ["SECRET_OF_THE_USER"] = "x"
    try:
        assert kept.use("agent", "--message", "hi; $HOME") == 7
    finally:
        del os.environ["SECRET_OF_THE_USER"]
    assert capfd.readouterr().out == "openclaw was here\n"
    told = called(kept)
    assert told["argv"][-5:] == ["--profile", NAME, "agent", "--message", "hi; $HOME"]
    assert told["cwd"] == str(kept.paths(NAME).state)
    environ = told["environ"]
    assert (environ["ONE_API_KEY"], environ["LANG"]) == ("sk-PLANTED", "C.UTF-8")
    assert environ["OPENCLAW_STATE_DIR"] == str(kept.paths(NAME).state)
    assert "SECRET_OF_THE_USER" not in environ
    assert kept.process(NAME).activity == "stopped", "it needs no gateway and starts none"


def test_enter_opens_a_shell_with_the_name_in_its_prompt(
    kept: Kept, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept.create(sealed=False)
    script = tmp_path / "script"
    # A shell without a terminal has no use for its prompt, and forgets it.
    script.write_text("tr '\\0' '\\n' < /proc/$$/environ | grep ^PS1; pwd; exit 3\n")
    with script.open() as commands:
        monkeypatch.setattr("sys.stdin", commands)
        keyboard = os.dup(0)
        os.dup2(commands.fileno(), 0)
        try:
            assert kept.enter() == 3
        finally:
            os.dup2(keyboard, 0)
            os.close(keyboard)
    assert capfd.readouterr().out.splitlines() == [f"PS1=[{NAME}] \\w\\$ ", str(kept.paths(NAME).state)]


def test_nobody_but_the_instance_is_sent_its_token(kept: Kept) -> None:
    kept.create(sealed=False)
    for stranger in (Listener(pid=1, command="node"), Listener(pid=None, command=None)):
        kept.strangers[kept.record(NAME).port] = stranger
        with pytest.raises(OcmError, match=f"{NAME} is not who listens: port 19001 is taken by ") as caught:
            kept.use("health")
        assert caught.value.code == "stranger"
        assert f"ocm token rotate {NAME}" in (caught.value.hint or "")
        assert not Path(kept.home, "called").exists()
    kept.strangers.clear()
    kept.start()
    assert kept.use("health") == 7


def test_a_session_has_made_what_the_sandbox_shows_where_it_is_gone(kept: Kept) -> None:
    kept.create(sealed=False)
    program = Path(kept.paths(NAME).bin, "openclaw")
    program.unlink()
    kept.use("doctor")
    assert program.exists()


def test_a_session_goes_by_the_record_that_an_interrupted_operation_gave_back(kept: Kept) -> None:
    kept.create(sealed=False)
    before = kept.record(NAME)
    after = msgspec.structs.replace(before, limits=Limits(memory="1G"))
    path = kept.paths(NAME).record
    step = WriteRecord(path=str(path), text=encode_record(after), previous=encode_record(before))
    plan = Plan(operation="edit", name=NAME, backend=before.backend, steps=(step,), commit=1)
    Transaction(context=kept.context, plan=plan, progress=kept.said.append).run_first()
    Path(kept.paths(NAME).bin, "openclaw").unlink()
    assert kept.record(NAME) == after
    assert ready_for_session(kept.context, NAME) == before


def test_a_session_makes_nothing_for_an_instance_that_was_deleted_while_it_waited(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create(sealed=False)
    paths, lock = kept.paths(NAME), files.lock
    Path(paths.bin, "openclaw").unlink()

    @contextlib.contextmanager
    def waited(path: PurePosixPath, what: str, *, wait_seconds: float = 10.0) -> Iterator[int]:
        with monkeypatch.context() as patch:
            patch.setattr(files, "lock", lock)
            kept.delete()
        with lock(path, what, wait_seconds=wait_seconds) as descriptor:
            yield descriptor

    monkeypatch.setattr(files, "lock", waited)
    with pytest.raises(OcmError, match=f"there is no instance {NAME}"):
        kept.use("doctor")
    assert not Path(paths.shell).exists()


def test_a_state_that_another_command_is_moving_is_waited_for(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a rename does, whose instance is neither to be put back by hand nor to be deleted."""
    kept.create(sealed=False)
    state, lock = Path(kept.paths(NAME).state), files.lock
    away = state.rename(state.with_name("away"))

    @contextlib.contextmanager
    def waited(path: PurePosixPath, what: str, *, wait_seconds: float = 10.0) -> Iterator[int]:
        if away.exists():
            away.rename(state)
        with lock(path, what, wait_seconds=wait_seconds) as descriptor:
            yield descriptor

    monkeypatch.setattr(files, "lock", waited)
    assert kept.use("doctor") == 7


def refused(kept: Kept, agent: str | None = None) -> OcmError:
    """Return why there is no shell in a box."""
    with pytest.raises(OcmError) as caught:
        kept.enter_box(agent)
    return caught.value


def change(kept: Kept, key: str, value: object) -> None:
    path = Path(kept.paths(NAME).config)
    path.write_text(json.dumps(with_value(json.loads(path.read_text()), key, value)))


def test_a_shell_in_a_box_takes_a_gateway_that_runs_and_an_agent_that_is_there(kept: Kept) -> None:
    kept.create()
    before = kept.files()
    stopped = refused(kept)
    assert (stopped.code, stopped.hint) == ("not_running", f"ocm start {NAME}")
    unknown = refused(kept, "two")
    assert (unknown.code, unknown.hint) == ("agent_unknown", "it has main")
    assert kept.files() == before


def test_a_shell_in_a_box_is_refused_where_sessions_have_none(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.deploy()
    change(kept, "agents.defaults.sandbox.mode", "off")
    assert refused(kept).message.endswith("run without a box: sandbox.mode is off")
    change(kept, "agents.defaults.sandbox", {"mode": "all", "workspaceAccess": "none"})
    copies = f"{kept.paths(NAME).state}/sandboxes/workspace-"
    assert f"main of {NAME} has no box yet: there is no directory {copies}" in refused(kept).message
    monkeypatch.setattr("openclaw_ocm.operations.session.BWRAP", str(kept.home / "nowhere"))
    assert "bubblewrap is not installed" in refused(kept).message
    path = kept.paths(NAME).record
    record = msgspec.structs.replace(kept.record(NAME), docker=True)
    Path(path).write_text(encode_record(record))
    assert "are Docker's" in refused(kept).message
    Path(path).write_text(encode_record(msgspec.structs.replace(record, docker=False, sealed=False)))
    error = refused(kept)
    assert (error.code, error.message) == (
        "box_impossible",
        f"{NAME} has no sandbox that could make a box: it is unsealed",
    )


def test_a_tool_host_that_does_not_answer_is_told(kept: Kept) -> None:
    kept.deploy()
    error = refused(kept)
    assert error.code == "tool_host_failed"
    assert "the tool host of the sandbox does not answer: " in error.message


@pytest.mark.parametrize("verb", ["use", "enter", "enter_box", "logs"])
def test_there_is_no_session_of_nobody(kept: Kept, verb: str) -> None:
    nobody = parse_name("nobody")
    with pytest.raises(OcmError, match="there is no instance nobody"):
        list(kept.logs(nobody)) if verb == "logs" else getattr(kept, verb)(name=nobody)


def test_a_state_that_is_gone_has_no_session(kept: Kept) -> None:
    kept.create()
    Path(kept.paths(NAME).state).rename(kept.home / "elsewhere")
    with pytest.raises(OcmError, match="state"):
        kept.use("doctor")


def test_an_edit_has_openclaw_judge_the_config_in_a_session(kept: Kept) -> None:
    kept.create(sealed=False)
    before = Path(kept.paths(NAME).config).read_bytes()

    def change(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "agents": {"defaults": {"model": {"primary": "fake/fake-2"}}}}

    with pytest.raises(OcmError, match=f"OpenClaw did not judge this config of {NAME}: exit status 7"):
        change_config(kept.context, NAME, change, effort=Effort(timeout_seconds=0), dry_run=False)
    assert called(kept)["argv"][-3:] == ["config", "validate", "--json"]
    assert Path(called(kept)["environ"]["OPENCLAW_CONFIG_PATH"]).parent == Path(kept.paths(NAME).state)
    assert Path(kept.paths(NAME).config).read_bytes() == before


def test_what_is_printed_without_an_end_where_openclaw_judges_is_not_held(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create(sealed=False)
    monkeypatch.setattr(session, "_MOST_PRINTED", len("openclaw was here") - 1)
    effort = Effort(timeout_seconds=0)
    with pytest.raises(OcmError, match="printed more than 16 bytes"):
        change_config(kept.context, NAME, lambda config: {**config, "ui": {}}, effort=effort, dry_run=False)


def test_a_config_under_a_lease_is_told_by_its_path_with_what_ends_that(kept: Kept) -> None:
    kept.create(sealed=False)
    config = Path(kept.paths(NAME).config)
    effort = Effort(timeout_seconds=0)
    with leased(config), pytest.raises(OcmError) as caught:
        change_config(kept.context, NAME, lambda config: {**config, "ui": {}}, effort=effort, dry_run=False)
    assert caught.value.message == f"{config} cannot be read: Resource temporarily unavailable"
    assert caught.value.hint == f"a program in {NAME} holds it, by a lease: ocm stop {NAME} ends that"


def test_the_log_is_that_of_gateway_and_backend(kept: Kept) -> None:
    kept.deploy()
    kept.stop()
    told = [(entry.source, entry.message) for entry in kept.logs()]
    assert told == [("fake", "started"), ("gateway", "up"), ("gateway", "down"), ("fake", "stopped")]
    assert [entry.message for entry in kept.logs(lines=1)] == ["stopped"]
    assert list(kept.logs(lines=0)) == []


def test_a_log_that_is_followed_goes_on_with_what_comes(kept: Kept) -> None:
    kept.deploy()
    following = kept.logs(follow=True)
    assert [entry.message for entry in itertools.islice(following, 2)] == ["started", "up"]
    kept.world.tell(NAME, "gateway", "more")
    assert next(following).message == "more"


class Became(Exception):
    """What stands for this process having become another one."""


def test_supervise_becomes_the_backend_that_is_a_program_of_the_users(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def become(_self: Runner, argv: tuple[str, ...]) -> None:
        raise Became(*argv)

    monkeypatch.setattr(Runner, "become", become)
    without_supervisord(monkeypatch)
    kept.world.foreground = ("/usr/bin/fake", "--foreground")
    with pytest.raises(Became) as caught:
        kept.supervise()
    assert caught.value.args == kept.world.foreground


def without_supervisord(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no such backend: what is taken out of the dictionary itself would come back at its end."""
    others = {name: where for name, where in registry.BACKENDS.items() if name != "supervisord"}
    monkeypatch.setattr(registry, "BACKENDS", others)


def test_supervise_becomes_the_backend_that_is_chosen_where_two_are_programs_of_the_users(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def become(_self: Runner, argv: tuple[str, ...]) -> None:
        raise Became(*argv)

    monkeypatch.setattr(Runner, "become", become)
    kept.world.foreground = ("/usr/bin/fake", "--foreground")
    assert list(registry.BACKENDS).index("supervisord") < list(registry.BACKENDS).index(
        kept.context.backend.name
    )
    with pytest.raises(Became) as caught:
        kept.supervise()
    assert caught.value.args == kept.world.foreground


def test_supervise_says_so_where_one_runs_already_and_where_there_is_none(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_supervisord(monkeypatch)
    with pytest.raises(OcmError, match="there is no backend to run in the foreground") as caught:
        kept.supervise()
    assert caught.value.code == "not_needed"
    kept.world.failing["foreground_argv"] = OcmError("the fake runs already", code="running")
    with pytest.raises(OcmError, match="the fake runs already"):
        kept.supervise()


def launcher(kept: Kept, said: str, status: int) -> None:
    """Have what runs in sandboxes fail as a launcher does."""
    node = kept.home / ".npm-global/bin/node"
    node.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit {status}\n")


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ("", 203, "203/EXEC"),
        ("", 226, "226/NAMESPACE"),
        ("", 127, "its program is not there"),
        ("bwrap: No permissions to create new namespace", 1, "bwrap: No permissions"),
        ("Failed to connect to user scope bus via local transport: gone", 1, "Failed to connect to user"),
    ],
)
def test_what_starts_a_session_is_not_told_as_a_refusal_by_openclaw_or_as_damage(
    kept: Kept, said: str, status: int, told: str
) -> None:
    kept.create(sealed=False)
    sqlite3.connect(Path(kept.paths(NAME).state, "state.sqlite")).execute("create table a (b)")
    launcher(kept, said, status)

    def edit() -> object:
        return change_config(
            kept.context, NAME, lambda config: {**config, "a": 1}, effort=kept.effort(), dry_run=False
        )

    for command in (edit, kept.backup):
        with pytest.raises(OcmError) as caught:
            command()
        assert caught.value.code == "not_launched", command
        assert told in caught.value.message


def test_a_program_that_is_not_there_is_told_after_what_was_printed(kept: Kept) -> None:
    kept.create(sealed=False)
    launcher(kept, "", 203)
    with pytest.raises(OcmError, match="203/EXEC") as caught:
        kept.use("doctor")
    assert caught.value.exit_code == 203
    launcher(kept, "", 7)
    assert kept.use("doctor") == 7


def test_after_a_deploy_that_failed_no_hint_names_what_is_gone(kept: Kept) -> None:
    kept.world.exits[NAME] = 1
    with pytest.raises(OcmError) as caught:
        kept.deploy()
    assert NAME not in instance_names(kept.host.paths)
    assert NAME not in (caught.value.hint or "")
