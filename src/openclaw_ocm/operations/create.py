"""`ocm create` and `ocm deploy`: an instance from nothing, and on to a proved, answering gateway."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core import ports
from openclaw_ocm.core.environment import checked
from openclaw_ocm.core.models.update import model_note
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.network import allowance, near_places
from openclaw_ocm.core.offers import offer_notes
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.secret_places import expanded
from openclaw_ocm.core.openclaw.settings import provider_addresses, proxy_address, proxy_certificates
from openclaw_ocm.core.record import Limits, Record, Runtime
from openclaw_ocm.core.sandbox.policy import SYSTEM
from openclaw_ocm.core.steps import MakeShell, MakeState, Start, WriteConfig, WriteRecord
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.first_config import first_config
from openclaw_ocm.instances.inheritance import read_inheritance
from openclaw_ocm.instances.instance import instance_of, open_instance
from openclaw_ocm.operations.planning.able import ability, missed, without_installed
from openclaw_ocm.operations.planning.agents import closed_places
from openclaw_ocm.operations.planning.change import allocating, carry_out, locked, make_plan
from openclaw_ocm.operations.planning.guard import guard
from openclaw_ocm.operations.planning.judging import refuse_config
from openclaw_ocm.operations.planning.making import choose_port, refuse_existing, setting_up
from openclaw_ocm.operations.planning.networks import choose_network
from openclaw_ocm.operations.planning.offers import find_offers, read_around, ready_offers
from openclaw_ocm.operations.planning.reach import needed_places, places_by, reached_notes, refuse_hidden
from openclaw_ocm.operations.planning.repair import Effort, ready_in_words, start_steps
from openclaw_ocm.operations.planning.runtimes import runtime_of
from openclaw_ocm.system.host import container_zone
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import encode_record, read_settings
from openclaw_ocm.system.openclaw.runtime import check_runtime
from openclaw_ocm.system.openclaw.versions import place
from openclaw_ocm.system.variables import settled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.inheritance.extract import Inheritance
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.network import Kind
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the user asked for; None is OCM's choice.

    `openclaw` is the version of one that OCM installed, else that of the PATH is run. `planned` is the
    runtime that a dry run takes for there, where it would first be installed; `inherit_from` is where
    providers, models and keys come from, main or an instance, unless `no_inherit`. `spared` are ports that
    others are to have. With `unfinished` the caller gives it more, and tells then what it misses.
    """

    name: InstanceName
    model: str | None = None
    port: int | None = None
    autostart: bool = False
    sealed: bool = True
    network: Kind | None = None
    limits: Limits = field(default_factory=Limits)
    environment: Mapping[str, str] = field(default_factory=dict)
    openclaw: str | None = None
    planned: Runtime | None = None
    inherit_from: InstanceName | None = None
    spared: tuple[int, ...] = ()
    unfinished: bool = False
    no_inherit: bool = False

    @property
    def source(self) -> InstanceName | None:
        """Return where a new instance inherits from, None where it inherits nothing."""
        return None if self.no_inherit else self.inherit_from or MAIN

    @property
    def isolated(self) -> bool:
        """Whether it is to have a network of its own."""
        return self.network not in (None, "shared")


def create(context: Context, wanted: Wanted, *, dry_run: bool) -> Outcome:
    """Make an instance without starting it; nothing where it exists as wanted."""
    with locked(context, wanted.name), contextlib.ExitStack() as until_done:
        worker, had, notes = _found_or_planned(context, wanted, until_done)
        rules = guard(worker.host, before=None, after=worker.record if had else None)
        outcome = carry_out(
            replace(worker.context, inheritance=had.inheritance if had else None),
            make_plan(
                worker.backend,
                "create",
                wanted.name,
                _creation(worker, wanted, rules.steps) if had else [],
            ),
            done=f"created, not started: ocm start {wanted.name}",
            nothing="exists already",
            dry_run=dry_run,
            notes=(*worker.backend.notes(), *notes),
        )
        return rules.told(worker.host, outcome)


