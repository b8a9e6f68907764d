"""Runs inside the machine: kills ocm while it adopts main, or gives it back, and looks at what is left.

python3 -m tests.machine.adopt_kills OCM SEED COUNT, where main is stopped, with a cron job and a service.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import sys
import time
from typing import TYPE_CHECKING

from .kills import BEYOND, CONFIG, HOME, killed, mark_state, run, version_of

if TYPE_CHECKING:
    from pathlib import Path

NAME = "mine"
MAIN, STATE = HOME / ".openclaw", HOME / f".openclaw-{NAME}"
UNITS = CONFIG / "systemd" / "user"
UNIT, WANTED = UNITS / "openclaw-gateway.service", UNITS / "default.target.wants" / "openclaw-gateway.service"
WORDS = {
    True: ("adopt", "main", "--name", NAME, "--move", "--no-start", "--yes"),
    False: ("unadopt", NAME, "--yes"),
}


def kills(ocm: str, seed: str, count: str) -> None:
    """Kill ocm until it died `count` times; fail where main is neither what it was nor an instance, whole."""
    chance, left_to_kill = random.Random(int(seed)), int(count)
    own = {path: path.read_bytes() for path in (MAIN / "openclaw.json", MAIN / ".env", UNIT)}
    (MAIN / "workspace").mkdir(exist_ok=True)
    number = mark_state(MAIN, 0)
    takes = {}
    for adopting in (True, False):
        began = time.monotonic()
        run(ocm, *WORDS[adopting])
        takes[adopting] = time.monotonic() - began
    while left_to_kill:
        was = is_own(own)
        number = mark_state(MAIN if was else STATE, number + 1)
        # Of each some come to their end, so that the other has its turn.
        moment = chance.uniform(0, takes[was] * (BEYOND if chance.random() < 0.7 else 10))
        status = killed([ocm, *WORDS[was]], moment)
        left_to_kill -= status == -signal.SIGKILL
        told = run(ocm, "stop", "--all").stderr.strip()
        found = is_own(own)
        facts = {
            "left": left_to_kill,
            "adopting": was,
            "after": round(moment, 3),
            "exit": status,
            "own": found,
        }
        print(json.dumps({**facts, "told": told}), flush=True)
        assert version_of(MAIN if found else STATE) == number, facts
        assert status or found is not was, facts
    if not is_own(own):
        run(ocm, *WORDS[False])
        assert is_own(own)


def is_own(own: dict[Path, bytes]) -> bool:
    """Tell whether main is the user's, to the byte, or an instance; fail where it is neither or both."""
    assert not list(HOME.glob(".ocm-*"))
    records = [path.name for path in (CONFIG / "ocm" / "instances").glob("*")]
    if records:
        assert records == [f"{NAME}.toml"]
        assert not UNIT.exists()
        assert (UNITS / f"openclaw-gateway-{NAME}.service").exists()
        assert [path.name for path in MAIN.iterdir()] == [f"openclaw-{NAME}.json"]
        assert "MAIN_ENV_SECRET" in (CONFIG / "ocm" / "secrets" / f"{NAME}.env").read_text()
        hangs_together(STATE)
        return False
    for directory in ("instances", "secrets", "transactions"):
        assert not list((CONFIG / "ocm" / directory).glob("*")), directory
    assert not STATE.exists()
    assert not list(UNITS.glob(f"*{NAME}*"))
    assert WANTED.is_symlink()
    assert {path: path.read_bytes() for path in own} == own
    hangs_together(MAIN)
    return True


def hangs_together(state: Path) -> None:
    database = sqlite3.connect(state / "state" / "openclaw.sqlite")
    keys = {key for (key,) in database.execute("select distinct store_key from cron_jobs")}
    assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
    database.close()
    assert keys, "no cron job is left"
    assert all(key.startswith(f"{state}/") for key in keys), keys


if __name__ == "__main__":
    kills(*sys.argv[1:])
