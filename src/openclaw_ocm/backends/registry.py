"""Which backends there are, and which is chosen. Another is a folder, a line here and its documentation."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.names import BackendName
    from openclaw_ocm.core.needs import Machine
    from openclaw_ocm.system.host import Host

# Each by its name in records: the module and the class in it that is the backend of a host.
BACKENDS: dict[BackendName, str] = {
    "systemd": "openclaw_ocm.backends.systemd.manager:Systemd",
    "supervisord": "openclaw_ocm.backends.supervisord.supervisor:Supervisord",
}
# What a machine gets for which nobody chose, by whether its user manager answers.
_WITH_MANAGER, _WITHOUT_MANAGER = "systemd", "supervisord"
CHOICE = f"{_WITH_MANAGER} if left out, {_WITHOUT_MANAGER} without a user manager"


class Backends(Mapping["BackendName", "Backend"]):
    """The backends of a host by name; each is imported and made when it is first asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._made: dict[BackendName, Backend] = {}

    def __getitem__(self, name: BackendName) -> Backend:
        """Return a backend; raises `OcmError` for a name that none has."""
        if name not in self._made:
            self._made[name] = load(name, self._host)
        return self._made[name]

    def __iter__(self) -> Iterator[BackendName]:
        return iter(BACKENDS)

    def __len__(self) -> int:
        return len(BACKENDS)

    def __contains__(self, name: object) -> bool:
        return name in BACKENDS


def load(name: BackendName, host: Host) -> Backend:
    """Return the backend of that name on a host; raises `OcmError` where there is none."""
    from importlib import import_module

    if name not in BACKENDS:
        raise unknown_backend(name)
    module, _, kind = BACKENDS[name].partition(":")
    made: Backend = getattr(import_module(module), kind)(host=host)
    return made


def chosen(host: Host, wanted: BackendName | None) -> BackendName:
    """Return the backend that a new instance gets.

    The one `wanted` by name, else that of the settings, else systemd where a user manager answers, else
    supervisord. Raises `OcmError` where the settings cannot be read or name one that there is not.
    """
    return wanted or _of_settings(host) or of_machine(host).name


def of_machine(host: Host) -> Backend:
    """Return the backend of this machine for which nobody chose: systemd where a user manager answers."""
    found = load(_WITH_MANAGER, host)
    return found if found.answers() else load(_WITHOUT_MANAGER, host)


def to_prepare(host: Host, machine: Machine, wanted: BackendName | None) -> BackendName:
    """Return the backend for which a machine is made ready, `chosen` once that is done.

    Where systemd runs the machine, a user manager is brought to answer rather than bubblewrap installed.
    """
    name = wanted or _of_settings(host)
    return suited(machine) if name is None else name


def suited(machine: Machine) -> BackendName:
    """Return the backend that suits a machine for which nobody chose one."""
    has_manager = machine.manager or (machine.booted and not machine.bubblewrap)
    return _WITH_MANAGER if has_manager else _WITHOUT_MANAGER


def unknown_backend(name: str, source: str = "") -> OcmError:
    """Return the error for a backend that this OCM has not; `source` is what names it."""
    near = get_close_matches(name, BACKENDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"this ocm has {', '.join(BACKENDS)}"
    where = f", which {source} names" if source else ""
    return OcmError(f"there is no backend {name}{where}", hint=hint, code="unknown_backend")


def _of_settings(host: Host) -> BackendName | None:
    from openclaw_ocm.system.kept.records import read_settings

    name = read_settings(host.paths).backend
    if name is not None and name not in BACKENDS:
        raise unknown_backend(name, str(host.paths.settings))
    return name
