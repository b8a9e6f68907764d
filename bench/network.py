"""Measures what an instance's own network costs beside the shared one: port, way out, start, memory.

As root: PYTHONPATH=src python3 -m bench.network [--release trixie] [--rounds N] [--json].
It knows no thresholds.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from bench.boxes import memory_of, show, start_seconds
from bench.options import parser
from tests.machine.agents import NAMES, agents_in
from tests.machine.instances import inside, rows
from tests.machine.processes import kill_group

if TYPE_CHECKING:
    from tests.machine.agents import Agents

# Made alike: one that has answered starts otherwise than one that has not.
OWN, SHARED = "agent-in-its-own-one", "agent-in-the-shared-one"
MEGABYTES = 200
# Gives the first of its arguments' bytes to whoever connects; prints its port.
_SERVE = """
import socket, sys
end = socket.create_server(("127.0.0.1", 0))
print(end.getsockname()[1], flush=True)
while True:
    caller, _ = end.accept()
    caller.sendall(bytes(int(sys.argv[1]) * 2**20) if caller.recv(1) == b"m" else b".")
    caller.close()
"""
# Asks a place for a byte many times, a connection each, then for much; argv: port, times. Prints the median
# of milliseconds, and megabytes in a second.
_FETCH = """
import socket, statistics, sys, time
def ask(what):
    began, length = time.perf_counter(), 0
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) as end:
        end.sendall(what)
        while part := end.recv(2**16):
            length += len(part)
    return time.perf_counter() - began, length
times = [ask(b".")[0] for _ in range(int(sys.argv[2]))]
seconds, length = ask(b"m")
print(statistics.median(times) * 1000, length / 2**20 / seconds)
"""
# The same of a gateway: its health, and its page with the largest file that this names.
_SERVED = """
import re, statistics, sys, time, urllib.request
place = f"http://127.0.0.1:{sys.argv[1]}"
def ask(path):
    began = time.perf_counter()
    with urllib.request.urlopen(place + path, timeout=20) as answer:
        length = len(answer.read())
    return time.perf_counter() - began, length
times = [ask("/healthz")[0] for _ in range(int(sys.argv[2]))]
page = urllib.request.urlopen(place, timeout=20).read().decode()
files = ["/" + path.lstrip("./") for path in re.findall(r'(?:src|href)="([^":]+[.]js)"', page)]
largest = max(files, key=lambda path: ask(path)[1])
fetched = [ask(largest) for _ in range(50)]
print(statistics.median(times) * 1000, sum(n for _, n in fetched) / 2**20 / sum(s for s, _ in fetched))
"""


def main() -> int:
    options = parser("bench.network", __doc__, rounds=5, each="starts and measures of each").parse_args()
    with agents_in(options.release) as agents:
        for name, network in ((OWN, "own"), (SHARED, "shared")):
            agents.ocm("create", name, "--network", network, "--inherit-from", NAMES["systemd"])
        found = {name: measured(agents, name, options.rounds) for name in (OWN, SHARED)}
        starts = start_seconds(agents, (OWN, SHARED), options.rounds)
        agents.ocm("start", OWN)
        memory = memory_of(agents.machine, f"ocm-uplink@{OWN}.service")
    if options.json:
        print(json.dumps({"release": options.release, "found": found, "starts": starts, "megabytes": memory}))
        return 0
    print("what".ljust(30), *(cell.rjust(10) for cell in ("own", "shared", "ratio", "more")))
    for what in found[OWN]:
        show(what, found[OWN][what], found[SHARED][what])
    show("start, s", starts[OWN], starts[SHARED])
    for part, megabytes in memory.items():
        print(f"{part} (PSS), MB".ljust(30), f"{megabytes:.1f}".rjust(10))
    return 0


def measured(agents: Agents, name: str, rounds: int) -> dict[str, list[float]]:
    """Return what the port of an instance and its way out take, each time anew."""
    machine, ocm = agents.machine, agents.ocm
    serving = machine.popen(["python3", "-c", _SERVE, str(MEGABYTES)])
    assert serving.stdout is not None
    port = serving.stdout.readline().decode().strip()
    try:
        if name == OWN:
            ocm("network", name, "allow", f"127.0.0.1:{port}")
        ocm("start", name)
        gateway = ["python3", "-c", _SERVED, str(rows(ocm)[name]["port"]), "300"]
        out = f"python3 - {port} 300 <<'END'\n{_FETCH}\nEND\n"
        taken: dict[str, list[float]] = {}
        for _round in range(rounds):
            of_port = machine.run(gateway).stdout.split()
            of_out = inside(ocm, name, out).split()
            for what, pair in (("port", of_port), ("way out", of_out)):
                for key, value in zip((f"{what}, ms", f"{what}, MB/s"), pair, strict=True):
                    taken.setdefault(key, []).append(float(value))
        ocm("stop", name)
        return taken
    finally:
        kill_group(serving)


if __name__ == "__main__":
    sys.exit(main())
