"""The home of a test that has a supervisord."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.backends.supervisord.supervised import Supervised, supervised_home

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def home() -> Iterator[Supervised]:
    with supervised_home() as made:
        yield made
