"""Upgrades that an instance gets by itself: scheduled, made, refused, and followed through its life."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.operations import test_upgrade
from tests.operations.kept import NAME, OTHER
from tests.operations.test_upgrade import NEW, OLD, Upgraded

from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.record import AutoUpgrade
from openclaw_ocm.core.releases import Release
from openclaw_ocm.errors import Locked, OcmError
from openclaw_ocm.instances.history import REFUSED, read_history
from openclaw_ocm.operations import auto_upgrade
from openclaw_ocm.operations.auto_upgrade import run_auto, set_auto
from openclaw_ocm.operations.planning import turns
from openclaw_ocm.operations.planning.upgrading import LastUpgrade, read_last_upgrade
from openclaw_ocm.operations.rename import rename
from openclaw_ocm.operations.upgrade import Request
from openclaw_ocm.system import files
from openclaw_ocm.system.machine import runtimes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import PurePosixPath

    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host

upgraded = test_upgrade.upgraded
NEWER = "2026.9.7"
UNREACHABLE = OcmError("npm cannot reach its package registry", code="unreachable")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | OcmError]:
    """Have the registry answered for: what it has by a channel or a range."""
    found: dict[str, str | OcmError] = {"latest": NEW}

    def published(_host: Host, wanted: str, _beside: PurePosixPath) -> Release:
        said = found[wanted]
        if isinstance(said, OcmError):
            raise said
        return Release(said)

    monkeypatch.setattr(runtimes, "published", published)
    return found


def auto(
    kept: Kept, versions: str | None = "all", at: str | None = None, *, dry_run: bool = False
) -> Outcome:
    return set_auto(kept.context, NAME, versions, at, dry_run=dry_run)


def run(kept: Kept) -> Outcome:
    return run_auto(kept.context, NAME, kept.effort(), watch_seconds=0.0)


def last(kept: Kept, name: InstanceName = NAME) -> LastUpgrade | None:
    return read_last_upgrade(kept.paths(name))


def timers(kept: Kept, name: InstanceName = NAME) -> set[Purpose]:
    """Return which timers the backend keeps."""
    backend = kept.context.backend
    return {purpose for purpose in Purpose if backend.timers(purpose).observe([name])[name].active}


def add(kept: Kept, version: str) -> None:
    """Put one more version beside those that are there."""
    package = Path(kept.host.paths.runtimes, version, "lib/node_modules/openclaw")
    shutil.copytree(Path(kept.host.paths.runtimes, NEW, "lib/node_modules/openclaw"), package)
    stated = package / "package.json"
    stated.write_text(stated.read_text().replace(NEW, version))


def test_scheduling_again_changes_nothing_and_none_leaves_no_trace(kept: Kept) -> None:
    kept.create()
    before = kept.files()
    planned = auto(kept, "patch", dry_run=True)
    assert f"schedule upgrades of {NAME}: 04:30" in planned.steps
    assert kept.files() == before
    made = auto(kept, "patch")
    assert made.message.startswith("upgrades scheduled: newer ones of its month, at 04:30, next 20")
    assert kept.record(NAME).auto_upgrade == AutoUpgrade(versions="patch", at="04:30")
    assert not auto(kept, "patch").changed
    assert timers(kept) == {Purpose.UPGRADE}
    assert auto(kept, "all", "5:00".zfill(5)).changed
    assert not auto(kept, "all").changed, "the time stays as it is"
    found = kept.status()
    assert found.upgrades is not None
    assert (found.upgrades.versions, found.upgrades.at, found.upgrades.last) == ("all", "05:00", None)
    assert found.upgrades.next is not None
    assert (found.upgrades.problem, found.row.upgrade, found.drift) == (None, None, ())
    assert auto(kept, None).message == "no more scheduled upgrades"
    assert kept.files() == before
    assert timers(kept) == set()
    assert auto(kept, None).message == "has no scheduled upgrades"


def test_it_is_taken_to_the_newest_that_is_wanted(
    upgraded: Upgraded, registry: dict[str, str | OcmError]
) -> None:
    kept = upgraded.kept
    auto(kept)
    outcome = run(kept)
    assert outcome.changed
    assert upgraded.version() == NEW
    assert upgraded.said() == "before"
    run_of = last(kept)
    assert run_of is not None
    assert (run_of.version, run_of.error, run_of.refused) == (NEW, None, None)
    assert kept.status().upgrades is not None
    assert kept.row().upgrade is None
    assert read_history(kept.host.paths, NAME)[-1].ended == "done"
    again = run(kept)
    assert (again.changed, again.message) == (False, f"runs OpenClaw {NEW}, and there is none newer for it")
    assert kept.row().newest == registry["latest"]


def test_patch_stays_in_the_month(upgraded: Upgraded, registry: dict[str, str | OcmError]) -> None:
    kept = upgraded.kept
    auto(kept, "patch")
    registry["~2026.8.0"] = OLD
    assert not run(kept).changed
    assert upgraded.version() == OLD
    auto(kept, "all")
    assert run(kept).changed
    assert upgraded.version() == NEW


@pytest.mark.parametrize(
    ("have", "said", "expected"),
    [
        ("2026.9.5", {"latest": "2026.9.6"}, "2026.9.6"),
        ("2026.9.6", {"latest": "2026.9.6"}, None),
        ("2026.9.6", {"latest": "2026.9.6-1"}, "2026.9.6-1"),
        ("2026.9.5", {"latest": "2026.10.1", "~2026.9.0": "2026.9.6"}, "2026.9.6"),
        ("2026.9.6", {"latest": "2027.1.1", "~2026.9.0": "2026.9.6"}, None),
        ("2026.9.6", {"latest": "2026.8.2"}, None),
        ("2026.9.6", {"latest": "2026.9.5"}, None),
        ("2026.10.1-beta.1", {"beta": "2026.10.1-beta.3"}, "2026.10.1-beta.3"),
        ("2026.10.1-beta.1", {"beta": "2026.11.1-beta.1", "~2026.10.0": "2026.10.2"}, "2026.10.2"),
    ],
)
def test_what_a_patch_is(
    kept: Kept, registry: dict[str, str | OcmError], have: str, said: dict[str, str], expected: str | None
) -> None:
    registry.clear()
    registry.update(said)
    assert runtimes.newest_patch(kept.host, have) == expected


def test_a_version_that_failed_is_told_and_not_tried_again_before_there_is_a_newer_one(
    upgraded: Upgraded, registry: dict[str, str | OcmError]
) -> None:
    kept = upgraded.kept
    auto(kept)
    upgraded.broken.add(NEW)
    with pytest.raises(OcmError, match="does not work with a copy"):
        run(kept)
    assert upgraded.version() == OLD
    failed = last(kept)
    assert failed is not None
    assert failed.refused == NEW
    assert "it refuses its state" in str(failed.error)
    entry = read_history(kept.host.paths, NAME)[-1]
    assert (entry.command, entry.ended) == ("upgrade", REFUSED)
    row = kept.row()
    assert "it is not tried again by itself before there is a newer one" in str(row.upgrade)
    assert row.unhealthy
    assert any(str(row.upgrade) == problem.what for problem in kept.examine().problems)
    upgraded.broken.clear()
    skipped = run(kept)
    assert (skipped.changed, upgraded.version()) == (False, OLD)
    assert f"{NEW} failed before" in skipped.message
    assert kept.row().upgrade == row.upgrade, "it is told until it is mended"
    add(kept, NEWER)
    registry["latest"] = NEWER
    assert run(kept).changed
    assert upgraded.version() == NEWER
    assert kept.row().upgrade is None


def test_one_that_was_taken_by_hand_is_no_trouble_any_more(
    upgraded: Upgraded, registry: dict[str, str | OcmError]
) -> None:
    kept = upgraded.kept
    auto(kept)
    upgraded.broken.add(NEW)
    with pytest.raises(OcmError):
        run(kept)
    upgraded.broken.clear()
    upgraded.upgrade(str(registry["latest"]))
    run(kept)
    assert kept.row().upgrade is None


def test_one_from_which_the_user_went_back_is_not_taken_again(
    upgraded: Upgraded, registry: dict[str, str | OcmError]
) -> None:
    kept = upgraded.kept
    auto(kept)
    run(kept)
    run(kept)
    assert upgraded.version() == NEW
    before = kept.files()
    assert not any("by itself" in note for note in upgraded.rollback(dry_run=True).notes)
    assert kept.files() == before
    assert f"OpenClaw {NEW} is not taken again by itself" in upgraded.rollback().notes
    passed = run(kept)
    assert (passed.changed, upgraded.version()) == (False, OLD)
    assert f"{NEW} was gone back from" in passed.message
    assert not run(kept).changed
    assert kept.row().upgrade is None, "that is as the user wants it"
    add(kept, NEWER)
    registry["latest"] = NEWER
    assert run(kept).changed
    assert upgraded.version() == NEWER


def test_a_rollback_of_one_that_is_not_upgraded_by_itself_keeps_nothing_of_that(upgraded: Upgraded) -> None:
    upgraded.upgrade(NEW)
    assert not any("by itself" in note for note in upgraded.rollback().notes)
    assert last(upgraded.kept) is None


def test_a_patch_older_than_one_that_failed_is_taken(
    upgraded: Upgraded, registry: dict[str, str | OcmError]
) -> None:
    kept = upgraded.kept
    auto(kept)
    upgraded.broken.add(NEW)
    with pytest.raises(OcmError):
        run(kept)
    patch = "2026.8.9"
    add(kept, patch)
    registry["~2026.8.0"] = patch
    auto(kept, "patch")
    assert run(kept).changed
    assert upgraded.version() == patch


def refuse_lock(*_arguments: object, **_options: object) -> Outcome:
    raise Locked("it is being changed by another ocm", code="locked")


def refuse_room(*_arguments: object, **_options: object) -> Outcome:
    raise OcmError("there is no room", code="no_space")


def interrupt(*_arguments: object, **_options: object) -> Outcome:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(refuse_lock, "another ocm"), (refuse_room, "no room"), (interrupt, "it was interrupted")],
)
def test_what_was_not_for_the_version_is_told_and_tried_again(
    upgraded: Upgraded,
    registry: dict[str, str | OcmError],
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[..., Outcome],
    said: str,
) -> None:
    kept = upgraded.kept
    auto(kept)
    monkeypatch.setattr(auto_upgrade, "_PATIENCE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(auto_upgrade, "upgrade", trouble)
        with pytest.raises((OcmError, KeyboardInterrupt)):
            run(kept)
    failed = last(kept)
    assert failed is not None
    assert (failed.version, failed.refused) == (NEW, None)
    assert said in str(kept.row().upgrade)
    assert run(kept).changed
    assert upgraded.version() == registry["latest"]


def test_whoever_changes_it_is_waited_for(
    upgraded: Upgraded, registry: dict[str, str | OcmError], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, tried = upgraded.kept, []
    auto(kept)
    monkeypatch.setattr(auto_upgrade, "_LOOK_SECONDS", 0.0)

    def busy_once(*arguments: object, dry_run: bool) -> Outcome:
        assert not dry_run
        tried.append(arguments[2])
        return refuse_lock() if len(tried) == 1 else Upgraded.upgrade(upgraded, str(registry["latest"]))

    monkeypatch.setattr(auto_upgrade, "upgrade", busy_once)
    assert run(kept).changed
    assert tried == [Request(version=NEW, watch_seconds=0.0)] * 2


def test_without_a_network_it_is_told_and_tried_again(
    upgraded: Upgraded, registry: dict[str, str | OcmError]
) -> None:
    kept = upgraded.kept
    auto(kept)
    registry["latest"] = UNREACHABLE
    with pytest.raises(OcmError, match="cannot reach"):
        run(kept)
    assert kept.row().upgrade == "the last upgrade failed: npm cannot reach its package registry"
    assert read_history(kept.host.paths, NAME)[-1].error == "unreachable"
    registry["latest"] = NEW
    assert run(kept).changed
    assert kept.row().upgrade is None


def test_one_follows_the_other(
    upgraded: Upgraded, registry: dict[str, str | OcmError], monkeypatch: pytest.MonkeyPatch
) -> None:
    auto(upgraded.kept)
    monkeypatch.setattr(turns, "_QUEUE_SECONDS", 0.0)
    monkeypatch.setattr(turns, "_LOOK_SECONDS", 0.0)
    with files.lock(upgraded.kept.host.paths.locks / "@upgrade-0.lock", "turn"), pytest.raises(Locked):
        run(upgraded.kept)
    assert (last(upgraded.kept), upgraded.version()) == (None, OLD)
    assert run(upgraded.kept).changed
    assert upgraded.version() == registry["latest"]


def test_a_run_without_a_schedule_does_nothing_and_tells_nothing(kept: Kept) -> None:
    kept.create()
    before = kept.files()
    with pytest.raises(OcmError) as caught:
        run(kept)
    assert caught.value.code == "not_scheduled"
    assert kept.files() == before


def test_doctor_mends_a_timer_that_is_gone_or_not_asked_for(kept: Kept) -> None:
    kept.create()
    auto(kept)
    (definition,) = kept.context.backend.timers(Purpose.UPGRADE).definitions(NAME, "04:30")
    Path(definition.path).unlink()
    assert any("which has upgrades made" in line for line in kept.status().drift)
    kept.fix(kept.examine())
    assert kept.status().drift == ()
    record = kept.record(NAME)
    Path(kept.paths(NAME).record).write_text(
        Path(kept.paths(NAME).record).read_text().partition("[auto_upgrade]")[0]
    )
    assert record.auto_upgrade is not None
    assert any("upgrades are scheduled that the record" in line for line in kept.status().drift)
    kept.fix(kept.examine())
    assert (kept.status().drift, timers(kept)) == ((), set())


def test_what_is_left_without_a_record_is_found_and_removed(kept: Kept) -> None:
    kept.create()
    auto(kept)
    files.write_file(kept.paths(NAME).last_upgrade, msgspec.json.encode(LastUpgrade(ended=time.time())))
    Path(kept.paths(NAME).record).unlink()
    shutil.rmtree(kept.paths(NAME).state)
    found = [problem.what for problem in kept.examine().problems]
    assert "fake has its scheduled upgrades, but it has no record" in found
    assert f"{kept.paths(NAME).last_upgrade} is left of it" in found
    kept.fix(kept.examine())
    assert timers(kept) == set()
    assert not Path(kept.paths(NAME).last_upgrade).exists()


def test_both_timers_go_with_a_name_and_with_the_instance(kept: Kept) -> None:
    kept.create()
    auto(kept)
    kept.context.backend.timers().set({NAME: "daily"})
    run_of = LastUpgrade(ended=time.time(), version=NEW)
    files.write_file(kept.paths(NAME).last_upgrade, msgspec.json.encode(run_of))
    rename(kept.context, NAME, OTHER, kept.effort(), dry_run=False)
    assert timers(kept) == set()
    assert timers(kept, OTHER) == {Purpose.UPGRADE}, "the record asks for no backups"
    assert (last(kept, NAME), last(kept, OTHER)) == (None, run_of)
    kept.clone(OTHER, NAME, started=False)
    assert (kept.record(NAME).auto_upgrade, timers(kept)) == (None, set())
    kept.delete(OTHER)
    assert (timers(kept, OTHER), last(kept, OTHER)) == (set(), None)


@pytest.mark.parametrize("at", ["24:00", "4:30", "04:60", "04:30:00", "daily", ""])
def test_a_record_with_another_time_is_refused(at: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"versions": "patch", "at": at}, AutoUpgrade)
