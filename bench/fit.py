"""Measures how many idle gateways fit in 8 GB, as OCM runs them and as OpenClaw's own units, in one run.

As root: PYTHONPATH=src python3 -m bench.fit [--release trixie] [--rounds N] [--json]. It knows no thresholds.
The first takes more than the others, which share its files: three on each side tell what one more takes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from bench.__main__ import HOME, IDLE_SECONDS, MAIN_COMMAND, MAIN_PORT, UNITS, inside
from bench.boxes import show
from bench.options import parser
from tests.machine.checkout import push_checkout
from tests.machine.machine import Machine

MOST_MB = 8192


@dataclass(frozen=True)
class Gateway:
    """A unit, that beside it if there is one, and where it answers."""

    unit: str
    beside: str
    port: int


OURS = tuple(
    Gateway(f"openclaw-gateway-fit{at}.service", f"ocm-uplink@fit{at}.service", 19001 + 20 * at)
    for at in range(3)
)
THEIRS = tuple(Gateway(f"openclaw-gateway-plain{at}.service", "", 17001 + 20 * at) for at in range(3))


def main() -> int:
    options = parser("bench.fit", __doc__, rounds=1, each="starts of one and of three").parse_args()
    taken: dict[str, tuple[list[float], list[float]]] = {}
    with Machine.boot(options.release) as machine:
        ocm = push_checkout(machine)
        package = machine.run(["sh", "-c", "dirname $(realpath $(command -v openclaw))"]).stdout.strip()
        for at in range(len(OURS)):
            ocm("deploy", f"fit{at}")
            ocm("stop", f"fit{at}")
            write_plain(machine, package, at)
        machine.run(["systemctl", "--user", "daemon-reload"])
        for side, gateways in [*enumerate((OURS, THEIRS))] * options.rounds:
            one, all_ = memory(machine, gateways[:1]), memory(machine, gateways)
            more = (all_ - one) / (len(gateways) - 1)
            found = {"one, MB": one, "one more, MB": more, "fit in 8 GB": 1 + (MOST_MB - one) // more}
            for what, value in found.items():
                taken.setdefault(what, ([], []))[side].append(value)
    if options.json:
        print(json.dumps(taken))
        return 0
    print("idle gateways".ljust(30), *(cell.rjust(10) for cell in ("OCM", "baseline", "ratio", "more")))
    for what, (ours, theirs) in taken.items():
        show(what, ours, theirs)
    return 0


def write_plain(machine: Machine, package: str, at: int) -> None:
    """Write a plain unit of the same config as an instance has, as OpenClaw installs it."""
    ours, theirs = OURS[at], THEIRS[at]
    own, state = f"{HOME}/.openclaw-fit{at}", f"{HOME}/.openclaw-plain{at}"
    config = machine.read(f"{own}/openclaw.json").replace(own, state)
    machine.write(f"{state}/openclaw.json", config.replace(str(ours.port), str(theirs.port)), mode=0o600)
    command = MAIN_COMMAND.format(package).replace(str(MAIN_PORT), str(theirs.port))
    variables = f"OPENCLAW_STATE_DIR={state} OPENCLAW_CONFIG_PATH={state}/openclaw.json"
    machine.write(f"{UNITS}/{theirs.unit}", f"[Service]\nEnvironment={variables}\nExecStart={command}\n")


def memory(machine: Machine, gateways: tuple[Gateway, ...]) -> float:
    """Return how many megabytes some gateways take together when they rest (PSS)."""
    words = [word for one in gateways for word in (one.unit, one.beside, one.port)]
    found = inside(machine, "together", IDLE_SECONDS, *words, user="root")
    print(f"bench: {len(gateways)} of {gateways[0].unit}: {json.dumps(found)}", file=sys.stderr, flush=True)
    return float(found["pss_mb"])


if __name__ == "__main__":
    sys.exit(main())
