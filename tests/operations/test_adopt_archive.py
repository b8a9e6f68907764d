"""What another program packed of an OpenClaw becomes an instance, whatever else is in the archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operations.kept import NAME
from tests.system.foreign.test_archive import REAL, member, packed, state_of

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.adopt import adopt
from openclaw_ocm.operations.planning.adoption import Request
from openclaw_ocm.operations.unadopt import unadopt
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.operations.planning.result import Outcome

BOT = "123456:" + "a" * 35
CONFIG: dict[str, Any] = {
    "gateway": {"mode": "local", "bind": "lan", "port": 19500, "auth": {"mode": "token", "token": "of-old"}},
    "agents": {"defaults": {"workspace": "/home/bob/.openclaw-work/workspace"}},
    "channels": {"telegram": {"enabled": True, "botToken": BOT}},
}


def taken(kept: Kept, archive: Path, *, dry_run: bool = False, **asked: object) -> Outcome:
    request = Request(**asked)  # type: ignore[arg-type]
    return adopt(kept.context, str(archive), request, kept.effort(), dry_run=dry_run)


def config_of(kept: Kept, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(kept.paths(parse_name(name)).config).read_text())
    return found


@pytest.mark.parametrize("version", REAL)
def test_a_backup_of_openclaws_own_becomes_an_instance(kept: Kept, version: str) -> None:
    outcome = taken(kept, REAL[version], name=NAME)
    assert outcome.message.startswith(f"made of {REAL[version]}, on port ")
    paths = kept.paths(NAME)
    assert Path(paths.state, "workspace-ws/NOTES.md").read_text() == "remember\n"
    assert read_secrets(paths) == {"PROVIDER_KEY": "planted"}
    assert not Path(paths.state, ".env").exists()
    assert config_of(kept, NAME)["gateway"]["bind"] == "loopback"
    assert "/home/ann/" not in Path(paths.config).read_text()
    assert kept.row(NAME).state == "ready"
    assert not [path for path in kept.home.iterdir() if path.name.startswith(".ocm-")]


def test_it_goes_on_with_its_channels_its_port_and_its_name(kept: Kept, tmp_path: Path) -> None:
    archive = packed(tmp_path / "work.tgz", *state_of("home/bob/.openclaw-work", CONFIG))
    outcome = taken(kept, archive)
    assert outcome.name == "work"
    config = config_of(kept, "work")
    assert config["channels"]["telegram"]["botToken"] == BOT
    assert config["gateway"]["port"] == kept.record(parse_name("work")).port == 19500
    assert config["gateway"]["auth"]["token"] == "of-old"
    assert config["agents"]["defaults"]["workspace"] == str(kept.paths(parse_name("work")).workspace)
    assert "nowhere else may it run with its channels: telegram" in outcome.notes
    with pytest.raises(OcmError, match="work has this Telegram bot already"):
        taken(kept, archive, name=NAME)


def test_a_dry_run_unpacks_nothing_and_what_it_makes_can_be_deleted(kept: Kept, tmp_path: Path) -> None:
    archive = packed(tmp_path / "work.tgz", *state_of(".openclaw-work", CONFIG))
    before = kept.files()
    assert not taken(kept, archive, dry_run=True).changed
    assert kept.files() == before
    taken(kept, archive)
    said = unadopt(kept.context, parse_name("work"), kept.effort(), dry_run=False).message
    assert said == f"deleted, a copy: {archive} is as it was"
    assert kept.files() == before


def test_what_cannot_be_adopted_of_archives_is_told(kept: Kept, tmp_path: Path) -> None:
    main = packed(tmp_path / "main.tgz", *state_of("home/bob/.openclaw", CONFIG))
    before = kept.files()
    with pytest.raises(OcmError, match="needs a name as an instance"):
        taken(kept, main)
    broken = packed(tmp_path / "broken.tgz", member("notes.txt", b"x"))
    with pytest.raises(OcmError, match="is no archive of an OpenClaw"):
        taken(kept, broken, name=NAME)
    assert kept.files() == before
    kept.deploy()
    own = kept.backup().path
    with pytest.raises(OcmError, match="is a backup of OCM's own") as caught:
        taken(kept, Path(own), name=parse_name("other"))
    assert caught.value.hint == f"ocm restore {own}"


def test_a_start_that_fails_leaves_nothing(kept: Kept, tmp_path: Path) -> None:
    archive = packed(tmp_path / "work.tgz", *state_of(".openclaw-work", CONFIG))
    before = kept.files()
    kept.unproved[parse_name("work")] = ("it is open",)
    with pytest.raises(OcmError):
        taken(kept, archive)
    assert kept.files() == before
