"""Runs inside the machine: kills ocm at random moments and looks at what is left, a JSON line for each.

python3 kills.py prepare NAME marks an instance; python3 kills.py run OCM SEED COUNT ARCHIVE VERSION kills,
where ARCHIVE is a backup of the one instance there is, which is marked and stopped; with a VERSION it is
upgraded to that and rolled back, else backed up, restored and renamed.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

HOME = Path.home()
CONFIG = HOME / ".config"
NAMES = ("worker1", "worker10")
OPERATIONS, UPGRADES = ("backup", "restore", "rename"), ("upgrade", "rollback")
FILES, LINES = 40, 4096
# The version that marked files have before there is another.
ARCHIVED = 0
# Some kills come when all is done, or the moment before the end would never be met.
BEYOND = 1.1


def kills(ocm: str, seed: str, count: str, archive: str, version: str) -> None:
    """Kill ocm until it died `count` times; fail where not one whole instance is left."""
    if version:
        kill_upgrades(ocm, random.Random(int(seed)), int(count), version)
    else:
        kill_others(ocm, seed, count, archive)
    run(ocm, "backup", whole()[0])
    assert not list((HOME / "backups").glob(".*")), "what a kill left stays"


def kill_upgrades(ocm: str, chance: random.Random, left_to_kill: int, newer: str) -> None:
    """Kill upgrades, and rollbacks of those that were faster; these bring back what was before."""
    words = {
        "upgrade": ("upgrade", whole()[0], "--to", newer, "--yes"),
        "rollback": ("rollback", whole()[0], "--yes"),
    }
    takes = {}
    for operation in UPGRADES:
        began = time.monotonic()
        run(ocm, *words[operation], *(("--no-rehearsal",) if operation == "upgrade" else ()))
        takes[operation] = time.monotonic() - began
    before = number = 0
    while left_to_kill:
        name, version = whole()
        was = runs(name)
        operation = "rollback" if newer in was else "upgrade"
        if operation == "upgrade":
            before = version
        else:
            number += 1
            version = mark(name, number)
        # A rehearsal is a drill, and takes the most of an upgrade: one in ten is enough.
        rehearsed = operation == "rollback" or chance.random() < 0.1
        # Of each operation some come to their end, so that the other has its turn.
        moment = chance.uniform(0, takes[operation] * (BEYOND if chance.random() < 0.7 else 10))
        status = killed([ocm, *words[operation], *(() if rehearsed else ("--no-rehearsal",))], moment)
        left_to_kill -= status == -signal.SIGKILL
        told = run(ocm, "stop", "--all").stderr.strip()
        found = (*whole(), newer in runs(name))
        hangs_together(name, allowed=() if found[2] is False else (f".ocm-kept-{name}-*",))
        facts = {"kill": left_to_kill, "operation": operation, "after": round(moment, 3), "exit": status}
        print(json.dumps({**facts, "found": found, "told": told}), flush=True)
        undone, done = (name, version, newer in was), (name, before, newer not in was)
        assert found in ({undone, done} if status else {done}), facts


def runs(name: str) -> str:
    """Return the package directory that the record names, which the definition names too."""
    record = (CONFIG / "ocm" / "instances" / f"{name}.toml").read_text()
    (line,) = (line for line in record.splitlines() if line.startswith("openclaw = "))
    package = line.partition('"')[2].rstrip('"')
    unit = (CONFIG / "systemd" / "user" / f"openclaw-gateway-{name}.service").read_text()
    assert f"{package}/" in unit, (package, unit)
    return package


def kill_others(ocm: str, seed: str, count: str, archive: str) -> None:
    """Kill ocm until it died `count` times, by turns in each operation; fail where not one whole is left."""
    chance = random.Random(int(seed))
    # The shorter of two: the name of a backup may have to wait for the next second.
    takes = {one: min(seconds(ocm, one, archive) for _ in range(2)) for one in OPERATIONS}
    left_to_kill, number = int(count), -1
    while left_to_kill:
        number += 1
        operation = OPERATIONS[number % len(OPERATIONS)]
        name, version = whole()
        if operation == "restore":
            version = mark(name, number + 1)
        moment = chance.uniform(0, takes[operation] * BEYOND)
        status = killed([ocm, *arguments(operation, name, archive)], moment)
        left_to_kill -= status == -signal.SIGKILL
        told = run(ocm, "stop", "--all").stderr.strip()
        found, left = whole()
        check(ocm, found, archive)
        facts = {"kill": number, "seed": int(seed), "operation": operation, "after": round(moment, 3)}
        print(json.dumps({**facts, "exit": status, "name": found, "version": left, "told": told}), flush=True)
        allowed = {"backup": {(name, version)}, "restore": {(name, version), (name, ARCHIVED)}}
        renamed = {(one, version) for one in NAMES}
        assert (found, left) in allowed.get(operation, renamed), facts


def arguments(operation: str, name: str, archive: str) -> tuple[str, ...]:
    return {
        "backup": ("backup", name),
        "restore": ("restore", archive, "--as", name, "--replace", "--no-start"),
        "rename": ("rename", name, NAMES[1 - NAMES.index(name)]),
    }[operation]


def seconds(ocm: str, operation: str, archive: str) -> float:
    """Return how long an operation takes that nobody kills."""
    began = time.monotonic()
    run(ocm, *arguments(operation, whole()[0], archive))
    return time.monotonic() - began


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return done


def killed(argv: list[str], moment: float) -> int:
    """Run ocm, kill it at a moment, and return how it ended: it may have been faster."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait()


