from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest

from openclaw_ocm.system.openclaw.plugins import is_installed, official_plugins
from openclaw_ocm.system.volume import Directory

DISCORD = "@openclaw/discord"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir(mode=0o700)
    return made


def installed(state: Path, package: str = DISCORD) -> bool | None:
    return is_installed(Directory(PurePosixPath(state)), package, "discord")


def catalog(package: Path, kind: str, entries: object) -> None:
    path = package / "scripts/lib" / f"official-external-{kind}-catalog.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"entries": entries}))


def test_a_package_in_a_project_of_npms_is_installed(state: Path) -> None:
    assert installed(state) is False
    (state / "npm/projects/openclaw-discord-1234/node_modules/@openclaw/discord").mkdir(parents=True)
    assert installed(state) is True
    assert installed(state, "@openclaw/discord@2026.9.6") is True
    assert installed(state, "@openclaw/slack") is False


@pytest.mark.parametrize("place", ["extensions", "git"])
def test_so_is_one_that_was_put_into_its_place(state: Path, place: str) -> None:
    (state / place / "discord").mkdir(parents=True)
    assert installed(state) is True


def test_no_link_of_the_instances_is_followed(state: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "projects/one/node_modules/@openclaw/discord").mkdir(parents=True)
    (state / "npm").symlink_to(elsewhere)
    (state / "extensions").write_text("a file")
    assert installed(state) is False


def test_of_a_state_that_cannot_be_seen_nothing_is_known(tmp_path: Path) -> None:
    assert installed(tmp_path / "nowhere") is None


def test_the_lists_of_openclaw_say_what_there_is_to_install(tmp_path: Path) -> None:
    mistral = {"providers": [{"id": "mistral"}, {"id": "mistral-eu"}], "install": {"npmSpec": "@o/mistral"}}
    catalog(tmp_path, "provider", [{"name": "@o/mistral", "openclaw": mistral}, 3, {}])
    catalog(tmp_path, "channel", [{"name": DISCORD, "openclaw": {"channel": {"id": "discord"}}}])
    found = official_plugins(PurePosixPath(tmp_path))
    assert found.providers == {"mistral": "@o/mistral", "mistral-eu": "@o/mistral"}
    assert found.channels == {"discord": DISCORD}


def test_an_openclaw_without_lists_names_none(tmp_path: Path) -> None:
    catalog(tmp_path, "channel", "no list")
    assert official_plugins(PurePosixPath(tmp_path)) == ({}, {})
