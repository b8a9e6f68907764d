"""Instances that the fake backend keeps, in a home with stand-ins for Node and OpenClaw.

Each verb is called here and nowhere else in these tests, so that what it takes is said once.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tests import nodes
from tests.backends import fake

from openclaw_ocm.backends import registry
from openclaw_ocm.backends.systemd.manager import Systemd
from openclaw_ocm.core.firewall import Firewall
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.core.status import Listener
from openclaw_ocm.instances import last_words
from openclaw_ocm.instances.context import make_context
from openclaw_ocm.operations.autostart import set_autostart
from openclaw_ocm.operations.backup import Request, backup
from openclaw_ocm.operations.clone import clone
from openclaw_ocm.operations.create import Wanted, create, deploy
from openclaw_ocm.operations.delete import delete
from openclaw_ocm.operations.doctor import examine, fix
from openclaw_ocm.operations.drill import drill
from openclaw_ocm.operations.logs import logs
from openclaw_ocm.operations.planning.repair import Effort
from openclaw_ocm.operations.session import Terminal, enter, enter_box, use
from openclaw_ocm.operations.start import restart, start, stop
from openclaw_ocm.operations.status import observe, selected, status
from openclaw_ocm.operations.supervise import supervise
from openclaw_ocm.system import listening, processes, ufw
from openclaw_ocm.system.host import Host
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.status import Process
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.backup import Backup
    from openclaw_ocm.operations.doctor import Diagnosis
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.operations.status import Row, Status

# Of this run alone: sessions are found by the instance's name, another run's would be ended with them.
NAME = parse_name(f"worker{os.getpid()}")
OTHER = parse_name(f"{NAME}-a")
TERMINAL = Terminal(attached=False, environ={"LANG": "C.UTF-8"})
# Runs what OCM asks of Node: copies databases as `core.backup.copying` has it, rewrites no paths, tells the
# versions of databases, how many messages came, and what it was called with where it is to be OpenClaw. Its
# `doctor` makes databases those of its package, but where the file `unmigratable` is in the state.
NODE = """#!/bin/sh
[ "$*" = --version ] && exec echo v24.19.0
[ "$1" = --print ] && {identity} && exit
exec {python} {home}/node.py "$@"
"""
NODE_PROGRAM = """
import contextlib, json, os, pathlib, sqlite3, sys

def databases():
    agents = pathlib.Path().glob("agents/*/agent/openclaw-agent.sqlite")
    places = [("state", None, "state/openclaw.sqlite"), *(("agent", one.parts[1], one) for one in agents)]
    return [place for place in places if os.path.exists(place[2])]

if "--fix" in sys.argv:
    entry = next(word for word in sys.argv if word.endswith("openclaw.mjs"))
    stated = json.loads(pathlib.Path(entry).with_name("package.json").read_text())["openclaw"]
    if os.path.exists("unmigratable"):
        sys.exit("it cannot be migrated")
    for kind, _agent, path in databases():
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute(f"pragma user_version = {stated['schemaVersions'][kind]}")
    sys.exit()
if sys.argv[-3:] == ["plugins", "doctor", "--json"]:
    entry = next(word for word in sys.argv if word.endswith("openclaw.mjs"))
    told = pathlib.Path(entry).with_name("plugins.json")
    print(told.read_text() if told.exists() else '{"pluginErrors": []}')
    sys.exit(1)
if "--eval" not in sys.argv:
    said = {"argv": sys.argv[1:], "environ": dict(os.environ), "cwd": os.getcwd()}
    pathlib.Path(__file__).with_name("called").write_text(json.dumps(said))
    print("openclaw was here")
    sys.exit(7)
request = json.load(sys.stdin)
if "schemas" in request:
    for kind, agent, path in databases():
        with contextlib.closing(sqlite3.connect(path)) as database:
            print(json.dumps([kind, agent, *database.execute("pragma user_version").fetchone()]))
    print(json.dumps(["end"]))
if "since" in request:
    query = "select count(*), count(distinct session_id) from transcript_events where created_at > ?"
    for _kind, agent, path in databases()[1:]:
        with contextlib.closing(sqlite3.connect(path)) as database:
            counted = database.execute(query, (request["since"],)).fetchone()
            print(json.dumps([agent, *counted]))
    print(json.dumps(["end"]))
