"""A backup is tried out beside the instance that it is of: it becomes ready, does nothing, and is gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .instances import HOME, answer, deploy_answering, home_files, rows, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

SECRET = "sk-PLANTED-for-a-drill-1212"


@pytest.fixture(scope="module")
def worker(machine: Machine, ocm: Ocm) -> Iterator[str]:
    """Give an instance that answers, has a secret, and a cron job that would run at once."""
    ocm("list")
    before = home_files(machine)
    deploy_answering(ocm, "worker1", "--no-inherit")
    ocm("secret", "set", "worker1", "OWN_TOKEN", input=f"{SECRET}\n")
    assert "PONG from fake model" in say(ocm, "worker1", "hi")
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes")
    machine.run(["rm", "-rf", f"{HOME}/backups"])
    assert home_files(machine) == before


def test_a_backup_becomes_ready_beside_the_instance_and_is_gone(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    (made,) = answer(ocm, "backup", worker)["results"]
    pid, before = rows(ocm)[worker]["pid"], home_files(machine)
    done = ocm("-v", "backups", "verify", made["path"], "--drill")
    assert "  drill: restored on port 19021, ready and sealed, and deleted again\n" in done.stdout
    assert SECRET not in done.stdout + done.stderr + machine.journal()
    assert {name: row["pid"] for name, row in rows(ocm).items()} == {worker: pid}
    assert home_files(machine) == before


def test_one_that_does_not_become_ready_fails_the_drill(machine: Machine, ocm: Ocm, worker: str) -> None:
    config = f"{HOME}/.openclaw-{worker}/openclaw.json"
    good = machine.read(config)
    ocm("stop", worker)
    machine.write(config, json.dumps({**json.loads(good), "notAKeyOfOpenClaw": True}), mode=0o600)
    (made,) = answer(ocm, "backup", worker)["results"]
    machine.write(config, good, mode=0o600)
    before = home_files(machine)
    assert ocm("backups", "verify", made["path"]).returncode == 0, "its files are whole"
    done = ocm("backups", "verify", made["path"], "--drill", check=False)
    assert done.returncode == 1, done
    assert set(rows(ocm)) == {worker}
    assert home_files(machine) == before
