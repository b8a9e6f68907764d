"""Which instances run an older OpenClaw than there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.releases import Release
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

    def resolve(_host: Host, channel: str) -> Release:
        seen.append(channel)
        return Release(NEWEST[channel])

    monkeypatch.setattr(runtimes, "resolve", resolve)
    return seen


def look(kept: Kept) -> dict[str, outdated.Age]:
    found = outdated.outdated(kept.context, (NAME, OTHER))
    return {age.name: age for age in found}


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


def test_without_a_registry_that_is_the_error(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.create()
    kept.create(OTHER)

    def resolve(*_words: object) -> str:
        raise OcmError("npm cannot reach its package registry", code="unreachable")

    monkeypatch.setattr(runtimes, "resolve", resolve)
    with pytest.raises(OcmError, match="cannot reach"):
        look(kept)
