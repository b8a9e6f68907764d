"""SIGKILL at random moments of backup, restore and rename: afterwards there is one whole instance, always.

pytest tests/machine/test_kills.py --kills 200 takes some minutes; CI kills a few times each time it runs.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

from .instances import HOME, answer, home_files

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
    machine.run(["rm", "-rf", f"{HOME}/backups"])
    assert home_files(machine) == before


def test_one_whole_instance_is_left(
    request: pytest.FixtureRequest, machine: Machine, ocm: Ocm, archive: str
) -> None:
    count = request.config.getoption("--kills")
    seed = request.config.getoption("--seed") or random.randrange(2**32)
    print(f"--seed {seed}")
    argv = ["python3", f"{ocm.folder}/tests/machine/kills.py", "run", f"{ocm.folder}/ocm.py"]
    done = machine.run([*argv, str(seed), str(count), archive], check=False, timeout=60 + 30 * count)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    print(done.stdout)
    assert done.returncode == 0, (seed, done.stderr)
    assert sum(line["exit"] == -9 for line in lines) == count
    ocm("start", str(lines[-1]["name"]))
