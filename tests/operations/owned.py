"""An OpenClaw of the user's own in a home of tests, with a service that a stand-in keeps."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.adoption.steps import Service
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.status import Answer
from openclaw_ocm.operations.adopt import adopt
from openclaw_ocm.operations.planning import adopting, adoption
from openclaw_ocm.operations.planning.adoption import Request
from openclaw_ocm.operations.unadopt import unadopt
from openclaw_ocm.system import health
from openclaw_ocm.system.openclaw import own_services, own_state, services

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath

    import pytest
    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host

PID, PORT = 4242, 18800
BOT = "123456:" + "a" * 35
TOKEN = "owned-token-" + "b" * 20
KEY = "sk-owned-unit-1111"
UNIT = """\
[Service]
ExecStart=/usr/bin/openclaw gateway --port {port}
Environment=OPENCLAW_STATE_DIR={state} OPENCLAW_PROFILE={profile}
Environment=FAKE_API_KEY={key}
[Install]
WantedBy=default.target
"""


@dataclass(kw_only=True)
class Owned:
    """What the user runs without OCM: `runs` tells whether its gateway does, `broken` that it cannot again.

    `by_hand` is one that no service started.
    """

    kept: Kept
    state: Path
    unit: str
    runs: bool = True
    enabled: bool = True
    broken: bool = False
    by_hand: bool = False
    said: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def unit_file(self) -> Path:
        return Path(self.kept.host.paths.units, self.unit)

    def adopt(self, wanted: str, *, dry_run: bool = False, **request: object) -> Outcome:
        asked = Request(**request)  # type: ignore[arg-type]
        return adopt(self.kept.context, wanted, asked, self.kept.effort(), dry_run=dry_run)

    def unadopt(self, name: InstanceName, *, dry_run: bool = False) -> Outcome:
        return unadopt(self.kept.context, name, self.kept.effort(), dry_run=dry_run)

    def take_over(self) -> Outcome:
        """Make it the instance `work`."""
        return self.adopt(str(self.state), move=True, name=parse_name("work"))

    def go_back(self) -> Outcome:
        """Give back the instance `work`."""
        return self.unadopt(parse_name("work"))

    def change(self, _host: Host, *words: str, check: bool = True) -> None:
        """Do what systemctl would."""
        del check
        self.said.append(words)
        if words[-1] != self.unit or not self.unit_file.exists():
            return
        if words[0] in ("start", "stop"):
            self.runs = words[0] == "start"
        elif words[0] in ("enable", "disable"):
            self.enabled = words[0] == "enable"

    def tree(self) -> dict[str, object]:
        """Return what is in its state, with modes and times, and its service's file."""
        found: dict[str, object] = {
            str(path.relative_to(self.state)): (
                path.lstat().st_mode,
                path.lstat().st_mtime_ns,
                path.read_bytes() if path.is_file() and not path.is_symlink() else None,
            )
            for path in sorted(self.state.rglob("*"))
        }
        unit = self.unit_file
        return {**found, "unit": (unit.read_bytes(), unit.stat().st_mode), "is": (self.runs, self.enabled)}


def make_owned(kept: Kept, patch: pytest.MonkeyPatch, state: str, *, channels: bool = True) -> Owned:
    """Make an OpenClaw in the home, with memory, a key in its unit, one in its `.env`, and a Telegram bot."""
    home = kept.home / state
    profile = state.removeprefix(".openclaw").removeprefix("-")
    suffix = f"-{profile}" if profile else ""
    owned = Owned(kept=kept, state=home, unit=f"openclaw-gateway{suffix}.service")
    (home / "workspace").mkdir(parents=True)
    (home / "state").mkdir()
    (home / "tmp").mkdir()
    (home / "tmp/lock").write_text("of a moment")
    (home / "workspace/said").write_text("before")
    (home / "workspace/link").symlink_to("said")
    (home / "credentials").mkdir()
    (home / "credentials/creds.json").write_text("{}")
    (home / ".env").write_text("ENV_API_KEY=sk-owned-dotenv-2222\n")
    config = {
        "gateway": {"mode": "local", "bind": "lan", "port": PORT, "auth": {"mode": "token", "token": TOKEN}},
        "agents": {"defaults": {"workspace": str(home / "workspace")}},
        "channels": {"telegram": {"enabled": True, "botToken": BOT}} if channels else {},
    }
    (home / "openclaw.json").write_text("// by hand\n" + json.dumps(config))
    with contextlib.closing(sqlite3.connect(home / "state/openclaw.sqlite")) as database:
        database.execute("create table cron_jobs (store_key text)")
        database.execute("insert into cron_jobs values (?)", (str(home / "cron"),))
        database.commit()
    owned.unit_file.parent.mkdir(parents=True, exist_ok=True)
    owned.unit_file.write_text(UNIT.format(port=PORT, state=home, profile=profile, key=KEY))

    def running(_host: Host, state: PurePosixPath) -> tuple[int | None, int] | None:
        return (PORT, PID) if owned.runs and Path(state) == owned.state else None

    def observe(_host: Host, unit: str) -> tuple[Service, str]:
        if unit != owned.unit:
            return Service(there=True, enabled=False, runs=False), ""
        return Service(there=True, enabled=owned.enabled, runs=owned.runs), "/its/group"

    def ask(ports: Mapping[InstanceName, int], **_options: float) -> dict[InstanceName, Answer]:
        ready = owned.runs and not owned.broken
        return {name: Answer(ready=ready, problem=None if ready else "it is broken") for name in ports}

    patch.setattr(services, "SYSTEM", ())
    patch.setattr(adopting, "running_on", running)
    patch.setattr(own_state, "running_on", running)
    patch.setattr(own_services, "observe", observe)
    patch.setattr(own_services, "is_in", lambda _pid, group: group == "/its/group" and not owned.by_hand)
    patch.setattr(own_services, "_change", owned.change)
    patch.setattr(adoption, "read_main_port", lambda _host: 18789)
    patch.setattr(health, "ask_all", ask)
    return owned
