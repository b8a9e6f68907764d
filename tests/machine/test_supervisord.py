"""What only supervisord has: its own process, its own restarts, its log, a container's entry point."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .instances import HOME, assert_shown, home_files, rows, show_some, wait_for
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

CONFIG = f"{HOME}/.openclaw-worker1/openclaw.json"


@pytest.fixture(scope="module")
def worker(machine: Machine, ocm: Ocm) -> Iterator[str]:
    """Deploy an instance under supervisord; afterwards nothing of either is left."""
    ocm("list")
    before = home_files(machine)
    ocm("deploy", "worker1", "--backend", "supervisord")
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes")
    assert home_files(machine) == before
    assert supervisord(machine) == []


def supervisord(machine: Machine) -> list[str]:
    """Return the processes of supervisord."""
    return machine.run(["pgrep", "-f", "supervisor.supervisord"], check=False).stdout.split()


def ready(ocm: Ocm, name: str) -> bool:
    return ocm("health", name, check=False).returncode == 0


def test_log_is_followed_and_bounded(machine: Machine, ocm: Ocm, worker: str) -> None:
    assert "ready" in ocm("logs", worker).stdout
    assert len(ocm("logs", worker, "-n", "3", "--json").stdout.splitlines()) == 3
    following = machine.popen(["./ocm.py", "logs", worker, "-f", "-n", "0"], cwd=ocm.folder)
    try:
        ocm("restart", worker)
        assert following.stdout is not None
        assert following.stdout.readline() != b""
    finally:
        kill_group(following)
    assert ocm("logs", worker, "--since", "1 hour ago").stdout != ""
    assert ocm("logs", worker, "--since", "2001-01-01 00:00", "-n", "1").stdout.count("\n") == 1


def test_refused_config_is_not_tried_again(machine: Machine, ocm: Ocm, worker: str) -> None:
    good = machine.read(CONFIG)
    broken = json.loads(good)
    broken["gateway"]["mode"] = "remote"
    machine.write(CONFIG, json.dumps(broken), mode=0o600)
    failed = ocm("restart", worker, check=False)
    assert failed.returncode == 1
    assert "exit 78" in failed.stderr
    machine.write(CONFIG, json.dumps(broken), mode=0o600)
    ocm("start", worker, "--keep", check=False)
    row = rows(ocm)[worker]
    assert (row["state"], row["pid"], row["restarts"]) == ("failed", None, 0)
    assert "exit 78" in row["reason"]
    machine.write(CONFIG, good, mode=0o600)
    assert ocm("start", worker).stdout == f"{worker}: ready and sealed\n"


def test_killed_supervisord_takes_its_gateways_along_and_start_brings_both_back(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    pid = rows(ocm)[worker]["pid"]
    show_some(machine, ocm, worker)
    machine.run(["kill", "-9", *supervisord(machine)])
    wait_for(lambda: machine.run(["test", "-e", f"/proc/{pid}"], check=False).returncode == 1, 10, "end")
    assert rows(ocm)[worker]["state"] == "stopped"
    assert ocm("start", worker).stdout == f"{worker}: ready and sealed\n"
    assert_shown(machine, ocm, worker)


def test_entry_point_of_a_container_starts_what_is_enabled_and_stops_all(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    ocm("create", "stays-down", "--backend", "supervisord")
    ocm("enable", worker)
    refused = ocm("supervise", check=False)
    assert (refused.returncode, "runs already" in refused.stderr) == (1, True), refused
    machine.run(["kill", "-TERM", *supervisord(machine)])
    wait_for(lambda: supervisord(machine) == [], 60, "end of supervisord")
    entry = machine.popen(["./ocm.py", "supervise"], cwd=ocm.folder)
    try:
        wait_for(lambda: ready(ocm, worker), 120, "ready instance")
        assert rows(ocm)["stays-down"]["state"] == "stopped"
        machine.run(["kill", "-TERM", *supervisord(machine)])
        entry.communicate(timeout=60)
        assert entry.returncode == 0
        assert rows(ocm)[worker]["state"] == "stopped"
    finally:
        kill_group(entry)
    ocm("delete", "stays-down", "--yes")