def deploy(context: Context, wanted: Wanted, effort: Effort, *, dry_run: bool) -> Outcome:
    """Make an instance where there is none, start it and prove it; a failure leaves no trace."""
    name = wanted.name
    with locked(context, name), contextlib.ExitStack() as until_reserved:
        worker, had, notes = _found_or_planned(context, wanted, until_reserved)
        rules = guard(worker.host, before=None, after=worker.record if had else None)
        if had is None:
            notes, steps = ability(worker).notes, start_steps(worker, effort)
        else:
            steps = [*_creation(worker, wanted, rules.steps), Start(name=name), effort.verify(name)]
        ready = ready_in_words(worker.record)
        outcome = carry_out(
            replace(worker.context, inheritance=had.inheritance if had else None),
            make_plan(worker.backend, "deploy", name, steps),
            done=ready,
            nothing=f"already {ready}",
            dry_run=dry_run,
            keep=effort.keep,
            notes=(*worker.backend.notes(), *notes),
            reserved=until_reserved.close,
        )
        return rules.told(worker.host, without_installed(worker, outcome))


def _found_or_planned(
    context: Context, wanted: Wanted, until_reserved: contextlib.ExitStack
) -> tuple[Instance, _Gathered | None, tuple[str, ...]]:
    """Return the instance that is there, or that is to be: with what it is made of, and what to know of it.

    Of one that is to be nobody else is given the port until `until_reserved` is closed.
    """
    existing = _existing(context, wanted)
    if existing is not None:
        return existing, None, ()
    had = _gathered(context, wanted)
    until_reserved.enter_context(allocating(context))
    worker, told = _planned(context, wanted, had)
    if wanted.planned is None:
        # It was chosen before main was read and judged, which takes seconds.
        check_runtime(worker.record)
    return worker, had, (*_notes(wanted, worker, had.inheritance), *told)


def _existing(context: Context, wanted: Wanted) -> Instance | None:
    """Return the instance, None where there is none; raise `OcmError` where it is otherwise than wanted."""
    if wanted.name not in instance_names(context.host.paths):
        return None
    worker = open_instance(context, wanted.name)
    record = worker.record
    asked = (
        (wanted.port, None, record.port),
        (wanted.limits, Limits(), record.limits),
        (wanted.autostart, False, record.autostart),
        (wanted.sealed, True, record.sealed),
        (context.wanted_backend, None, record.backend),
    )
    if any(want not in (default, have) for want, default, have in asked):
        message = f"{wanted.name} exists already, otherwise than asked for"
        hint = f"its record is {worker.paths.record}; ocm restart takes up a change"
        raise OcmError(message, hint=hint, code="exists")
    if other := [key for key, value in wanted.environment.items() if record.environment.get(key) != value]:
        message = f"{wanted.name} exists already, with another {', '.join(other)}"
        raise OcmError(message, hint=f"ocm env {wanted.name} set KEY=VALUE changes that", code="exists")
    version, paths = wanted.openclaw, context.host.paths
    if version is not None and record.runtime.openclaw != str(place(paths, version)):
        message = f"{wanted.name} exists already, with another OpenClaw"
        hint = f"ocm runtime use {wanted.name} {wanted.openclaw} changes that"
        raise OcmError(message, hint=hint, code="exists")
    if wanted.network not in (None, record.network):
        message = f"{wanted.name} exists already, with another network"
        raise OcmError(
            message, hint=f"ocm network {wanted.name} {wanted.network} changes that", code="exists"
        )
    _refuse_other_source(worker, wanted)
    if wanted.model is not None and wanted.model != model_of(worker):
        message = f"{wanted.name} exists already, with another model"
        hint = f"ocm edit {wanted.name} agents.defaults.model {wanted.model}"
        raise OcmError(message, hint=hint, code="exists")
    return worker


