"""Scheduled backups and upgrades under supervisord, in which a plug-in of OCM's keeps the time (`jobs`)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.backends.definition import Definition
from openclaw_ocm.backends.protocol import is_ours, scheduled_argv
from openclaw_ocm.backends.supervisord import places
from openclaw_ocm.backends.supervisord.daemon import Daemon
from openclaw_ocm.backends.supervisord.jobs import log_file, stamp_file
from openclaw_ocm.backends.supervisord.program import render_schedule
from openclaw_ocm.core.backup.schedule import Timer, dues, parse_rule
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.names import names_in

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.purpose import Purpose
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, kw_only=True)
class SupervisordTimers:
    """What the supervisord of `host` does at its times, for one purpose."""

    host: Host
    purpose: Purpose

    def check(self, every: str) -> None:
        """Raise `Invalid` for a time that the plug-in does not understand."""
        parse_rule(every)

    def dues(self, every: str, after: float, count: int) -> tuple[float, ...]:
        """Return the next moments after `after`."""
        return dues(parse_rule(every), after, local_zone(), count)

    def definitions(self, name: InstanceName, every: str) -> tuple[Definition, ...]:
        """Return what tells the plug-in when to run which command."""
        text = render_schedule(every, scheduled_argv(self.host, name, self.purpose), self.purpose)
        return (Definition(path=places.schedule(self.host.instance(name), self.purpose), text=text),)

    def set(self, wanted: Mapping[InstanceName, str]) -> None:
        """Write the times, and have them kept, by a supervisord that is started where none runs."""
        if not wanted:
            return
        for name, every in wanted.items():
            for definition in self.definitions(name, every):
                files.write_file(definition.path, definition.text.encode())
        with self._daemon.lock():
            self._daemon.ensure()
        self._daemon.keep_time(self.purpose)

    def clear(self, names: Collection[InstanceName]) -> None:
        """Remove the times of `names`, and all that was kept of their runs."""
        for name in names:
            for path in (places.schedule(self.host.instance(name), self.purpose), *self._kept(name)):
                files.remove_file(path)
        if names:
            # It may have stayed for these times alone: of all instances, or of one that it does not run.
            self._daemon.retire()

    def known(self) -> tuple[InstanceName, ...]:
        """Return the instances whose times OCM wrote."""
        paths = self.host.paths
        return tuple(
            name
            for name in names_in(places.schedules(paths, self.purpose), suffix=".toml")
            if is_ours(places.schedule(paths.instance(name), self.purpose))
        )

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Timer]:
        """Return what the plug-in knows; where it cannot be asked nothing keeps the time."""
        seen: dict[str, Timer] = {}
        if names:
            # An older plug-in, which a supervisord runs that was started by an older OCM, knows no times.
            with contextlib.suppress(OcmError):
                seen = self._daemon.timers(self.purpose)
        return {name: seen.get(name, Timer(active=False)) for name in names}

    @property
    def _daemon(self) -> Daemon:
        return Daemon(host=self.host)

    def _kept(self, name: InstanceName) -> tuple[PurePosixPath, ...]:
        directory = places.timers(self.host.paths, self.purpose)
        return (stamp_file(directory, name), log_file(directory, name))
