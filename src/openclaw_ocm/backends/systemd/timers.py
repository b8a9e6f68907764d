"""Scheduled backups and upgrades by timers of the user manager, which also makes up for what was missed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.backends.definition import Definition
from openclaw_ocm.backends.protocol import is_ours, scheduled_argv
from openclaw_ocm.backends.systemd import places
from openclaw_ocm.backends.systemd.asking import show
from openclaw_ocm.backends.systemd.unit import render_timed, render_timer
from openclaw_ocm.core.backup.schedule import Timer, dues, is_portable, parse_rule
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.errors import Invalid
from openclaw_ocm.system import files
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.names import names_in
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.purpose import Purpose
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.runner import Completed

_SECONDS = 60.0
_PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "NeedDaemonReload", "NextElapseUSecRealtime"),
    *("Result", "ExecMainCode", "ExecMainStatus"),
)
_EXITED = "1"  # CLD_EXITED (sigaction(2))
# With the same moment in local time on the line before, unless that is UTC.
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)? UTC$")
_NOT_ELAPSING = ("Original form:", "Normalized form:")


@dataclass(frozen=True, kw_only=True)
class SystemdTimers:
    """The timers of the user manager of `host`, for one purpose."""

    host: Host
    purpose: Purpose

    def check(self, every: str) -> None:
        """Raise `Invalid` for what systemd takes for no time, or for one that never comes."""
        if not is_portable(every) and not self._elapses(every, None, 1):
            raise _refused(every, "it never comes")

    def dues(self, every: str, after: float, count: int) -> tuple[float, ...]:
        """Return the next moments after `after`, fewer than `count` where the times end."""
        if is_portable(every):
            return dues(parse_rule(every), after, local_zone(), count)
        return self._elapses(every, after, count)

    def definitions(self, name: InstanceName, every: str) -> tuple[Definition, ...]:
        """Return the timer and the service that it starts."""
        paths = self.host.instance(name)
        return (
            Definition(path=places.timer(paths, self.purpose), text=render_timer(name, every, self.purpose)),
            Definition(
                path=places.timed(paths, self.purpose),
                text=render_timed(name, scheduled_argv(self.host, name, self.purpose), self.purpose),
            ),
        )

    def set(self, wanted: Mapping[InstanceName, str]) -> None:
        """Write units, and have the manager start them at their times; the time of the last run stays."""
        if not wanted:
            return
        for name, every in wanted.items():
            for definition in self.definitions(name, every):
                files.write_file(definition.path, definition.text.encode(), mode=0o644)
        units = [places.timer_name(name, self.purpose) for name in wanted]
        self._systemctl("daemon-reload")
        self._systemctl("enable", "--quiet", *units)
        self._systemctl("restart", *units)

    def clear(self, names: Collection[InstanceName]) -> None:
        """End timers and runs that wait, and remove all that is kept of them; nothing where none is known."""
        there = sorted(set(names) & set(self.known()))
        if not there:
            return
        timers = [places.timer_name(name, self.purpose) for name in there]
        services = [places.timed_name(name, self.purpose) for name in there]
        self._systemctl("stop", *timers, *services, check=False)
        # It clears the time of the last run, which a new timer of that name would go by.
        self._systemctl("clean", "--what=state", *timers, check=False)
        for name in there:
            paths = self.host.instance(name)
            for path in (
                self._link(name),
                places.timer(paths, self.purpose),
                places.timed(paths, self.purpose),
            ):
                files.remove_file(path)
        self._systemctl("daemon-reload")
        self._systemctl("reset-failed", *timers, *services, check=False)

    def known(self) -> tuple[InstanceName, ...]:
        """Return the instances of which it has a unit that OCM made, or the link to one that is gone."""
        paths = self.host.paths
        prefix, suffix = places.timer_name(InstanceName("*"), self.purpose).split("*")
        _, service_suffix = places.timed_name(InstanceName("*"), self.purpose).split("*")
        found = [
            *(
                name
                for name in names_in(paths.units, prefix=prefix, suffix=suffix)
                if is_ours(places.timer(paths.instance(name), self.purpose))
            ),
            *(
                name
                for name in names_in(paths.units, prefix=prefix, suffix=service_suffix)
                if is_ours(places.timed(paths.instance(name), self.purpose))
            ),
            *(
                name
                for name in names_in(paths.units / "timers.target.wants", prefix=prefix, suffix=suffix)
                if not Path(places.timer(paths.instance(name), self.purpose)).exists()
            ),
        ]
        return tuple(dict.fromkeys(found))

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Timer]:
        """Return what the manager says of timers and of the runs that they started last."""
        if not names:
            return {}
        units = [
            unit
            for name in names
            for unit in (places.timer_name(name, self.purpose), places.timed_name(name, self.purpose))
        ]
        printed = show(self.host, "--timestamp=unix", f"--property={','.join(_PROPERTIES)}", "--", *units)
        if printed is None:
            return {name: Timer(active=False) for name in names}
        blocks = [
            dict(line.partition("=")[::2] for line in block.splitlines())
            for block in printed.strip().split("\n\n")
        ]
        seen = {block.get("Id", ""): block for block in blocks}
        return {
            name: _timer(
                seen.get(places.timer_name(name, self.purpose), {}),
                seen.get(places.timed_name(name, self.purpose), {}),
                enabled=Path(self._link(name)).exists(),
            )
            for name in names
        }

    def _link(self, name: InstanceName) -> PurePosixPath:
        return self.host.paths.units / "timers.target.wants" / places.timer_name(name, self.purpose)

    def _elapses(self, every: str, after: float | None, count: int) -> tuple[float, ...]:
        base = () if after is None else (f"--base-time=@{int(after)}",)
        argv = ("systemd-analyze", "calendar", f"--iterations={count}", *base, "--", every)
        done = self.host.runner.run(Command(argv=argv, timeout_seconds=_SECONDS), check=False)
        if done.returncode:
            raise _refused(every, "systemd does not understand it")
        found = [
            _MOMENT.search(line.strip())
            for line in done.stdout.splitlines()
            if not line.strip().startswith(_NOT_ELAPSING)
        ]
        return tuple(_seconds(match[1]) for match in found if match)

    def _systemctl(self, *arguments: str, check: bool = True) -> Completed:
        argv = ("systemctl", "--user", *arguments)
        return self.host.runner.run(Command(argv=argv, timeout_seconds=_SECONDS), check=check)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def _timer(timer: Mapping[str, str], service: Mapping[str, str], *, enabled: bool) -> Timer:
    following = timer.get("NextElapseUSecRealtime", "").lstrip("@")
    stale = "yes" in (timer.get("NeedDaemonReload"), service.get("NeedDaemonReload"))
    failure = None
    if service.get("Result", "success") != "success":
        exited = service.get("ExecMainCode") == _EXITED
        word = "exit" if exited else "signal"
        failure = f"it ended with {word} {service.get('ExecMainStatus')} ({service['Result']})"
    return Timer(
        # One that is not enabled would not be there after a restart of the machine.
        active=timer.get("ActiveState") == "active" and enabled,
        next=float(following) if following.isdigit() and int(following) else None,
        stale=stale,
        failure=failure,
    )


def _refused(every: str, why: str) -> Invalid:
    return Invalid(
        f"{every!r} is no time for backups: {why}",
        hint="daily, 03:00, 'Mon 03:00' or what systemd.time(7) calls a calendar event",
        code="schedule_invalid",
    )
