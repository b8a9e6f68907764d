"""The systemd backend: gateways as units of the user manager, sessions as transient units beside them."""

from __future__ import annotations

import secrets
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ocm.core.names import unit_name
from ocm.core.state import OUT_OF_MEMORY, Process
from ocm.core.unit import STOP_TIMEOUT_SECONDS, limit_directives, sandbox_directives
from ocm.errors import CommandFailed, OcmError
from ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ocm.core.names import InstanceName
    from ocm.core.policy import Policy
    from ocm.core.record import Limits
    from ocm.system.host import Host
    from ocm.system.runner import Completed

_SYSTEMCTL = ("systemctl", "--user")
_QUERY_SECONDS = 30.0
_CHANGE_SECONDS = STOP_TIMEOUT_SECONDS + 60.0
_PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "MainPID", "NRestarts"),
    *("ExecMainStatus", "ExecMainCode", "ActiveEnterTimestamp", "MemoryCurrent", "CPUUsageNSec"),
    *("NeedDaemonReload", "DropInPaths", "FragmentPath", "InvocationID"),
)
# SD_MESSAGE_UNIT_OUT_OF_MEMORY (sd-messages.h): a process of the unit was killed for want of memory.
_OOM_MESSAGE = "MESSAGE_ID=fe6faa94e7774663a0da52717891d8ef"
_NOT_LOADED = "not-found"
_SIGNAL_BASE = 128
_SIGNALS = range(1, 65)
_KILLED_CODES = ("2", "3")  # CLD_KILLED, CLD_DUMPED (sigaction(2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Systemd:
    """The user manager of `host`."""

    host: Host

    def version(self) -> int:
        """Return the manager's version; raise `OcmError` where no user manager answers."""
        try:
            printed = self._systemctl("show", "--property=Version", "--value").stdout.strip()
            return int(printed.split(".")[0].split("-")[0].split("~")[0])
        except (CommandFailed, ValueError):
            raise self._no_manager() from None

    def observe(self, names: Iterable[InstanceName]) -> dict[InstanceName, Process]:
        """Return what the manager says of each instance, in one call for all of them."""
        units = {unit_name(name): name for name in names}
        if not units:
            return {}
        try:
            printed = self._systemctl(
                "show", "--timestamp=unix", f"--property={','.join(_PROPERTIES)}", "--", *units
            ).stdout
        except CommandFailed:
            raise self._no_manager() from None
        blocks = [_parse_block(block) for block in printed.strip().split("\n\n")]
        found = {block.get("Id", ""): _process(block) for block in blocks}
        killed = {block["InvocationID"]: block["Id"] for block in blocks if _was_killed(found[block["Id"]])}
        for unit in self._out_of_memory(killed):
            found[unit] = replace(found[unit], result=OUT_OF_MEMORY)
        missing = Process(activity="stopped", installed=False, autostart=False)
        return {name: found.get(unit, missing) for unit, name in units.items()}

    def _out_of_memory(self, units: Mapping[str, str]) -> set[str]:
        """Return which of `units`, by invocation, lost a process to the kernel's OOM killer.

        Under OOMPolicy=continue the unit's Result= does not tell; the manager's own log entry does.
        """
        if not units:
            return set()
        query = ("journalctl", "--user", "--output=json", "--quiet", "--lines=200", _OOM_MESSAGE)
        printed = self.host.runner.run(Command(argv=query, timeout_seconds=_QUERY_SECONDS), check=False)
        return {
            unit
            for invocation, unit in units.items()
            if f'"USER_INVOCATION_ID":"{invocation}"' in printed.stdout
        }

    def reload(self) -> None:
        """Have the manager read its unit files anew."""
        self._change("daemon-reload")

    def start(self, name: InstanceName) -> None:
        """Start an instance's gateway; its count of failed starts begins anew."""
        self._systemctl("reset-failed", unit_name(name), check=False)
        self._change("start", unit_name(name))

    def stop(self, name: InstanceName) -> None:
        """Stop an instance's gateway, and forget that it failed."""
        if self.observe([name])[name].installed:
            self._change("stop", unit_name(name))
            self._systemctl("reset-failed", unit_name(name), check=False)

    def stop_sessions(self, name: InstanceName) -> None:
        """Stop every session in the instance's sandbox."""
        self._change("stop", _session_unit(name, "*"))

    def enable(self, name: InstanceName) -> None:
        """Have the instance start with the machine."""
        self._change("enable", "--quiet", unit_name(name))

    def disable(self, name: InstanceName) -> None:
        """Have the instance no longer start with the machine; nothing where its unit is gone already."""
        if self.observe([name])[name].installed:
            self._change("disable", "--quiet", unit_name(name))

    def session_argv(  # noqa: PLR0913 - each is another property of one session
        self,
        name: InstanceName,
        argv: tuple[str, ...],
        *,
        policy: Policy,
        limits: Limits,
        directory: str,
        terminal: bool,
    ) -> tuple[tuple[str, ...], str]:
        """Return the command that runs `argv` in the instance's sandbox, and the name of its unit.

        With `terminal` it has a terminal of its own, otherwise the caller's standard streams.
        """
        unit = _session_unit(name, secrets.token_hex(4))
        directives = (
            *sandbox_directives(policy, systemd_version=self.version()),
            *limit_directives(limits),
            ("Slice", "ocm.slice"),
            ("WorkingDirectory", directory),
            ("IgnoreSIGPIPE", "no"),
            ("TimeoutStopSec", "10"),
        )
        properties = (f"--property={key}={value}" for key, value in directives)
        # The manager expands $VARIABLES in the argument vector of every service (systemd.service(5)).
        literal = (word.replace("$", "$$") for word in argv)
        return (
            *("systemd-run", "--user", "--quiet", "--wait", "--collect", f"--unit={unit}"),
            "--pty" if terminal else "--pipe",
            *properties,
            "--",
            *literal,
        ), unit

    def signal_session(self, unit: str, number: int) -> None:
        """Send a signal to the program of a session."""
        self._systemctl("kill", "--kill-whom=main", f"--signal={number}", unit, check=False)

    def logs_argv(
        self, name: InstanceName, *, lines: int | None, follow: bool, since: str | None
    ) -> tuple[str, ...]:
        """Return the command that prints the instance's journal as JSON lines."""
        return (
            *("journalctl", "--user", "--output=json", "--all", "--no-pager", "--quiet"),
            f"--user-unit={unit_name(name)}",
            *([f"--lines={lines}"] if lines is not None else []),
            *(["--follow"] if follow else []),
            *([f"--since={since}"] if since is not None else []),
        )

    def _systemctl(self, *arguments: str, check: bool = True) -> Completed:
        command = Command(argv=(*_SYSTEMCTL, *arguments), timeout_seconds=_QUERY_SECONDS)
        return self.host.runner.run(command, check=check)

    def _change(self, *arguments: str) -> None:
        self.host.runner.run(Command(argv=(*_SYSTEMCTL, *arguments), timeout_seconds=_CHANGE_SECONDS))

    def _no_manager(self) -> OcmError:
        user = self.host.user
        return OcmError(
            f"no systemd user manager answers for {user}",
            hint=f"log in as {user} over ssh, or run: sudo loginctl enable-linger {user}",
            code="no_user_manager",
        )