def mark(name: str, version: int) -> int:
    return mark_state(HOME / f".openclaw-{name}", version)


def mark_state(state: Path, version: int) -> int:
    for number in range(FILES):
        (state / "workspace" / f"mark-{number}").write_text(f"{version}\n" * LINES)
    return version


def whole() -> tuple[str, int]:
    """Return name and version of the one instance there is; fail where it is made of two."""
    (state,) = (path for path in HOME.glob(".openclaw-*") if not path.name.startswith(".openclaw-drill-"))
    return state.name.removeprefix(".openclaw-"), version_of(state)


def version_of(state: Path) -> int:
    """Return the version of the marked files in a state; fail where it has those of two."""
    marks = sorted(state.glob("workspace/mark-*"))
    assert len(marks) == FILES, marks
    texts = {path.read_text() for path in marks}
    (text,) = texts
    (version,) = set(text.splitlines())
    assert text == f"{version}\n" * LINES
    return int(version)


def check(ocm: str, name: str, keep: str) -> None:
    """Fail where the instance does not hang together, or what has the name of a backup is none."""
    hangs_together(name)
    archives = sorted((HOME / "backups").glob("[!.]*"))
    assert Path(keep) in archives
    run(ocm, "backups", "verify", *map(str, archives))
    for archive in set(archives) - {Path(keep)}:
        archive.unlink()


def hangs_together(name: str, allowed: tuple[str, ...] = ()) -> None:
    """Fail where an instance is not whole, or more is left beside it than what is `allowed`."""
    state = HOME / f".openclaw-{name}"
    assert (HOME / ".openclaw" / f"openclaw-{name}.json").readlink() == state / "openclaw.json"
    for directory, pattern, file in (
        (CONFIG / "ocm" / "instances", "*", f"{name}.toml"),
        (CONFIG / "ocm" / "secrets", "*", f"{name}.env"),
        (CONFIG / "systemd" / "user", "openclaw-gateway-*", f"openclaw-gateway-{name}.service"),
    ):
        there = {path.name for path in directory.glob(pattern) if "drill-" not in path.name}
        assert there == {file}
    assert {path.name for path in HOME.glob(".ocm-*")} == {
        path.name for pattern in allowed for path in HOME.glob(pattern)
    }
    assert len([path for pattern in allowed for path in HOME.glob(pattern)]) == len(allowed)
    assert "OWN_TOKEN=kept" in (CONFIG / "ocm" / "secrets" / f"{name}.env").read_text()
    database = sqlite3.connect(state / "state" / "openclaw.sqlite")
    keys = {key for (key,) in database.execute("select distinct store_key from cron_jobs")}
    assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
    database.close()
    assert keys, "no cron job is left"
    assert all(f"/.openclaw-{name}/" in key for key in keys), keys


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        mark(sys.argv[2], ARCHIVED)
    else:
        kills(*sys.argv[2:])
