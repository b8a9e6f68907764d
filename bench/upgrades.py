"""Measures the seconds without an answer in `ocm upgrade`, beside stop, `npm install --global` and start.

As root: PYTHONPATH=src python3 -m bench.upgrades [--release trixie] [--rounds N] [--before VERSION]
[--after VERSION] [--json]. Both begin each round with the older version and its state. The packages come
from npm's registry, whose address and speed count on npm's side. It knows no thresholds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from bench.__main__ import MAIN_COMMAND, MAIN_PORT, MAIN_UNIT, UNITS
from bench.boxes import show
from bench.options import parser
from tests.machine.checkout import push_checkout
from tests.machine.instances import deploy_answering, rows
from tests.machine.machine import Machine
from tests.machine.processes import kill_group

from openclaw_ocm.core.releases import OPENCLAW_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.machine.checkout import Ocm

NAME, HOME = "bench", "/home/debian"
PREFIX, STATE, KEPT = f"{HOME}/.npm-global", f"{HOME}/.openclaw", f"{HOME}/state-of-before"
NPM = ("npm", "install", "--global", "--prefix", PREFIX, "--no-audit", "--no-fund", "--loglevel", "error")
PATIENCE_SECONDS = 900


class Taken(NamedTuple):
    """How many seconds a gateway gave no answer, and how many the whole took."""

    silent: float
    whole: float


def main() -> int:
    arguments = parser("bench.upgrades", __doc__, rounds=3, each="upgrades on each side")
    arguments.add_argument("--before", default="2026.9.5", metavar="VERSION", help="from (default: 2026.9.5)")
    arguments.add_argument("--after", default=OPENCLAW_VERSION, metavar="VERSION")
    options = arguments.parse_args()
    with Machine.boot(options.release) as machine:
        ocm = push_checkout(machine)
        reaching = [f"{ocm.folder}/ocm.py", "runtime", "install", options.before, options.after]
        machine.run(reaching, network="host", timeout=PATIENCE_SECONDS)
        deploy_answering(ocm, NAME, "--openclaw", options.before, "--no-inherit")
        plain = Plain(ocm, options.before)
        sides: dict[str, Callable[[], Taken]] = {
            "ocm": lambda: ours(ocm, options.before, options.after),
            "npm": lambda: plain.upgrade(options.after),
        }
        taken: dict[str, list[Taken]] = {side: [] for side in sides}
        for side in [*sides] * options.rounds:
            found = sides[side]()
            taken[side].append(found)
            print(f"bench: {side}: {json.dumps(found._asdict())}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"release": options.release, "taken": taken}))
        return 0
    print(f"{options.before} to {options.after}\n")
    print("what".ljust(30), *(cell.rjust(10) for cell in ("OCM", "npm", "ratio", "more")))
    for number, what in enumerate(("without an answer, s", "the whole, s")):
        show(what, *([each[number] for each in found] for found in taken.values()))
    return 0


def ours(ocm: Ocm, before: str, after: str) -> Taken:
    """Upgrade an instance, with rehearsal, proof and a look at its state; then bring back what was."""
    watch = Watch(ocm.machine, rows(ocm)[NAME]["port"])
    ocm("upgrade", NAME, "--to", after, "--watch", "0", "--yes", timeout=PATIENCE_SECONDS)
    taken = watch.end()
    assert rows(ocm)[NAME]["version"] == after
    ocm("rollback", NAME, "--yes", timeout=PATIENCE_SECONDS)
    assert rows(ocm)[NAME]["version"] == before
    return taken


class Plain:
    """OpenClaw as its documents have it: a global package and a unit of the user's, with the same config."""

    def __init__(self, ocm: Ocm, before: str) -> None:
        self._machine, self._before = ocm.machine, before
        state, port = f"{HOME}/.openclaw-{NAME}", str(rows(ocm)[NAME]["port"])
        config = self._machine.read(f"{state}/openclaw.json").replace(state, STATE)
        self._machine.run(["mkdir", "-p", STATE])
        self._machine.write(f"{STATE}/openclaw.json", config.replace(port, str(MAIN_PORT)), mode=0o600)
        command = MAIN_COMMAND.format(f"{PREFIX}/lib/node_modules/openclaw")
        self._machine.write(f"{UNITS}/{MAIN_UNIT}", f"[Service]\nExecStart={command}\n")
        self._systemctl("daemon-reload")
        self._install(before)
        self._start()
        self._systemctl("stop", MAIN_UNIT)
        self._machine.run(["cp", "-a", STATE, KEPT])

    def upgrade(self, after: str) -> Taken:
        """Begin anew with the older version, of which alone npm has something kept, and upgrade it."""
        forget = f"rm -rf {STATE} {HOME}/.npm /tmp/node-compile-cache && cp -a {KEPT} {STATE}"
        self._machine.run(["sh", "-c", forget])
        self._install(self._before)
        self._start()
        watch = Watch(self._machine, MAIN_PORT)
        self._systemctl("stop", MAIN_UNIT)
        self._install(after)
        self._systemctl("start", MAIN_UNIT)
        taken = watch.end()
        self._systemctl("stop", MAIN_UNIT)
        return taken

    def _start(self) -> None:
        self._systemctl("start", MAIN_UNIT)
        Watch(self._machine, MAIN_PORT).end()

    def _install(self, version: str) -> None:
        self._machine.run([*NPM, f"openclaw@{version}"], network="host", timeout=PATIENCE_SECONDS)

    def _systemctl(self, *arguments: str) -> None:
        self._machine.run(["systemctl", "--user", *arguments])


class Watch:
    """Asks a gateway all the time whether it is ready, until it is told to end and the gateway is."""

    def __init__(self, machine: Machine, port: int) -> None:
        argv = ["python3", f"{HOME}/ocm/bench/inside.py", "silence", str(port)]
        self._began = time.monotonic()
        self._process = machine.popen(argv, stdin=subprocess.PIPE, stderr=None)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def end(self) -> Taken:
        """Return what was seen."""
        try:
            printed, _ = self._process.communicate(b"", timeout=PATIENCE_SECONDS)
        except BaseException:
            kill_group(self._process)
            raise
        return Taken(json.loads(printed), time.monotonic() - self._began)


if __name__ == "__main__":
    sys.exit(main())
