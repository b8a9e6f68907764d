"""One backend that does not answer costs the instances of the others nothing, whatever is asked or done."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.backends import fake, silent
from tests.backends.silent import SAID
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.backends import registry
from openclaw_ocm.backends.systemd.manager import Systemd
from openclaw_ocm.backends.systemd.timers import SystemdTimers
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.status import Answer
from openclaw_ocm.core.tunnel import Server
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.instances.instance import observed, open_all
from openclaw_ocm.instances.verify import verdicts
from openclaw_ocm.operations.backups import list_backups
from openclaw_ocm.operations.metrics import collect
from openclaw_ocm.operations.open import Seat, find
from openclaw_ocm.operations.planning.facts import gather
from openclaw_ocm.operations.planning.problems import MACHINE
from openclaw_ocm.operations.planning.textfile import WRITE_AGAIN
from openclaw_ocm.operations.rename import rename
from openclaw_ocm.operations.status import status
from openclaw_ocm.operations.supervise import supervise
from openclaw_ocm.operations.textfile import write_from_now, write_no_more
from openclaw_ocm.operations.top import watch
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.operations.kept import Kept

    from openclaw_ocm.backends.protocol import Observed
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.status import Process

NEW = parse_name(f"{NAME}-b")
SEAT = Seat(desktop=False, remote=False, container=False, user="ann", server=Server("here"))


@pytest.fixture
def beside(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Return a home in which one instance runs, and another has a backend that is not there."""
    kept.deploy()
    kept.create(OTHER)
    monkeypatch.setitem(registry.BACKENDS, silent.NAME, silent.REGISTERED)
    away = msgspec.structs.replace(kept.record(OTHER), backend=silent.NAME)
    files.write_file(kept.paths(OTHER).record, encode_record(away).encode())
    kept.context.backends[fake.NAME].remove([OTHER])
    return kept


def test_all_of_its_methods_raise() -> None:
    assert {"observe", "ask", "strangers", "use", "prove", "timers", "written", "answers"} < {*silent.METHODS}


def test_it_is_listed_as_what_it_is(beside: Kept) -> None:
    rows = beside.rows()
    assert (rows[NAME].state, rows[OTHER].state, rows[OTHER].problem) == ("ready", "failed", SAID)
    assert beside.status().row.state == "ready"
    (found,) = find(
        beside.context,
        (NAME, OTHER),
        SEAT,
        everything=True,
        with_tokens=False,
    ).pages
    assert found.name == NAME


def test_it_is_watched_measured_and_told_of_beside_others(beside: Kept) -> None:
    watched = {one.row.name: one for one in watch(beside.context)}
    assert (watched[NAME].row.state, watched[OTHER].row.problem) == ("ready", SAID)
    assert watched[NAME].use is not None
    readings = {
        (metric.sample, reading.labels["instance"]): reading.value
        for metric in collect(beside.context)
        for reading in metric.readings
        if metric.sample in ("ocm_instance_observed", "ocm_instance_ready")
    }
    assert readings == {
        ("ocm_instance_observed", NAME): 1,
        ("ocm_instance_observed", OTHER): 0,
        ("ocm_instance_ready", NAME): 1,
    }
    told = {one.name: one.unreadable for one in gather(beside.context).instances}
    assert told == {NAME: False, OTHER: True}


def test_the_doctor_tells_that_it_is_silent_and_of_others_what_is_wrong(beside: Kept) -> None:
    (beside.home / "numbers").mkdir()
    write_from_now(beside.context, "1m", beside.host.paths.home / "numbers", dry_run=False)
    beside.world.timers.clear()
    files.remove_file(beside.paths(NAME).config_link)
    found = beside.examine().problems
    told = {(problem.about, problem.what) for problem in found if problem.about != MACHINE}
    assert (OTHER, SAID) in told
    assert any(about == NAME and "link" in what for about, what in told)
    machine = [problem for problem in found if problem.about == MACHINE]
    assert f"{silent.NAME} does not tell what it has: {SAID}" in {problem.what for problem in machine}
    assert WRITE_AGAIN in {problem.fix for problem in machine}


