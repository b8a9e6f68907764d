"""Measures OCM beside what it replaces, both in one run in one booted machine, and prints the ratios.

As root: python3 -m bench [--release trixie] [--rounds N] [--json] [--variants]. It knows no thresholds.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.options import parser
from tests.machine.checkout import push_checkout
from tests.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

HOME, UNITS = "/home/debian", "/home/debian/.config/systemd/user"
NAME, PORT, UNIT = "bench", 19001, "openclaw-gateway-bench.service"
# What makes its network is a unit of its own, and counts.
OURS = (UNIT, "ocm-uplink@bench.service")
MAIN_PORT, MAIN_UNIT = 18789, "openclaw-gateway.service"
# As `openclaw gateway install` of 2026.9.6 writes it.
MAIN_COMMAND = f"/usr/local/bin/node --max-old-space-size=8192 {{}}/dist/index.js gateway --port {MAIN_PORT}"
IDLE_SECONDS, COUNTS, LIST_ROUNDS = 60, (1, 10, 100), 9
MEASURES = {
    "pss_mb": "memory of an idle gateway (PSS), MB",
    "anonymous_mb": "of it anonymous, MB",
    "ready_s": "warm start until ready, s",
    "cpu_s": "CPU until ready, s",
    "load": "load average at the start",
}
# One change each to what OCM deploys: a flag of Node's or a variable, and its values; None leaves it out.
VARIANTS: dict[str, tuple[str | None, ...]] = {
    "--max-old-space-size": ("512", "1024", "1536"),
    "--max-semi-space-size": ("1", "2", "4", None),
    "MALLOC_ARENA_MAX": ("2", None),
    "UV_THREADPOOL_SIZE": ("2", None),
    "--optimize-for-size": ("", None),
}

Samples = dict[str, list[float]]


def main() -> int:
    arguments = parser("bench", __doc__, rounds=3, each="measured starts of each")
    arguments.add_argument("--variants", action="store_true", help="compare Node flags and variables instead")
    options = arguments.parse_args()
    before = os.getloadavg()[0]
    with Machine.boot(options.release) as machine:
        ocm = push_checkout(machine)
        ocm("deploy", NAME)
        ocm("stop", NAME)
        gateways = (variants if options.variants else sides)(machine, options.rounds)
        counts = () if options.variants else COUNTS
        timing = partial(inside, machine, "lists", f"{ocm.folder}/ocm.py", NAME)
        lists: dict[int, Samples] = {count: timing(count, LIST_ROUNDS) for count in counts}
        versions = machine.run(["sh", "-c", "openclaw --version; node --version; systemctl --version"]).stdout
    load = (before, os.getloadavg()[0])
    facts = {"release": options.release, "versions": versions.splitlines()[:3], "load before, after": load}
    if options.json:
        print(json.dumps({**facts, "gateways": gateways, "lists": lists}))
    else:
        print(*(f"{key}: {value}" for key, value in facts.items()), f"median of {options.rounds}\n", sep="\n")
        for first, *rest in variant_rows(gateways) if options.variants else side_rows(gateways, lists):
            print(first.ljust(36), *(cell.rjust(12) for cell in rest))
    return 0


def sides(machine: Machine, rounds: int) -> dict[str, Samples]:
    """Measure OCM's instance and a plain unit as OpenClaw installs it, of the same config."""
    state, main = f"{HOME}/.openclaw-{NAME}", f"{HOME}/.openclaw"
    config = machine.read(f"{state}/openclaw.json").replace(state, main).replace(str(PORT), str(MAIN_PORT))
    machine.write(f"{main}/openclaw.json", config, mode=0o600)
    package = machine.run(["sh", "-c", "dirname $(realpath $(command -v openclaw))"]).stdout.strip()
    machine.write(f"{UNITS}/{MAIN_UNIT}", f"[Service]\nExecStart={MAIN_COMMAND.format(package)}\n")
    machine.run(["systemctl", "--user", "daemon-reload"])
    plain = partial(start, machine, "plain unit", MAIN_PORT, (MAIN_UNIT,))
    plain(0)
    return by_turns({"ocm": partial(start, machine, "ocm", PORT, OURS), "plain": plain}, rounds)


