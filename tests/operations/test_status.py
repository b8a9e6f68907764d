"""What is told of instances: list, health and status, also where a backend does not answer."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.backends import fake
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.backends.supervisord import sessions
from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core.journal import encode_plan
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.plan import Plan
from openclaw_ocm.core.status import Answer, Listener
from openclaw_ocm.core.steps import WriteRecord
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import verify
from openclaw_ocm.operations.planning.change import recover_all
from openclaw_ocm.operations.schedule import Asked, set_schedule
from openclaw_ocm.operations.status import observe
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.machine import boxes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.status import Process

DOWN = OcmError("the cluster is down", hint="start it", code="down")


def move_to(kept: Kept, name: str, backend: str) -> None:
    """Have the record of an instance name another backend."""
    record = Path(kept.paths(parse_name(name)).record)
    record.write_text(record.read_text().replace(f'"{fake.NAME}"', f'"{backend}"'))


def test_a_row_tells_how_an_instance_is(kept: Kept) -> None:
    kept.create(OTHER)
    kept.deploy(autostart=True)
    ready, stopped = kept.row(NAME), kept.row(OTHER)
    assert (ready.state, ready.reason, ready.version, ready.port) == ("ready", None, "2026.9.6", 19021)
    assert (ready.backend, ready.isolation, ready.autostart, ready.unhealthy) == (
        "fake",
        "sealed",
        True,
        False,
    )
    assert ready.pid == kept.process(NAME).pid
    assert ready.uptime_seconds is not None
    assert (stopped.state, stopped.pid, stopped.uptime_seconds) == ("stopped", None, None)
    assert not stopped.unhealthy
    assert set(kept.rows()) == {NAME, OTHER}


def plugin_of_openclaw(kept: Kept) -> None:
    """Have the stand-in for OpenClaw come with a provider."""
    manifest = {"id": "fal", "setup": {"providers": [{"id": "fal", "envVars": ["FAL_KEY"]}]}}
    package = kept.home / ".npm-global/lib/node_modules/openclaw/dist/extensions/fal"
    package.mkdir(parents=True)
    (package / "openclaw.plugin.json").write_text(json.dumps(manifest))


def test_what_keeps_an_agent_from_answering_is_told_and_makes_no_gateway_unhealthy(kept: Kept) -> None:
    plugin_of_openclaw(kept)
    kept.create(OTHER, model="fal/m")
    Path(kept.paths(OTHER).secrets).write_text("FAL_KEY=sk-PLANTED\n")
    kept.deploy(model="fal/m")
    said = f"it has no key for fal: ocm model {NAME} fal/m asks for it"
    rows = {row.name: row for row in observe(kept.context, (NAME, OTHER), agents=True)}
    assert {name: row.agent for name, row in rows.items()} == {NAME: said, OTHER: None}
    assert not rows[NAME].unhealthy
    assert kept.row().agent is None, "a list does not look"
    assert said in kept.status().notes
    found = kept.examine()
    assert f"{NAME}: {said}" in found.notes
    assert not any(problem.about == NAME for problem in found.problems)


def test_of_an_openclaw_that_tells_of_no_provider_nothing_is_said(kept: Kept) -> None:
    kept.create()
    assert kept.status().row.agent is None


def test_whether_there_are_boxes_is_told(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.create()
    docker = kept.home / "docker.sock"
    monkeypatch.setattr(boxes, "DOCKER_SOCKET", docker)
    monkeypatch.setattr(boxes, "BWRAP", kept.home)
    assert kept.row().boxes is True
    assert not [gap for gap in kept.status().gaps if "bubblewrap" in gap]
    monkeypatch.setattr(boxes, "BWRAP", kept.home / "nowhere")
    assert kept.row().boxes is False
    assert [gap for gap in kept.status().gaps if "bubblewrap is not installed" in gap]
    record = kept.record(NAME)
    Path(kept.paths(NAME).record).write_text(encode_record(msgspec.structs.replace(record, docker=True)))
    assert kept.row().boxes is False
    assert [note for note in kept.status().notes if "out of reach here" in note]
    docker.touch()
    assert kept.row().boxes is None
    Path(kept.paths(NAME).record).write_text("no record")
    assert kept.row().boxes is None


@pytest.mark.parametrize(
    ("answer", "state", "reason"),
    [
        (Answer(phase="starting", failing=("telegram",)), "starting", "telegram"),
        (Answer(phase="draining", version="2026.9.6"), "draining", "draining"),
        (Answer(phase="started", failing=("telegram",)), "failed", "not ready: telegram"),
        (Answer(problem="no answer within 5 s"), "starting", "no answer within 5 s"),
    ],
)
def test_what_a_gateway_says_of_itself_is_judged(kept: Kept, answer: Answer, state: str, reason: str) -> None:
    kept.deploy()
    kept.world.answers[NAME] = answer
    row = kept.row()
    assert (row.state, row.reason, row.unhealthy) == (state, reason, True)


def test_a_stranger_on_the_port_of_one_that_runs_is_told(kept: Kept) -> None:
    kept.deploy()
    kept.strangers[19001] = Listener(pid=1, command="nginx")
    assert kept.row().reason == f"port 19001 is taken by PID 1 (nginx): ocm port {NAME} takes another"


def test_a_status_tells_everything_and_what_is_not_as_it_should_be(kept: Kept) -> None:
    kept.deploy()
    found = kept.status()
    assert (found.url, found.memory_bytes, found.cpu_seconds) == ("http://127.0.0.1:19001/", 2**20, 1.0)
    assert found.paths["definition"] == f"{kept.home}/.config/ocm/fake/{NAME}.gateway"
    assert "a fake enforces nothing" in found.gaps
    assert found.drift == ()
    Path(found.paths["link"]).unlink()
    Path(found.paths["definition"]).write_text(f"{Path(found.paths['definition']).read_text()}more\n")
    kept.world.enabled.add(NAME)
    drift = "\n".join(kept.status().drift)
    for words in (
        "edited by hand",
        "has not read the definition",
        "differ on starting",
        "no longer the link",
    ):
        assert words in drift


def test_an_unknown_instance_is_said_to_be_none(kept: Kept) -> None:
    kept.create()
    with pytest.raises(OcmError, match="there is no instance nobody"):
        kept.rows(parse_name("nobody"))


def test_a_record_that_cannot_be_read_costs_its_own_instance_alone(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    Path(kept.paths(OTHER).record).write_text("nonsense")
    rows = kept.rows()
    assert rows[NAME].state == "ready"
    assert "is corrupt" in (rows[OTHER].problem or "")


def test_a_backend_that_does_not_answer_costs_its_own_instances_alone(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    move_to(kept, OTHER, "supervisord")
    kept.world.failing["observe"] = DOWN
    rows = kept.rows()
    assert (rows[NAME].problem, rows[NAME].unhealthy) == ("the cluster is down", True)
    assert rows[OTHER].problem is None
    with pytest.raises(OcmError, match="the cluster is down"):
        kept.status()


def test_where_no_backend_answers_that_is_the_error(kept: Kept) -> None:
    kept.create()
    kept.world.failing["observe"] = DOWN
    with pytest.raises(OcmError, match="the cluster is down") as caught:
        kept.rows()
    assert caught.value.hint == "start it"


def test_an_instance_of_a_backend_that_this_ocm_has_not_is_named_beside_the_others(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    move_to(kept, OTHER, "upstart")
    rows = kept.rows()
    assert rows[NAME].state == "ready"
    assert rows[OTHER].problem == "there is no backend upstart"
    before = kept.files()
    for verb in (kept.start, kept.stop, kept.restart, kept.status):
        with pytest.raises(OcmError, match="there is no backend upstart"):
            verb(OTHER)
    assert kept.files() == before


def test_a_backend_that_does_not_tell_what_it_has_is_a_problem_of_the_machine(kept: Kept) -> None:
    kept.create()
    kept.create(OTHER)
    move_to(kept, OTHER, "supervisord")
    Path(kept.paths(OTHER).config_link).unlink()
    for method in ("observe", "defined", "definition", "timers"):
        kept.world.failing[method] = DOWN
    found = kept.examine()
    told = {(problem.about, problem.what) for problem in found.problems}
    assert ("this machine", "fake does not tell what it has: the cluster is down") in told
    assert (NAME, "the cluster is down") in told
    assert any(about == OTHER and "no longer the link" in what for about, what in told), (
        "of the others all is told"
    )
    mended = kept.fix(found)
    assert Path(kept.paths(OTHER).config_link).is_symlink()
    assert any("link" in line for line in mended.fixed)


def test_doctor_finds_and_mends_what_is_left_of_an_instance_without_a_record(kept: Kept) -> None:
    kept.create()
    kept.create(OTHER)
    definition = kept.status(OTHER).paths["definition"]
    kept.delete(OTHER)
    Path(definition).write_text(Path(kept.status().paths["definition"]).read_text())
    found = kept.examine()
    (problem,) = (problem for problem in found.problems if problem.about == OTHER)
    assert problem.what == "fake has its definition, but it has no record"
    after = kept.fix(found)
    assert not [problem for problem in after.problems if problem.about == OTHER]
    assert not Path(definition).exists()
    assert Path(kept.status().paths["definition"]).exists()


def test_doctor_finds_and_ends_what_runs_in_the_sandbox_of_no_instance(kept: Kept) -> None:
    with left_running(kept, OTHER) as left:
        found = kept.examine()
        # Those of the fake are to be found as those of supervisord are.
        told = {problem.what for problem in found.problems if problem.about == OTHER}
        assert told == {"a program runs in its sandbox, but it has no record"}
        after = kept.fix(found)
        assert left.wait(timeout=30) == -signal.SIGTERM
    assert f"{OTHER}: stop {OTHER}" in after.fixed
    assert not [problem for problem in after.problems if problem.about == OTHER]


def test_what_a_kill_left_running_ends_before_the_change_is_undone(kept: Kept) -> None:
    kept.create()
    record = Path(kept.paths(NAME).record)
    before = record.read_text()
    write = WriteRecord(path=str(record), text=f"{before}# changed\n", previous=before)
    plan = Plan(operation="rename", name=NAME, backend="fake", steps=(write,), commit=1, others=(OTHER,))
    journal = Path(kept.host.paths.transactions, f"{NAME}.jsonl")
    with left_running(kept, NAME) as left, left_running(kept, OTHER) as other:
        journal.write_bytes(encode_plan(plan) + b"\n0\n")
        (sentence,) = recover_all(kept.context)
        assert (left.wait(timeout=30), other.wait(timeout=30)) == (-signal.SIGTERM, -signal.SIGTERM)
    assert sentence == f"an interrupted rename of {NAME} was undone"
    assert record.read_text() == before


@contextlib.contextmanager
def left_running(kept: Kept, name: InstanceName) -> Iterator[subprocess.Popen[bytes]]:
    """Have a program run in a session of an instance that need not be there."""
    environ = {sessions.VARIABLE: sessions.new_token(kept.paths(name))}
    with subprocess.Popen(["/bin/sleep", "600"], env=environ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_backend_is_asked_only_where_an_instance_is_its_own(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(_self: Supervisord, names: object) -> dict[str, object]:
        raise AssertionError(names)

    monkeypatch.setattr(Supervisord, "observe", observe)
    kept.create()
    assert kept.row().state == "stopped"


def test_backups_whose_program_has_gone_are_told_before_the_next_is_missed(kept: Kept) -> None:
    kept.create()
    asked = Asked(every="daily", keep={}, given={})
    set_schedule(kept.context, NAME, asked, dry_run=False)
    assert kept.row().backup is None
    (definition,) = kept.context.backend.timers().definitions(NAME, "daily")
    path = Path(definition.path)
    # As if it had been written by an ocm that ran on another Python.
    path.write_text(definition.text.replace(sys.executable, "/gone/bin/python"))
    found = kept.row()
    assert found.backup is not None
    assert found.backup.startswith("/gone/bin/python is gone, which is to make its backups: ocm doctor --fix")
    assert found.unhealthy
    kept.start()
    assert kept.row().backup is None


def test_a_gateway_that_is_no_process_of_this_machine_is_started_watched_and_told(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = fake.Fake.observe

    def observe(backend: fake.Fake, names: Collection[InstanceName]) -> dict[InstanceName, Process]:
        found = seen(backend, names)
        return {name: replace(one, pid=None, elsewhere=one.pid is not None) for name, one in found.items()}

    def ends(_seconds: float) -> None:
        kept.world.gateways[NAME].since = 1.0

    monkeypatch.setattr(fake.Fake, "observe", observe)
    assert kept.deploy().message == "ready and sealed"
    assert kept.start().message == "already ready and sealed"
    row = kept.row()
    assert (row.state, row.pid, row.uptime_seconds is not None) == ("ready", None, True)
    monkeypatch.setattr(verify, "time", SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=ends))
    with pytest.raises(OcmError, match=f"{NAME} became ready and ended within 1 s"):
        verify.watch(kept.context, NAME, seconds=60.0)
