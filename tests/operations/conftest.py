"""What the tests of operations share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import Kept, keeping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Return a home whose instances the fake backend keeps."""
    with keeping(tmp_path) as made:
        yield made
