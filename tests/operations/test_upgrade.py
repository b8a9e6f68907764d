"""Another version of OpenClaw: tried on a copy, taken, and given up again."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME

from openclaw_ocm.core.record import Runtime
from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import apply, transaction, verify
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations import upgrade as upgrades
from openclaw_ocm.operations.planning.change import recover_all
from openclaw_ocm.operations.upgrade import Request, any_older, rollback, upgrade
from openclaw_ocm.system import files, health
from openclaw_ocm.system.before import find_before, leftovers
from openclaw_ocm.system.openclaw.compiled import mark
from openclaw_ocm.system.openclaw.package import package_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

OLD, NEW, NEWER = "2026.8.2", "2026.9.5", "2026.9.6"


@dataclass(frozen=True, kw_only=True)
class Upgraded:
    """An instance that runs the older of two versions, and what is to go wrong with the newer one.

    `broken` are versions that never become ready, `only_named` those that do with a copy alone.
    """

    kept: Kept
    broken: set[str]
    only_named: set[str]

    @property
    def state(self) -> Path:
        return Path(self.kept.paths(NAME).state)

    def version(self) -> str:
        return package_version(self.kept.host.paths.home / self.kept.record(NAME).runtime.openclaw)

    def upgrade(self, version: str = NEW, *, dry_run: bool = False, **request: object) -> Outcome:
        wanted = Request(**{"version": version, "watch_seconds": 0.0, **request})  # type: ignore[arg-type]
        return upgrade(self.kept.context, NAME, wanted, self.kept.effort(), dry_run=dry_run)

    def rollback(self, *, dry_run: bool = False) -> Outcome:
        return rollback(self.kept.context, NAME, self.kept.effort(), dry_run=dry_run)

    def said(self) -> str:
        return (self.state / "workspace/said").read_text()


@pytest.fixture
def upgraded(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Upgraded:
    for version in (OLD, NEW):
        package = Path(kept.host.paths.runtimes, version, "lib/node_modules/openclaw")
        shutil.copytree(kept.home / ".npm-global/lib/node_modules/openclaw", package)
        stated = package / "package.json"
        stated.write_text(stated.read_text().replace("2026.9.6", version))
        runtime = Runtime(node=str(kept.home / ".npm-global/bin/node"), openclaw=str(package))
        files.write_file(mark(kept.host.paths, runtime), b"")
    made = Upgraded(kept=kept, broken=set(), only_named=set())

    def ask_all(ports: Mapping[InstanceName, int], **_options: object) -> dict[InstanceName, Answer]:
        found = {}
        for name in ports:
            answer = kept.world.answer(name)
            version = package_version(kept.host.paths.home / kept.record(name).runtime.openclaw)
            if answer.ready:
                answer = Answer(ready=True, phase="started", version=version)
            if version in made.broken or (name == NAME and version in made.only_named):
                answer = Answer(ready=False, phase="started", problem="it refuses its state")
            found[name] = answer
        return found

    monkeypatch.setattr(health, "ask_all", ask_all)
    kept.deploy(openclaw=OLD)
    (made.state / "workspace").mkdir(exist_ok=True)
    (made.state / "workspace/said").write_text("before")
    return made


def tree(folder: Path) -> dict[str, object]:
    """Return what is in a state, with modes and times."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


def test_it_runs_the_new_version_with_the_state_that_it_had(upgraded: Upgraded) -> None:
    pid = upgraded.kept.process(NAME).pid
    outcome = upgraded.upgrade()
    assert outcome.changed
    assert outcome.message == f"runs OpenClaw {NEW}, ready and sealed"
    assert upgraded.version() == NEW
    assert upgraded.said() == "before"
    assert upgraded.kept.process(NAME).pid not in (None, pid)
    (before,) = find_before(upgraded.kept.paths(NAME))
    assert Path(before.state, "workspace/said").read_text() == "before"
    assert not upgraded.upgrade().changed, "it runs it already"


