"""Scheduled backups of an instance with a stand-in for Node, under a real supervisord that keeps the time."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.hosts import contents
from tests.operations.test_backup import NAME, Instance

from openclaw_ocm.backends.supervisord import places
from openclaw_ocm.core.backup.schedule import TOGETHER, LastRun
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.record import Keep, Schedule
from openclaw_ocm.errors import Invalid, Locked, OcmError
from openclaw_ocm.instances.instance import Instance as Opened
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.backup import backup
from openclaw_ocm.operations.delete import delete, has_backup
from openclaw_ocm.operations.doctor import examine, fix
from openclaw_ocm.operations.planning.drift import drift
from openclaw_ocm.operations.planning.timers import read_last, timer_steps
from openclaw_ocm.operations.schedule import Asked, set_schedule
from openclaw_ocm.operations.scheduled import run_scheduled
from openclaw_ocm.operations.status import observe, status
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.records import encode_record, read_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.protocol import Timers
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.backup import Backup, Request
    from openclaw_ocm.operations.planning.result import Outcome

DAILY = Asked(every="daily", keep={}, given={})


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    made = Instance(tmp_path_factory.mktemp("home"))  # a short path: it is to hold a supervisord's socket
    made.create()
    yield made
    made.context.backend.timers().clear([NAME])
    files.remove_file(places.program(made.paths))
    made.context.backend.remove([NAME])


def opened(instance: Instance) -> Opened:
    return open_instance(instance.context, NAME)


def record(instance: Instance) -> Record:
    return read_record(instance.context.host.paths, NAME)


def schedule(
    instance: Instance, every: str = "daily", *, keep: Mapping[str, int] | None = None, **given: object
) -> Outcome:
    asked = Asked(every=every, keep=keep or {}, given=given)
    return set_schedule(instance.context, NAME, asked, dry_run=False)


def wanted(instance: Instance, **settings: object) -> None:
    """Write a schedule into the record alone."""
    backups = msgspec.structs.replace(Schedule(every="daily"), **settings)
    changed = msgspec.structs.replace(record(instance), backups=backups)
    Path(instance.paths.record).write_text(encode_record(changed))


def problem(instance: Instance) -> str | None:
    (row,) = observe(instance.context, (NAME,))
    assert row.unhealthy is (row.backup is not None or row.state != "stopped")
    return row.backup


def archives(instance: Instance) -> list[str]:
    return sorted(path.name for path in (instance.home / "backups").glob("*"))


@pytest.mark.slow
def test_scheduling_again_changes_nothing_and_never_leaves_no_trace(instance: Instance) -> None:
    before = contents(Path(instance.paths.host.ocm_config))
    text = Path(instance.paths.record).read_text()
    assert "backups" not in text
    first = schedule(instance, "Mon 03:00", keep={"daily": 14})
    assert first.changed
    assert "Mon 03:00" in first.message
    assert "3 last, 14 daily, 4 weekly, 6 monthly" in first.message
    assert not schedule(instance, "Mon 03:00").changed
    assert record(instance).backups == Schedule(every="Mon 03:00", keep=Keep(daily=14))
    found = status(instance.context, NAME).backups
    assert found is not None
    assert (found.problem, found.last) == (None, None)
    assert found.next is not None
    assert found.next > time.time()
    ended = set_schedule(instance.context, NAME, None, dry_run=False)
    assert ended.message == "no more scheduled backups"
    assert Path(instance.paths.record).read_text() == text
    assert {
        path: held for path, held in contents(Path(instance.paths.host.ocm_config)).items() if path in before
    } == before
    assert not Path(places.schedule(instance.paths, Purpose.BACKUP)).exists()
    assert not set_schedule(instance.context, NAME, None, dry_run=False).changed


@pytest.mark.slow
def test_what_is_not_said_of_a_schedule_that_is_changed_stays(instance: Instance) -> None:
    first = schedule(instance, encrypt_to=("age1x",), format="zst", keep={"last": 9}, exclude=("*.img",))
    assert first.message.endswith("; without *.img")
    schedule(instance, "hourly", directory=str(instance.home))
    assert record(instance).backups == Schedule(
        every="hourly",
        encrypt_to=("age1x",),
        format="zst",
        exclude=("*.img",),
        keep=Keep(last=9),
        directory=str(instance.home),
    )
    secrets = Path(instance.paths.host.ocm_config, "restic.env")
    with pytest.raises(OcmError, match="with the password of the repository"):
        schedule(instance, repository="/srv/backups")
    secrets.write_text("RESTIC_PASSWORD=PLANTED\n")
    secrets.chmod(0o600)
    place = str(instance.home / "repository")
    moved = schedule(instance, repository=place)
    assert f"backups scheduled: daily to {place}, next " in moved.message
    assert Path(place, "config").exists()
    with pytest.raises(Invalid, match="nothing would be kept"):
        schedule(instance, keep={"last": 0, "daily": 0, "weekly": 0, "monthly": 0})


def test_a_time_that_the_backend_cannot_keep_is_refused_before_anything_is_written(
    instance: Instance,
) -> None:
    before = contents(Path(instance.paths.host.ocm_config))
    for every in ("*:0/7", "25:00", "quarterly"):
        with pytest.raises(Invalid, match="hourly, daily, weekly, monthly"):
            schedule(instance, every)
    assert contents(Path(instance.paths.host.ocm_config)) == before


@pytest.mark.slow
def test_a_failure_on_the_way_leaves_the_schedule_as_it_was(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(instance, "03:00")
    before = (
        Path(instance.paths.record).read_text(),
        Path(places.schedule(instance.paths, Purpose.BACKUP)).read_text(),
    )
    timers = type(instance.context.backend.timers())
    real = timers.set
    failed: list[object] = []

    def once(self: Timers, times: Mapping[InstanceName, str]) -> None:
        if not failed:
            failed.append(times)
            raise OcmError("no")
        real(self, times)

    monkeypatch.setattr(timers, "set", once)
    with pytest.raises(OcmError, match="no"):
        schedule(instance, "04:00")
    assert (
        Path(instance.paths.record).read_text(),
        Path(places.schedule(instance.paths, Purpose.BACKUP)).read_text(),
    ) == before


def test_a_run_makes_an_archive_and_keeps_what_it_is_told_to(instance: Instance) -> None:
    wanted(instance, keep=Keep(last=2, daily=0, weekly=0, monthly=0))
    old = [f"{NAME}-2020010{day}T000000Z.tar.gz" for day in range(1, 4)]
    others = ["worker1-a-20200101T000000Z.tar.gz", f"{NAME}-20200101T000000Z.tar.gz.txt"]
    for name in (*old, *others):
        files.write_file(instance.paths.host.backups / name, b"")
    made = run_scheduled(instance.context, NAME)
    assert archives(instance) == sorted([*others, old[-1], Path(made.path).name])
    last = read_last(instance.paths)
    assert last is not None
    assert (last.archive, last.size_bytes, last.error) == (made.path, made.size_bytes, None)
    assert last.succeeded == last.ended
    found = status(instance.context, NAME).backups
    assert found is not None
    assert found.last == last


def test_a_run_writes_where_and_as_the_record_says(instance: Instance, tmp_path: Path) -> None:
    recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    there = tmp_path / "disk"
    there.mkdir()
    wanted(instance, directory=str(there), format="zst", encrypt_to=(recipient,), exclude=("*.img",))
    Path(instance.paths.workspace, "disk.img").write_text("large")
    made = run_scheduled(instance.context, NAME)
    assert Path(made.path).parent == there
    assert made.path.endswith(".tar.zst.age")
    assert made.encrypted
    assert made.left_out["excluded by *.img"] == 1
    assert archives(instance) == []


def once_locked(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[], object]) -> None:
    """Have somebody change something while a lock was waited for."""
    lock = files.lock

    @contextlib.contextmanager
    def waited(path: PurePosixPath, what: str, *, wait_seconds: float = 10.0) -> Iterator[int]:
        with lock(path, what, wait_seconds=wait_seconds) as descriptor:
            if path.name == name:
                change()
            yield descriptor

    monkeypatch.setattr(files, "lock", waited)


@pytest.mark.parametrize("lock", ["@backup-0.lock", f"{NAME}.lock"], ids=["queue", "instance"])
def test_a_run_that_waited_keeps_what_the_record_wants_then(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    wanted(instance, keep=Keep(last=1, daily=0, weekly=0, monthly=0))
    old = f"{NAME}-20200101T000000Z.tar.gz"
    files.write_file(instance.paths.host.backups / old, b"")
    more = Keep(last=2, daily=0, weekly=0, monthly=0)
    once_locked(monkeypatch, lock, lambda: wanted(instance, keep=more))
    made = run_scheduled(instance.context, NAME)
    assert archives(instance) == sorted([old, Path(made.path).name])


def test_a_run_whose_schedule_was_ended_while_it_waited_makes_nothing_and_tells_nothing(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    unscheduled = Path(instance.paths.record).read_text()
    wanted(instance)
    once_locked(monkeypatch, "@backup-0.lock", lambda: Path(instance.paths.record).write_text(unscheduled))
    with pytest.raises(OcmError, match="has no scheduled backups"):
        run_scheduled(instance.context, NAME)
    assert archives(instance) == []
    assert not Path(instance.paths.last_backup).exists()


def test_a_directory_that_is_gone_is_told_and_nothing_is_made_in_its_place(instance: Instance) -> None:
    wanted(instance)
    run_scheduled(instance.context, NAME)
    good = read_last(instance.paths)
    assert good is not None
    wanted(instance, directory=str(instance.home / "unmounted"))
    with pytest.raises(OcmError, match="unmounted is not there"):
        run_scheduled(instance.context, NAME)
    assert not (instance.home / "unmounted").exists()
    last = read_last(instance.paths)
    assert last is not None
    assert last.succeeded == good.succeeded
    assert "unmounted is not there" in (problem(instance) or "")


@pytest.mark.slow
def test_what_fails_or_interrupts_a_run_is_told_until_one_goes_well(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(instance)
    assert problem(instance) is None
    for error, words in (
        (OSError(28, "No space left on device"), "the last backup failed: No space left on device"),
        (KeyboardInterrupt(), "the last backup failed: it was interrupted"),
        (ZeroDivisionError("x"), "the last backup failed: a bug in OCM: ZeroDivisionError: x"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("openclaw_ocm.operations.scheduled.prune", _raising(error))
            with pytest.raises(type(error)):
                run_scheduled(instance.context, NAME)
        assert problem(instance) == words
        found = [one.what for one in examine(instance.context).problems if one.about == NAME]
        assert words in found
        # Names of archives are told apart by the second.
        for path in (instance.home / "backups").iterdir():
            path.unlink()
    run_scheduled(instance.context, NAME)
    assert problem(instance) is None


def _raising(error: BaseException) -> Callable[..., None]:
    def raising(*_arguments: object, **_options: object) -> None:
        raise error

    return raising


def test_a_run_without_a_schedule_is_refused_and_without_an_instance_leaves_nothing(
    instance: Instance,
) -> None:
    with pytest.raises(OcmError, match="has no scheduled backups"):
        run_scheduled(instance.context, NAME)
    wanted(instance)
    Path(instance.paths.record).unlink()
    with pytest.raises(OcmError, match="there is no instance"):
        run_scheduled(instance.context, NAME)
    assert not Path(instance.paths.last_backup).exists()


@pytest.mark.slow
def test_backups_that_are_long_overdue_are_told(instance: Instance) -> None:
    schedule(instance)
    day = 86400
    for age, told in ((2 * day, False), (4 * day, True)):
        os.utime(instance.paths.record, (time.time() - age,) * 2)
        assert (problem(instance) == "no backup was made for more than two periods") is told
    last = LastRun(ended=time.time(), succeeded=time.time() - day, archive="/a")
    files.write_file(instance.paths.last_backup, msgspec.json.encode(last))
    assert problem(instance) is None
    Path(instance.paths.last_backup).write_text("{")
    assert problem(instance) is not None


@pytest.mark.slow
def test_a_timer_that_is_gone_or_edited_is_told_and_mended(instance: Instance) -> None:
    schedule(instance)
    path = Path(places.schedule(instance.paths, Purpose.BACKUP))
    text = path.read_text()
    for damage in (path.unlink, lambda: path.write_text(text.replace("daily", "weekly"))):
        damage()
        found = [one for one in drift(opened(instance)) if one.kind == "timer"]
        assert len(found) == 1
        assert str(path) in found[0].what
        before = examine(instance.context)
        assert [one.fix for one in before.problems if str(path) in one.what] == ["mend it"]
        after = fix(instance.context, before, lambda _progress: None)
        assert not [one for one in after.problems if str(path) in one.what]
        assert path.read_text() == text
        assert timer_steps(opened(instance)) == []


def test_a_time_in_a_record_that_cannot_be_kept_is_told_and_keeps_nothing_else_from_working(
    instance: Instance,
) -> None:
    wanted(instance, every="quarterly")
    (found,) = (one for one in drift(opened(instance)) if one.kind == "timer")
    assert "'quarterly' is no time for backups" in found.what
    assert timer_steps(opened(instance)) == []
    assert problem(instance) is not None
    told = [one for one in examine(instance.context).problems if "quarterly" in one.what]
    assert [(one.fix, one.mend) for one in told] == [(None, f"ocm backup {NAME} --every TIME")]
    run_scheduled(instance.context, NAME)


@pytest.mark.slow
def test_a_timer_that_nobody_asks_for_is_ended(instance: Instance) -> None:
    schedule(instance)
    changed = msgspec.structs.replace(record(instance), backups=None)
    Path(instance.paths.record).write_text(encode_record(changed))
    before = examine(instance.context)
    assert "backups are scheduled that the record does not ask for" in [one.what for one in before.problems]
    fix(instance.context, before, lambda _progress: None)
    assert instance.context.backend.timers().known() == ()


@pytest.mark.slow
def test_what_a_lost_record_leaves_of_a_schedule_is_removed(instance: Instance) -> None:
    schedule(instance)
    run_scheduled(instance.context, NAME)
    Path(instance.paths.record).unlink()
    files.remove_tree(instance.paths.state)
    fix(instance.context, examine(instance.context), lambda _progress: None)
    assert instance.context.backend.timers().known() == ()
    assert not Path(instance.paths.last_backup).exists()


@pytest.mark.slow
def test_delete_ends_scheduled_backups_and_keeps_archives(instance: Instance) -> None:
    schedule(instance)
    made = run_scheduled(instance.context, NAME)
    delete(instance.context, NAME, force=False, dry_run=False)
    assert instance.context.backend.timers().known() == ()
    assert not Path(instance.paths.last_backup).exists()
    assert not list(Path(instance.paths.host.ocm_state).rglob("*worker1*"))
    assert Path(made.path).exists()


def test_runs_wait_for_a_turn_and_one_that_takes_long_keeps_none_from_it(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted(instance)
    monkeypatch.setattr("openclaw_ocm.operations.planning.turns._QUEUE_SECONDS", 0.3)
    turns = [instance.context.host.paths.locks / f"@backup-{number}.lock" for number in range(TOGETHER)]
    with files.lock(turns[0], "turn"):
        run_scheduled(instance.context, NAME)
        with contextlib.ExitStack() as others:
            for turn in turns[1:]:
                others.enter_context(files.lock(turn, "turn"))
            with pytest.raises(Locked):
                run_scheduled(instance.context, NAME)
        run_scheduled(instance.context, NAME)


def test_a_run_gives_up_a_turn_that_it_has_for_long(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted(instance)
    monkeypatch.setattr("openclaw_ocm.operations.scheduled.TURN_SECONDS", 0.1)
    turn = instance.context.host.paths.locks / "@backup-0.lock"

    def long(context: Context, name: InstanceName, request: Request) -> Backup:
        assert files.is_locked(turn)
        with files.lock(turn, "turn"):
            return backup(context, name, request)

    monkeypatch.setattr("openclaw_ocm.operations.scheduled.backup", long)
    run_scheduled(instance.context, NAME)


def test_a_run_is_as_patient_as_it_says(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted(instance)
    monkeypatch.setattr("openclaw_ocm.operations.scheduled._PATIENCE_SECONDS", 0.3)
    with files.lock(instance.context.host.paths.locks / f"{NAME}.lock", NAME), pytest.raises(Locked):
        run_scheduled(instance.context, NAME)
    assert "is being changed by another ocm" in (problem(instance) or "")


def test_what_is_told_of_progress_goes_nowhere(instance: Instance) -> None:
    wanted(instance)
    said: list[str] = []
    run_scheduled(replace(instance.context, report=said.append), NAME)
    assert said


def test_a_last_backup_is_made_where_the_schedule_puts_them(instance: Instance, tmp_path: Path) -> None:
    there = tmp_path / "disk"
    there.mkdir()
    wanted(instance, directory=str(there))
    assert not has_backup(instance.context, NAME)
    (planned, *_rest) = delete(instance.context, NAME, force=False, dry_run=True, backup=True).steps
    assert planned == f"back up {NAME}"
    assert list(there.iterdir()) == []
    outcome = delete(instance.context, NAME, force=False, dry_run=False, backup=True)
    (archive,) = there.iterdir()
    assert str(archive) in outcome.message
    assert not Path(instance.paths.state).exists()


def test_a_last_backup_that_fails_keeps_the_instance(instance: Instance) -> None:
    wanted(instance, directory=str(instance.home / "unmounted"))
    with pytest.raises(OcmError, match="unmounted is not there") as refused:
        delete(instance.context, NAME, force=False, dry_run=False, backup=True)
    assert "was not deleted: --no-backup" in refused.value.details[-1]
    assert Path(instance.paths.state).is_dir()
    assert record(instance).backups is not None
    assert "deleted" in delete(instance.context, NAME, force=False, dry_run=False).message


def test_backups_are_found_wherever_they_were_made(instance: Instance) -> None:
    wanted(instance)
    assert not has_backup(instance.context, NAME)
    run_scheduled(instance.context, NAME)
    assert has_backup(instance.context, NAME)
