"""Secrets, configs and what is inherited change whole or not at all, with a real gateway."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from tests import model_lists

from .instances import HOME, PROVIDER, answer, home_files, mend, rows, wait_for, wait_until_healthy
from .processes import kill_group
from .test_recovery import forget_driver, killed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

URL = "http://127.0.0.1:18091/list.json"
OLD, NEW = "sk-PLANTED-old-1111", "sk-PLANTED-new-2222"
MAIN = f"{HOME}/.openclaw/openclaw.json"
KEPT = (
    f"{HOME}/.config/ocm/secrets/worker1.env",
    f"{HOME}/.config/ocm/inherited/worker1.json",
    f"{HOME}/.openclaw-worker1/openclaw.json",
)
# Less than any gateway takes.
AT_ONCE = ("--timeout", "1")
UPDATE = ("update-models", "--url", URL, "--force")


def main_config(key: str, model: str = "fake-1") -> str:
    provider = {**PROVIDER, "apiKey": key, "models": [{"id": model, "name": model}]}
    config = {"gateway": {"mode": "local"}, "models": {"providers": {"one": provider}}}
    return f"// main\n{json.dumps(config)}"


@pytest.fixture(scope="module", autouse=True)
def served(machine: Machine) -> Iterator[None]:
    """Serve a list of models in the machine."""
    machine.write("/srv/models/list.json", json.dumps({"data": model_lists.ppq(3)}), user="root")
    argv = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/srv/models", "18091"]
    process = machine.popen(argv, stderr=None)
    try:
        wait_for(lambda: ":18091" in machine.run(["ss", "-Hltn"]).stdout, 20, "server of lists")
        yield
    finally:
        kill_group(process)
        machine.run(["rm", "-r", "/srv/models"], user="root")


@pytest.fixture(scope="module")
def worker(machine: Machine, ocm: Ocm) -> Iterator[str]:
    """Give an instance that inherits from a main which has another key since, and other models."""
    ocm("list")
    before = home_files(machine)
    machine.run(["mkdir", "-m", "700", f"{HOME}/.openclaw"])
    machine.write(MAIN, main_config(OLD), mode=0o600)
    ocm("deploy", "worker1")
    machine.write(MAIN, main_config(NEW, "fake-2"), mode=0o600)
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes", check=False)
    machine.run(["rm", "-rf", f"{HOME}/.openclaw"])
    assert home_files(machine) == before


def kept(machine: Machine) -> list[str]:
    """Return what is in the files of the instance."""
    return [machine.read(path) for path in KEPT]


def left_over(machine: Machine) -> str:
    script = "find ~/.config/ocm ~/.openclaw* -name '*.ocm'; ls ~/.local/state/ocm/transactions"
    return machine.run(["bash", "-c", script], check=False).stdout


def pid(ocm: Ocm) -> int:
    found = rows(ocm)["worker1"]["pid"]
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize(
    "command",
    [
        ("secret", "set", "worker1", "ONE_API_KEY", "--restart"),
        pytest.param(("sync", "worker1"), marks=pytest.mark.full),
        pytest.param(("edit", "worker1", "gateway.controlUi.basePath", "/ui"), marks=pytest.mark.full),
    ],
    ids=["secret", "sync", "edit"],
)
def test_with_a_gateway_that_is_not_ready_in_time_all_is_as_before(
    machine: Machine, ocm: Ocm, worker: str, command: tuple[str, ...]
) -> None:
    wait_until_healthy(ocm, worker)
    before, process = kept(machine), pid(ocm)
    done = ocm(*command, *AT_ONCE, input=f"{NEW}\n", check=False)
    assert done.returncode == 1, done
    assert f"{worker} did not become ready" in done.stderr
    assert f"  undone: {worker} is started again, as it was" in done.stderr.splitlines()
    assert NEW not in done.stdout + done.stderr
    assert kept(machine) == before
    assert left_over(machine) == ""
    assert pid(ocm) != process, "the old one was brought back"


@pytest.mark.parametrize(
    "command",
    [
        ("edit", "worker1", "tools.profile", "minimal"),
        pytest.param((*UPDATE, "worker1"), marks=pytest.mark.full),
    ],
    ids=["edit", "update-models"],
)
def test_with_one_that_does_not_answer_a_live_change_is_taken_back(
    machine: Machine, ocm: Ocm, worker: str, command: tuple[str, ...]
) -> None:
    wait_until_healthy(ocm, worker)
    before, process = kept(machine), pid(ocm)
    unit = f"openclaw-gateway-{worker}.service"
    machine.run(["systemctl", "--user", "kill", "--signal=STOP", unit])
    try:
        done = ocm(*command, *AT_ONCE, check=False)
    finally:
        machine.run(["systemctl", "--user", "kill", "--signal=CONT", unit])
    assert done.returncode == 1, done
    assert f"{worker} did not become ready" in done.stderr
    assert f"  undone: replace the config of {worker}" in done.stderr.splitlines()
    assert kept(machine) == before
    assert left_over(machine) == ""
    assert pid(ocm) == process
    wait_until_healthy(ocm, worker)
    assert kept(machine) == before


def test_a_stopped_instance_that_restart_cannot_bring_up_is_stopped_again(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    ocm("stop", worker)
    done = ocm("restart", worker, *AT_ONCE, check=False)
    assert done.returncode == 1, done
    assert f"  undone: {worker} is stopped again" in done.stderr.splitlines()
    assert rows(ocm)[worker]["state"] == "stopped"
    assert left_over(machine) == ""


@pytest.mark.parametrize(
    "command",
    [
        ("secret", "set", "worker1", "ONE_API_KEY"),
        ("sync", "worker1"),
        # Before each step OpenClaw validates the config, which takes five seconds of a core.
        pytest.param(("edit", "worker1", "tools.profile", "minimal"), marks=pytest.mark.full),
        pytest.param((*UPDATE, "worker1"), marks=pytest.mark.full),
    ],
    ids=["secret", "sync", "edit", "update-models"],
)
def test_a_kill_before_or_after_any_step_leaves_all_or_nothing(
    machine: Machine, ocm: Ocm, worker: str, command: tuple[str, ...]
) -> None:
    ocm("stop", worker)
    before = kept(machine)
    # A key that nobody sees: the driver has no standard input.
    command = ("secret", "unset", worker, "MY_KEY") if command[0] == "secret" else command
    if command[0] == "secret":
        ocm("secret", "set", worker, "MY_KEY", input=f"{OLD}\n")
        before = kept(machine)
    steps = len(answer(ocm, *command, "--dry-run")["results"][0]["steps"])
    said = []
    # What is made ready is applied twice: while it is made ready, and as the first step of the plan.
    for step in range(1, steps + 2):
        for when in ("before", "after"):
            done = killed(machine, ocm, when, step, *command)
            assert done.returncode == -signal.SIGKILL, done
            assert f"a change of {worker} was interrupted" in ocm("list").stderr
            told = mend(ocm)
            said.append("undone" if "was undone" in told else "finished")
            assert left_over(machine) == "", (step, when)
            if said[-1] == "undone":
                assert kept(machine) == before, (step, when)
            else:
                assert f"an interrupted {command[0]} of {worker} was finished" in told
                assert not answer(ocm, *command)["results"][0]["changed"], (step, when)
                break
        if said[-1] == "finished":
            break
    forget_driver(machine)
    assert said[-1] == "finished", "killed while it was cleaning up"
    assert "undone" in said


def test_a_change_of_mains_config_that_was_killed_is_whole_or_none(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    assert worker
    before = machine.read(MAIN)
    steps = len(answer(ocm, *UPDATE, "--dry-run")["results"][0]["steps"])
    for step in range(1, steps + 2):
        done = killed(machine, ocm, "after", step, *UPDATE)
        assert done.returncode == -signal.SIGKILL, done
        assert "a change of main was interrupted" in ocm("list").stderr
        if "was finished" in mend(ocm):
            break
        assert machine.read(MAIN) == before, step
    forget_driver(machine)
    assert machine.read(MAIN).startswith("// main\n")
    assert "model-1" in machine.read(MAIN)
    assert left_over(machine) == ""