def variants(machine: Machine, rounds: int) -> dict[str, Samples]:
    """Measure the instance as deployed and with each change, by turns."""
    text = machine.read(f"{UNITS}/{UNIT}")
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    commands = {"as deployed": command}
    for option, value in ((option, value) for option, values in VARIANTS.items() for value in values):
        if (changed := varied(command, option, value)) != command:
            label = f"without {option}" if value is None else f"{option}={value}".rstrip("=")
            commands[label] = changed

    def one(label: str, idle_seconds: int) -> dict[str, float]:
        machine.write(f"{UNITS}/{UNIT}", text.replace(command, commands[label]))
        machine.run(["systemctl", "--user", "daemon-reload"])
        return start(machine, label, PORT, OURS, idle_seconds)

    for label in commands:
        one(label, 0)
    return by_turns({label: partial(one, label) for label in commands}, rounds)


def varied(command: str, option: str, value: str | None) -> str:
    """Return an ExecStart= with a flag of Node's (lower case) or a variable set, changed or left out."""
    wanted = [] if value is None else [f"{option}={value}".rstrip("=")]
    words = command.split(" ")
    names = [word.partition("=")[0] for word in words]
    if option in names:
        place = names.index(option)
        return " ".join((*words[:place], *wanted, *words[place + 1 :]))
    before = "-i" if option.isupper() else next(name for name in names if name.endswith("/node"))
    place = names.index(before) + 1
    return " ".join((*words[:place], *wanted, *words[place:]))


def by_turns(measures: dict[str, Callable[[int], dict[str, float]]], rounds: int) -> dict[str, Samples]:
    taken: dict[str, Samples] = {label: {} for label in measures}
    for label in list(measures) * rounds:
        for key, value in measures[label](IDLE_SECONDS).items():
            taken[label].setdefault(key, []).append(value)
    return taken


def start(
    machine: Machine, label: str, port: int, units: tuple[str, ...], idle_seconds: int
) -> dict[str, float]:
    """Start the first of some units, with which the others start, and let them idle."""
    found: dict[str, float] = inside(machine, "start", port, idle_seconds, *units, user="root")
    print(f"bench: {label}, {idle_seconds} s idle: {json.dumps(found)}", file=sys.stderr, flush=True)
    return found


def inside(machine: Machine, *arguments: str | int, user: str = "debian") -> Any:  # noqa: ANN401 - any JSON
    argv = ["python3", f"{HOME}/ocm/bench/inside.py", *map(str, arguments)]
    return json.loads(machine.run(argv, user=user, timeout=900).stdout)


def side_rows(gateways: dict[str, Samples], lists: dict[int, Samples]) -> list[tuple[str, ...]]:
    pairs = {what: (gateways["ocm"][key], gateways["plain"][key]) for key, what in MEASURES.items()}
    pairs |= {f"list of {count}, s": (taken["ocm"], taken["systemctl"]) for count, taken in lists.items()}
    medians = ((what, median(ours), median(theirs)) for what, (ours, theirs) in pairs.items())
    cells = ((what, f"{a:.2f}", f"{b:.2f}", f"{a / b:.2f}" if b else "") for what, a, b in medians)
    return [("what", "OCM", "baseline", "ratio"), *cells]


def variant_rows(gateways: dict[str, Samples]) -> list[tuple[str, ...]]:
    cells = ((label, *(f"{median(taken[key]):.1f}" for key in MEASURES)) for label, taken in gateways.items())
    return [("variant", *MEASURES), *cells]


if __name__ == "__main__":
    sys.exit(main())
