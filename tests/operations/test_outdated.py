"""Which instances run an older OpenClaw than there is."""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.releases import Release
from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations import outdated
from openclaw_ocm.system.machine import runtimes

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.system.host import Host

NEWEST = {"latest": "2026.9.7", "beta": "2026.10.1-beta.2"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the registry answered for, and return what it was asked."""
    seen: list[str] = []

    def published(_host: Host, channel: str, _beside: PurePosixPath) -> Release:
        seen.append(channel)
        return Release(NEWEST[channel])

    monkeypatch.setattr(runtimes, "published", published)
    return seen


def look(kept: Kept) -> dict[str, outdated.Age]:
    return {age.name: age for age in outdated.outdated(kept.context, (NAME, OTHER)).ages}


def test_each_is_told_beside_the_newest_of_its_channel(kept: Kept, asked: list[str]) -> None:
    kept.create()
    kept.create(OTHER)
    stated = Path(kept.record(NAME).runtime.openclaw, "package.json")
    found = look(kept)
    assert (found[NAME].version, found[NAME].newest, found[NAME].outdated) == ("2026.9.6", "2026.9.7", True)
    assert asked == ["latest"], "once for both"
    stated.write_text(stated.read_text().replace("2026.9.6", "2026.9.7"))
    assert not look(kept)[OTHER].outdated
    stated.write_text(stated.read_text().replace("2026.9.7", "2026.10.1-beta.1"))
    before = look(kept)[NAME]
    assert (before.channel, before.newest, before.outdated) == ("beta", "2026.10.1-beta.2", True)


def unreachable(*_words: object) -> Release:
    raise OcmError("npm cannot reach its package registry", code="unreachable")


def test_without_a_registry_that_is_the_error(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.create()
    kept.create(OTHER)
    monkeypatch.setattr(runtimes, "published", unreachable)
    with pytest.raises(OcmError, match="cannot reach") as caught:
        look(kept)
    assert caught.value.hint is None
    assert kept.status().row.newest is None


def test_without_a_registry_it_says_what_was_known(
    kept: Kept, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create()
    kept.create(OTHER)
    look(kept)
    monkeypatch.setattr(runtimes, "published", unreachable)
    with pytest.raises(OcmError, match="what is newest now is not known") as caught:
        look(kept)
    assert "it was 2026.9.7" in str(caught.value.hint)
    assert asked == ["latest"]


def test_what_was_asked_is_told_by_list_and_status_which_ask_nobody(
    kept: Kept, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create()
    kept.create(OTHER)
    before = kept.row()
    assert (before.newest, before.asked, before.outdated) == (None, None, None)
    began = time.time()
    look(kept)
    monkeypatch.setattr(runtimes, "published", unreachable)
    for row in (*kept.rows().values(), kept.status().row):
        assert (row.newest, row.outdated) == ("2026.9.7", True)
        assert row.asked is not None
        assert began <= row.asked <= time.time()
    assert asked == ["latest"]


def test_a_gateway_that_calls_itself_newer_is_outdated_all_the_same(kept: Kept, asked: list[str]) -> None:
    kept.deploy()
    kept.create(OTHER)
    look(kept)
    kept.world.answers[NAME] = Answer(ready=True, phase="started", version="2099.1.1")
    row = kept.row()
    assert (row.version, row.outdated) == ("2099.1.1", True)
    assert asked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": "2026.9.7"}',
        '{"version": "2026.9.7\\u001b[31m", "asked": 1}',
        '{"version": "newest", "asked": 1}',
        '{"version": "2026.9.7", "asked": 1e300}',
        '{"version": "2026.9.7", "asked": "today"}',
        '{"version": "2026.9.7", "asked": 1' + " " * 5000 + "}",
        "[" * 4000,
    ],
)
def test_what_is_kept_and_cannot_be_read_is_told_and_believed_in_nothing(
    kept: Kept, asked: list[str], text: str
) -> None:
    kept.create()
    kept.create(OTHER)
    path = Path(kept.host.paths.newest, "latest.json")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    status = kept.status()
    assert (status.row.newest, status.row.outdated) == (None, None)
    assert f"{path} is corrupt: ocm outdated asks npm's registry anew" in status.notes
    look(kept)
    assert kept.status().row.newest == "2026.9.7"
    assert asked


def test_what_cannot_be_kept_is_told_all_the_same(kept: Kept, asked: list[str]) -> None:
    kept.create()
    kept.create(OTHER)
    Path(kept.host.paths.newest, "latest.json").mkdir(parents=True)
    assert look(kept)[NAME].outdated
    assert any("latest.json cannot be read" in note for note in kept.status().notes)
    assert asked


def test_one_that_cannot_be_read_keeps_nobody_from_the_others(kept: Kept, asked: list[str]) -> None:
    kept.create()
    kept.create(OTHER)
    Path(kept.paths(OTHER).record).write_text("{")
    found = outdated.outdated(kept.context, (NAME, OTHER))
    assert [age.name for age in found.ages] == [NAME]
    assert [(name, error.code) for name, error in found.broken.items()] == [(OTHER, "record_corrupt")]
    assert asked == ["latest"]
