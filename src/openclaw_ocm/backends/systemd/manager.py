"""The systemd backend: gateways as units of the user manager, sessions as transient units beside them."""

from __future__ import annotations

import contextlib
import functools
import secrets
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from openclaw_ocm.backends.definition import Definition
from openclaw_ocm.backends.local import LocalBackend
from openclaw_ocm.backends.protocol import Session, is_ours
from openclaw_ocm.backends.systemd import places, templates, turns
from openclaw_ocm.backends.systemd.asking import changes, show
from openclaw_ocm.backends.systemd.shown import (
    PROPERTIES,
    may_have_missed,
    parse_block,
    process_in,
    was_killed,
    with_network,
)
from openclaw_ocm.backends.systemd.timers import SystemdTimers
from openclaw_ocm.backends.systemd.unit import (
    limit_directives,
    render_unit,
    sandbox_directives,
)
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.needs import OLDEST_SYSTEMD, Need, linger_line
from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.sandbox.launch import clean, on_own_terminal, under_tool_host, uplink_argv
from openclaw_ocm.core.status import OUT_OF_MEMORY, Activity, Process
from openclaw_ocm.errors import CommandFailed, Invalid, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.host import has_linger, user_manager_answers
from openclaw_ocm.system.kept.names import names_in
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.core.names import BackendName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.system.runner import Completed

_SYSTEMCTL = ("systemctl", "--user")
_QUERY_SECONDS = 30.0
_CHANGE_SECONDS = STOP_TIMEOUT_SECONDS + 60.0
# systemctl(1), "Exit status": no such unit.
_NOT_LOADED, _STOP_TRIES = 5, 5
# SD_MESSAGE_UNIT_OUT_OF_MEMORY (sd-messages.h): a process of the unit was killed for want of memory.
_OOM_MESSAGE = "MESSAGE_ID=fe6faa94e7774663a0da52717891d8ef"


