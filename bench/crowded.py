"""Measures `ocm list` while an instance holds as many processes and descriptors as it may, and while not.

As root: PYTHONPATH=src python3 -m bench.crowded [--release trixie] [--rounds N] [--json].
It knows no thresholds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from bench.boxes import show
from bench.options import parser
from tests.machine.agents import NAMES, agents_in
from tests.machine.processes import kill_group

if TYPE_CHECKING:
    from tests.machine.checkout import Ocm

NAME = NAMES["systemd"]
# A descriptor takes eight bytes of the kernel's, whoever has it: at the usual limit all would take gigabytes.
MOST = 20_000
# Makes processes until there may be no more, each with as many copies of a listening socket as it may have.
# Tells how many there are, and of each how many descriptors.
_CROWD = f"""
import os, resource, signal, socket, time
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
most = min(hard, {MOST})
resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
end, made = socket.create_server(("127.0.0.1", 0)), 0
try:
    while True:
        if os.fork() == 0:
            try:
                while True:
                    os.dup(end.fileno())
            except OSError:
                signal.pause()
        made += 1
except OSError:
    pass
time.sleep(20)
print(made, most, flush=True)
signal.pause()
"""


def main() -> int:
    options = parser("bench.crowded", __doc__, rounds=9, each="lists on each side").parse_args()
    with agents_in(options.release) as agents:
        agents.ready("systemd")
        alone = seconds(agents.ocm, options.rounds)
        crowd = agents.machine.popen(
            [f"{agents.ocm.folder}/ocm.py", "enter", NAME], stdin=subprocess.PIPE, stderr=None
        )
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        crowd.stdin.write(f"exec python3 - <<'END'\n{_CROWD}\nEND\n".encode())
        crowd.stdin.flush()
        processes, descriptors = map(int, crowd.stdout.readline().split())
        crowded = seconds(agents.ocm, options.rounds)
        kill_group(crowd)
        agents.ocm("stop", NAME)
    if options.json:
        held = {"processes": processes, "descriptors": descriptors}
        print(json.dumps({"release": options.release, "held": held, "crowded": crowded, "alone": alone}))
        return 0
    print(f"{processes} processes with {descriptors} descriptors each\n")
    print("what".ljust(30), *(cell.rjust(10) for cell in ("crowded", "alone", "ratio", "more")))
    show("list, s", crowded, alone)
    return 0


def seconds(ocm: Ocm, rounds: int) -> list[float]:
    """Return how long each list took; the first, that starts cold, is left out."""
    taken = []
    for _round in range(rounds + 1):
        began = time.monotonic()
        ocm("list")
        taken.append(time.monotonic() - began)
    return taken[1:]


if __name__ == "__main__":
    sys.exit(main())
