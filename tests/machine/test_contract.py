"""The contract of backends, with the user manager of a booted machine; small programs stand for gateways."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.backends.contract import CHECKS

from .instances import home_files

if TYPE_CHECKING:
    from .checkout import Ocm
    from .machine import Machine


@pytest.fixture(scope="module")
def verdicts(machine: Machine, ocm: Ocm) -> dict[str, str | None]:
    """Run every check once, by the Python that OCM made for itself; nothing is left of it afterwards."""
    ocm("list")
    before = home_files(machine)
    script = (
        "PYTHONPATH=src exec ~/.local/share/ocm/venv-*/bin/python -m tests.backends.keep_contract systemd"
    )
    done = machine.run(["sh", "-c", script], cwd=ocm.folder, timeout=300)
    assert home_files(machine) == before
    return dict(json.loads(line) for line in done.stdout.splitlines())


# The one knows PID namespaces of a unit's own, the other does not.
@pytest.mark.both_releases
@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_systemd(verdicts: dict[str, str | None], check: str) -> None:
    assert verdicts[check] is None, verdicts[check]
