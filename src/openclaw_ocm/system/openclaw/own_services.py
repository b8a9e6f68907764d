"""A service of the user's own that runs an OpenClaw: how it is, how it is set aside and brought back."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.adoption.steps import Service
from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.host import user_manager_answers
from openclaw_ocm.system.kept.adopted import UnitFile
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.system.host import Host

_SYSTEMCTL = ("systemctl", "--user")
_ASK_SECONDS = 30.0
_CHANGE_SECONDS = STOP_TIMEOUT_SECONDS + 60.0
_ENABLED = ("enabled", "enabled-runtime")
_DEAD = ("inactive", "failed", "")
_MAX_UNIT, _MAX_DROP_INS = 2**20, 50


def unit_files(host: Host, unit: str) -> tuple[UnitFile, ...]:
    """Return the files of a unit in the directory of the user's own units: itself, and its drop-ins.

    Raises `OcmError` where one is a link, which `systemctl disable` would remove, or cannot be read.
    """
    place = host.paths.units / unit
    drop_ins = sorted(Path(f"{place}.d").glob("*.conf"))[:_MAX_DROP_INS]
    return tuple(_unit_file(path) for path in (Path(place), *drop_ins) if os.path.lexists(path))


def _unit_file(path: Path) -> UnitFile:
    if path.is_symlink():
        message = f"{path} is a link, and could not be brought back as it was"
        raise OcmError(message, hint="put the unit itself in its place", code="adopt_refused")
    data = files.read_own(PurePosixPath(path), limit=_MAX_UNIT + 1) or b""
    if len(data) > _MAX_UNIT:
        raise OcmError(f"{path} is larger than {_MAX_UNIT} bytes", code="adopt_refused")
    return UnitFile(path=str(path), data=data, mode=stat.S_IMODE(path.stat().st_mode))


def observe(host: Host, unit: str) -> tuple[Service, str]:
    """Return how a service of the user's is, and its control group, empty where it runs nothing.

    Without a user manager it is neither enabled nor does it run. Raises `OcmError` where it cannot be asked.
    """
    if not user_manager_answers(host):
        return Service(there=True, enabled=False, runs=False), ""
    argv = (*_SYSTEMCTL, "show", "--property=ActiveState,UnitFileState,ControlGroup", "--", unit)
    printed = host.runner.run(Command(argv=argv, timeout_seconds=_ASK_SECONDS)).stdout
    said = dict(line.split("=", 1) for line in printed.splitlines() if "=" in line)
    runs = said.get("ActiveState", "") not in _DEAD
    enabled = said.get("UnitFileState") in _ENABLED
    return Service(there=True, enabled=enabled, runs=runs), said.get("ControlGroup", "")


def is_in(pid: int, group: str) -> bool:
    """Tell whether a process is in a control group; raises `OSError` where it is gone."""
    lines = Path(f"/proc/{pid}/cgroup").read_text(errors="replace").splitlines()
    own = [line.split(":", 2)[2] for line in lines if line.count(":") > 1]
    return bool(group) and any(path == group or path.startswith(f"{group}/") for path in own)


def bring(host: Host, unit: str, kept: Iterable[UnitFile], wanted: Service) -> None:
    """Have a service of the user's be as it is `wanted`, be it so already in part or in full.

    `kept` are its files, which are written where it is to be there, and removed where it is not.
    """
    unit_file = host.paths.units / unit
    if wanted.there:
        for one in kept:
            files.write_file(PurePosixPath(one.path), one.data, mode=one.mode)
        _change(host, "daemon-reload")
    elif not os.path.lexists(unit_file) and any(True for _one in kept):
        # Its files are gone, and nothing else bears its name.
        _change(host, "daemon-reload")
        _change(host, "stop", unit, check=False)
        return
    if not wanted.runs:
        _change(host, "stop", unit)
    _change(host, "enable" if wanted.enabled else "disable", "--quiet", unit)
    if not wanted.there:
        for one in kept:
            files.remove_file(PurePosixPath(one.path))
            with contextlib.suppress(OSError):
                os.rmdir(f"{unit_file}.d")  # noqa: PTH106 - a pure path
        _change(host, "daemon-reload")
    if wanted.runs:
        _change(host, "reset-failed", unit, check=False)
        _change(host, "start", unit)


def _change(host: Host, *arguments: str, check: bool = True) -> None:
    if user_manager_answers(host):
        command = Command(argv=(*_SYSTEMCTL, *arguments), timeout_seconds=_CHANGE_SECONDS)
        host.runner.run(command, check=check)
