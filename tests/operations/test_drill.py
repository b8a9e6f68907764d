"""Backups tried out: a throw-away instance has to become ready, and nothing of it stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests import archives
from tests.backends.fake import READY, Fake, World
from tests.operations.kept import NAME

from openclaw_ocm.core.backup.layout import Plugin
from openclaw_ocm.core.names import InstanceName, is_drill
from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.operations.kept import Kept


@pytest.fixture
def archive(kept: Kept) -> str:
    """Return a backup of an instance that runs, with a key and a channel."""
    kept.deploy(autostart=True)
    config = json.loads(Path(kept.paths(NAME).config).read_text())
    config["channels"] = {"telegram": {"enabled": True, "botToken": "1:PLANTED"}}
    Path(kept.paths(NAME).config).write_text(json.dumps(config))
    Path(kept.paths(NAME).secrets).write_text("ONE_API_KEY=sk-PLANTED\n")
    Path(kept.paths(NAME).state, "workspace", "NOTES.md").write_text("remember")
    return kept.backup().path


class Drills(set[InstanceName]):
    """All throw-away instances."""

    def __contains__(self, name: object) -> bool:
        return is_drill(InstanceName(str(name)))


class Seen:
    """What a throw-away instance was like when it was started."""

    name: InstanceName
    config: dict[str, Any]
    secrets: str
    notes: str


@pytest.fixture
def seen(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Seen:
    found, start = Seen(), Fake.start

    def watched(backend: Fake, names: Collection[InstanceName]) -> None:
        for name in filter(is_drill, names):
            paths = kept.paths(name)
            found.name, found.config = name, json.loads(Path(paths.config).read_text())
            found.secrets = Path(paths.secrets).read_text()
            found.notes = Path(paths.workspace, "NOTES.md").read_text()
        start(backend, names)

    monkeypatch.setattr(Fake, "start", watched)
    return found


def test_a_backup_that_becomes_ready_passes_and_leaves_nothing(kept: Kept, archive: str, seen: Seen) -> None:
    before, pid = kept.files(), kept.process(NAME).pid
    outcome = kept.drill(archive)
    assert outcome.message == "restored on port 19021, ready and sealed"
    assert outcome.name == seen.name
    assert kept.files() == before
    assert set(kept.world.gateways) == {NAME}
    assert kept.world.enabled == {NAME}
    assert kept.process(NAME).pid == pid, "the one it is a copy of goes on"


def test_it_does_nothing_beside_the_instance_it_is_a_copy_of(kept: Kept, archive: str, seen: Seen) -> None:
    kept.drill(archive)
    assert seen.notes == "remember"
    assert "PLANTED" not in seen.secrets
    assert "PLANTED" not in json.dumps(seen.config)


@pytest.mark.usefixtures("archive", "seen")
def test_a_plugin_that_did_not_come_back_is_told(kept: Kept, tmp_path: Path) -> None:
    plugin = Plugin(name="discord", package="@openclaw/discord", path="npm/discord")
    header = msgspec.structs.replace(archives.HEADER, name=NAME)
    state = archives.tree(tmp_path)
    made = archives.write_archive(tmp_path / "a", state, header=header, plugins=(plugin,))
    command = f"ocm use {NAME} plugins install @openclaw/discord"
    assert kept.drill(str(made)).notes == (
        f"the plugin discord is in no backup, and not installed: {command}",
    )


@pytest.mark.parametrize("fault", ["unready", "refused"])
def test_a_backup_that_does_not_become_ready_fails_and_leaves_nothing(
    kept: Kept, archive: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kept.files()
    if fault == "unready":
        unready = Answer(phase="started", failing=("database",))
        monkeypatch.setattr(World, "answer", lambda _world, name: unready if is_drill(name) else READY)
    else:
        monkeypatch.setattr(kept.world, "refused", Drills())
    with pytest.raises(OcmError, match=r"drill-[0-9a-f]{8} (did not become ready|could not be started)"):
        kept.drill(archive)
    assert kept.files() == before
    assert set(kept.world.gateways) == {NAME}


def test_what_is_no_backup_is_refused_before_anything_is_made(kept: Kept, tmp_path: Path) -> None:
    kept.create()
    before = kept.files()
    path = tmp_path / "nonsense.tar.gz"
    path.write_text("nonsense")
    with pytest.raises(OcmError):
        kept.drill(str(path))
    assert kept.files() == before


def test_what_a_killed_drill_left_goes_with_the_next_unless_one_is_at_work(kept: Kept, archive: str) -> None:
    before = kept.files()
    left, busy = InstanceName("drill-0123abcd"), InstanceName("drill-4567abcd")
    kept.deploy(left)
    kept.deploy(busy)
    with files.lock(kept.host.paths.locks / f"{busy}.lock", busy):
        kept.drill(archive)
        assert set(kept.world.gateways) == {NAME, busy}
    kept.drill(archive)
    assert set(kept.world.gateways) == {NAME}
    assert kept.files() == before
