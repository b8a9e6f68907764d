"""SIGKILL at random moments of a change: afterwards there is one whole instance, always.

pytest tests/machine/test_kills.py --kills 200 takes some minutes; CI kills a few times each time it runs.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from .instances import (
    HOME,
    MAIN_UNIT,
    add_version,
    answer,
    home_files,
    rows,
    start_main,
    stop_main,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine


@pytest.fixture
def archive(machine: Machine, ocm: Ocm) -> Iterator[str]:
    """Give a backup of the one instance there is, stopped: with a cron job, a secret and marked files."""
    ocm("list")
    before = home_files(machine)
    ocm("deploy", "worker1", "--no-inherit")
    ocm("secret", "set", "worker1", "OWN_TOKEN", input="kept\n")
    ocm("use", "worker1", "cron", "add", "--name", "job", "--every", "24h", "--message", "hello")
    ocm("stop", "worker1")
    machine.run(["python3", f"{ocm.folder}/tests/machine/kills.py", "prepare", "worker1"])
    yield str(answer(ocm, "backup", "worker1")["results"][0]["path"])
    ocm("delete", "--all", "--force", "--yes")
    ocm("runtime", "prune")
    machine.run(["rm", "-rf", f"{HOME}/backups"])
    assert home_files(machine) == before


@pytest.mark.parametrize("version", ["", "2026.9.77"], ids=["others", "upgrades"])
def test_one_whole_instance_is_left(
    request: pytest.FixtureRequest, machine: Machine, ocm: Ocm, archive: str, version: str
) -> None:
    kills = request.config.getoption("--kills")
    # In each upgrade OpenClaw migrates the state, which takes half as long as a start.
    count = max(kills // 3, 1) if version else kills
    seed = request.config.getoption("--seed") or random.randrange(2**32)
    print(f"--seed {seed}")
    if version:
        add_version(machine, version)
    argv = ["python3", f"{ocm.folder}/tests/machine/kills.py", "run", f"{ocm.folder}/ocm.py"]
    asked = [*argv, str(seed), str(count), archive, version]
    done = machine.run(asked, check=False, timeout=120 + 60 * count)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    print(done.stdout)
    assert done.returncode == 0, (seed, done.stderr)
    assert sum(line["exit"] == -9 for line in lines) == count
    (name,) = (name for name in rows(ocm) if not name.startswith("drill-"))
    ocm("start", name)


def test_main_is_the_users_as_it_was_or_an_instance(
    request: pytest.FixtureRequest, machine: Machine, ocm: Ocm
) -> None:
    count = request.config.getoption("--kills")
    seed = request.config.getoption("--seed") or random.randrange(2**32)
    print(f"--seed {seed}")
    ocm("list")
    before = home_files(machine)
    start_main(machine)
    job = ("--name", "job", "--every", "24h", "--message", "hello")
    machine.run(["openclaw", "cron", "add", *job])
    machine.run(["systemctl", "--user", "stop", MAIN_UNIT])
    machine.run(["systemctl", "--user", "enable", MAIN_UNIT])
    argv = ["python3", "-m", "tests.machine.adopt_kills", f"{ocm.folder}/ocm.py", str(seed), str(count)]
    done = machine.run(argv, cwd=ocm.folder, check=False, timeout=120 + 30 * count)
    print(done.stdout)
    assert done.returncode == 0, (seed, done.stderr)
    assert sum(json.loads(line)["exit"] == -9 for line in done.stdout.splitlines()) == count
    machine.run(["systemctl", "--user", "disable", MAIN_UNIT])
    stop_main(machine)
    assert home_files(machine) - before <= {f"{HOME}/.local/state/ocm/locks/main.lock"}