def test_a_rollback_brings_back_what_it_was_and_keeps_what_came_since(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    (upgraded.state / "workspace/said").write_text("since")
    outcome = upgraded.rollback()
    assert upgraded.version() == OLD
    assert upgraded.said() == "before"
    assert outcome.message.startswith(f"runs OpenClaw {OLD}, as it was at ")
    assert any("what it had since then is in " in note for note in outcome.notes)
    assert find_before(upgraded.kept.paths(NAME)) == ()
    with pytest.raises(OcmError, match="nothing is kept"):
        upgraded.rollback()


def test_what_fails_on_the_copy_touches_nothing(upgraded: Upgraded) -> None:
    pid, before = upgraded.kept.process(NAME).pid, tree(upgraded.state)
    upgraded.broken.add(NEW)
    with pytest.raises(OcmError, match=f"OpenClaw {NEW} does not work with a copy of {NAME}") as caught:
        upgraded.upgrade()
    assert caught.value.hint == f"nothing of {NAME} was changed"
    assert upgraded.kept.process(NAME).pid == pid
    assert (tree(upgraded.state), upgraded.version()) == (before, OLD)
    assert upgraded.kept.world.gateways.keys() == {NAME}, "of the copy nothing is left"


def test_what_fails_after_all_brings_back_version_and_state(upgraded: Upgraded) -> None:
    before = tree(upgraded.state)
    upgraded.only_named.add(NEW)
    with pytest.raises(OcmError) as caught:
        upgraded.upgrade()
    assert tree(upgraded.state) == before
    assert upgraded.version() == OLD
    assert upgraded.kept.row().state == "ready"
    assert f"{NAME} runs OpenClaw {OLD} again, ready and sealed" in caught.value.details
    assert find_before(upgraded.kept.paths(NAME)) == ()


def test_an_older_version_is_refused_before_anything_stops(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    pid = upgraded.kept.process(NAME).pid
    with pytest.raises(OcmError, match="is older") as caught:
        upgraded.upgrade(OLD)
    assert caught.value.hint == f"ocm rollback {NAME} goes back to before an upgrade"
    assert upgraded.kept.process(NAME).pid == pid


def test_a_rehearsal_and_a_dry_run_change_nothing(upgraded: Upgraded) -> None:
    before = upgraded.kept.files()
    outcome = upgraded.upgrade(dry_run=True)
    assert any("keep a copy of" in step for step in outcome.steps)
    assert upgraded.kept.files() == before
    outcome = upgraded.upgrade(rehearse=True)
    assert (outcome.changed, upgraded.version()) == (False, OLD)
    assert "becomes ready with a copy of it" in outcome.message
    assert upgraded.kept.files() == before


def test_one_that_is_stopped_stays_stopped(upgraded: Upgraded) -> None:
    upgraded.kept.stop()
    assert upgraded.upgrade().message == f"will run OpenClaw {NEW}"
    assert upgraded.kept.process(NAME).pid is None
    upgraded.rollback()
    assert upgraded.kept.process(NAME).pid is None
    assert upgraded.version() == OLD


def test_one_that_becomes_ready_and_ends_is_given_up(
    upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(upgraded.state)

    def ends(_seconds: float) -> None:
        gateway = upgraded.kept.world.gateways[NAME]
        if upgraded.version() == NEW:
            gateway.pid = next(upgraded.kept.world.pids)

    monkeypatch.setattr(verify, "time", SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=ends))
    with pytest.raises(OcmError, match="became ready and ended within 1 s"):
        upgraded.upgrade(watch_seconds=60.0)
    assert (tree(upgraded.state), upgraded.version()) == (before, OLD)


def test_what_is_kept_can_be_forgotten_and_goes_with_the_instance(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    assert upgrades.forget(upgraded.kept.context, NAME, dry_run=False).changed
    assert leftovers(upgraded.kept.paths(NAME)) == ()
    with pytest.raises(OcmError, match="nothing is kept"):
        upgraded.rollback()
    upgraded.kept.delete(force=True)
    assert not [path for path in upgraded.kept.home.iterdir() if "kept" in path.name]


def test_with_the_next_upgrade_the_last_one_is_what_is_kept(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    (upgraded.state / "workspace/said").write_text("between")
    package = Path(upgraded.kept.host.paths.runtimes, NEWER, "lib/node_modules/openclaw")
    shutil.copytree(upgraded.kept.home / ".npm-global/lib/node_modules/openclaw", package)
    upgraded.upgrade(NEWER)
    (before,) = find_before(upgraded.kept.paths(NAME))
    assert Path(before.state, "workspace/said").read_text() == "between"
    assert len(leftovers(upgraded.kept.paths(NAME))) == 1
    upgraded.rollback()
    assert (upgraded.version(), upgraded.said()) == (NEW, "between")


@pytest.mark.parametrize("verb", ["upgrade", "rollback"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", range(1, 10))
def test_a_kill_leaves_the_old_or_the_new_whole(
    upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch, verb: str, count: int, *, after: bool
) -> None:
    monkeypatch.setattr(upgrades, "_rehearse", lambda *_words: ())
    monkeypatch.setattr(upgrades, "backup_locked", lambda *_words: SimpleNamespace(path="somewhere"))
    if verb == "rollback":
        upgraded.upgrade()
        (upgraded.state / "workspace/said").write_text("since")
    states = {upgraded.version(): tree(upgraded.state)}
    real, seen = apply.apply_step, [0]

    def step(context: Context, one: Step) -> None:
        seen[0] += 1
        if seen[0] == count and not after:
            raise KeyboardInterrupt
        real(context, one)
        if seen[0] == count:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(transaction, "apply_step", step)
        killed.setattr(Transaction, "_fail", lambda *_words, **_more: "killed")
        with contextlib.suppress(KeyboardInterrupt):
            upgraded.upgrade() if verb == "upgrade" else upgraded.rollback()
    recover_all(upgraded.kept.context)
    version, paths = upgraded.version(), upgraded.kept.paths(NAME)
    assert upgraded.said() == ("since" if (verb, version) == ("rollback", NEW) else "before")
    if version in states:
        assert tree(upgraded.state) == states[version]
    assert not Path(upgraded.kept.host.paths.transactions, f"{NAME}.jsonl").exists()
    kept = {"upgrade": {OLD: 0, NEW: 1}, "rollback": {NEW: 1, OLD: 0}}[verb][version]
    assert len(leftovers(paths)) == len(find_before(paths)) == kept
    upgraded.kept.start()
    assert upgraded.kept.row().state == "ready"


def test_the_copy_of_a_killed_rehearsal_goes_with_the_next_change(upgraded: Upgraded) -> None:
    parent = upgraded.state.parent
    left, other = (parent / f".ocm-rehearsal-{name}-0123456789ab" for name in (NAME, f"{NAME}0"))
    for directory in (left, other):
        directory.mkdir()
        (directory / "copy.tar").touch()
    upgraded.kept.restart()
    assert not left.exists()
    assert other.exists(), "it is of another instance"


def test_without_a_rehearsal_the_proof_is_that_of_the_instance_itself(upgraded: Upgraded) -> None:
    upgraded.broken.add(NEW)
    with pytest.raises(OcmError, match=f"^{NAME} did not become ready"):
        upgraded.upgrade(rehearsal=False)
    assert upgraded.version() == OLD
    upgraded.broken.clear()
    assert upgraded.upgrade(rehearsal=False).changed
    assert upgraded.version() == NEW


def test_a_version_is_fetched_for_an_older_one_alone(upgraded: Upgraded) -> None:
    names = (NAME,)
    newer = {version: any_older(upgraded.kept.context, names, version) for version in (OLD, NEW, "latest")}
    assert newer == {OLD: False, NEW: True, "latest": True}