if any("as last from" in word for word in sys.argv):
    query = "select max(created_at) from transcript_events"
    for _kind, agent, path in (place for place in databases() if place[0] == "agent"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            print(json.dumps([agent, *database.execute(query).fetchone()]))
    print(json.dumps(["end"]))
for index, path in enumerate(request.get("paths", ())):
    os.makedirs(request["into"], 0o700, exist_ok=True)
    source, target = sqlite3.connect(path), sqlite3.connect(f"{request['into']}/{index}")
    source.backup(target)
    source.close(), target.close()
    print(json.dumps({"index": index, "problem": None}), flush=True)
"""


@dataclass(kw_only=True)
class Kept:
    """A user's home; what was reported stands in `said`."""

    host: Host
    said: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return Path(self.host.paths.home)

    @property
    def world(self) -> fake.World:
        return fake.world_of(self.host)

    @property
    def context(self) -> Context:
        return make_context(self.host, self.said.append)

    @property
    def unproved(self) -> dict[InstanceName, tuple[str, ...]]:
        """Return the sandboxes that are not in force."""
        return self.world.unproved

    @property
    def strangers(self) -> dict[int, Listener]:
        """Return who listens on ports beside the gateways."""
        return self.world.strangers

    def paths(self, name: InstanceName) -> InstancePaths:
        return self.host.instance(name)

    def record(self, name: InstanceName) -> Record:
        return read_record(self.host.paths, name)

    def process(self, name: InstanceName) -> Process:
        return self.context.backends[fake.NAME].observe([name])[name]

    def files(self) -> dict[str, str]:
        """Return every file and link in the home but OCM's locks and its history."""
        found = {}
        for path in sorted(self.home.rglob("*")):
            place = str(path.relative_to(self.home))
            if place.startswith((".local/state/ocm/locks/", ".local/state/ocm/history.jsonl")):
                continue
            if path.is_symlink():
                found[place] = f"-> {path.readlink()}"
            elif path.is_file():
                found[place] = path.read_text(errors="replace")
        return found

    def effort(self, **options: Any) -> Effort:  # noqa: ANN401 - those of `Effort`
        return Effort(**{"timeout_seconds": 0.0, **options})

    def create(self, name: InstanceName = NAME, *, dry_run: bool = False, **wanted: Any) -> Outcome:  # noqa: ANN401 - those of `Wanted`
        return create(self.context, Wanted(name=name, no_inherit=True, **wanted), dry_run=dry_run)

    def deploy(self, name: InstanceName = NAME, *, dry_run: bool = False, **wanted: Any) -> Outcome:  # noqa: ANN401 - those of `Wanted`
        return deploy(
            self.context, Wanted(name=name, no_inherit=True, **wanted), self.effort(), dry_run=dry_run
        )

    def start(self, name: InstanceName = NAME, *, dry_run: bool = False, **effort: Any) -> Outcome:  # noqa: ANN401 - those of `Effort`
        return start(self.context, name, self.effort(**effort), dry_run=dry_run)

    def restart(
        self,
        name: InstanceName = NAME,
        *,
        dry_run: bool = False,
        stopped_too: bool = True,
        **effort: Any,  # noqa: ANN401 - those of `Effort`
    ) -> Outcome:
        return restart(self.context, name, self.effort(**effort), dry_run=dry_run, stopped_too=stopped_too)

    def stop(self, name: InstanceName = NAME, *, dry_run: bool = False, now: bool = False) -> Outcome:
        return stop(self.context, name, dry_run=dry_run, now=now)

    def set_autostart(self, name: InstanceName = NAME, *, wanted: bool, dry_run: bool = False) -> Outcome:
        return set_autostart(self.context, name, wanted=wanted, dry_run=dry_run)

    def delete(self, name: InstanceName = NAME, *, force: bool = False) -> Outcome:
        return delete(self.context, name, force=force, dry_run=False)

    def clone(
        self,
        name: InstanceName = NAME,
        new: InstanceName = OTHER,
        *,
        port: int | None = None,
        started: bool = True,
        dry_run: bool = False,
    ) -> Outcome:
        return clone(self.context, name, new, self.effort(), port=port, start=started, dry_run=dry_run)

    def backup(self, name: InstanceName = NAME) -> Backup:
        return backup(self.context, name, Request())

    def drill(self, archive: str) -> Outcome:
        return drill(self.context, PurePosixPath(archive), (), self.effort())

    def use(self, *arguments: str, name: InstanceName = NAME) -> int:
        return use(self.context, name, arguments, TERMINAL)

    def enter(self, name: InstanceName = NAME) -> int:
        return enter(self.context, name, TERMINAL)

    def enter_box(self, agent: str | None = None, name: InstanceName = NAME) -> int:
        return enter_box(self.context, name, agent, TERMINAL)

    def logs(
        self, name: InstanceName = NAME, *, lines: int | None = None, follow: bool = False
    ) -> Iterator[Entry]:
        return logs(self.context, name, lines=lines, follow=follow, since=None)

    def status(self, name: InstanceName = NAME) -> Status:
        return status(self.context, name)

    def rows(self, *names: InstanceName) -> dict[str, Row]:
        context = self.context
        return {row.name: row for row in observe(context, selected(context, names))}

    def row(self, name: InstanceName = NAME) -> Row:
        return self.rows(name)[name]

    def supervise(self) -> None:
        supervise(self.context)

    def examine(self) -> Diagnosis:
        return examine(self.context)

    def fix(self, before: Diagnosis) -> Diagnosis:
        return fix(self.context, before, lambda _progress: None)

    def listeners(self, ports: Iterable[int], _roots: object = None) -> dict[int, Listener]:
        """Return who listens: strangers, and the gateways that run."""
        found = {}
        for name, gateway in self.world.gateways.items():
            if gateway.pid is not None:
                found[self.record(name).port] = Listener(pid=gateway.pid, command="openclaw")
        return {port: heard for port, heard in {**found, **self.strangers}.items() if port in set(ports)}


def make_home(tmp_path: Path) -> Host:
    """Make a home with stand-ins for Node and OpenClaw, whose settings name the fake backend."""
    home = tmp_path / "home"
    package = home / ".npm-global/lib/node_modules/openclaw"
    (home / ".npm-global/bin").mkdir(parents=True)
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
    (package / "openclaw.mjs").write_text("")
    (package / "openclaw.mjs").chmod(0o755)
    (home / ".npm-global/bin/openclaw").symlink_to(package / "openclaw.mjs")
    node = home / ".npm-global/bin/node"
    node.write_text(NODE.format(python=sys.executable, home=home, identity=nodes.identity("24.19.0")))
    node.chmod(0o755)
    (home / "node.py").write_text(NODE_PROGRAM)
    paths = host_paths(PurePosixPath(home), {})
    settings = home / ".config/ocm/settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'backend = "{fake.NAME}"\nfirst_port = 19001\n')
    return Host(
        user="ann",
        uid=os.getuid(),
        paths=paths,
        runtime=PurePosixPath(home, "run"),
        runner=Runner(environ={"HOME": str(home)}),
        search_path="",
    )


def keep(tmp_path: Path, patch: pytest.MonkeyPatch) -> Kept:
    """Register the fake backend, and have all that asks gateways and ports ask it. No firewall is asked.

    `patch` is the test's own: of two, that which is undone last would bring back what the other put there.
    """
    kept = Kept(host=make_home(tmp_path))

    patch.setitem(registry.BACKENDS, fake.NAME, fake.REGISTERED)
    patch.setattr(Systemd, "answers", lambda _self: False)
    patch.setattr(listening, "listeners", kept.listeners)
    patch.setattr(processes, "can_bind", lambda port: port not in kept.strangers)
    patch.setattr(ufw, "observe", lambda _host: Firewall(installed=False))
    patch.setattr(last_words, "_SETTLE_SECONDS", 0.0)
    # Nobody cuts the power here, and the disk is most of what a test takes.
    patch.setattr(os, "fsync", lambda _descriptor: None)
    return kept
