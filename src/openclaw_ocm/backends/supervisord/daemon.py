"""The process of supervisord: started when it is needed, and gone with the last definition."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import openclaw_ocm
from openclaw_ocm.backends.definition import is_edited
from openclaw_ocm.backends.supervisord import places
from openclaw_ocm.backends.supervisord.program import render_daemon
from openclaw_ocm.core.backup.schedule import Timer
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.sandbox.launch import ENV
from openclaw_ocm.core.sandbox.policy import ADDRESS_FAMILIES
from openclaw_ocm.core.status import Activity
from openclaw_ocm.errors import CommandFailed, NotRunning, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.host import ZONE_VARIABLE, container_zone
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import PurePosixPath

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.system.host import Host

_POLL_SECONDS = 0.05
_START_SECONDS = 30.0
_LOCK_SECONDS = 60.0
# -I keeps the caller's directory and variables out of what is imported; the plug-in lies where OCM does.
_MAIN = (
    "import os, sys; os.umask(0o77); sys.path.insert(0, sys.argv.pop(1)); "
    "from supervisor.supervisord import main; main()"
)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What supervisord and the plug-in in it know of a program.

    `pid` is the process that supervisord started; `code` is `restarts.History.code`; `loaded` is the
    fingerprint of the definition that it runs by; `queued` that it waits for its turn to start.
    """

    name: str
    activity: Activity
    restarts: int
    gave_up: bool
    pid: int | None = None
    since: float | None = None
    code: int | None = None
    loaded: str | None = None
    queued: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The supervisord of `host`."""

    host: Host

    def observe(self) -> dict[str, Seen]:
        """Return what is known of each program; raises `NotRunning`, as every call does."""
        found = msgspec.convert(self._call("ocm.observe"), list[Seen])
        return {seen.name: seen for seen in found}

    def gone(self) -> str | None:
        """Return the program or package that it runs by and that is gone, None where all is there.

        It runs on without, but nothing that it starts does: OCM was moved, or the Python that it ran on.
        """
        with contextlib.suppress(OcmError, OSError):
            pid = self._call("supervisor.getPID")
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            return next((word for word in words if word.startswith("/") and not Path(word).exists()), None)
        return None

    def start(self, name: InstanceName) -> None:
        """Have a program started that does not run; raises `CommandFailed` where it cannot be."""
        problem = self._call("ocm.start", name)
        if problem:
            raise CommandFailed(f"supervisord: {problem}", returncode=1, stderr=str(problem))

    def stop(self, name: InstanceName) -> None:
        """Ask a program to stop, and have it forgotten that it failed."""
        self._call("ocm.stop", name)

    def kill(self, name: InstanceName) -> None:
        """Kill a program that is being stopped, with all of its process group."""
        try:
            self._call("ocm.kill", name)
        except NotRunning:
            raise
        except OcmError:
            # Its plug-in is of an older OCM.
            self._call("supervisor.signalProcess", name, "KILL")

    def keep_time(self, purpose: Purpose) -> None:
        """Have it read when scheduled backups, or upgrades, are to be made.

        Raises `OcmError` where its plug-in is of an older OCM, which knows of none.
        """
        try:
            self._call("ocm.look", *_asked_of(purpose))
        except NotRunning:
            raise
        except OcmError as error:
            older = "the supervisord that runs was started by an older ocm"
            raise OcmError(
                f"{older} and makes no scheduled {purpose.plural}",
                hint="stop all instances and supervisord, then start them again",
                code="supervisord_too_old",
                details=(error.message,),
            ) from None

    def timers(self, purpose: Purpose) -> dict[str, Timer]:
        """Return what it does about the scheduled backups, or upgrades, of each instance."""
        found = msgspec.convert(self._call("ocm.timers", *_asked_of(purpose)), list[dict[str, Any]])
        return {timer.pop("name"): msgspec.convert(timer, Timer) for timer in found}

    def take_up(self, names: Collection[InstanceName]) -> None:
        """Have it read the definitions of `names`, but for those that run."""
        if not names:
            return
        added, changed, removed = self._reread()
        known = self.observe()
        for name in names:
            if name in known:
                if known[name].pid is not None:
                    continue
                self._call("supervisor.removeProcessGroup", name)
            if name in {*added, *changed} or (name in known and name not in removed):
                self._call("supervisor.addProcessGroup", name)

    def forget(self, names: Collection[InstanceName]) -> None:
        """Have it forget programs whose definitions are gone, without a look at those of others."""
        if not names:
            return
        known = self.observe()
        for name in names:
            if name in known and known[name].pid is None:
                self._call("supervisor.removeProcessGroup", name)

    def _reread(self) -> tuple[list[str], list[str], list[str]]:
        """Return the programs added, changed and removed; raises `OcmError` for a file that is damaged."""
        try:
            answer = self._call("supervisor.reloadConfig")
        except NotRunning:
            raise
        except OcmError as error:
            for path in sorted(Path(places.programs(self._paths)).glob("*.conf")):
                if is_edited(path.read_text(encoding="utf-8", errors="replace")):
                    raise OcmError(
                        f"supervisord cannot read {path}: {error.message}",
                        hint=f"ocm start {path.stem} --repair writes it anew",
                        code="definition_edited",
                    ) from None
            raise
        return msgspec.convert(answer, list[tuple[list[str], list[str], list[str]]])[0]

    def ensure(self) -> None:
        """Start supervisord unless it runs. The caller holds `lock`."""
        if self._runs():
            return
        self._prepare()
        try:
            self.host.runner.run(Command(argv=self._argv(), timeout_seconds=_START_SECONDS))
        except CommandFailed as error:
            said = tuple(line for line in error.stderr.splitlines() if line.strip())
            raise OcmError(
                "supervisord could not be started",
                hint="ocm start NAME --repair writes the definition of NAME anew",
                code="supervisord_not_started",
                details=said,
            ) from None
        _wait_until(self._runs, "supervisord did not start")

    def retire(self) -> None:
        """End supervisord and remove all that was made for it, if no definition and no time is left to keep.

        One that somebody runs as a program of their own is left alone.
        """
        with self.lock():
            times = (places.schedules(self._paths, purpose) for purpose in Purpose)
            if any(Path(places.programs(self._paths)).glob("*.conf")) or any(map(_has_any, times)):
                return
            with contextlib.suppress(NotRunning):
                if self._call("ocm.is_foreground"):
                    return
                pid = self._call("supervisor.getPID")
                self._call("supervisor.shutdown")
                _wait_until(lambda: not Path(f"/proc/{pid}").exists(), "supervisord did not end")
            for path in (
                places.state(self._paths),
                places.filters(self._paths),
                places.programs(self._paths),
            ):
                files.remove_tree(path)
            files.remove_file(places.config(self._paths))
            with contextlib.suppress(OSError):
                Path(places.outputs(self._paths)).rmdir()
            files.remove_file(self._lock_file)

    def foreground_argv(self) -> tuple[str, ...]:
        """Return the command that is supervisord in the foreground, with all that it needs in its place.

        Raises `OcmError` where one runs already.
        """
        with self.lock():
            if self._runs():
                hint = "ocm list shows what it runs"
                raise OcmError("supervisord runs already", hint=hint, code="running")
            self._prepare()
            return (*self._argv(), "--nodaemon")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other commands from starting, changing and ending supervisord meanwhile."""
        with files.lock(self._lock_file, "supervisord", wait_seconds=_LOCK_SECONDS):
            yield

    @property
    def _paths(self) -> HostPaths:
        return self.host.paths

    @property
    def _socket(self) -> PurePosixPath:
        return places.socket(self._paths)

    @property
    def _lock_file(self) -> PurePosixPath:
        # No instance is named so.
        return self._paths.locks / "@supervisord.lock"

    def _call(self, method: str, *arguments: str) -> object:
        # Here and not above: http.client alone would double what `ocm list` imports.
        from openclaw_ocm.backends.supervisord.rpc import call

        return call(self._socket, method, *arguments)

    def _runs(self) -> bool:
        with contextlib.suppress(NotRunning):
            self._call("supervisor.getState")
            return True
        return False

    def _prepare(self) -> None:
        """Make what supervisord needs: its directories, its config and the filters of sandboxes."""
        text = render_daemon(self._paths, user="root" if self.host.uid == 0 else None)
        for directory in (
            places.programs(self._paths),
            places.state(self._paths),
            places.outputs(self._paths),
        ):
            files.make_directory(directory)
        files.write_file(places.config(self._paths), text.encode())
        from openclaw_ocm.system.seccomp import make_filters

        # Without libseccomp nothing sealed starts, and `check` has said so.
        with contextlib.suppress(OcmError):
            make_filters(places.filters(self._paths), ADDRESS_FAMILIES, hosting=True)

    def _argv(self) -> tuple[str, ...]:
        # Its log is in UTC, and no variable of the caller's reaches it.
        environ = (f"HOME={self._paths.home}", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TZ=UTC")
        zone = container_zone()
        told = (f"{ZONE_VARIABLE}={zone}",) if zone else ()
        source = str(Path(openclaw_ocm.__file__).parents[1])
        config = str(places.config(self._paths))
        return (
            ENV,
            "-i",
            *environ,
            *told,
            sys.executable,
            "-I",
            "-c",
            _MAIN,
            source,
            "--configuration",
            config,
        )


def _has_any(directory: PurePosixPath) -> bool:
    return any(Path(directory).glob("*.toml"))


def _wait_until(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise OcmError(f"{message} within {_START_SECONDS:g} s", code="timeout")
        time.sleep(_POLL_SECONDS)


def _asked_of(purpose: Purpose) -> tuple[str, ...]:
    """Return what the plug-in is asked with; that of an older OCM knows backups alone, and no argument."""
    return () if purpose is Purpose.BACKUP else (purpose.value,)
