"""In what an instance differs from its record, on disk and in the eyes of its backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.backends.definition import Standing, compare
from openclaw_ocm.core.openclaw.settings import weakened
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.operations.planning.timers import timer_faults
from openclaw_ocm.system import files
from openclaw_ocm.system.openclaw.runtime import gone
from openclaw_ocm.system.variables import missing_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.instances.instance import Instance


class Drift(NamedTuple):
    """What is otherwise than the record asks for, a word for its kind, and what a person types about it."""

    kind: str
    what: str
    mend: str | None = None

    def __str__(self) -> str:
        """Return it as one line."""
        return self.what if self.mend is None else f"{self.what}: {self.mend}"


def drift(worker: Instance) -> Iterator[Drift]:
    """Yield in what an instance differs from its record, on disk and in the eyes of its backend."""
    name, record, process, paths = worker.name, worker.record, worker.process, worker.paths
    what = gone(record.runtime)
    if what is not None:
        yield Drift("runtime", what, f"ocm runtime use {name}")
    yield from _definition_drift(worker)
    backend = worker.backend.name
    if process.autostart is not record.autostart:
        word = "enable" if record.autostart else "disable"
        what = f"the record and {backend} differ on starting with the machine"
        yield Drift("autostart", what, f"ocm {word} {name} settles it")
    if process.changed_on_disk:
        yield Drift("unread", f"{backend} has not read the definition as it is now", f"ocm restart {name}")
    for override in process.overrides:
        yield Drift("override", f"a drop-in changes the definition: {override}")
    for fault in timer_faults(worker):
        yield Drift("timer", fault, f"ocm start {name} mends it")
    if files.link_target(paths.config_link) != str(paths.config):
        yield Drift("link", f"{paths.config_link} is no longer the link to the config")
    for variable, file in missing_files(record.environment):
        mend = f"put it back, or ocm env {name} unset {variable}"
        yield Drift("variable", f"{variable} names {file}, which is not there", mend)
    try:
        config = worker.read_config()[1]
        for weakness in weakened(config, port=record.port, expose=record.expose):
            yield Drift("config", weakness)
    except (OcmError, OSError) as error:
        yield Drift("config", f"the config cannot be read: {error}")


def _definition_drift(worker: Instance) -> Iterator[Drift]:
    name, wanted = worker.name, worker.definition
    try:
        standing = compare(wanted, files.read_own(wanted.path)).standing
    except UnreadableFile as error:
        yield Drift("unreadable", error.message, "move it away")
        return
    if standing is Standing.MISSING:
        yield Drift("missing", f"the definition {wanted.path} is missing", f"ocm start {name} writes it")
    elif standing is Standing.EDITED:
        mend = f"ocm start {name} --repair writes it anew"
        yield Drift("edited", "the definition was edited by hand", mend)
    elif standing is Standing.OLD:
        yield Drift("old", "the definition is older than the record or this ocm", f"ocm restart {name}")