def _refuse_other_source(worker: Instance, wanted: Wanted) -> None:
    """Raise `OcmError` where an instance that exists inherits otherwise than the user says."""
    if not wanted.no_inherit and wanted.inherit_from is None:
        return
    inherited = read_inherited(worker.paths)
    have = None if inherited is None else inherited.source or None
    if have != wanted.source:
        what = f"from {have}" if have else "nothing"
        message = f"{wanted.name} exists already, and inherits {what}"
        option = f"--inherit-from {wanted.source}" if wanted.source else "--no-inherit"
        raise OcmError(message, hint=f"ocm sync {wanted.name} {option} changes that", code="exists")


def model_of(worker: Instance) -> str | None:
    """Return the primary model in an instance's config, None where it has none or cannot be read."""
    model = lookup(worker.config, "agents.defaults.model")
    found = lookup(model, "primary") if isinstance(model, dict) else model
    return found if isinstance(found, str) else None


class _Gathered(NamedTuple):
    """What a new instance is made of, read before it has a port: others need not wait for that."""

    runtime: Runtime
    environment: dict[str, str]
    inheritance: Inheritance | None
    notes: tuple[str, ...]


def _gathered(context: Context, wanted: Wanted) -> _Gathered:
    """Return what an instance is to be made of, its config judged by OpenClaw.

    Raises `OcmError` where the machine cannot run it, where what it inherits cannot be read, or where
    OpenClaw would refuse the config that comes of it.
    """
    if wanted.planned is None:
        context.backend.check(sealed=wanted.sealed)
    runtime = wanted.planned or runtime_of(context.host, wanted.openclaw)
    environment = _environment(context, wanted)
    if wanted.source is None:
        return _Gathered(runtime, environment, None, ())
    found = read_inheritance(context, wanted.source, runtime, wanted.name, environment)
    notes = tuple[str, ...]()
    if wanted.planned is None and found.config:
        # The port is no matter of the config's validity.
        record = Record(
            name=wanted.name, backend=context.backend.name, port=ports.FIRST_PORT, runtime=runtime
        )
        config = first_config(context.host, record, wanted.model, found)
        notes = refuse_config(instance_of(context, record), config, found, trusted=True)
    return _Gathered(runtime, environment, found, notes)


def _planned(context: Context, wanted: Wanted, had: _Gathered) -> tuple[Instance, tuple[str, ...]]:
    """Return the instance that is to be, and what to know of it."""
    runtime, environment, inheritance, notes = had
    network, told = wanted.network or "own", tuple[str, ...]()
    if wanted.planned is None or not wanted.sealed:
        network, told = choose_network(context.host, wanted.name, wanted.network, sealed=wanted.sealed)
    isolated = network != "shared"
    places = needed_places(environment) if isolated else {}
    needed = _needed(wanted, inheritance) if isolated else {}
    known = {*environment, *(inheritance.secrets if inheritance else ())}
    offers = find_offers(context.host, inheritance.around if inheritance else {}, known=known)
    record = Record(
        name=wanted.name,
        backend=context.backend.name,
        sealed=wanted.sealed,
        port=choose_port(
            context.host,
            wanted.port,
            main=inheritance.port if inheritance else None,
            spared=wanted.spared,
        ),
        autostart=wanted.autostart,
        network=network,
        allow=allowance(itertools.chain(*needed.values(), *places.values())),
        runtime=runtime,
        limits=wanted.limits,
        environment=environment,
    )
    opened = (
        *(
            f"it may reach {each}, where {what} is that it inherits"
            for what in needed
            for each in needed[what]
        ),
        *reached_notes(places),
    )
    worker = instance_of(context, record)
    refuse_hidden(worker)
    return worker, (*notes, *told, *opened, *offer_notes(wanted.name, offers))


