"""Measures what share of a core an idle `ocm top` takes, beside an `ocm list` as often.

As root: PYTHONPATH=src python3 -m bench.top [--release trixie] [--rounds N] [--json]. One instance is ready,
the others are stopped. What its start takes is left out: of two runs, a short one and a long one, it is the
difference that counts. It knows no thresholds.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from bench.boxes import show
from bench.options import parser
from tests.machine.checkout import push_checkout
from tests.machine.instances import HOME, deploy_answering
from tests.machine.machine import Machine

if TYPE_CHECKING:
    from tests.machine.checkout import Ocm

NAME = "w000"
SHORT_SECONDS, LONG_SECONDS, EVERY = 20, 80, 3
COUNTS = (1, 30, 100)
# Types q on a terminal of its own after some seconds, and tells the CPU seconds of all that ran there.
_PRESS_Q = """
import fcntl, json, os, pty, select, struct, sys, termios, time
seconds, command = float(sys.argv[1]), sys.argv[2:]
child, master = pty.fork()
if child == 0:
    os.environ.update(TERM="xterm-256color", LANG="C.UTF-8")
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.execv(command[0], command)
until, typed = time.monotonic() + seconds, False
while True:
    left = max(until - time.monotonic(), 0) if not typed else None
    if select.select([master], [], [], left)[0]:
        try:
            if not os.read(master, 65536):
                break
        except OSError:
            break
    elif not typed:
        typed = True
        os.write(master, b"q")
_pid, status, used = os.wait4(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
print(json.dumps(used.ru_utime + used.ru_stime))
"""
_LISTS = """
import json, resource, subprocess, sys
for _ in range(int(sys.argv[1])):
    subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps((used.ru_utime + used.ru_stime) / int(sys.argv[1])))
"""


def main() -> int:
    options = parser("bench.top", __doc__, rounds=3, each="runs on each side").parse_args()
    found: dict[int, dict[str, list[float]]] = {}
    with Machine.boot(options.release) as machine:
        ocm = push_checkout(machine)
        deploy_answering(ocm, NAME, "--no-inherit")
        for count in COUNTS:
            fill(machine, count)
            found[count] = {"top": [], "list": []}
            for _round in range(options.rounds):
                found[count]["top"].append(share_of_top(ocm))
                found[count]["list"].append(seconds_of_list(ocm) / EVERY)
            print(f"bench: {count}: {json.dumps(found[count])}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"release": options.release, "shares": found}))
        return 0
    print("share of a core".ljust(30), *(cell.rjust(10) for cell in ("top", "list", "ratio", "more")))
    for count, shares in found.items():
        show(f"{count} instances", shares["top"], shares["list"])
    return 0


def fill(machine: Machine, count: int) -> None:
    """Make records and units until there are so many."""
    record = machine.read(f"{HOME}/.config/ocm/instances/{NAME}.toml")
    unit = machine.read(f"{HOME}/.config/systemd/user/openclaw-gateway-{NAME}.service")
    for number in range(1, count):
        name = f"w{number:03}"
        text = record.replace(NAME, name).replace("19001", str(19001 + 20 * number))
        machine.write(f"{HOME}/.config/ocm/instances/{name}.toml", text, mode=0o600)
        machine.write(f"{HOME}/.config/systemd/user/openclaw-gateway-{name}.service", unit)


def share_of_top(ocm: Ocm) -> float:
    """Return what share of a core `ocm top` takes once it runs."""
    command = (f"{ocm.folder}/ocm.py", "top", "--every", str(EVERY))
    taken = [
        float(ocm.machine.run(["python3", "-c", _PRESS_Q, str(seconds), *command], timeout=600).stdout)
        for seconds in (SHORT_SECONDS, LONG_SECONDS)
    ]
    return (taken[1] - taken[0]) / (LONG_SECONDS - SHORT_SECONDS)


def seconds_of_list(ocm: Ocm) -> float:
    """Return the CPU seconds of an `ocm list`."""
    command = ["python3", "-c", _LISTS, "5", f"{ocm.folder}/ocm.py", "list"]
    return float(ocm.machine.run(command, timeout=600).stdout)


if __name__ == "__main__":
    sys.exit(main())
