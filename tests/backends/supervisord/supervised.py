"""A user's home in which a real supervisord runs small programs in the gateways' place, in real sandboxes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.record import Record, Runtime
from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.instances.context import Context
from openclaw_ocm.system import files
from openclaw_ocm.system.host import current_host
from openclaw_ocm.system.runner import Command
from openclaw_ocm.system.sandbox_directories import make_shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.status import Process
    from openclaw_ocm.system.runner import Completed

PATIENCE_SECONDS = 60.0
# Runs until it is asked to stop, and tells how often it was asked.
SERVE = """\
asked=0
trap 'asked=$((asked + 1)); echo asked $asked' TERM
echo up
while [ $asked = 0 ]; do sleep 0.1; done
sleep 0.3
"""


@dataclass(frozen=True, kw_only=True)
class Supervised:
    """The home and its backend."""

    backend: Supervisord

    @property
    def home(self) -> Path:
        return Path(self.backend.host.paths.home)

    def record(self, name: InstanceName, *, sealed: bool = True) -> Record:
        runtime = Runtime(node=str(self.home / "node"), openclaw=str(self.home / "openclaw"))
        return Record(name=name, backend="supervisord", sealed=sealed, port=19001, runtime=runtime)

    def make(self, text: str, script: str = SERVE, *, sealed: bool = True) -> InstanceName:
        """Make an instance whose gateway is `script`, a shell's."""
        name = parse_name(text)
        paths, record = self.backend.host.instance(name), self.record(name, sealed=sealed)
        Path(paths.state).mkdir()
        Path(paths.config).write_text("{}")
        make_shell(paths, record)
        Path(paths.config_link).parent.mkdir(exist_ok=True)
        Path(paths.config_link).symlink_to(paths.config)
        self.script(name, script)
        self.define(name, sealed=sealed)
        return name

    def script(self, name: InstanceName, script: str) -> None:
        """Give an instance's gateway another script."""
        Path(self.backend.host.instance(name).state, "script").write_text(script)

    def define(
        self, name: InstanceName, *, sealed: bool = True, change: Callable[[str], str] = lambda text: text
    ) -> None:
        """Write an instance's definition, changed as a test wants it."""
        record = self.record(name, sealed=sealed)
        policy = instance_policy(self.backend.host.instance(name), record)
        definition = self.backend.definition(record, policy)
        files.write_file(definition.path, change(definition.text).encode(), mode=0o644)

    def context(self) -> Context:
        return Context(
            host=self.backend.host,
            backends={"supervisord": self.backend},
            backend=self.backend,
            report=lambda _phase: None,
        )

    def observe(self, name: InstanceName) -> Process:
        return self.backend.observe([name])[name]

    def wait_for(self, name: InstanceName, condition: Callable[[Process], bool]) -> Process:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition(process := self.observe(name)):
            assert time.monotonic() < deadline, process
            time.sleep(0.05)
        return process

    def start(self, *names: InstanceName) -> list[Process]:
        """Start gateways and return them once each is inside its sandbox and has said something new."""
        before = {name: len(self.said(name)) for name in names}
        self.backend.start(names)
        return [self.wait_for_word(name, more_than=before[name]) for name in names]

    def wait_for_word(self, name: InstanceName, *, more_than: int = 0) -> Process:
        return self.wait_for(name, lambda seen: seen.pid is not None and len(self.said(name)) > more_than)

    def said(self, name: InstanceName) -> list[str]:
        """Return what the gateway printed."""
        entries = self.backend.log(name, lines=None, follow=False, since=None)
        return [entry.message for entry in entries if entry.source == "gateway"]

    def inside(self, name: InstanceName, *program: str, sealed: bool = True) -> Completed:
        """Run a program as a session of an instance."""
        record = self.record(name, sealed=sealed)
        session = self.backend.session(
            record,
            instance_policy(self.backend.host.instance(name), record),
            program,
            environ={"PATH": "/usr/bin:/bin", "HOME": str(self.home)},
            terminal=False,
        )
        return self.backend.host.runner.run(
            Command(argv=session.argv, timeout_seconds=30, stdin=b""), check=False
        )


def make_home() -> Supervised:
    """Make a home with all that gateways run: not below /tmp, of which every sandbox has its own."""
    home = Path.home() / f".ocm-{secrets.token_hex(4)}"
    (home / "openclaw").mkdir(parents=True, mode=0o700)
    (home / "openclaw" / "package.json").write_text(json.dumps({"name": "openclaw", "version": "2026.9.6"}))
    (home / "node").write_text('#!/bin/sh\n. "$OPENCLAW_STATE_DIR/script"\n')
    (home / "node").chmod(0o755)
    host = current_host({"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")})
    return Supervised(backend=Supervisord(host=host))


def daemons(home: Supervised) -> list[int]:
    """Return the processes that are a supervisord of this home."""
    config = str(home.backend.host.paths.supervisord_config).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if config in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def destroy(home: Supervised) -> None:
    """Kill supervisord, with which everything ends, and remove the home."""
    for pid in daemons(home):
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)
    home.backend.stop_sessions([parse_name(path.name[10:]) for path in home.home.glob(".openclaw-*")])
    files.remove_tree(PurePosixPath(home.home))
