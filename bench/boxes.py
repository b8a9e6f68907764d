"""Measures a tool call in a box beside one in the main session, and what tool host and box take in memory.

As root: python3 -m bench.boxes [--release trixie] [--rounds N] [--json]. It knows no thresholds.
"""

from __future__ import annotations

import json
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from bench.options import parser
from tests.machine.agents import agents_in

if TYPE_CHECKING:
    from tests.machine.agents import Agents
    from tests.machine.checkout import Ocm

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


def main() -> int:
    options = parser("bench.boxes", __doc__, rounds=5, each="turns of each kind").parse_args()
    with agents_in(options.release) as agents:
        name = agents.ready(BACKEND)
        turns = {
            what: {session: seconds(agents.ocm, name, session, said, options.rounds) for session in SESSIONS}
            for what, said in MESSAGES.items()
        }
        memory = megabytes(agents, name)
    if options.json:
        print(json.dumps({"release": options.release, "turns": turns, "megabytes": memory}))
        return 0
    print("what".ljust(30), *(cell.rjust(10) for cell in ("box", "main", "ratio", "more")))
    for what, sides in turns.items():
        box, plain = median(sides["box"]), median(sides["main"])
        cells = (f"{box:.2f}", f"{plain:.2f}", f"{box / plain:.2f}", f"{box - plain:+.2f}")
        print(f"turn with {what}, s".ljust(30), *(cell.rjust(10) for cell in cells))
    for part in ("tool host", "box"):
        its, gateway = memory[part], memory["gateway"]
        shown = (f"{its:.1f}", f"{gateway:.1f}", f"{its / gateway:.3f}")
        print(f"{part} and gateway (PSS), MB".ljust(30), *(cell.rjust(10) for cell in shown))
    return 0


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
    argv = ["python3", "-c", _MEMORY, f"openclaw-gateway-{name}.service"]
    lines = [line.split(maxsplit=1) for line in agents.machine.run(argv, user="root").stdout.splitlines()]
    return {
        part: sum(int(pss) for pss, comm in lines if comm.startswith(names)) / 1000
        for part, names in PARTS.items()
    }


if __name__ == "__main__":
    sys.exit(main())
