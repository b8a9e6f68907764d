"""The half of the benchmarks that runs in the machine: times a start, a silence, `ocm list`, or backups."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

OF_DEBIAN = ("systemctl", "--user", "--machine=debian@.host")
RECORDS, UNITS = Path("/home/debian/.config/ocm/instances"), Path("/home/debian/.config/systemd/user")
# It ends with 3 for one that does not run (systemctl(1)).
THREE_TIMES = 'for _ in 1 2 3; do systemctl --user status -- "$1" || [ $? = 3 ] || exit; done'
ONE_BY_ONE = 'for unit; do systemctl --user show --property=ActiveState,MainPID,NRestarts -- "$unit"; done'


def one_start(port: str, idle_seconds: str, unit: str, *beside: str) -> dict[str, float]:
    """Start a unit of the user's as root, wait until it is ready and settled, and stop it.

    Memory and CPU are those of the unit and of those that it starts `beside` itself.
    """
    load, began = os.getloadavg()[0], time.monotonic()
    subprocess.run([*OF_DEBIAN, "start", unit], check=True)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        seconds = time.monotonic() - began
        groups = [group_of(one) for one in (unit, *beside)]
        cpu = sum(map(cpu_seconds, groups))
        time.sleep(float(idle_seconds))
        memory = memory_of(groups)
        if shown(unit, "NRestarts") != "0":
            raise SystemExit(f"{unit} restarted while it was measured")
    finally:
        subprocess.run([*OF_DEBIAN, "stop", unit, *beside], check=True)
    return {**memory, "ready_s": seconds, "cpu_s": cpu, "load": load}


def together(idle_seconds: str, *units_and_ports: str) -> dict[str, float]:
    """Start some units one after another, and return what all take when they rest.

    Each comes as its name, that of the unit beside it (or nothing) and its port.
    """
    each = [units_and_ports[at : at + 3] for at in range(0, len(units_and_ports), 3)]
    started = [name for unit, beside, _ in each for name in (unit, beside) if name]
    try:
        for unit, _, port in each:
            subprocess.run([*OF_DEBIAN, "start", unit], check=True)
            wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        time.sleep(float(idle_seconds))
        return memory_of([group_of(name) for name in started])
    finally:
        subprocess.run([*OF_DEBIAN, "stop", *started], check=True)


def group_of(unit: str) -> Path:
    return Path("/sys/fs/cgroup" + shown(unit, "ControlGroup"))


def cpu_seconds(group: Path) -> float:
    words = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(words["usage_usec"]) / 1e6


def wait_until_ready(url: str) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        if is_ready(url):
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not become ready")


def silence(port: str) -> float:
    """Return how many seconds a gateway was not ready, from now until standard input ends and it is."""
    url, told = f"http://127.0.0.1:{port}/readyz", threading.Event()

    def listen() -> None:
        sys.stdin.read()
        told.set()

    threading.Thread(target=listen, daemon=True).start()
    print("asking", flush=True)
    total, last, silent, end = 0.0, time.monotonic(), False, time.monotonic() + 1800
    while time.monotonic() < end:
        done = told.is_set()
        ready = is_ready(url)
        now = time.monotonic()
        if ready:
            total += now - last if silent else 0.0
            last, silent = now, False
            if done:
                return total
        else:
            silent = True
        time.sleep(0.05)
    raise SystemExit(f"{url} did not become ready")


def is_ready(url: str) -> bool:
    with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=5) as answered:
        return json.load(answered).get("ready") is True
    return False


def shown(unit: str, name: str) -> str:
    argv = [*OF_DEBIAN, "show", f"--property={name}", "--value", unit]
    return subprocess.check_output(argv, text=True).strip()


def memory_of(groups: list[Path]) -> dict[str, float]:
    """Return the proportional memory of all processes of some units, and how much of it is no file's."""
    total = {"Pss": 0, "Pss_Anon": 0}
    for pid in (pid for group in groups for pid in (group / "cgroup.procs").read_text().split()):
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            words = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
            total = {key: size + int(words[words.index(f"{key}:") + 1]) for key, size in total.items()}
    return {"pss_mb": total["Pss"] / 1024, "anonymous_mb": total["Pss_Anon"] / 1024}


