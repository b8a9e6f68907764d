"""The half of the benchmark that runs in the machine: times one start of a unit, or `ocm list`.

Prints one JSON object. It has the machine's own Python and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

OF_DEBIAN = ("systemctl", "--user", "--machine=debian@.host")
HOME = Path("/home/debian")
RECORDS, UNITS = HOME / ".config/ocm/instances", HOME / ".config/systemd/user"
READY_SECONDS = 240.0
SHOWN = "ActiveState,SubState,Result,MainPID,NRestarts,ActiveEnterTimestamp,UnitFileState"
ONE_BY_ONE = f'for unit; do systemctl --user show --property={SHOWN} -- "$unit"; done'


def main() -> None:
    what, *arguments = sys.argv[1:]
    answer = one_start(*arguments) if what == "start" else lists(*arguments)
    print(json.dumps(answer))


def one_start(unit: str, port: str, idle_seconds: str) -> dict[str, float]:
    """Start a unit as root would for the user, wait until it is ready and settled, and stop it."""
    began = time.monotonic()
    subprocess.run([*OF_DEBIAN, "start", unit], check=True)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        seconds = time.monotonic() - began
        group = Path("/sys/fs/cgroup" + shown(unit, "ControlGroup"))
        cpu = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
        time.sleep(float(idle_seconds))
        memory = memory_of(group)
        if shown(unit, "NRestarts") != "0":
            raise SystemExit(f"{unit} restarted while it was measured")
    finally:
        subprocess.run([*OF_DEBIAN, "stop", unit], check=True)
    return {"ready_s": seconds, "cpu_s": int(cpu["usage_usec"]) / 1e6, **memory}


def wait_until_ready(url: str) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answered:
                if json.load(answered).get("ready") is True:
                    return
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} was not ready within {READY_SECONDS:g} s")


def shown(unit: str, name: str) -> str:
    argv = [*OF_DEBIAN, "show", f"--property={name}", "--value", unit]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def memory_of(group: Path) -> dict[str, float]:
    """Return the proportional memory of every process of the unit, and how much of it is no file's."""
    total = {"Pss": 0, "Pss_Anon": 0}
    for pid in (group / "cgroup.procs").read_text().split():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        sizes = {key: int(value.split()[0]) for key, value in (line.split(":") for line in lines)}
        total = {key: value + sizes[key] for key, value in total.items()}
    return {"pss_mb": total["Pss"] / 1024, "anonymous_mb": total["Pss_Anon"] / 1024}


def lists(ocm: str, name: str, count: str, rounds: str) -> dict[str, list[float]]:
    """Time `ocm list` of that many records, and one systemctl process for each, by turns."""
    record = (RECORDS / f"{name}.toml").read_text()
    unit = (UNITS / f"openclaw-gateway-{name}.service").read_text()
    units = [f"openclaw-gateway-{name}.service"]
    for number in range(1, int(count)):
        copy = f"{name}-{number:03}"
        text = record.replace(name, copy).replace("19001", str(19001 + 20 * number))
        units.append(f"openclaw-gateway-{copy}.service")
        for path, content in ((RECORDS / f"{copy}.toml", text), (UNITS / units[-1], unit)):
            path.write_text(content)
            path.chmod(0o600)
    answered = json.loads(subprocess.run([ocm, "list", "--json"], check=True, capture_output=True).stdout)
    if len(answered["results"]) != int(count):
        raise SystemExit(f"ocm list knows {len(answered['results'])} instances of {count}")
    commands = {"ocm": [ocm, "list"], "systemctl": ["sh", "-c", ONE_BY_ONE, "sh", *units]}
    taken: dict[str, list[float]] = {side: [] for side in commands}
    for _ in range(int(rounds)):
        for side, argv in commands.items():
            began = time.monotonic()
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            taken[side].append(time.monotonic() - began)
    return taken


if __name__ == "__main__":
    main()
