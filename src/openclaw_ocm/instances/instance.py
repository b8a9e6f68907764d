"""One instance, opened: where it is, what its record says, and what its backend says of it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from openclaw_ocm.backends.protocol import Observed
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose
from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.core.sandbox.shown import with_shown
from openclaw_ocm.errors import OcmError, as_ocm_error
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.named import named_files
from openclaw_ocm.system.openclaw.config import find_config, read_config
from openclaw_ocm.system.private import in_system

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from openclaw_ocm.backends.definition import Definition
    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.names import BackendName, InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.core.status import Process
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.shown import Judged
    from openclaw_ocm.system.volume import Volume


# No slots: the answers are kept in its __dict__.
@dataclass(frozen=True, kw_only=True)
class Instance:
    """An instance as it was when it was opened. Each question is asked once, when its answer is first needed.

    `context` is the host's, with the backend that the record names. `seen` and `seen_timers` are what was
    observed of it together with others.
    """

    context: Context
    paths: InstancePaths
    record: Record
    seen: Process | None = None
    seen_timers: dict[Purpose, Timer] = field(default_factory=dict)

    @property
    def name(self) -> InstanceName:
        """Its name."""
        return self.record.name

    @property
    def host(self) -> Host:
        """The user and the machine whose it is."""
        return self.context.host

    @property
    def backend(self) -> Backend:
        """What keeps its gateway running."""
        return self.context.backend

    @property
    def volume(self) -> Volume:
        """What holds its state."""
        return self.backend.volume(self.name)

    def read_config(self) -> tuple[bytes, dict[str, Any]]:
        """Return its OpenClaw config as it is written now and as data; raises `OcmError` without."""
        return read_config(self.volume, self.name)

    @cached_property
    def process(self) -> Process:
        """What its backend says of its gateway; raises `OcmError` where that does not answer."""
        return self.seen or self.backend.observe([self.name])[self.name]

    @property
    def gateway(self) -> Observed:
        """What its backend is asked about its gateway by; raises as `process` does."""
        return Observed(record=self.record, process=self.process)

    def timer(self, purpose: Purpose) -> Timer:
        """Return what its backend says of its scheduled backups, or upgrades."""
        if purpose not in self.seen_timers:
            self.seen_timers[purpose] = self.backend.timers(purpose).observe([self.name])[self.name]
        return self.seen_timers[purpose]

    @cached_property
    def config(self) -> dict[str, Any]:
        """What its OpenClaw config says, empty where it cannot be read; the instance wrote it."""
        return find_config(self.volume)

    @cached_property
    def policy(self) -> Policy:
        """What it may read, write and reach on this host; of its mounts those that may be shown."""
        return with_shown(self.own_policy, self.judged.mounts) if self.record.mounts else self.own_policy

    @cached_property
    def judged(self) -> Judged:
        """What of the host it is shown by its owner's word, and what keeps it from being shown the rest."""
        from openclaw_ocm.system.shown import Judged, judge

        return judge(self.host, self.record, self.own_policy) if self.record.mounts else Judged((), ())

    @cached_property
    def own_policy(self) -> Policy:
        """What its policy is without what it is shown by its owner's word."""
        private = in_system(self.host)
        return instance_policy(self.paths, self.record, named=named_files(), private=private)

    @cached_property
    def definition(self) -> Definition:
        """The definition that its record asks for."""
        return self.backend.definition(self.record, self.policy)

    def violations(self) -> tuple[str, ...]:
        """Return in words what of its sandbox is not as its policy says; empty when it is proved."""
        return self.backend.prove(self.gateway, self.policy)

    def use(self) -> tuple[int | None, float | None]:
        """Return the memory in bytes and the CPU seconds of its gateway; what is not known is None.

        So it is where its backend answers no more: nobody's use is to cost others their numbers. Raises as
        `process` does.
        """
        process = self.process
        with contextlib.suppress(OcmError):
            return self.backend.use(process)
        return None, None

    def again(self) -> Instance:
        """Return it to be observed anew, after something was done to it."""
        return replace(self, seen=None, seen_timers={})

    def with_record(self, record: Record) -> Instance:
        """Return it as another record of the same name and backend would have it; its gateway is the same."""
        return replace(self, record=record, seen=self.__dict__.get("process", self.seen))


