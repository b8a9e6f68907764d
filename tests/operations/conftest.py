"""What the tests of operations share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import Kept, keeping

from openclaw_ocm.system import uplinks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Return a home whose instances the fake backend keeps."""
    with keeping(tmp_path) as made:
        yield made


@pytest.fixture
def own_networks(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let instances have networks of their own, whatever this machine has for that."""
    monkeypatch.setattr(uplinks, "_PACKAGES", {})
    monkeypatch.setattr(uplinks, "_TUN", "/dev/null")
    monkeypatch.setattr(uplinks, "_TRY", ("true",))
    # The fake's gateways listen themselves.
    monkeypatch.setattr(uplinks, "server", lambda paths: kept.process(paths.name).pid)