def _session_unit(name: InstanceName, token: str) -> str:
    # A dot cannot be part of an instance name, so the pattern for w1 never meets a session of w1-a.
    return f"ocm-session.{name}.{token}.service"


def _parse_block(text: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in text.splitlines())


def _process(properties: Mapping[str, str]) -> Process:
    killed = properties.get("ExecMainCode") in _KILLED_CODES
    status = _number(properties.get("ExecMainStatus"))
    if not killed and status is not None and status - _SIGNAL_BASE in _SIGNALS:
        # So the init of the sandbox reports a program that ended by a signal.
        status, killed = status - _SIGNAL_BASE, True
    return Process(
        activity=_activity(properties),
        installed=properties.get("LoadState") != _NOT_LOADED,
        autostart=properties.get("UnitFileState") in ("enabled", "enabled-runtime"),
        pid=_number(properties.get("MainPID")) or None,
        exit_status=None if killed else status,
        killed_by=status if killed else None,
        result=properties.get("Result", "success"),
        restarts=_number(properties.get("NRestarts")) or 0,
        since=_number(properties.get("ActiveEnterTimestamp", "").lstrip("@")),
        memory_bytes=_number(properties.get("MemoryCurrent")),
        cpu_seconds=_nanoseconds(properties.get("CPUUsageNSec")),
        changed_on_disk=properties.get("NeedDaemonReload") == "yes",
        definition=properties.get("FragmentPath") or None,
        overrides=tuple(properties.get("DropInPaths", "").split()),
    )


def _was_killed(process: Process) -> bool:
    return process.killed_by == signal.SIGKILL and process.activity != "running"


def _activity(properties: Mapping[str, str]) -> str:
    active, sub = properties.get("ActiveState", ""), properties.get("SubState", "")
    if sub in ("auto-restart", "auto-restart-queued"):
        return "waiting"
    words = {"active": "running", "activating": "starting", "deactivating": "stopping", "failed": "failed"}
    return words.get(active, "stopped")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and int(text) < 2**63 else None


def _nanoseconds(text: str | None) -> float | None:
    value = _number(text)
    return value / 1e9 if value is not None else None