def instance_of(context: Context, record: Record) -> Instance:
    """Return the instance of a record, be it one that is still to be made."""
    return Instance(
        context=context.on(record.backend), paths=context.host.instance(record.name), record=record
    )


def open_instance(context: Context, name: InstanceName) -> Instance:
    """Read the record of an instance; raises `OcmError` where there is none or it is corrupt.

    Who is to change the instance holds its lock meanwhile.
    """
    return instance_of(context, read_record(context.host.paths, name))


class Opened(NamedTuple):
    """Instances by name, and what keeps others from being looked at."""

    instances: Mapping[InstanceName, Instance]
    broken: Mapping[InstanceName, OcmError]


def open_all(context: Context, names: Iterable[InstanceName]) -> Opened:
    """Open instances; one whose record is corrupt keeps nobody from the others."""
    instances: dict[InstanceName, Instance] = {}
    broken: dict[InstanceName, OcmError] = {}
    for name in names:
        try:
            instances[name] = open_instance(context, name)
        except OcmError as error:
            broken[name] = error
    return Opened(instances, broken)


def by_backend(instances: Iterable[Instance]) -> tuple[list[Instance], ...]:
    """Return instances by the backend that they have, in their order."""
    found: dict[BackendName, list[Instance]] = {}
    for one in instances:
        found.setdefault(one.record.backend, []).append(one)
    return tuple(found.values())


def observed(instances: Iterable[Instance]) -> Opened:
    """Return instances as they are observed now: one question to each backend, and one to its timers.

    One whose backend does not answer is among the broken.
    """
    found: dict[InstanceName, Instance] = {}
    broken: dict[InstanceName, OcmError] = {}
    for its in by_backend(instances):
        try:
            found |= {one.name: one for one in _observed(its[0].backend, its)}
        except (OcmError, OSError) as error:
            broken |= dict.fromkeys((one.name for one in its), as_ocm_error(error))
    return Opened(found, broken)


def _observed(backend: Backend, instances: Sequence[Instance]) -> Iterator[Instance]:
    seen = backend.observe([one.name for one in instances])
    timers = {purpose: _timers(backend, instances, purpose) for purpose in OF_INSTANCES}
    for one in instances:
        known = {purpose: its[one.name] for purpose, its in timers.items() if one.name in its}
        yield replace(one, seen=seen[one.name], seen_timers=known)


def _timers(
    backend: Backend, instances: Sequence[Instance], purpose: Purpose
) -> Mapping[InstanceName, Timer]:
    scheduled = [one.name for one in instances if one.record.times(purpose) is not None]
    return backend.timers(purpose).observe(scheduled) if scheduled else {}


class Known(NamedTuple):
    """What is known of an instance; a corrupt record is None."""

    context: Context
    record: Record | None
    process: Process


def known(context: Context, name: InstanceName) -> Known:
    """Return what is known of an instance that is to be stopped or deleted, which needs no readable record.

    Raises `OcmError` where there is no instance of that name, or its backend is one that is not there.
    """
    try:
        worker = open_instance(context, name)
    except OcmError as error:
        if error.code in ("unknown_instance", "unknown_backend"):
            raise
        its = context_of(context, name)
        return Known(its, None, its.backend.observe([name])[name])
    return Known(worker.context, worker.record, worker.process)


def context_of(context: Context, name: InstanceName) -> Context:
    """Return the context of an instance whose record cannot be read: with the backend that knows it.

    Nobody is to be kept from stopping or deleting such an instance.
    """
    for backend in context.backends.values():
        with contextlib.suppress(OcmError):
            if backend.observe([name])[name].installed:
                return context.on(backend.name)
    return context
