"""How instances and boxes end, killed or not: ready again without help, and nothing is left behind."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

from .agents import NAMES
from .instances import inside, listener, rows, wait_for, wait_until_healthy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .agents import Agents
    from .machine import Machine

WAITER = "ocm-gateway"
BOX = "bwrap"
# Every process, with what a pid that is used again has another of.
_PROCESSES = """
import json, os, pathlib
found = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        name, rest = pathlib.Path("/proc", pid, "stat").read_text().split(" (", 1)[1].rsplit(") ", 1)
    except OSError:
        continue
    if rest[0] not in "ZX":
        found[pid] = [name, rest.split()[1], rest.split()[19]]
print(json.dumps(found))
"""


class Process(NamedTuple):
    name: str
    parent: str
    started: str


def processes(machine: Machine) -> dict[str, Process]:
    text = machine.run(["python3", "-c", _PROCESSES], user="root").stdout
    return {pid: Process(*fields) for pid, fields in json.loads(text).items()}


def below(found: dict[str, Process], pid: str) -> dict[str, Process]:
    """Return a process and all below it."""
    tree = {pid: found[pid]}
    for child in [one for one, process in found.items() if process.parent == pid]:
        tree |= below(found, child)
    return tree


def tool_host(found: dict[str, Process], gateway: str) -> str:
    """Return the process that has the care of a gateway, and its boxes."""
    pid = gateway
    while found[pid].name != WAITER:
        pid = found[pid].parent
    return found[pid].parent


@pytest.fixture(scope="module", params=["systemd", pytest.param("supervisord", marks=pytest.mark.full)])
def worker(request: pytest.FixtureRequest, agents: Agents) -> Iterator[str]:
    """Give an agent that is ready, under the care of each backend."""
    yield agents.ready(request.param)
    agents.ocm("stop", NAMES[request.param])


_MAKE = """
docker create --name {box} -v ~/.openclaw-{name}/workspace:/workspace image sleep infinity >&2 &&
docker start {box} >&2 && docker exec {box} sh -c 'setsid sleep 3333 >/dev/null 2>&1 & echo $(pwd)'
"""


def make_box(agents: Agents, name: str, box: str) -> None:
    """Make a box in which something runs."""
    script = _MAKE.format(box=box, name=name)
    assert inside(agents.ocm, name, script) == "/workspace\n"


@pytest.mark.parametrize("killed", ["gateway", "tool host"])
def test_what_is_killed_is_ready_again_and_nothing_is_orphaned(
    agents: Agents, worker: str, killed: str
) -> None:
    machine = agents.machine
    make_box(agents, worker, "left")
    found = processes(machine)
    gateway = listener(machine, rows(agents.ocm)[worker]["port"])
    host = tool_host(found, gateway)
    before = below(found, host)
    assert {BOX, "sleep", WAITER} <= {process.name for process in before.values()}
    machine.run(["kill", "-9", gateway if killed == "gateway" else host])
    wait_for(lambda: not before.items() & processes(machine).items(), 60, "end of all that was there")
    wait_until_healthy(agents.ocm, worker)
    assert "sleep" not in {process.name for process in below_host(agents, worker).values()}
    make_box(agents, worker, "made-anew")
    inside(agents.ocm, worker, "docker rm -f made-anew")


def below_host(agents: Agents, name: str) -> dict[str, Process]:
    """Return the tool host of an instance with all below it."""
    found = processes(agents.machine)
    gateway = listener(agents.machine, rows(agents.ocm)[name]["port"])
    return below(found, tool_host(found, gateway))


@pytest.mark.parametrize("which", ["first", "last"], ids=["bwrap", "its-first-process"])
def test_a_box_that_is_killed_takes_along_what_runs_in_it_and_can_be_made_anew(
    agents: Agents, worker: str, which: str
) -> None:
    machine = agents.machine
    gateway = listener(machine, rows(agents.ocm)[worker]["port"])
    make_box(agents, worker, "killed")
    found = below_host(agents, worker)
    host = tool_host(processes(machine), gateway)
    outer = next(pid for pid, process in found.items() if process == (BOX, host, process.started))
    box = below(found, outer)
    inner = next(pid for pid, process in box.items() if process.parent == outer)
    machine.run(["kill", "-9", outer if which == "first" else inner])
    wait_for(lambda: not box.items() & processes(machine).items(), 60, "end of the box")
    assert listener(machine, rows(agents.ocm)[worker]["port"]) == gateway
    code = "docker exec killed true; echo $?; docker start killed; docker exec killed echo again"
    assert inside(agents.ocm, worker, f"{code}; docker rm -f killed").split() == [
        "1",
        "killed",
        "again",
        "killed",
    ]


CALLS = 100


def test_calls_in_a_row_leave_nothing_behind(agents: Agents, worker: str) -> None:
    def left() -> tuple[list[str], str, str]:
        found = below_host(agents, worker)
        host = next(iter(found))
        files = f"find ~/.openclaw-{worker}/workspace ~/.local/state/ocm/tmp/{worker} | sort"
        handles = f"ls /proc/{host}/fd | wc -l"
        names = sorted(process.name for process in found.values())
        machine = agents.machine
        return (
            names,
            machine.run(["sh", "-c", files]).stdout,
            machine.run(["sh", "-c", handles], user="root").stdout,
        )

    # What the first box of all makes, if anything, it makes once.
    make_box(agents, worker, "first")
    inside(agents.ocm, worker, "docker rm -f first")
    before = left()
    make_box(agents, worker, "busy")
    one = (
        "docker inspect -f '{{.State.Running}}' busy >/dev/null"
        " && docker exec -i busy sh -c 'echo $(pwd)' </dev/null"
    )
    script = f"for number in $(seq {CALLS}); do {one} || exit 1; done; docker rm -f busy"
    assert inside(agents.ocm, worker, script) == "/workspace\n" * CALLS + "busy\n"
    wait_for(lambda: left() == before, 30, f"{before} again but {left()}")


def test_stops_are_clean_and_none_is_a_kill(
    request: pytest.FixtureRequest, agents: Agents, worker: str
) -> None:
    """--stops 50 takes ten minutes with each backend."""
    ocm, stops = agents.ocm, request.config.getoption("--stops")
    backend = next(backend for backend, name in NAMES.items() if name == worker)

    def log() -> str:
        return ocm("logs", worker, "-n", "20000").stdout

    before = log()
    for number in range(stops):
        agents.ready(backend)
        make_box(agents, worker, f"box{number}")
        found = below_host(agents, worker)
        ocm("stop", worker)
        assert not found.items() & processes(agents.machine).items()
    agents.ready(backend)
    text = log()
    clean = "[shutdown] completed cleanly"
    assert text.count(clean) - before.count(clean) == stops
    killed = re.compile(r"SIGKILL|signal 9|status=9|code=killed|not our child|[Kk]illing")
    assert [line for line in text.removeprefix(before).splitlines() if killed.search(line)] == []


def test_what_a_group_left_in_the_background_keeps_nobody_from_stopping(agents: Agents, worker: str) -> None:
    ocm, command = agents.ocm, "sleep 6543"
    told = json.dumps({"command": command, "background": True})
    session = ("--session-key", "agent:main:telegram:group:-100123")
    ocm("use", worker, "agent", *session, "--message", f"CALL:exec {told}")
    running = ["pgrep", "-f", f"^{command}"]
    assert agents.machine.run(running).stdout.split()
    before = ocm("logs", worker, "-n", "20000").stdout
    # OpenClaw would wait for 315 seconds.
    ocm("stop", worker, timeout=120)
    assert agents.machine.run(running, check=False).stdout == ""
    clean = "[shutdown] completed cleanly"
    assert ocm("logs", worker, "-n", "20000").stdout.count(clean) == before.count(clean) + 1


def test_the_live_screen_stops_and_starts_it_and_says_so(agents: Agents, worker: str) -> None:
    agents.ready(next(backend for backend, name in NAMES.items() if name == worker))
    before = rows(agents.ocm)[worker]["pid"]
    answers = (
        (" ready ", f"/{worker}\rx"),
        (f"Stop {worker}?", "y"),
        (f"{worker}: stopped", "s"),
        (f"{worker}: ready and sealed", "l"),
        (f"log of {worker}", "q"),
    )
    screen = agents.machine.pty([f"{agents.ocm.folder}/ocm.py", "top"], answers=answers, timeout=400)
    assert screen.returncode == 0
    assert "\x1b[?1049l" in screen.output, "the terminal is as it was"
    after = rows(agents.ocm)[worker]
    assert (after["state"], after["isolation"]) == ("ready", "sealed")
    assert after["pid"] != before
    told = agents.ocm("history", worker, "-n", "2").stdout
    assert "top: stop" in told
    assert "top: start" in told
    assert agents.ocm("top", check=False).returncode == 2
