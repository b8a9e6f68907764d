"""The agents from a snapshot answer, under each backend, and remember what they were asked before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .agents import NAMES
from .instances import rows

if TYPE_CHECKING:
    from .agents import Agents


def test_they_are_there_and_take_no_memory_until_they_are_started(agents: Agents) -> None:
    found = {name: (row["backend"], row["state"]) for name, row in rows(agents.ocm).items()}
    assert found == {name: (backend, "stopped") for backend, name in NAMES.items()}


@pytest.mark.parametrize("backend", NAMES)
def test_one_answers(agents: Agents, backend: str) -> None:
    assert agents.ready(backend) == NAMES[backend]
    assert "here-again" in agents.ask(backend, "ECHO:here-again")
    agents.ocm("stop", NAMES[backend])