def lists(ocm: str, name: str, count: str, rounds: str) -> dict[str, list[float]]:
    """Time `ocm list` of that many stopped instances, and one systemctl for each of them, by turns.

    Of a single one it is three times `systemctl status`, as who looks at it by hand types.
    """
    record = (RECORDS / f"{name}.toml").read_text()
    units = [f"openclaw-gateway-{name}.service"]
    for number in range(1, int(count)):
        copy = f"{name}-{number:03}"
        units.append(f"openclaw-gateway-{copy}.service")
        text = record.replace(name, copy).replace("19001", str(19001 + 20 * number))
        for path, content in (
            (RECORDS / f"{copy}.toml", text),
            (UNITS / units[-1], (UNITS / units[0]).read_text()),
        ):
            path.write_text(content)
            path.chmod(0o600)
    if len(json.loads(subprocess.check_output([ocm, "list", "--json"]))["results"]) != int(count):
        raise SystemExit(f"ocm list does not know {count} instances")
    script = ONE_BY_ONE if len(units) > 1 else THREE_TIMES
    commands = {"ocm": [ocm, "list"], "systemctl": ["sh", "-c", script, "sh", *units]}
    taken: dict[str, list[float]] = {side: [] for side in commands}
    for _ in range(int(rounds)):
        for side, argv in commands.items():
            began = time.monotonic()
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            taken[side].append(time.monotonic() - began)
    return taken


def backups(ocm: str, name: str, count: str, size: str, rounds: str) -> dict[str, dict[str, list[float]]]:
    """Time a backup of each kind of a stopped instance with that many files of that size, by turns."""
    state, made = Path(f"/home/debian/.openclaw-{name}"), Path("/home/debian/bench-backups")
    folder = state / "workspace" / "bench"
    shutil.rmtree(folder, ignore_errors=True)
    chance = random.Random(0)
    for number in range(int(count)):
        path = folder / str(number % 100) / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Text that compresses somewhat, as notes and transcripts do.
        path.write_bytes(base64.b64encode(chance.randbytes(int(size) * 3 // 4)))
    # Inside its sandbox OpenClaw writes to a /tmp that OCM keeps here.
    own = Path(f"/home/debian/.local/state/ocm/tmp/{name}/tmp/bench-backups")
    commands = {
        "ocm": ([ocm, "backup", name, "-o", str(made)], made),
        "tar": (["tar", "czf", str(made / "tar.tar.gz"), "-C", str(state.parent), state.name], made),
        "openclaw": (
            [ocm, "use", name, "backup", "create", "--verify", "--output", "/tmp/bench-backups"],
            own,
        ),
    }
    taken: dict[str, dict[str, list[float]]] = {side: {"seconds": [], "bytes": []} for side in commands}
    for _ in range(int(rounds)):
        for side, (argv, place) in commands.items():
            place.mkdir(mode=0o700, exist_ok=True)
            began = time.monotonic()
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            taken[side]["seconds"].append(time.monotonic() - began)
            taken[side]["bytes"].append(sum(path.stat().st_size for path in place.iterdir()))
            shutil.rmtree(place)
    return taken


if __name__ == "__main__":
    if sys.argv[1] == "start":
        found: object = one_start(*sys.argv[2:])
    elif sys.argv[1] == "together":
        found = together(*sys.argv[2:])
    elif sys.argv[1] == "silence":
        found = silence(*sys.argv[2:])
    else:
        found = backups(*sys.argv[2:]) if sys.argv[1] == "backups" else lists(*sys.argv[2:])
    print(json.dumps(found))