def _environment(context: Context, wanted: Wanted) -> dict[str, str]:
    """Return the variables of a new instance: of a container its zone, of the settings, and asked for."""
    paths, zone = context.host.paths, container_zone()
    usual = {**({"TZ": zone} if zone else {}), **read_settings(paths).environment}
    return settled(paths, checked({**usual, **wanted.environment}))


def offers_for(context: Context, wanted: Wanted) -> dict[str, str]:
    """Return the variables around main and the machine that a new instance can be given as they are.

    Nothing where OpenClaw is still to be installed, or the instance is there.
    """
    host = context.host
    if wanted.planned is not None or wanted.name in instance_names(host.paths):
        return {}
    package = PurePosixPath(runtime_of(host, wanted.openclaw).openclaw)
    around = read_around(host, package, wanted.source)
    found = find_offers(host, around, known=_environment(context, wanted))
    return ready_offers(host, found)


def _needed(wanted: Wanted, inheritance: Inheritance | None) -> dict[str, tuple[str, ...]]:
    """Return what is near and what is inherited names as the address of a provider, or of its proxy.

    The config of an instance is what that made of it: of another's it opens none.
    """
    if inheritance is None or wanted.source != MAIN:
        return {}
    providers = near_places(provider_addresses(inheritance.config))
    proxy = proxy_address(inheritance.config)
    named = [("the proxy", expanded(proxy, inheritance.secrets))] if proxy else []
    return {"a provider": providers, **places_by(named, providers)}


def _notes(wanted: Wanted, worker: Instance, inheritance: Inheritance | None) -> tuple[str, ...]:
    """Return what to know of what a new instance inherits, may reach and misses, and of its model."""
    notes = () if inheritance is None else (*inheritance.notes, *_unseen_certificates(inheritance))
    if wanted.unfinished:
        return notes
    closed = () if inheritance is None else closed_places(worker.record, inheritance.config)
    return (*notes, *closed, *_misses(wanted, worker, inheritance))


def _misses(wanted: Wanted, worker: Instance, inheritance: Inheritance | None) -> tuple[str, ...]:
    """Return what a new instance misses, or may: its model's provider, a key."""
    providers = lookup(inheritance.config, "models.providers") if inheritance else None
    known = frozenset(providers) if isinstance(providers, dict) else frozenset[str]()
    misses = missed(worker, inheritance, wanted.model, inheritance.notes if inheritance else ())
    return misses or model_note(wanted.name, wanted.model, known)


def _unseen_certificates(inheritance: Inheritance) -> tuple[str, ...]:
    """Return what to know of the certificates of an inherited proxy that lie where no instance sees them."""
    path = proxy_certificates(inheritance.config)
    if path is None or any(PurePosixPath(path).is_relative_to(place) for place in SYSTEM):
        return ()
    mend = "copy it to /usr/local/share, and name that by ocm edit"
    return (f"proxy.tls.caFile is {path}, which no instance sees: {mend}",)


def _creation(worker: Instance, wanted: Wanted, rules: list[Step]) -> list[Step]:
    """Return the steps that make an instance; raise `OcmError` where something stands in the way."""
    paths = worker.paths
    refuse_existing(worker)
    return [
        WriteRecord(path=str(paths.record), text=encode_record(worker.record)),
        MakeState(path=str(paths.state)),
        MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
        WriteConfig(path=str(paths.config), model=wanted.model, inherit=wanted.source),
        *setting_up(worker, rules, autostart=wanted.autostart),
    ]


def check_wanted(wanted: Wanted) -> None:
    """Raise `Invalid` for a port or a network that no such instance may have."""
    if wanted.port is not None and ports.parse_port(wanted.port) == ports.MAIN_PORT:
        message = f"port {ports.MAIN_PORT} belongs to main"
        raise Invalid(message, hint="leave --port out and OCM takes a free one", code="port_invalid")
    if wanted.isolated and not wanted.sealed:
        message = f"--unsealed leaves no sandbox that could have --network {wanted.network}"
        raise Invalid(message, code="usage")
