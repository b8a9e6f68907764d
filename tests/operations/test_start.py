"""Starts, stops and restarts, those that fail and are undone included."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.backends import fake
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.journal import encode_plan
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.plan import Plan
from openclaw_ocm.core.status import Answer, Listener
from openclaw_ocm.core.steps import Start, WriteRecord
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import apply, gateway, verify
from openclaw_ocm.operations import start as start_module
from openclaw_ocm.operations.planning.change import allocating
from openclaw_ocm.operations.start import start as run_start
from openclaw_ocm.operations.start import stop as run_stop
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.operations.kept import Kept

    from openclaw_ocm.backends.protocol import Observed
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.core.status import Process

UNREADY = Answer(phase="starting", failing=("telegram",))


def test_a_deploy_makes_an_instance_that_is_ready_and_sealed(kept: Kept) -> None:
    outcome = kept.deploy(autostart=True)
    assert (outcome.changed, outcome.message) == (True, "ready and sealed")
    assert "a fake ends with the tests" in outcome.notes
    record, process = kept.record(NAME), kept.process(NAME)
    assert (record.backend, record.sealed, record.port) == ("fake", True, 19001)
    assert (process.activity, process.autostart, process.installed) == ("running", True, True)
    again = kept.deploy(autostart=True)
    assert (again.changed, again.message, again.steps) == (False, "already ready and sealed", ())
    assert kept.process(NAME).pid == process.pid


def test_a_deploy_tells_how_a_provider_becomes_known(kept: Kept) -> None:
    (note,) = (one for one in kept.deploy(model="lab/m-1").notes if "lab" in one)
    assert f"ocm model {NAME} lab/m-1 --base-url URL" in note


def test_one_of_many_that_are_deployed_at_once_waits_for_its_turn_to_have_a_port(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if now > 60:
            others.close()

    with contextlib.ExitStack() as others:
        others.enter_context(allocating(kept.context))
        monkeypatch.setattr(files, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
        assert kept.deploy().changed
    assert now > 60


def test_one_whose_record_cannot_be_read_keeps_its_port_and_nobody_from_being_made(kept: Kept) -> None:
    kept.create()
    Path(kept.paths(NAME).record).write_text("wings = 2\n")
    kept.create(OTHER)
    assert kept.record(OTHER).port == 19021
    Path(kept.paths(NAME).config).write_text("{}")
    with pytest.raises(OcmError, match=f"nobody can tell which port belongs to {NAME}: ") as caught:
        kept.create(InstanceName("third"))
    assert caught.value.code == "record_corrupt"
    assert caught.value.hint


def test_a_deploy_that_fails_leaves_no_trace(kept: Kept) -> None:
    before = kept.files()
    kept.world.exits[NAME] = 78
    with pytest.raises(
        OcmError, match="did not become ready: exit 78: OpenClaw refuses its config"
    ) as caught:
        kept.deploy()
    assert (caught.value.code, caught.value.exit_code) == ("not_ready", 1)
    assert "ended with 78" in caught.value.details
    assert any(line.startswith("undone: ") for line in caught.value.details)
    assert kept.files() == before
    assert kept.world.gateways == {}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(kept: Kept) -> None:
    before = kept.files()
    planned = kept.deploy(dry_run=True)
    assert (planned.changed, planned.dry_run) == (False, True)
    assert kept.files() == before
    assert kept.deploy().steps == planned.steps
    for verb, steps in ((kept.stop, 1), (kept.restart, 3)):
        pid = kept.process(NAME).pid
        assert len(verb(dry_run=True).steps) == steps
        assert kept.process(NAME).pid == pid


def test_a_start_proves_what_it_started_and_is_nothing_the_second_time(kept: Kept) -> None:
    kept.create()
    assert kept.process(NAME).activity == "stopped"
    outcome = kept.start()
    assert (outcome.changed, outcome.message) == (True, "ready and sealed")
    assert kept.said[-2:] == ["wait for the gateway", "prove the sandbox"]
    pid = kept.process(NAME).pid
    assert kept.start().message == "already ready and sealed"
    assert kept.process(NAME).pid == pid


def test_a_start_closes_a_state_to_others_and_opens_nothing_in_its_place(kept: Kept) -> None:
    kept.create()
    state, outside = Path(kept.paths(NAME).state), Path(kept.home, "outside")
    state.chmod(0o755)
    kept.start()
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    kept.stop()
    outside.mkdir(mode=0o500)
    state.rename(f"{state}-moved")
    state.symlink_to(outside)
    # Put there after it was looked at.
    with pytest.raises(OSError, match="Not a directory"):
        apply.apply_step(kept.context, Start(name=NAME))
    assert stat.S_IMODE(outside.stat().st_mode) == 0o500


def test_an_instance_without_a_sandbox_is_said_to_have_none(kept: Kept) -> None:
    kept.create(sealed=False)
    kept.unproved[NAME] = ("nothing is in force",)
    assert kept.start().message == "ready, not sealed"


def test_a_gateway_that_waits_for_a_lease_of_its_killed_predecessor_is_told_as_that(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create()
    kept.world.answers[NAME] = UNREADY
    now = time.time() * 1000

    def run_node(
        _worker: object, program: str, _request: bytes, on_line: Callable[[str], None], **_more: object
    ) -> None:
        assert program == "read_leases.mjs"
        on_line(json.dumps(["core:plugin-lifecycle", now + 250_000, now - 50_000]))

    monkeypatch.setattr("openclaw_ocm.instances.leases.run_node", run_node)
    words = r"waits for a lease \(core:plugin-lifecycle\) that its killed predecessor holds until [\d:]{8}"
    with pytest.raises(OcmError, match=rf"not ready after 0 s \(it {words}\)$"):
        kept.start()
    assert any(re.fullmatch(words, said) for said in kept.said)
    # Its own, renewed since it began, is none to wait for.
    now += 100_000
    with pytest.raises(OcmError, match=r"not ready after 0 s \(telegram\)"):
        kept.start()


def test_a_start_that_does_not_become_ready_is_stopped_again(kept: Kept) -> None:
    kept.create()
    kept.world.answers[NAME] = UNREADY
    with pytest.raises(OcmError, match=r"did not become ready: not ready after 0 s \(telegram\)") as caught:
        kept.start()
    assert caught.value.hint == "--timeout gives it longer"
    assert "up" in caught.value.details, "its last words"
    assert kept.process(NAME).activity == "stopped"
    with pytest.raises(OcmError):
        kept.start(keep=True)
    assert kept.process(NAME).activity == "running", "--keep leaves it for inspection"


def test_a_gateway_that_cannot_be_started_at_all_is_told_with_its_log(kept: Kept) -> None:
    kept.create()
    kept.world.refused.add(NAME)
    with pytest.raises(OcmError, match="could not be started") as caught:
        kept.start()
    assert (caught.value.code, caught.value.hint) == ("not_started", f"ocm logs {NAME}")


def test_a_sandbox_that_is_not_in_force_does_not_run_on(kept: Kept) -> None:
    kept.create()
    kept.unproved[NAME] = ("it reads /root/.ssh",)
    with pytest.raises(OcmError, match="is not in force, and it was stopped") as caught:
        kept.start()
    assert "it reads /root/.ssh" in caught.value.details
    assert kept.process(NAME).activity == "stopped"


def test_it_does_not_run_on_either_where_nobody_says_whether_it_does(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_backend: fake.Fake, _process: Process) -> bool:
        raise OcmError("no answer")

    kept.deploy()
    kept.unproved[NAME] = ("it reads /root/.ssh",)
    monkeypatch.setattr(fake.Fake, "lives", silent)
    with pytest.raises(OcmError, match="no answer"):
        kept.start()
    assert kept.process(NAME).activity == "stopped"


@pytest.mark.parametrize("seen_by_its_backend", [True, False])
def test_a_gateway_that_ends_while_it_is_proved_is_no_finding(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, *, seen_by_its_backend: bool
) -> None:
    def prove(_backend: fake.Fake, gateway: Observed, _policy: Policy) -> tuple[str, ...]:
        kept.world.tell(NAME, "gateway", "TypeError: that was it")
        if seen_by_its_backend:
            kept.world.gateways[NAME].pid = None
        else:
            monkeypatch.setattr(fake.Fake, "lives", lambda _backend, process: process != gateway.process)
        return ("no box can be made: Broken pipe",)

    kept.create()
    monkeypatch.setattr(fake.Fake, "prove", prove)
    with pytest.raises(OcmError, match=f"the gateway of {NAME} ended while it was verified") as caught:
        kept.start()
    assert caught.value.code == "not_ready"
    assert "TypeError: that was it" in caught.value.details
    assert not [line for line in caught.value.details if "Broken pipe" in line]
    assert kept.process(NAME).activity == "stopped"


def test_one_that_runs_and_is_no_longer_sealed_is_started_anew(kept: Kept) -> None:
    kept.deploy()
    pid = kept.process(NAME).pid
    kept.unproved[NAME] = ("it reads /root/.ssh",)
    assert kept.start(dry_run=True).steps == (
        f"restart {NAME}",
        f"wait until {NAME} is ready and prove its sandbox from within",
    )
    kept.unproved.clear()
    kept.restart()
    assert kept.process(NAME).pid not in (None, pid)


def test_another_version_than_the_installed_one_is_not_ready(kept: Kept) -> None:
    kept.create()
    kept.world.answers[NAME] = Answer(ready=True, phase="started", version="2026.1.1")
    with pytest.raises(OcmError, match=r"answers as OpenClaw 2026\.1\.1, not 2026\.9\.6"):
        kept.start()
    assert kept.process(NAME).activity == "stopped"


def test_a_port_that_a_stranger_took_is_told(kept: Kept) -> None:
    kept.create()
    kept.strangers[kept.record(NAME).port] = Listener(pid=1, command="nginx")
    with pytest.raises(OcmError, match=r"port 19001 is taken by PID 1 \(nginx\)"):
        kept.start()


def test_a_stop_ends_sessions_and_gateway_and_is_nothing_the_second_time(kept: Kept) -> None:
    kept.deploy()
    kept.world.calls.clear()
    assert kept.stop().message == "stopped"
    calls = [method for method, names in kept.world.calls if NAME in names and method.startswith("stop")]
    assert calls == ["stop_sessions", "stop"]
    assert kept.process(NAME).activity == "stopped"
    assert kept.stop().message == "already stopped"


def test_what_a_stop_waits_for_is_told_where_it_takes_long(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.deploy()
    told = threading.Event()
    stop = fake.Fake.stop

    def slow(backend: fake.Fake, names: Collection[InstanceName]) -> None:
        assert told.wait(30), "nothing is told while a gateway drains"
        stop(backend, names)

    def tell(words: str) -> None:
        kept.said.append(words)
        if words.startswith("wait for the agent's work in progress, at most "):
            told.set()

    monkeypatch.setattr(gateway, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(fake.Fake, "stop", slow)
    run_stop(replace(kept.context, report=tell), NAME, dry_run=False)
    assert kept.process(NAME).activity == "stopped"


@pytest.mark.parametrize("stopped_by_another", [False, True])
def test_a_stop_now_waits_for_no_turn_that_hangs(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, *, stopped_by_another: bool
) -> None:
    monkeypatch.setattr(start_module, "_GRACE_SECONDS", 0.1)
    kept.deploy()
    Path(kept.paths(NAME).state, "script").write_text("trap '' TERM\n")
    with ThreadPoolExecutor(1) as others:
        if stopped_by_another:
            first = others.submit(kept.stop)
            while kept.process(NAME).activity != "stopping":
                time.sleep(0.01)
        outcome = kept.stop(now=True)
    assert kept.process(NAME).activity == "stopped"
    assert outcome.notes == ("what it was at was cut off",)
    if stopped_by_another:
        assert (first.result().message, outcome.message) == ("stopped", "already stopped")


def test_a_stop_now_kills_nobody_who_ends_by_itself(kept: Kept) -> None:
    kept.deploy()
    outcome = kept.stop(now=True)
    assert (outcome.message, outcome.notes) == ("stopped", ())


def test_a_start_that_only_waits_changes_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.deploy()
    pid = kept.process(NAME).pid
    kept.world.answers[NAME] = UNREADY
    monkeypatch.setattr(verify, "_POLL_SECONDS", 0.01)
    said = kept.said.append

    def tell(words: str) -> None:
        said(words)
        kept.world.answers.pop(NAME, None)

    outcome = run_start(
        replace(kept.context, report=tell), NAME, kept.effort(timeout_seconds=30), dry_run=False
    )
    assert (outcome.changed, outcome.message) == (False, "already ready and sealed")
    assert len(outcome.steps) == 1
    assert kept.process(NAME).pid == pid


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_stop_needs_no_room_on_the_disk(kept: Kept, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    kept.deploy()
    true = os.open

    def full(path: object, flags: int, *arguments: object, **options: object) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            raise OSError(number, os.strerror(number), path)
        return true(path, flags, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        outcome = kept.stop()
    assert (outcome.message, outcome.changed) == ("stopped", True)
    assert kept.process(NAME).activity == "stopped"
    assert kept.start().changed


def test_a_stop_waits_for_no_change_that_cannot_be_mended(kept: Kept) -> None:
    kept.deploy()
    journal = Path(kept.host.paths.transactions, f"{NAME}.jsonl")
    journal.write_text("damaged\n0\n")
    outcome = kept.stop()
    assert outcome.message == "stopped"
    assert f"an interrupted operation on {NAME} could not be mended" in outcome.notes[0]
    assert kept.process(NAME).activity == "stopped"
    assert journal.read_text() == "damaged\n0\n"
    with pytest.raises(OcmError, match="damaged"):
        kept.start()


def test_a_damaged_journal_goes_with_what_is_deleted(kept: Kept) -> None:
    before = kept.files()
    kept.deploy()
    Path(kept.host.paths.transactions, f"{NAME}.jsonl").write_text("damaged\n0\n")
    outcome = kept.delete(force=True)
    assert outcome.notes == ("the damaged journal of a change of before went with it",)
    assert kept.files() == before


def test_what_can_still_be_put_back_is_not_deleted(kept: Kept) -> None:
    kept.create()
    text = '{"version": 999, "plan": {}}\n0\n'
    journal = Path(kept.host.paths.transactions, f"{NAME}.jsonl")
    journal.write_text(text)
    with pytest.raises(OcmError, match=r"could not be mended: .* is of a newer OCM") as caught:
        kept.delete()
    assert (caught.value.code, str(caught.value.hint)[:13]) == ("journal_newer", "take that OCM")
    assert journal.read_text() == text
    assert Path(kept.paths(NAME).state).is_dir()


def test_a_stop_of_what_was_never_whole_undoes_it(kept: Kept) -> None:
    kept.create()
    record = str(kept.paths(NAME).record)
    made = Plan(
        operation="create", name=NAME, backend="fake", steps=(WriteRecord(path=record, text=""),), commit=1
    )
    Path(kept.host.paths.transactions, f"{NAME}.jsonl").write_bytes(encode_plan(made) + b"\n0\n")
    outcome = kept.stop()
    assert (outcome.changed, outcome.message) == (True, f"an interrupted create of {NAME} was undone")
    assert not Path(record).exists()


def test_a_stop_forgets_that_it_failed(kept: Kept) -> None:
    kept.create()
    kept.world.exits[NAME] = 78
    with pytest.raises(OcmError):
        kept.start(keep=True)
    assert kept.process(NAME).activity == "failed"
    kept.stop()
    assert kept.process(NAME).activity == "stopped"


def test_a_restart_takes_up_a_changed_record_and_starts_one_that_is_stopped(kept: Kept) -> None:
    kept.deploy()
    pid = kept.process(NAME).pid
    record = Path(kept.paths(NAME).record)
    record.write_text(record.read_text().replace("tasks = 512", "tasks = 600"))
    steps = kept.restart().steps
    assert any("definition" in step for step in steps)
    assert kept.process(NAME).pid not in (None, pid)
    assert not kept.process(NAME).changed_on_disk
    kept.stop()
    kept.restart()
    assert kept.process(NAME).activity == "running"


def test_a_restart_of_all_leaves_what_is_stopped_and_tries_what_failed(kept: Kept) -> None:
    kept.create()
    outcome = kept.restart(stopped_too=False)
    assert (outcome.changed, outcome.message) == (False, "stopped, and left so")
    assert kept.process(NAME).activity == "stopped"
    kept.world.exits[NAME] = 78
    with pytest.raises(OcmError):
        kept.start(keep=True)
    del kept.world.exits[NAME]
    kept.restart(stopped_too=False)
    assert kept.process(NAME).activity == "running"


def test_a_definition_edited_by_hand_is_not_started_unless_it_is_repaired(kept: Kept) -> None:
    kept.create()
    definition = Path(kept.status().paths["definition"])
    wanted = definition.read_text()
    definition.write_text(f"{wanted}more\n")
    with pytest.raises(OcmError, match="edited by hand") as caught:
        kept.start()
    assert caught.value.hint == f"ocm start {NAME} --repair writes it anew"
    assert definition.read_text() == f"{wanted}more\n"
    kept.start(repair=True)
    assert definition.read_text() == wanted
    assert kept.process(NAME).activity == "running"


def test_an_error_of_the_backend_undoes_what_was_begun(kept: Kept) -> None:
    kept.create()
    before = kept.files()
    Path(kept.status().paths["definition"]).unlink()
    kept.world.failing["start"] = OcmError("the cluster is down", code="down")
    with pytest.raises(OcmError, match="the cluster is down") as caught:
        kept.start()
    assert any("undone" in line for line in caught.value.details)
    kept.world.failing.clear()
    assert not kept.process(NAME).installed, "as it was before"
    kept.start()
    assert kept.files() == before


def test_nothing_is_left_of_one_that_is_deleted(kept: Kept) -> None:
    before = kept.files()
    kept.deploy(autostart=True)
    with pytest.raises(OcmError, match="is running"):
        kept.delete()
    assert kept.process(NAME).activity == "running"
    kept.delete(force=True)
    assert kept.files() == before
    assert kept.world.gateways == {}
    assert kept.world.enabled == set()


def test_one_that_waits_for_its_turn_begins_at_once_when_it_is_asked_for(kept: Kept) -> None:
    kept.deploy()
    kept.stop()
    kept.world.queued.add(NAME)
    row = kept.row()
    assert (row.state, row.reason) == ("starting", "waits for its turn: not all start at once")
    kept.world.calls.clear()
    assert kept.start().message == "ready and sealed"
    assert ("start", (NAME,)) in kept.world.calls
    assert "stop" not in [method for method, _names in kept.world.calls]
    assert not kept.world.queued


def test_one_that_waits_for_its_turn_is_stopped(kept: Kept) -> None:
    kept.deploy()
    kept.stop()
    kept.world.queued.add(NAME)
    assert kept.stop().changed
    assert kept.process(NAME).activity == "stopped"
