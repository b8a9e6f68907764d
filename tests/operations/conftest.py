"""What the tests of operations share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import Kept, keep
from tests.operations.owned import Owned, make_owned

from openclaw_ocm.system import uplinks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Return a home whose instances the fake backend keeps."""
    return keep(tmp_path, monkeypatch)


@pytest.fixture
def own_networks(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let instances have networks of their own, whatever this machine has for that."""
    monkeypatch.setattr(uplinks, "_PACKAGES", {})
    monkeypatch.setattr(uplinks, "_TUN", "/dev/null")
    monkeypatch.setattr(uplinks, "_TRY", ("true",))
    # The fake's gateways listen themselves.
    monkeypatch.setattr(uplinks, "server", lambda paths: kept.process(paths.name).pid)


@pytest.fixture
def owned(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Owned:
    """Return what the user runs without OCM as a profile."""
    return make_owned(kept, monkeypatch, ".openclaw-work")


@pytest.fixture
def main(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Owned:
    """Return what the user runs without OCM as main."""
    return make_owned(kept, monkeypatch, ".openclaw")
