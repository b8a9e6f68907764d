"""Measures OCM beside what it replaces, both in one run in one booted machine, and prints the ratios.

As root: python3 -m bench [--release trixie] [--rounds N] [--json] [--variants]. It knows no thresholds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.machine.checkout import push_checkout
from tests.machine.image import RELEASES
from tests.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.machine.checkout import Ocm

HOME = "/home/debian"
UNITS = f"{HOME}/.config/systemd/user"
NAME, PORT = "bench", 19001
UNIT = f"openclaw-gateway-{NAME}.service"
MAIN_UNIT, MAIN_PORT = "openclaw-gateway.service", 18789
# As `openclaw gateway install` of 2026.9.6 writes it; this entry sets up no compile cache, openclaw.mjs does.
MAIN_FLAGS, MAIN_ENTRY = "--max-old-space-size=8192", "dist/index.js"
IDLE_SECONDS = 45
COUNTS, LIST_ROUNDS = (1, 10, 100), 9
MEASURES = {
    "pss_mb": "memory of an idle gateway (PSS), MB",
    "anonymous_mb": "of it anonymous, MB",
    "ready_s": "warm start until ready, s",
    "cpu_s": "CPU until ready, s",
}
# One change each to what OCM deploys: a flag or a variable, and its value; None leaves it out.
VARIANTS: tuple[tuple[str, str | None], ...] = (
    *(("--max-old-space-size", size) for size in ("512", "1024", "1536")),
    *(("--max-semi-space-size", size) for size in ("1", "2", "4", None)),
    *(("MALLOC_ARENA_MAX", value) for value in ("2", None)),
    *(("UV_THREADPOOL_SIZE", value) for value in ("2", None)),
    ("--optimize-for-size", ""),
)

Samples = dict[str, list[float]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--release", choices=RELEASES, default="trixie")
    parser.add_argument("--rounds", type=int, default=3, help="measured starts of each (default: 3)")
    parser.add_argument("--json", action="store_true", help="print every sample")
    parser.add_argument("--variants", action="store_true", help="compare Node flags and variables instead")
    options = parser.parse_args()
    load = [list(os.getloadavg())]
    with Machine.boot(options.release) as machine:
        ocm = push_checkout(machine)
        tell("deploy")
        ocm("deploy", NAME)
        ocm("stop", NAME)
        measure = variants if options.variants else sides
        samples = measure(machine, options.rounds)
        lists = {} if options.variants else {count: list_times(machine, ocm, count) for count in COUNTS}
        printed = machine.run(["sh", "-c", "openclaw --version; node --version; systemctl --version"]).stdout
    load.append(list(os.getloadavg()))
    if options.json:
        facts = {"release": options.release, "versions": printed, "load": load, "idle_seconds": IDLE_SECONDS}
        print(json.dumps({**facts, "gateways": samples, "lists": lists}, indent=1))
        return 0
    versions = ", ".join(printed.splitlines()[:3])
    loads = " and ".join(" ".join(f"{value:.1f}" for value in values) for values in load)
    print(
        f"{options.release}: {versions}\nmedian of {options.rounds}; load average {loads}, before and after\n"
    )
    print_table(variant_rows(samples) if options.variants else side_rows(samples, lists))
    return 0


def sides(machine: Machine, rounds: int) -> dict[str, Samples]:
    """Measure OCM's instance and a plain unit of OpenClaw's own, by turns."""
    install_plain_unit(machine)
    start(machine, "plain unit, first start", MAIN_UNIT, MAIN_PORT, idle_seconds=0)
    return by_turns(
        {
            "ocm": partial(start, machine, "ocm", UNIT, PORT),
            "plain": partial(start, machine, "plain unit", MAIN_UNIT, MAIN_PORT),
        },
        rounds,
    )


def install_plain_unit(machine: Machine) -> None:
    """Install main as OpenClaw would: the same config, no sandbox, no environment of its own."""
    state, main = f"{HOME}/.openclaw-{NAME}", f"{HOME}/.openclaw"
    config = machine.read(f"{state}/openclaw.json").replace(state, main).replace(str(PORT), str(MAIN_PORT))
    machine.write(f"{main}/openclaw.json", config, mode=0o600)
    package = machine.run(["sh", "-c", "dirname $(realpath $(command -v openclaw))"]).stdout.strip()
    command = f"/usr/local/bin/node {MAIN_FLAGS} {package}/{MAIN_ENTRY} gateway --port {MAIN_PORT}"
    unit = (
        f"[Service]\nExecStart={command}\nRestart=always\nRestartSec=5\nKillMode=mixed\nTimeoutStopSec=330\n"
    )
    machine.write(f"{UNITS}/{MAIN_UNIT}", unit)
    machine.run(["systemctl", "--user", "daemon-reload"])


def variants(machine: Machine, rounds: int) -> dict[str, Samples]:
    """Measure the instance as deployed and with each change, by turns; each has its own compile cache."""
    text = machine.read(f"{UNITS}/{UNIT}")
    words = next(line for line in text.splitlines() if line.startswith("ExecStart=")).split(" ")
    commands = {"as deployed": words}
    for option, value in VARIANTS:
        label = f"{option}={value}".rstrip("=") if value is not None else f"without {option}"
        changed = varied(words, option, value)
        if changed != words:
            cache = f"{HOME}/.openclaw-{NAME}/cache/variant-{len(commands)}"
            commands[label] = varied(changed, "NODE_COMPILE_CACHE", cache)

    def one(label: str, idle_seconds: int) -> dict[str, float]:
        machine.write(f"{UNITS}/{UNIT}", text.replace(" ".join(words), " ".join(commands[label])))
        machine.run(["systemctl", "--user", "daemon-reload"])
        return start(machine, label, UNIT, PORT, idle_seconds=idle_seconds)

    for label in commands:
        one(label, 0)
    return by_turns({label: partial(one, label, IDLE_SECONDS) for label in commands}, rounds)


def varied(words: list[str], option: str, value: str | None) -> list[str]:
    """Return an ExecStart= with a flag of Node's (in lower case) or a variable set, changed or left out."""
    wanted = [] if value is None else [f"{option}={value}".rstrip("=")]
    names = [word.partition("=")[0] for word in words]
    if option in names:
        place = names.index(option)
        return [*words[:place], *wanted, *words[place + 1 :]]
    after = (
        names.index("-i") if option.isupper() else next(i for i, n in enumerate(names) if n.endswith("/node"))
    )
    return [*words[: after + 1], *wanted, *words[after + 1 :]]


