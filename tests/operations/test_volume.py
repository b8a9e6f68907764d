"""The config of an instance is read and written where its backend has the state, and nowhere else."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.expose import set_exposure
from openclaw_ocm.operations.port import move_port

if TYPE_CHECKING:
    from tests.operations.kept import Kept

MODELS = {"providers": {"here": {"baseUrl": "http://127.0.0.1:1/v1", "models": [{"id": "m", "name": "M"}]}}}


@pytest.fixture
def config(kept: Kept) -> Path:
    """Have a backend keep a state elsewhere than where those of others are, and return its config."""
    kept.create()
    volume = kept.home / "volume"
    volume.mkdir()
    config = volume / "openclaw.json"
    Path(kept.paths(NAME).config).rename(config)
    kept.world.volumes[NAME] = PurePosixPath(volume)
    return config


def written(config: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(config.read_text())
    return found


def test_it_is_replaced_there_and_put_back_there(kept: Kept, config: Path) -> None:
    move_port(kept.context, NAME, 20000, kept.effort(), dry_run=False)
    assert written(config)["gateway"]["port"] == 20000
    kept.start()
    before = config.read_bytes()
    kept.unproved[NAME] = ("a wall did not hold",)
    with pytest.raises(OcmError):
        move_port(kept.context, NAME, 21000, kept.effort(), dry_run=False)
    assert config.read_bytes() == before
    assert {path.name for path in config.parent.iterdir()} == {config.name}
    assert not Path(kept.paths(NAME).config).exists()


def test_so_is_what_a_stopped_one_listens_on(kept: Kept, config: Path) -> None:
    set_exposure(kept.context, NAME, ("10.0.0.0/8",), kept.effort(), dry_run=False)
    assert written(config)["gateway"]["bind"] == "lan"
    assert not Path(kept.paths(NAME).config).exists()


def test_a_backup_has_what_lies_there(kept: Kept, config: Path) -> None:
    (config.parent / "NOTES.md").write_text("remember")
    made = kept.backup()
    with tarfile.open(made.path) as archive:
        kept_of_it = archive.extractfile("state/NOTES.md")
        assert kept_of_it is not None
        assert kept_of_it.read() == b"remember"
    assert {path.name for path in config.parent.iterdir()} == {config.name, "NOTES.md"}


def test_a_clone_has_what_it_says_there(kept: Kept, config: Path) -> None:
    (config.parent / "workspace").mkdir()
    (config.parent / "workspace" / "NOTES.md").write_text("remember")
    config.write_text(json.dumps({**written(config), "models": MODELS}))
    assert open_instance(kept.context, NAME).config["models"] == MODELS
    kept.clone(NAME, OTHER, started=False)
    state = Path(kept.paths(OTHER).state)
    assert written(state / config.name)["models"] == MODELS
    assert (state / "workspace" / "NOTES.md").read_text() == "remember"


def test_what_is_missing_there_is_told_by_its_place(kept: Kept, config: Path) -> None:
    config.unlink()
    with pytest.raises(OcmError) as caught:
        open_instance(kept.context, NAME).read_config()
    assert (caught.value.message, caught.value.code) == (f"{NAME} has no config {config}", "config_missing")
