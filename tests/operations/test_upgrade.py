"""Another version of OpenClaw: tried on a copy, taken, and given up again."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.backends import fake
from tests.operations.cutting import cut_at
from tests.operations.kept import NAME

from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import schemas, verify
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations import rollback as rollbacks
from openclaw_ocm.operations import upgrade as upgrades
from openclaw_ocm.operations.check import Answered, Checked
from openclaw_ocm.operations.planning.change import recover_all
from openclaw_ocm.operations.rollback import rollback, rollback_question
from openclaw_ocm.operations.runtime import use_runtime
from openclaw_ocm.operations.upgrade import Request, any_older, upgrade
from openclaw_ocm.system.openclaw.package import package_version
from openclaw_ocm.system.slots import Slots

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.backends.protocol import Observed
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

OLD, NEW, NEWER = "2026.8.2", "2026.9.5", "2026.9.6"
# What each states of its databases.
SCHEMAS = {OLD: (15, 19), NEW: (17, 21), NEWER: (17, 22)}


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

    def add(self, version: str) -> None:
        package = Path(self.kept.host.paths.runtimes, version, "lib/node_modules/openclaw")
        shutil.copytree(self.kept.home / ".npm-global/lib/node_modules/openclaw", package)
        state, agent = SCHEMAS[version]
        versions = {"schemaVersions": {"state": state, "agent": agent}}
        stated = {"name": "openclaw", "version": version, "openclaw": versions}
        (package / "package.json").write_text(json.dumps(stated))

    def write_databases(self, version: str, *agents: str) -> None:
        """Write the databases of the gateway and of agents as a version has them."""
        state, agent = SCHEMAS[version]
        places = [(self.state / "state/openclaw.sqlite", state)]
        places += [(self.state / f"agents/{one}/agent/openclaw-agent.sqlite", agent) for one in agents]
        for path, schema in places:
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.executescript(
                    f"create table if not exists kept (word); pragma user_version = {schema}"
                )

    def add_message(self, session: str, when: float) -> None:
        """Have main have said something."""
        path = self.state / "agents/main/agent/openclaw-agent.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute(
                "create table if not exists transcript_events (session_id, event_json, created_at)"
            )
            row = (session, '{"type": "message"}', int(when * 1000))
            database.execute("insert into transcript_events values (?, ?, ?)", row)
            database.commit()

    def schemas(self) -> list[int]:
        """Return the versions of its databases, that of the gateway last."""
        found = []
        for path in sorted(self.state.rglob("*.sqlite")):
            with contextlib.closing(sqlite3.connect(path)) as database:
                found += database.execute("pragma user_version").fetchone()
        return found

    def said(self) -> str:
        return (self.state / "workspace/said").read_text()


@pytest.fixture
def upgraded(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Upgraded:
    made = Upgraded(kept=kept, broken=set(), only_named=set())
    for version in (OLD, NEW):
        made.add(version)

    def ask(_backend: fake.Fake, gateways: list[Observed], **_options: object) -> dict[InstanceName, Answer]:
        found = {}
        for name in (one.record.name for one in gateways):
            answer = kept.world.answer(name)
            version = package_version(kept.host.paths.home / kept.record(name).runtime.openclaw)
            if answer.ready:
                answer = Answer(ready=True, phase="started", version=version)
            if version in made.broken or (name == NAME and version in made.only_named):
                answer = Answer(ready=False, phase="started", problem="it refuses its state")
            found[name] = answer
        return found

    monkeypatch.setattr(fake.Fake, "ask", ask)
    kept.deploy(openclaw=OLD)
    (made.state / "workspace").mkdir(exist_ok=True)
    (made.state / "workspace/said").write_text("before")
    made.write_databases(OLD, "main")
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
    (before,) = Slots(upgraded.kept.paths(NAME)).kept()
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
    assert Slots(upgraded.kept.paths(NAME)).kept() == ()
    with pytest.raises(OcmError, match="nothing is kept"):
        upgraded.rollback()


def test_before_a_rollback_it_is_told_what_that_loses(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    upgraded.add_message("old", 0.0)
    config = json.loads((upgraded.state / "openclaw.json").read_text())
    config["channels"] = {"whatsapp": {}, "telegram": {}, "matrix": {"enabled": False}}
    (upgraded.state / "openclaw.json").write_text(json.dumps(config))
    linked = f"WhatsApp may have to be linked again: ocm use {NAME} channels login --channel whatsapp"
    context = upgraded.kept.context
    assert rollback_question(context, NAME).endswith(f" (no message came since then; {linked})?")
    upgraded.add_message("new", time.time() + 60)
    assert f"(1 message in 1 session since then is lost; {linked})?" in rollback_question(context, NAME)
    upgraded.add_message("new", time.time() + 60)
    before = upgraded.kept.files()
    told = ("2 messages in 1 session since then are lost", linked)
    assert upgraded.rollback(dry_run=True).notes == told
    assert upgraded.kept.files() == before
    assert upgraded.rollback().notes[:2] == told


def test_what_cannot_be_counted_is_told_as_that(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    (upgraded.kept.home / "node.py").write_text("raise SystemExit(1)")
    notes = upgraded.rollback(dry_run=True).notes
    assert notes == ("what came since then is lost, and could not be counted",)


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
    assert Slots(upgraded.kept.paths(NAME)).kept() == ()


def test_openclaw_migrates_the_databases_before_it_starts(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    assert upgraded.schemas() == [21, 17]
    upgraded.rollback()
    assert upgraded.schemas() == [19, 15]


def test_databases_that_openclaw_does_not_migrate_fail_on_the_copy(upgraded: Upgraded) -> None:
    (upgraded.state / "unmigratable").touch()
    pid, before = upgraded.kept.process(NAME).pid, tree(upgraded.state)
    with pytest.raises(
        OcmError, match=f"does not work with a copy of {NAME}: OpenClaw {NEW} did not migrate"
    ) as caught:
        upgraded.upgrade()
    assert caught.value.code == "not_migrated"
    assert caught.value.details == ("it cannot be migrated",)
    assert upgraded.kept.process(NAME).pid == pid
    assert tree(upgraded.state) == before


def test_databases_that_openclaw_does_not_migrate_after_all_come_back(
    upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch
) -> None:
    (upgraded.state / "unmigratable").touch()
    monkeypatch.setattr(upgrades, "_rehearse", lambda *_words: ())
    before = tree(upgraded.state)
    with pytest.raises(OcmError, match=f"OpenClaw {NEW} did not migrate the state of {NAME}"):
        upgraded.upgrade()
    assert (tree(upgraded.state), upgraded.version()) == (before, OLD)
    assert upgraded.kept.row().state == "ready"


@pytest.mark.parametrize("where", ["copy", "instance"])
def test_one_that_is_ready_and_cannot_read_its_agent_is_given_up(
    upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(schemas, "run_openclaw", lambda *_words, **_options: None)
    if where == "instance":
        monkeypatch.setattr(upgrades, "_rehearse", lambda *_words: ())
    before = tree(upgraded.state)
    with pytest.raises(
        OcmError, match=f"the database of .* has version 1[59], and OpenClaw {NEW} reads"
    ) as caught:
        upgraded.upgrade()
    assert caught.value.code == "wrong_schema"
    assert (tree(upgraded.state), upgraded.version()) == (before, OLD)
    assert upgraded.kept.row().state == "ready"


def test_of_an_agent_that_is_gone_no_database_is_asked_for(
    upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgraded.write_databases(NEW, "main")
    upgraded.write_databases(OLD, "gone")
    upgraded.write_databases(NEW)
    monkeypatch.setattr(schemas, "run_openclaw", lambda *_words, **_options: None)
    upgraded.upgrade()
    assert upgraded.schemas() == [19, 21, 17]


def test_a_state_that_is_too_new_is_refused_before_anything_stops(upgraded: Upgraded) -> None:
    upgraded.write_databases(NEWER, "other")
    pid = upgraded.kept.process(NAME).pid
    for dry_run in (False, True):
        with pytest.raises(OcmError, match=r"agent other of .* has version 22, .* up to version 21"):
            upgraded.upgrade(dry_run=dry_run)
    assert upgraded.kept.process(NAME).pid == pid


def test_a_version_that_changes_the_state_is_taken_by_an_upgrade_alone(upgraded: Upgraded) -> None:
    newer = str(Path(upgraded.kept.host.paths.runtimes, NEW, "lib/node_modules/openclaw"))
    pid, before = upgraded.kept.process(NAME).pid, tree(upgraded.state)
    with pytest.raises(OcmError, match=f"OpenClaw {NEW} changes the state of {NAME}") as caught:
        use_runtime(
            upgraded.kept.context, NAME, (newer,), anew=False, effort=upgraded.kept.effort(), dry_run=False
        )
    assert caught.value.hint == f"ocm upgrade {NAME} --to {NEW} keeps a way back"
    assert (upgraded.kept.process(NAME).pid, tree(upgraded.state)) == (pid, before)
    upgraded.write_databases(NEW, "main")
    use_runtime(
        upgraded.kept.context, NAME, (newer,), anew=False, effort=upgraded.kept.effort(), dry_run=False
    )
    assert upgraded.version() == NEW


def test_an_older_version_is_refused_before_anything_stops(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    pid = upgraded.kept.process(NAME).pid
    with pytest.raises(OcmError, match="is older") as caught:
        upgraded.upgrade(OLD)
    assert caught.value.hint == f"ocm rollback {NAME} goes back to before an upgrade"
    assert upgraded.kept.process(NAME).pid == pid


def tells(upgraded: Upgraded, version: str, text: str) -> None:
    """Have a version say this of the plugins of an instance, which has one."""
    package = Path(upgraded.kept.host.paths.runtimes, version, "lib/node_modules/openclaw")
    (package / "plugins.json").write_text(text)
    (upgraded.state / "npm/projects/mine/node_modules").mkdir(parents=True, exist_ok=True)


def failing(*names: str) -> str:
    return json.dumps(
        {"pluginErrors": [{"id": name, "error": f"{name} wants another SDK"} for name in names]}
    )


@pytest.mark.parametrize("rehearsal", [True, False])
def test_a_plugin_that_the_new_version_refuses_is_named_and_nothing_is_changed(
    upgraded: Upgraded, *, rehearsal: bool
) -> None:
    tells(upgraded, OLD, failing("never"))
    tells(upgraded, NEW, failing("never", "mine"))
    with pytest.raises(OcmError, match=f"OpenClaw {NEW} refuses plugins of") as caught:
        upgraded.upgrade(rehearsal=rehearsal)
    assert caught.value.code == "plugin_refused"
    assert "--lose-plugins" in (caught.value.hint or "")
    named = [line for line in caught.value.details if "SDK" in line]
    assert named == ["mine: mine wants another SDK"], "the other failed before"
    assert upgraded.version() == OLD
    assert upgraded.kept.row().state == "ready"
    assert upgraded.upgrade(rehearsal=rehearsal, lose_plugins=True).changed


def test_plugins_that_fail_as_before_keep_nobody_from_an_upgrade(upgraded: Upgraded) -> None:
    for version in (OLD, NEW):
        tells(upgraded, version, failing("never"))
    assert upgraded.upgrade().changed


def test_an_old_version_that_tells_nothing_of_plugins_is_upgraded_and_that_is_said(
    upgraded: Upgraded,
) -> None:
    tells(upgraded, OLD, "not what was asked for")
    outcome = upgraded.upgrade()
    assert outcome.changed
    assert any("its plugins was not looked at" in note for note in outcome.notes)


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


@pytest.mark.parametrize("answers", [False, True])
def test_one_whose_agent_is_asked_has_to_answer(
    upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> None:
    turn = Answered(
        session="main",
        ok=answers,
        seconds=1.0,
        message="the provider refuses the key",
        problem=None if answers else "refused",
        mend="ocm secret set worker KEY",
        words="HTTP 401",
    )
    checked = Checked(name=NAME, ok=answers, model="a/b", seconds=1.0, turns=(turn,))
    asked: list[str] = []

    def check(_context: Context, _prepared: object, **_options: float) -> Checked:
        asked.append(upgraded.version())
        return checked

    monkeypatch.setattr(upgrades, "check", check)
    before = tree(upgraded.state)
    if answers:
        outcome = upgraded.upgrade(check_seconds=9.0)
        assert outcome.message == f"runs OpenClaw {NEW}, ready and sealed, and answers"
    else:
        with pytest.raises(OcmError, match=f"does not answer with OpenClaw {NEW}: main: the prov") as caught:
            upgraded.upgrade(check_seconds=9.0)
        assert (caught.value.code, caught.value.hint) == ("refused", turn.mend)
        assert caught.value.details[0] == "HTTP 401"
        assert f"{NAME} runs OpenClaw {OLD} again, ready and sealed" in caught.value.details
        assert (tree(upgraded.state), upgraded.version()) == (before, OLD)
    assert asked == [NEW]


def test_one_that_does_not_run_is_not_asked(upgraded: Upgraded) -> None:
    upgraded.kept.stop()
    outcome = upgraded.upgrade(check_seconds=9.0)
    assert "its agent was not asked, for it does not run" in outcome.notes


def test_what_is_kept_can_be_forgotten_and_goes_with_the_instance(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    assert rollbacks.forget(upgraded.kept.context, NAME, dry_run=False).changed
    assert Slots(upgraded.kept.paths(NAME)).discard() == []
    with pytest.raises(OcmError, match="nothing is kept"):
        upgraded.rollback()
    upgraded.kept.delete(force=True)
    assert not [path for path in upgraded.kept.home.iterdir() if "kept" in path.name]


def test_with_the_next_upgrade_the_last_one_is_what_is_kept(upgraded: Upgraded) -> None:
    upgraded.upgrade()
    (upgraded.state / "workspace/said").write_text("between")
    upgraded.add(NEWER)
    upgraded.upgrade(NEWER)
    (before,) = Slots(upgraded.kept.paths(NAME)).kept()
    assert Path(before.state, "workspace/said").read_text() == "between"
    assert len(Slots(upgraded.kept.paths(NAME)).discard()) == 1
    upgraded.rollback()
    assert (upgraded.version(), upgraded.said()) == (NEW, "between")


@pytest.mark.parametrize("verb", ["upgrade", "rollback"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", range(1, 12))
def test_a_kill_leaves_the_old_or_the_new_whole(
    upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch, verb: str, count: int, *, after: bool
) -> None:
    monkeypatch.setattr(upgrades, "_rehearse", lambda *_words: ())
    monkeypatch.setattr(rollbacks, "backup_locked", lambda *_words: SimpleNamespace(path="somewhere"))
    if verb == "rollback":
        upgraded.upgrade()
        (upgraded.state / "workspace/said").write_text("since")
    states = {upgraded.version(): tree(upgraded.state)}
    with pytest.MonkeyPatch.context() as killed:
        cut_at(killed, count, KeyboardInterrupt, after=after)
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
    assert len(Slots(paths).discard()) == len(Slots(paths).kept()) == kept
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