def by_turns(measures: dict[str, Callable[[], dict[str, float]]], rounds: int) -> dict[str, Samples]:
    taken: dict[str, Samples] = {label: {key: [] for key in MEASURES} for label in measures}
    for _ in range(rounds):
        for label, measure in measures.items():
            for key, value in measure().items():
                taken[label][key].append(value)
    return taken


def start(
    machine: Machine, label: str, unit: str, port: int, *, idle_seconds: int = IDLE_SECONDS
) -> dict[str, float]:
    found: dict[str, float] = inside(machine, "start", unit, port, idle_seconds, user="root")
    tell(f"{label}: " + ", ".join(f"{key} {value:.1f}" for key, value in found.items()))
    return found


def list_times(machine: Machine, ocm: Ocm, count: int) -> Samples:
    tell(f"list of {count}")
    found: Samples = inside(machine, "lists", f"{ocm.folder}/ocm.py", NAME, count, LIST_ROUNDS, user="debian")
    return found


def inside(machine: Machine, *arguments: str | int, user: str) -> Any:  # noqa: ANN401 - what the JSON holds
    argv = ["python3", f"{HOME}/ocm/bench/inside.py", *map(str, arguments)]
    return json.loads(machine.run(argv, user=user, timeout=900).stdout)


def side_rows(samples: dict[str, Samples], lists: dict[int, Samples]) -> list[list[str]]:
    pairs = {what: (samples["ocm"][key], samples["plain"][key]) for key, what in MEASURES.items()}
    pairs |= {f"list of {count}, s": (taken["ocm"], taken["systemctl"]) for count, taken in lists.items()}
    rows = [["what", "OCM", "baseline", "ratio"]]
    for what, pair in pairs.items():
        ours, theirs = map(median, pair)
        rows.append([what, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}"])
    return rows


def variant_rows(samples: dict[str, Samples]) -> list[list[str]]:
    rows = [["variant", *MEASURES.values()]]
    for label, taken in samples.items():
        rows.append([label, *(f"{median(taken[key]):.1f}" for key in MEASURES)])
    return rows


def print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join((first.ljust(widths[0]), *cells)))


def tell(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