@dataclass(frozen=True, kw_only=True)
class Systemd(LocalBackend):
    """The user manager of `host`."""

    name: ClassVar[BackendName] = "systemd"
    needs: ClassVar[frozenset[Need]] = frozenset(
        {Need.MANAGER, Need.BUS, Need.LINGER, Need.JOURNAL, Need.NAMESPACES, Need.BOXES}
    )

    def timers(self, purpose: Purpose = Purpose.BACKUP) -> SystemdTimers:
        """Return the timers that have scheduled backups made, or upgrades."""
        return SystemdTimers(host=self.host, purpose=purpose)

    def answers(self) -> bool:
        """Tell whether a user manager is there: its private socket belongs to a process."""
        return user_manager_answers(self.host)

    @functools.cached_property
    def version(self) -> int:
        """The manager's version; raises `OcmError` where no user manager answers."""
        try:
            printed = self._show("--property=Version", "--value").strip()
            return int(printed.split(".")[0].split("-")[0].split("~")[0])
        except ValueError:
            raise self._no_manager() from None

    def check(self, *, sealed: bool) -> None:
        """Raise `OcmError` where this machine cannot run or seal an instance, with what mends it."""
        from openclaw_ocm.system.machine.lacking import check_namespaces, check_programs

        if self.version < OLDEST_SYSTEMD:
            message = f"systemd {self.version} is too old: OCM needs {OLDEST_SYSTEMD} or newer"
            raise OcmError(message, hint="Debian 12 and newer have it", code="systemd_too_old")
        check_programs()
        if sealed:
            check_namespaces(self.host)

    def gaps(self, record: Record, process: Process) -> tuple[str, ...]:
        """Return what the policy or the record asks for and this manager does not enforce."""
        gaps = []
        limited = record.limits.memory is not None or record.limits.cpus is not None
        if process.pid is not None and process.memory_bytes is None and limited:
            gaps.append("no control groups v2 here: limits of memory and CPU do not bind")
        return tuple(gaps)

    def notes(self) -> tuple[str, ...]:
        """Warn where the user's services end with the last logout."""
        if has_linger(self.host):
            return ()
        user = self.host.user
        return (f"instances stop when {user} logs out: sudo {linger_line(user)}",)

    def definition(self, record: Record, policy: Policy) -> Definition:
        """Return the unit that the record asks for."""
        paths = self.host.instance(record.name)
        text = render_unit(paths, record, policy, systemd_version=self.version)
        return Definition(path=places.unit(paths), text=text)

    def written(self, paths: InstancePaths) -> tuple[PurePosixPath, ...]:
        """Return the files that are written for an instance."""
        return places.written(paths)

    def definition_path(self, name: InstanceName) -> PurePosixPath:
        """Return the path of the instance's unit."""
        return places.unit(self.host.instance(name))

    def defined(self) -> tuple[InstanceName, ...]:
        """Return the instances with a unit that OCM made, or with a link to one that is gone."""
        units = self.host.paths.units
        wants = units / "default.target.wants"
        made = [name for name in _units_in(units) if is_ours(units / places.unit_name(name))]
        dead = [name for name in _units_in(wants) if not Path(units, places.unit_name(name)).exists()]
        return tuple(dict.fromkeys((*made, *dead)))

    def violations(self, name: InstanceName, process: Process) -> Iterator[str]:
        """Yield where other units are loaded than OCM's, or a drop-in changes what the sandbox is made of."""
        paths = self.host.instance(name)
        yield from changes(str(places.unit(paths)), process.definition, process.overrides)
        if templates.is_wanted(paths.host, places.UPLINK, name):
            loaded = self._show("--property=FragmentPath", "--value", "--", places.uplink_name(name)).strip()
            yield from changes(str(places.uplink(paths.host)), loaded or None, ())

    def load(self, names: Collection[InstanceName]) -> None:
        """Have the manager read its unit files anew."""
        if names:
            templates.keep(self.host.paths, _units_in(self.host.paths.units))
            self._change("daemon-reload")

    def remove(self, names: Collection[InstanceName]) -> None:
        """Remove units, their drop-ins, and the links by which enabled ones are found."""
        for name in names:
            unit = places.unit(self.host.instance(name))
            files.remove_file(unit)
            for one in (unit.name, places.uplink_name(name), places.turn_name(name)):
                files.remove(self.host.paths.units / f"{one}.d")
            files.remove_file(self.host.paths.units / "default.target.wants" / unit.name)
        self.load(names)

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Process]:
        """Return what the manager says of each instance, in one call for all of them."""
        units = {places.unit_name(name): name for name in names}
        if not units:
            return {}
        networks = {places.uplink_name(name): unit for unit, name in units.items()}
        also = networks if Path(places.uplink(self.host.paths)).exists() else ()
        printed = self._show("--timestamp=unix", f"--property={','.join(PROPERTIES)}", "--", *units, *also)
        shown = [parse_block(block) for block in printed.strip().split("\n\n")]
        blocks = [block for block in shown if block.get("Id") not in networks]
        found = {block.get("Id", ""): process_in(block) for block in blocks}
        killed = {block["InvocationID"]: block["Id"] for block in blocks if was_killed(found[block["Id"]])}
        for unit in self._out_of_memory(killed):
            found[unit] = replace(found[unit], result=OUT_OF_MEMORY)
        waiting = [block["Id"] for block in blocks if may_have_missed(found[block["Id"]], block)]
        for unit in self._missed(waiting):
            found[unit] = replace(found[unit], missed=True)
        isolated = [block["Id"] for block in blocks if places.UPLINK in block.get("Wants", "")]
        if isolated and not templates.is_current(self.host.paths, places.UPLINK):
            found |= {unit: replace(found[unit], changed_on_disk=True) for unit in isolated}
        for block in shown:
            gateway = networks.get(block.get("Id", ""), "")
            if gateway in isolated:
                found[gateway] = with_network(found[gateway], process_in(block))
        missing = Process(activity=Activity.STOPPED, installed=False, autostart=False)
        return {name: found.get(unit, missing) for unit, name in units.items()}

    def _missed(self, units: Collection[str]) -> Iterator[str]:
        """Yield which of `units` were enabled before the manager began, which then did not see them.

        As where a home is decrypted by the login, and the manager is there from boot on.
        """
        if not units:
            return
        printed = self._show("--timestamp=unix", "--property=UserspaceTimestamp", "--value")
        with contextlib.suppress(ValueError):
            began = int(printed.strip().lstrip("@"))
            for unit in units:
                with contextlib.suppress(OSError):
                    link = Path(self.host.paths.units, "default.target.wants", unit)
                    if link.lstat().st_mtime < began:
                        yield unit

    def _out_of_memory(self, units: Mapping[str, str]) -> set[str]:
        """Return which of `units`, by invocation, lost a process to the kernel's OOM killer.

        Under OOMPolicy=continue the unit's Result= does not tell; the manager's own log entry does.
        """
        if not units:
            return set()
        query = ("journalctl", "--output=json", "--quiet", "--lines=200", _OOM_MESSAGE)
        printed = self.host.runner.run(Command(argv=query, timeout_seconds=_QUERY_SECONDS), check=False)
        return {
            unit
            for invocation, unit in units.items()
            if f'"USER_INVOCATION_ID":"{invocation}"' in printed.stdout
        }

    def start(self, names: Collection[InstanceName]) -> None:
        """Start gateways at once; their count of failed starts begins anew."""
        units = [places.unit_name(name) for name in names]
        if units:
            missed = any(process.missed for process in self.observe(names).values())
            if templates.bring(self.host.paths, places.TURN, names) or missed:
                # It then knows what starts with it, and what of that has been started.
                self._change("daemon-reload")
            self._systemctl("reset-failed", *units, check=False)
            with turns.passed(self.host, names):
                self._change("start", *units)

    def stop(self, names: Collection[InstanceName]) -> None:
        """Stop gateways, and forget that one failed."""
        units = self._installed(names)
        if units:
            paths = self.host.paths
            wanting = [name for name in names if templates.is_wanted(paths, places.UPLINK, name)]
            self._change("stop", *units, *map(places.uplink_name, wanting))
            self._systemctl("reset-failed", *units, check=False)

    def kill(self, names: Collection[InstanceName]) -> tuple[InstanceName, ...]:
        """Kill those gateways that are being stopped and take their time; return which."""
        found = self.observe(names).items()
        late = tuple(name for name, process in found if process.activity is Activity.STOPPING)
        if late:
            self._systemctl("kill", "--signal=SIGKILL", *map(places.unit_name, late), check=False)
        return late

    def stop_sessions(self, names: Collection[InstanceName]) -> None:
        """Stop every session in the sandboxes of `names`."""
        patterns = tuple(_session_unit(name, "*") for name in names)
        # systemctl looks first which there are; one that ends by itself meanwhile fails the call.
        for left in reversed(range(_STOP_TRIES if patterns else 0)):
            try:
                self._change("stop", *patterns)
            except CommandFailed as error:
                if error.returncode != _NOT_LOADED or not left:
                    raise
            else:
                return

    def in_session(self) -> tuple[InstanceName, ...]:
        """Return the instances, with a record or without, in whose sandboxes sessions are."""
        if not self.answers():
            return ()
        pattern = _session_unit(InstanceName("*"), "*")
        printed = self._systemctl("list-units", "--plain", "--no-legend", pattern).stdout
        return tuple(dict.fromkeys(_names_of_sessions(printed)))

    def enable(self, names: Collection[InstanceName]) -> None:
        """Have gateways start with the machine."""
        if names:
            self._change("enable", "--quiet", *map(places.unit_name, names))

    def disable(self, names: Collection[InstanceName]) -> None:
        """Have gateways no longer start with the machine; nothing where a unit is gone already."""
        units = self._installed(names)
        if units:
            self._change("disable", "--quiet", *units)

    def _installed(self, names: Collection[InstanceName]) -> list[str]:
        return [places.unit_name(name) for name, process in self.observe(names).items() if process.installed]

    def session(
        self,
        record: Record,
        policy: Policy,
        program: tuple[str, ...],
        *,
        environ: Mapping[str, str],
        terminal: bool,
    ) -> Session:
        """Return the command that runs `program` as a transient unit with the sandbox of the gateway.

        Raises `OcmError` where the user's bus is not there, over which systemd-run waits for its end.
        """
        from openclaw_ocm.system.machine.lacking import check_bus, check_programs

        check_bus(self.host)
        check_programs()
        paths = self.host.instance(record.name)
        unit = _session_unit(paths.name, secrets.token_hex(4))
        sandbox: tuple[tuple[str, str], ...] = ()
        if record.sealed:
            sandbox = sandbox_directives(policy, systemd_version=self.version)
            program = under_tool_host(paths, record, on_own_terminal(program) if terminal else program)
        directives = (
            *sandbox,
            *limit_directives(record.limits),
            ("Slice", "ocm.slice"),
            ("WorkingDirectory", str(paths.state)),
            ("IgnoreSIGPIPE", "no"),
            ("TimeoutStopSec", "10"),
        )
        properties = (f"--property={key}={value}" for key, value in directives)
        # The manager expands $VARIABLES in the argument vector of every service (systemd.service(5)).
        literal = (word.replace("$", "$$") for word in clean(environ, program))
        argv = (
            *("systemd-run", "--user", "--quiet", "--wait", "--collect", f"--unit={unit}"),
            "--pty" if terminal else "--pipe",
            # Its own choice is the whole command, which would come into the journal.
            f"--description=OCM session in {paths.name}",
            *properties,
            "--",
            *literal,
        )
        if record.isolated:
            argv = uplink_argv(paths, record, "--of-unit", unit, "--", *argv, gateway=False)
        return Session(argv=argv, token=unit)

    def signal_session(self, token: str, number: int) -> None:
        """Send a signal to the program of a session."""
        self._systemctl("kill", "--kill-whom=main", f"--signal={number}", token, check=False)

    def foreground_argv(self) -> None:
        """Return nothing: the machine itself runs the user manager."""

    def log(
        self, name: InstanceName, *, lines: int | None, follow: bool, since: float | None
    ) -> Iterator[Entry]:
        """Yield what the gateway said, oldest first; with `follow` without an end."""
        from openclaw_ocm.backends.systemd.reading import read_log

        return read_log(self.host, name, lines=lines, follow=follow, since=since)

    def _show(self, *arguments: str) -> str:
        printed = show(self.host, *arguments)
        if printed is None:
            raise self._no_manager()
        return printed

    def _systemctl(self, *arguments: str, check: bool = True) -> Completed:
        command = Command(argv=(*_SYSTEMCTL, *arguments), timeout_seconds=_QUERY_SECONDS)
        return self.host.runner.run(command, check=check)

    def _change(self, *arguments: str, check: bool = True) -> None:
        command = Command(argv=(*_SYSTEMCTL, *arguments), timeout_seconds=_CHANGE_SECONDS)
        self.host.runner.run(command, check=check)

    def _no_manager(self) -> OcmError:
        user = self.host.user
        return OcmError(
            f"no systemd user manager answers for {user}",
            hint=f"log in as {user} over ssh, or run: sudo {linger_line(user)}",
            code="no_user_manager",
        )


def _units_in(directory: PurePosixPath) -> tuple[InstanceName, ...]:
    prefix, suffix = places.unit_name(InstanceName("*")).split("*")
    return names_in(directory, prefix=prefix, suffix=suffix)


def _session_unit(name: InstanceName, token: str) -> str:
    # A dot cannot be part of an instance name, so the pattern for w1 never meets a session of w1-a.
    return f"ocm-session.{name}.{token}.service"


def _names_of_sessions(printed: str) -> Iterator[InstanceName]:
    for line in printed.splitlines():
        with contextlib.suppress(Invalid, IndexError):
            yield parse_name(line.split(".")[1])
