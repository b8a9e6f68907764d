"""SIGKILL after each step of create and of delete: the next command leaves a whole instance or none."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from .instances import HOME, answer, home_files, mend, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine, Result

# Runs OCM with one change: the process kills itself around the given step.
DRIVER = """
import os, signal, sys
sys.path.insert(0, {source!r})
from openclaw_ocm.instances import transaction
function, when, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
real, count = getattr(transaction, function), 0
def counted(context, step):
    global count
    count += 1
    if when == "before" and count == last:
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(context, step)
    if when == "after" and count == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(transaction, function, counted)
from openclaw_ocm.cli.main import main
sys.exit(main(sys.argv[4:]))
"""
STEPS_OF_CREATE = 8
STEPS_OF_DELETE = 14


@pytest.fixture(scope="module", params=["systemd", pytest.param("supervisord", marks=pytest.mark.full)])
def backend(request: pytest.FixtureRequest, machine: Machine) -> Iterator[str]:
    """Each backend in turn, as the user's setting."""
    settings = f"{HOME}/.config/ocm/settings.toml"
    machine.write(settings, f'backend = "{request.param}"\n')
    yield request.param
    machine.run(["rm", settings])


@pytest.fixture
def clean(machine: Machine, ocm: Ocm, backend: str) -> Iterator[set[str]]:
    """No instance before, none after."""
    del backend
    ocm("list")
    yield home_files(machine)
    ocm("delete", "--all", "--force", "--yes", check=False)


def killed(
    machine: Machine, ocm: Ocm, when: str, step: int, *args: str, function: str = "apply_step"
) -> Result:
    """Run OCM until it kills itself before or after its `step`-th step, or step undone."""
    machine.write(f"{HOME}/driver.py", DRIVER.format(source=f"{ocm.folder}/src"))
    python = machine.run(["bash", "-c", "ls -d ~/.local/share/ocm/venv-*/bin/python"]).stdout.split()[0]
    return machine.run([python, f"{HOME}/driver.py", function, when, str(step), *args], check=False)


def forget_driver(machine: Machine) -> None:
    machine.run(["rm", f"{HOME}/driver.py"])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS_OF_CREATE + 1))
def test_create_that_was_killed_is_undone_by_the_next_command(
    machine: Machine, ocm: Ocm, clean: set[str], when: str, step: int
) -> None:
    done = killed(machine, ocm, when, step, "create", "worker1", "--autostart")
    assert done.returncode == -signal.SIGKILL, done
    forget_driver(machine)
    assert "a change of worker1 was interrupted" in ocm("list").stderr
    assert home_files(machine) != clean or (when, step) == ("before", 1), "who looks mends nothing"
    assert "an interrupted create of worker1 was undone" in mend(ocm)
    assert home_files(machine) == clean
    assert ocm("create", "worker1").stdout.startswith("worker1: created")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(1, STEPS_OF_DELETE + 1))
def test_delete_that_was_killed_is_undone_or_finished_by_the_next_command(
    machine: Machine, ocm: Ocm, clean: set[str], when: str, step: int
) -> None:
    ocm("create", "worker1", "--autostart")
    whole = home_files(machine)
    done = killed(machine, ocm, when, step, "delete", "worker1", "--yes")
    assert done.returncode == -signal.SIGKILL, done
    forget_driver(machine)
    said = mend(ocm)
    if "undone" in said:
        assert home_files(machine) == whole
        assert rows(ocm)["worker1"]["autostart"] is True
        ocm("delete", "worker1", "--yes")
    else:
        assert "an interrupted delete of worker1 was finished" in said
    assert home_files(machine) == clean
    assert answer(ocm, "list")["results"] == []


@pytest.mark.parametrize("step", range(1, STEPS_OF_CREATE + 1))
def test_recovery_that_was_killed_is_finished_by_the_next_command(
    machine: Machine, ocm: Ocm, clean: set[str], step: int
) -> None:
    killed(machine, ocm, "after", STEPS_OF_CREATE, "create", "worker1", "--autostart")
    done = killed(machine, ocm, "after", step, "stop", "--all", function="undo_step")
    assert done.returncode == -signal.SIGKILL, done
    forget_driver(machine)
    assert "an interrupted create of worker1 was undone" in mend(ocm)
    assert home_files(machine) == clean


def test_steps_are_as_many_as_these_tests_think(ocm: Ocm, clean: set[str]) -> None:
    assert clean is not None
    created = answer(ocm, "create", "worker1", "--autostart", "--dry-run")["results"][0]["steps"]
    assert len(created) == STEPS_OF_CREATE
    ocm("create", "worker1", "--autostart")
    deleted = answer(ocm, "delete", "worker1", "--dry-run")["results"][0]["steps"]
    assert len(deleted) == STEPS_OF_DELETE


def test_create_that_is_interrupted_leaves_no_trace(machine: Machine, ocm: Ocm, clean: set[str]) -> None:
    argv = ["timeout", "--preserve-status", "--signal=INT", "4", "./ocm.py", "deploy", "worker1"]
    done = machine.run(argv, cwd=ocm.folder, check=False)
    assert done.returncode == 130, done
    assert home_files(machine) == clean
    assert answer(ocm, "list")["results"] == []
