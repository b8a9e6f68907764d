"""A newcomer's Debian with systemd: two commands are all, and no step needs root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.releases import NODE_VERSION, OPENCLAW_VERSION

from .checkout import Ocm, push_checkout
from .instances import agent_answers, fake_model, refuse_tools, rows

if TYPE_CHECKING:
    from .machine import Machine


@pytest.fixture(scope="module")
def ocm(fresh: Machine) -> Ocm:
    return push_checkout(fresh)


def test_two_commands_are_all(fresh: Machine, ocm: Ocm) -> None:
    refuse_tools(fresh, "node", "npm", "openclaw", "bwrap")
    planned = ocm("deploy", "worker1", "--dry-run").stdout.splitlines()
    assert [line.split(" into ")[0].strip() for line in planned[1:3]] == [
        f"install Node {NODE_VERSION}",
        f"install OpenClaw {OPENCLAW_VERSION}",
    ]
    assert planned[-1] == "  wait until worker1 is ready and prove its sandbox from within"
    assert "this machine lacks Node, OpenClaw" in ocm("deploy", "worker1", "--no-install", check=False).stderr
    said = ocm("deploy", "worker1", "--yes", timeout=900).stdout
    assert "worker1: ready and sealed\n" in said
    row = rows(ocm)["worker1"]
    assert (row["state"], row["backend"], row["isolation"]) == ("ready", "systemd", "sealed")
    with fake_model(fresh) as provider:
        assert "PONG from fake model" in agent_answers(ocm, "worker1", provider)
