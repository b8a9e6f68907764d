"""A user's home in which a backend keeps small programs in the gateways' place."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from openclaw_ocm.backends import registry
from openclaw_ocm.backends.protocol import Backend, Observed
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.record import Record, Runtime
from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.instances.context import Context
from openclaw_ocm.system import files
from openclaw_ocm.system.host import current_host
from openclaw_ocm.system.runner import Command
from openclaw_ocm.system.sandbox_directories import make_shell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.backends.definition import Definition
    from openclaw_ocm.backends.protocol import Session
    from openclaw_ocm.core.status import Process
    from openclaw_ocm.system.host import Host
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

B_co = TypeVar("B_co", bound=Backend, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Home(Generic[B_co]):
    """The home, on `host`, and its backend.

    One that `gives_up` starts a gateway no more whose config is refused; one that `keeps_log` has what a
    gateway printed once that is stopped. One that `always_seals` runs none without a sandbox. `rounds` is how
    often is tried what may be a matter of chance.
    """

    backend: B_co
    host: Host
    gives_up: ClassVar[bool] = True
    keeps_log: ClassVar[bool] = True
    always_seals: ClassVar[bool] = False
    rounds: ClassVar[int] = 9

    @property
    def home(self) -> Path:
        return Path(self.host.paths.home)

    def record(self, name: InstanceName, *, sealed: bool = True) -> Record:
        runtime = Runtime(node=str(self.home / "node"), openclaw=str(self.home / "openclaw"))
        return Record(name=name, backend=self.backend.name, sealed=sealed, port=19001, runtime=runtime)

    def make(self, text: str, script: str = SERVE, *, sealed: bool = True) -> InstanceName:
        """Make an instance whose gateway is `script`, a shell's."""
        name = parse_name(text)
        paths, record = self.host.instance(name), self.record(name, sealed=sealed)
        # These never say that they are ready, and keep others from their turns for a minute.
        self.starts_at_once(100)
        Path(paths.state).mkdir()
        Path(paths.config).write_text("{}")
        make_shell(paths, record)
        Path(paths.config_link).parent.mkdir(exist_ok=True)
        Path(paths.config_link).symlink_to(paths.config)
        self.script(name, script)
        self.define(name, sealed=sealed)
        return name

    def state(self, name: InstanceName) -> str:
        """Return where an instance sees its state."""
        return str(self.host.instance(name).state)

    def starts_at_once(self, jobs: int) -> None:
        """Have so many gateways start at once."""
        files.write_file(self.host.paths.settings, f"jobs = {jobs}\n".encode())

    def script(self, name: InstanceName, script: str) -> None:
        """Give an instance's gateway another script."""
        Path(self.host.instance(name).state, "script").write_text(script)

    def definition(self, name: InstanceName, *, sealed: bool = True) -> Definition:
        """Return the definition that an instance is to have."""
        record = self.record(name, sealed=sealed)
        return self.backend.definition(record, instance_policy(self.host.instance(name), record))

    def gateway(self, name: InstanceName, *, sealed: bool = True) -> Observed:
        """Return what a backend is asked about the gateway of an instance by."""
        return Observed(record=self.record(name, sealed=sealed), process=self.observe(name))

    def proof(self, name: InstanceName, *, sealed: bool = True) -> tuple[str, ...]:
        """Return what of the sandbox of an instance is not as its policy says."""
        gateway = self.gateway(name, sealed=sealed)
        return self.backend.prove(gateway, instance_policy(self.host.instance(name), gateway.record))

    def define(
        self, name: InstanceName, *, sealed: bool = True, change: Callable[[str], str] = lambda text: text
    ) -> None:
        """Write an instance's definition, changed as a test wants it."""
        definition = self.definition(name, sealed=sealed)
        files.write_file(definition.path, change(definition.text).encode(), mode=0o644)

    def context(self) -> Context:
        return Context(
            host=self.host,
            backends={self.backend.name: self.backend},
            chosen=self.backend,
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
        return self.wait_for(name, lambda seen: seen.run is not None and len(self.said(name)) > more_than)

    def said(self, name: InstanceName) -> list[str]:
        """Return what the gateway printed."""
        entries = self.backend.log(name, lines=None, follow=False, since=None)
        return [entry.message for entry in entries if entry.source == "gateway"]

    def session(self, name: InstanceName, *program: str, sealed: bool = True) -> Session:
        """Return the session of an instance that runs a program."""
        record = self.record(name, sealed=sealed)
        return self.backend.session(
            record,
            instance_policy(self.host.instance(name), record),
            program,
            environ={"PATH": "/usr/bin:/bin", "HOME": str(self.home)},
            terminal=False,
        )

    def inside(self, name: InstanceName, *program: str, sealed: bool = True) -> Completed:
        """Run a program as a session of an instance."""
        session = self.session(name, *program, sealed=sealed)
        return self.host.runner.run(Command(argv=session.argv, timeout_seconds=30, stdin=b""), check=False)


def make_home(backend: str, parent: Path, environ: Mapping[str, str] | None = None) -> Home[Backend]:
    """Make a home with all that gateways run, below `parent`, with further variables of the user's.

    Of /tmp every sandbox has its own: `parent` must be elsewhere for a backend that seals.
    """
    home = parent / f".ocm-{secrets.token_hex(4)}"
    (home / "openclaw").mkdir(parents=True, mode=0o700)
    (home / "openclaw" / "package.json").write_text(json.dumps({"name": "openclaw", "version": "2026.9.6"}))
    (home / "node").write_text('#!/bin/sh\n. "$OPENCLAW_STATE_DIR/script"\n')
    (home / "node").chmod(0o755)
    host = current_host({"XDG_RUNTIME_DIR": str(home / "run"), **(environ or {}), "HOME": str(home)})
    return Home(backend=registry.load(backend, host), host=host)