@pytest.mark.parametrize(
    "verb",
    [
        lambda kept: (kept.stop(), kept.start(), kept.restart(), kept.stop(now=True)),
        lambda kept: (kept.set_autostart(wanted=False), kept.set_autostart(wanted=True)),
        lambda kept: (kept.clone(new=NEW), kept.delete(NEW, force=True), kept.delete(force=True)),
        lambda kept: rename(kept.context, NAME, NEW, kept.effort(), dry_run=False),
        lambda kept: (kept.backup(), list_backups(kept.host)),
    ],
    ids=["starts", "autostart", "clones", "rename", "backup"],
)
def test_what_is_done_with_another_is_done(beside: Kept, verb: Callable[[Kept], object]) -> None:
    verb(beside)


def test_metrics_are_written_by_the_chosen_one_all_the_same(beside: Kept) -> None:
    (beside.home / "numbers").mkdir()
    write_from_now(beside.context, "1m", beside.host.paths.home / "numbers", dry_run=False)
    write_no_more(beside.context, dry_run=False)


def test_times_that_cannot_be_read_are_not_taken_for_none(
    beside: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known(_timers: object) -> tuple[InstanceName, ...]:
        raise UnreadableFile("its units", "Permission denied")

    monkeypatch.setattr(SystemdTimers, "known", known)
    (beside.home / "numbers").mkdir()
    with pytest.raises(UnreadableFile):
        write_from_now(beside.context, "1m", beside.host.paths.home / "numbers", dry_run=False)


def test_one_that_does_not_answer_is_waited_for_once(beside: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def observe(_backend: object, names: Collection[InstanceName]) -> dict[InstanceName, Process]:
        asked.append(names)
        raise OcmError(SAID)

    monkeypatch.setattr(silent.Silent, "observe", observe)
    with pytest.raises(OcmError, match=SAID):
        status(beside.context, OTHER)
    assert len(asked) == 1


def test_a_backend_that_falls_silent_between_two_questions_is_no_harm(
    beside: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a cluster that says what runs in it, and then goes away."""
    running = beside.process(NAME)

    def observe(_backend: object, names: Collection[InstanceName]) -> dict[InstanceName, Process]:
        return dict.fromkeys(names, replace(running, memory_bytes=None))

    monkeypatch.setattr(silent.Silent, "observe", observe)
    beside.world.answers[NAME] = Answer(phase="started", failing=("telegram",))
    rows = beside.rows()
    assert (rows[NAME].reason, rows[OTHER].reason) == ("not ready: telegram", SAID)
    assert {one.row.name for one in watch(beside.context)} == {NAME, OTHER}
    assert {one.name for one in gather(beside.context).instances} == {NAME, OTHER}
    collect(beside.context)
    opened = open_all(beside.context, [OTHER])
    verdict = verdicts(observed(opened.instances.values()).instances.values())[OTHER]
    assert (verdict.state, verdict.taken) == ("starting", False)


def test_gateways_of_two_backends_are_asked_at_once(beside: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """One deadline holds for all: who lets it pass costs the others no time."""
    running, together = beside.process(NAME), threading.Barrier(2, timeout=30)
    daemons = []

    def ask(
        _backend: fake.Fake, gateways: Collection[Observed], **_options: object
    ) -> dict[InstanceName, Answer]:
        together.wait()
        daemons.append(threading.current_thread().daemon)
        return {one.record.name: fake.READY for one in gateways}

    monkeypatch.setattr(silent.Silent, "observe", lambda _backend, names: dict.fromkeys(names, running))
    monkeypatch.setattr(silent.Silent, "strangers", lambda _backend, _gateways: {})
    for backend in (fake.Fake, silent.Silent):
        monkeypatch.setattr(backend, "ask", ask)
    opened = observed(open_all(beside.context, [NAME, OTHER]).instances.values())
    assert {one.state for one in verdicts(opened.instances.values()).values()} == {"ready"}
    assert daemons == [True, True], "who leaves meanwhile is held up by none"


def test_another_backend_runs_in_the_foreground(beside: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def become(_runner: object, argv: tuple[str, ...]) -> None:
        raise OcmError(argv[0])

    monkeypatch.setattr(Runner, "become", become)
    beside.world.foreground = ("/usr/bin/fake",)
    context = beside.context
    backends = {name: context.backends[name] for name in (silent.NAME, fake.NAME)}
    monkeypatch.setattr(Systemd, "foreground_argv", lambda _self: None)
    chosen = Systemd(host=beside.host)
    with pytest.raises(OcmError, match="/usr/bin/fake"):
        supervise(replace(context, backends=backends, chosen=chosen))
    beside.world.foreground = None
    with pytest.raises(OcmError, match=SAID):
        supervise(replace(context, backends=backends, chosen=chosen))
