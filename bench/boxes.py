"""Measures what boxes cost: a tool call in one beside main's, start-up with and without, memory.

As root: PYTHONPATH=src python3 -m bench.boxes [--release trixie] [--rounds N] [--json].
It knows no thresholds.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from bench.options import parser
from tests.machine.agents import agents_in
from tests.machine.instances import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.machine.agents import Agents
    from tests.machine.checkout import Ocm
    from tests.machine.machine import Machine

BACKEND = "systemd"
SESSIONS = {"main": "agent:main:main", "box": "agent:main:bench:group:1"}
# What is said, and what the answer shows was done.
MESSAGES = {"tool call": ('CALL:exec {"command": "echo $((40 + 2))"}', "42"), "no tool": ("hi", "PONG")}
# What the processes of a unit are, by their names.
PARTS = {"tool host": ("python3",), "box": ("bwrap", "sleep"), "gateway": ("node", "openclaw", "MainThread")}
# Prints the name and the PSS in kB of each process of the unit in argv.
_MEMORY = """
import pathlib, sys
for group in pathlib.Path("/sys/fs/cgroup").rglob(sys.argv[1]):
    for pid in (group / "cgroup.procs").read_text().split():
        lines = pathlib.Path("/proc", pid, "smaps_rollup").read_text().splitlines()
        pss = next(line.split()[1] for line in lines if line.startswith("Pss:"))
        print(pss, pathlib.Path("/proc", pid, "comm").read_text().strip())
"""
# Of an instance without a sandbox, which has no tool host.
BARE = "agent-without-tool-host"
# Starts the unit in argv and prints the seconds until the gateway on the port in argv says that it is ready.
_START = """
import subprocess, sys, time, urllib.error, urllib.request
began = time.monotonic()
subprocess.run(["systemctl", "--user", "start", sys.argv[1]], check=True)
while True:
    try:
        if b'"ready":true' in urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/readyz").read():
            break
    except (urllib.error.HTTPError, OSError):
        pass
    time.sleep(0.05)
print(time.monotonic() - began)
"""


def main() -> int:
    options = parser("bench.boxes", __doc__, rounds=5, each="turns of each kind").parse_args()
    with agents_in(options.release) as agents:
        name = agents.ready(BACKEND)
        turns = {
            what: {session: seconds(agents.ocm, name, session, said, options.rounds) for session in SESSIONS}
            for what, said in MESSAGES.items()
        }
        memory = megabytes(agents, name)
        agents.ocm("create", BARE, "--unsealed", "--inherit-from", name)
        starts = start_seconds(agents, (name, BARE), options.rounds)
    if options.json:
        found = {"release": options.release, "turns": turns, "starts": starts, "megabytes": memory}
        print(json.dumps(found))
        return 0
    print("what".ljust(30), *(cell.rjust(10) for cell in ("with", "without", "ratio", "more")))
    for what, sides in turns.items():
        show(f"turn with {what} in a box, s", sides["box"], sides["main"])
    show("start with tool host, s", starts[name], starts[BARE])
    for part in ("tool host", "box"):
        its, gateway = memory[part], memory["gateway"]
        shown = (f"{its:.1f}", f"{gateway:.1f}", f"{its / gateway:.3f}")
        print(f"{part} and gateway (PSS), MB".ljust(30), *(cell.rjust(10) for cell in shown))
    return 0


def show(what: str, those: list[float], others: list[float]) -> None:
    """Print the medians of two sides beside each other."""
    one, other = median(those), median(others)
    cells = (f"{one:.2f}", f"{other:.2f}", f"{one / other:.2f}", f"{one - other:+.2f}")
    print(what.ljust(30), *(cell.rjust(10) for cell in cells))


def start_seconds(agents: Agents, names: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Return how long starts took until ready, by turns; the first of each is left out."""
    ports = {name: rows(agents.ocm)[name]["port"] for name in names}
    taken: dict[str, list[float]] = {name: [] for name in names}
    agents.ocm("stop", *names)
    for name in [*names] * (rounds + 1):
        argv = ["python3", "-c", _START, f"openclaw-gateway-{name}.service", str(ports[name])]
        taken[name].append(float(agents.machine.run(argv).stdout))
        agents.ocm("stop", name)
    return {name: seconds[1:] for name, seconds in taken.items()}


def seconds(ocm: Ocm, name: str, session: str, said: tuple[str, str], rounds: int) -> list[float]:
    """Return how long whole turns took, the first of which, that makes the box, is left out."""
    taken = []
    for _round in range(rounds + 1):
        began = time.monotonic()
        done = ocm("use", name, "agent", "--session-key", SESSIONS[session], "--message", said[0])
        taken.append(time.monotonic() - began)
        assert said[1] in done.stdout, done
    return taken[1:]


def megabytes(agents: Agents, name: str) -> dict[str, float]:
    """Return the memory of each part of a gateway's unit."""
    found = memory_of(agents.machine, f"openclaw-gateway-{name}.service")
    return {
        part: sum(each for comm, each in found.items() if comm.startswith(names))
        for part, names in PARTS.items()
    }


def memory_of(machine: Machine, unit: str) -> dict[str, float]:
    """Return the memory of a unit (PSS, MB) by the name of its processes."""
    found: dict[str, float] = {}
    for line in machine.run(["python3", "-c", _MEMORY, unit], user="root").stdout.splitlines():
        pss, comm = line.split(maxsplit=1)
        found[comm] = found.get(comm, 0.0) + int(pss) / 1000
    return found


if __name__ == "__main__":
    sys.exit(main())
