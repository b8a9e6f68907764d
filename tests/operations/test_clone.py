"""A new instance with the settings, the keys and the workspaces of another."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName


@pytest.fixture
def original(kept: Kept) -> InstanceName:
    """Return an instance with a life: settings, a key, a workspace, memories."""
    kept.deploy(model="fake/fake-1", autostart=True)
    config = config_of(kept, NAME)
    config["models"] = {"providers": {"fake": {"baseUrl": "http://127.0.0.1:1/v1", "models": []}}}
    Path(kept.paths(NAME).config).write_text(json.dumps(config))
    state = Path(kept.paths(NAME).state)
    (state / "workspace" / "NOTES.md").write_text("remember")
    (state / "memory").mkdir()
    (state / "memory" / "main.sqlite").write_text("private")
    return NAME


def config_of(kept: Kept, name: InstanceName) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(kept.paths(name).config).read_text())
    return found


def test_a_clone_has_settings_and_workspace_and_a_life_of_its_own(kept: Kept, original: InstanceName) -> None:
    pid = kept.process(original).pid
    outcome = kept.clone()
    assert (outcome.name, outcome.changed) == (OTHER, True)
    assert outcome.message == f"made of {original} on port 19021, ready and sealed"
    assert any("left out: memory" in note for note in outcome.notes)
    record = kept.record(OTHER)
    assert (record.port, record.autostart, record.sealed, record.backend) == (19021, True, True, "fake")
    assert kept.process(OTHER).activity == "running"
    assert kept.process(OTHER).autostart
    assert kept.process(original).pid == pid, "the original goes on"
    before, after = config_of(kept, original), config_of(kept, OTHER)
    assert after["models"] == before["models"]
    assert after["agents"]["defaults"]["model"] == {"primary": "fake/fake-1"}
    assert after["gateway"]["port"] == 19021
    assert after["gateway"]["auth"]["token"] != before["gateway"]["auth"]["token"]
    state = Path(kept.paths(OTHER).state)
    assert (state / "workspace" / "NOTES.md").read_text() == "remember"
    assert not (state / "memory").exists()
    assert kept.status(OTHER).drift == ()


def test_what_of_a_workspace_cannot_be_read_is_told_and_the_rest_is_copied(
    kept: Kept, original: InstanceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path(kept.paths(original).state) / "workspace" / "held").write_text("x")
    true = os.open

    def held(path: object, *arguments: object, **options: object) -> int:
        if path == "held":
            raise BlockingIOError(errno.EWOULDBLOCK, "a lease", path)
        return true(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", held)
    outcome = kept.clone()
    assert "left out of the workspace: 1 cannot be read" in outcome.notes
    assert "left out: state/workspace/held (cannot be read)" in outcome.notes
    workspace = Path(kept.paths(OTHER).state) / "workspace"
    assert (workspace / "NOTES.md").read_text() == "remember"
    assert not (workspace / "held").exists()


def test_a_clone_is_not_started_where_it_is_not_to_be(kept: Kept, original: InstanceName) -> None:
    outcome = kept.clone(started=False, port=19101)
    assert outcome.message == f"made of {original}, not started: ocm start {OTHER}"
    assert kept.process(OTHER).activity == "stopped"
    assert kept.record(OTHER).port == 19101
    assert kept.start(OTHER).message == "ready and sealed"


def test_a_dry_run_makes_no_clone(kept: Kept, original: InstanceName) -> None:  # noqa: ARG001 - it is there
    before = kept.files()
    planned = kept.clone(dry_run=True)
    assert kept.files() == before
    assert kept.clone().steps == planned.steps


@pytest.mark.parametrize("fault", ["unready", "unproved", "refused", "load"])
def test_a_clone_that_fails_leaves_no_trace(kept: Kept, original: InstanceName, fault: str) -> None:
    before, pid = kept.files(), kept.process(original).pid
    if fault == "unready":
        kept.world.answers[OTHER] = Answer(phase="starting")
    elif fault == "unproved":
        kept.unproved[OTHER] = ("it reads /root/.ssh",)
    elif fault == "refused":
        kept.world.refused.add(OTHER)
    else:
        kept.world.failing["enable"] = OcmError("the cluster is down")
    with pytest.raises(OcmError):
        kept.clone()
    assert kept.files() == before
    assert set(kept.world.gateways) == {original}
    assert kept.world.enabled == {original}
    assert kept.process(original).pid == pid


def test_a_name_that_is_taken_is_refused(kept: Kept, original: InstanceName) -> None:
    with pytest.raises(OcmError, match=f"there is an instance {original} already"):
        kept.clone(new=original)
