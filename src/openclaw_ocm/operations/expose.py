"""`ocm expose` and `ocm unexpose`, and the firewall rules of every instance: who reaches a gateway."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core import firewall as core
from openclaw_ocm.core.firewall import ANY, Firewall
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.settings import BIND, unfit_to_expose, wanted_bind
from openclaw_ocm.core.plan import SetBind, SetRules, Start, Stop
from openclaw_ocm.core.sandbox.policy import DOCKER_SOCKET
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.change import carry_out, changing, make_plan, record_steps
from openclaw_ocm.operations.start import repair_steps
from openclaw_ocm.system import processes, ufw
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import read_record, readable_records
from openclaw_ocm.system.openclaw.config import read_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.core.firewall import Change, Rule
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.operations.start import Effort
    from openclaw_ocm.system.host import Host

_PLAIN = (
    "the gateway speaks plain HTTP: whoever listens on the way can read its token (gateway.tls mends that)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The firewall rules of one instance, as its record had and as it wants them, and UFW as seen."""

    firewall: Firewall
    name: str
    port: int
    have: tuple[Rule, ...]
    want: tuple[Rule, ...]

    @property
    def change(self) -> Change:
        """What is to be done."""
        return core.difference(self.firewall, self.name, self.port, have=self.have, want=self.want)

    @property
    def steps(self) -> list[Step]:
        """The step that does it; none where nothing is to do, or where this user may not."""
        if self.firewall.rules is None or not core.commands(self.name, self.change):
            return []
        have = core.own_rules(self.firewall.rules, self.name, self.port)
        return [SetRules(name=self.name, port=self.port, rules=self.want, previous=have)]

    def told(self, host: Host, outcome: Outcome) -> Outcome:
        """Return the outcome with what the user should know of the rules, as they are now."""
        firewall, change = self.firewall, self.change
        if self.steps and outcome.dry_run:
            change = core.Change(obstacles=change.obstacles)
        elif self.steps:
            # UFW and sudo had the last word.
            firewall = ufw.observe(host)
            change = replace(self, firewall=firewall).change
        said = core.notes(firewall, self.name, change, want=self.want)
        return replace(outcome, notes=(*outcome.notes, *said))


_NO_GUARD = Guard(firewall=Firewall(installed=False), name="", port=0, have=(), want=())


def guard(host: Host, *, before: Record | None, after: Record | None) -> Guard:
    """Return the firewall's part of a change from one record to another; None where there is none."""
    record = after or before
    if record is None:
        return _NO_GUARD
    return Guard(
        firewall=ufw.observe(host),
        name=record.name,
        port=record.port,
        have=() if before is None else core.wanted_rules(before.port, before.expose),
        want=() if after is None else core.wanted_rules(after.port, after.expose),
    )


def rules_in_words(host: Host, record: Record) -> str:
    """Return in one line how the firewall rules of an instance stand."""
    rules = guard(host, before=None, after=record)
    return core.standing(rules.firewall, record.name, rules.change, want=rules.want)


def questions(context: Context, name: InstanceName, sources: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is to be asked before an instance is exposed: where everybody would reach it."""
    record = read_record(context.host.paths, name)
    if record.expose == sources:
        return ()
    if ANY in sources:
        return (
            f"Let every machine that reaches this one reach {name}?",
            "Its token or password will be all that protects it. Are you sure?",
        )
    rules = guard(context.host, before=record, after=msgspec.structs.replace(record, expose=sources))
    reason = core.unlimited(rules.firewall, rules.change)
    if reason is None:
        return ()
    everyone = f"so every machine that reaches this one will reach {name}, not {_words(sources)} alone"
    return (f"{reason}, {everyone}. Expose it?",)


def set_exposure(
    context: Context, name: InstanceName, sources: tuple[str, ...], effort: Effort, *, dry_run: bool
) -> Outcome:
    """Let the networks `sources` and no others reach an instance's gateway, or with none only this machine.

    Sets gateway.bind and the firewall rules together; a running gateway is restarted and proved. Raises
    `OcmError` where OpenClaw would not start so.
    """
    with changing(context, name):
        before = read_record(context.host.paths, name)
        after = msgspec.structs.replace(before, expose=sources)
        config = read_config(context.host.instance(name))[1]
        rules = guard(context.host, before=before, after=after)
        steps = [*rules.steps, *record_steps(context, before, after)]
        bind = _bind_step(config, after)
        if bind is not None:
            steps = _while_stopped(context, before, [*steps, bind], effort)
        state = _state(after)
        plain = sources and steps and lookup(config, "gateway.tls.enabled") is not True
        outcome = carry_out(
            context,
            make_plan(context, "expose" if sources else "unexpose", name, steps),
            done=state,
            nothing=f"already {state}",
            dry_run=dry_run,
            keep=effort.keep,
            notes=(_PLAIN,) if plain else (),
        )
        return rules.told(context.host, outcome)


def _state(record: Record) -> str:
    if not record.expose:
        return "reached from this machine alone"
    return f"exposed to {_words(record.expose)} on port {record.port}"


def _words(sources: tuple[str, ...]) -> str:
    return "every machine" if ANY in sources else ", ".join(sources)


def _bind_step(config: dict[str, Any], record: Record) -> SetBind | None:
    name, bind, wanted = record.name, lookup(config, BIND), wanted_bind(record.expose)
    unfit = unfit_to_expose(config) if record.expose else None
    if unfit is not None:
        message = f"{name} cannot be exposed: {printable(unfit)}"
        raise OcmError(message, hint=f"ocm edit {name} changes it", code="unfit_to_expose")
    previous = bind if isinstance(bind, str) else None
    return None if bind == wanted else SetBind(name=name, bind=wanted, previous=previous)


def _while_stopped(context: Context, record: Record, steps: list[Step], effort: Effort) -> list[Step]:
    """Return steps that change what a gateway listens on, within a stop and a start where it runs.

    So it never listens beyond the loopback before the rules are there, and an undo leaves it as it was.
    """
    name = context.host.paths.named(record.name).name
    if context.backend.observe([name])[name].activity in ("stopped", "failed"):
        return steps
    repair = repair_steps(context, name, record, repair=effort.repair)
    return [*repair, Stop(name=name, ran=True), *steps, Start(name=name), effort.verify(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is `wrong` or just worth knowing of the firewall, and what mends it; `name` where it is of one."""

    problem: str
    mend: str | None = None
    name: str | None = None
    wrong: bool = False


def firewall_findings(context: Context) -> tuple[Finding, ...]:
    """Return where the firewall, the records and the real listeners differ, and what UFW does not cover."""
    records = readable_records(context.host.paths)
    firewall, docker = ufw.observe(context.host), Path(DOCKER_SOCKET).exists()
    heard = processes.listening_addresses(record.port for record in records)
    return (
        *(_findings_of_machine(firewall, docker=docker) if records else ()),
        *(found for record in records for found in _findings_of_listener(record, heard.get(record.port, ()))),
        *(found for record in records for found in _findings_of_rules(firewall, record)),
        *_left_over(firewall, context, records),
    )


def _findings_of_machine(firewall: Firewall, *, docker: bool) -> Iterator[Finding]:
    if not firewall.installed:
        return
    if not firewall.active:
        yield Finding(
            problem=core.INACTIVE, mend="sudo ufw enable, once a rule lets your login in: sudo ufw allow ssh"
        )
    elif docker:
        yield Finding(
            problem="ports that Docker publishes pass UFW by: it has the iptables chain DOCKER for them",
            mend="publish them on the loopback: docker run --publish 127.0.0.1:8080:80",
        )
    if firewall.rules is None:
        reason = firewall.problem or "not permitted to look"
        yield Finding(problem=f"the rules of UFW are unknown: {reason}", mend="sudo ufw show added")


def _findings_of_listener(record: Record, addresses: tuple[str, ...]) -> Iterator[Finding]:
    name, port = record.name, record.port
    beyond = [address for address in addresses if not ipaddress.ip_address(address).is_loopback]
    if beyond and not record.expose:
        problem = f"{name} is not exposed, but port {port} is listened on at {', '.join(beyond)}"
        mend = f"ocm unexpose {name}, or ocm restart {name}"
        yield Finding(name=name, problem=problem, mend=mend, wrong=True)
    if addresses and not beyond and record.expose:
        problem = f"{name} is exposed, but listens on the loopback alone"
        again = " ".join(f"--from {source}" for source in record.expose)
        mend = f"ocm expose {name} {again}, or ocm restart {name}"
        yield Finding(name=name, problem=problem, mend=mend, wrong=True)


def _findings_of_rules(firewall: Firewall, record: Record) -> Iterator[Finding]:
    name, want = record.name, core.wanted_rules(record.port, record.expose)
    change = core.difference(firewall, name, record.port, have=(), want=want)
    typed = core.by_hand(name, change)
    if typed and firewall.rules is not None:
        problem = f"firewall rules of {name} are not as they should be"
        yield Finding(name=name, problem=problem, mend=typed, wrong=True)
    reason = core.unlimited(firewall, change) if record.expose and ANY not in record.expose else None
    if reason is not None:
        problem = f"{name} is open to more than {_words(record.expose)}: {reason}"
        yield Finding(name=name, problem=problem, wrong=True)
    elif change.obstacles:
        yield Finding(
            name=name, problem=f"not OCM's, and in the place of a rule of {name}: {change.obstacles[0]}"
        )


def _left_over(firewall: Firewall, context: Context, records: Iterable[Record]) -> Iterator[Finding]:
    known = {(record.name, record.port) for record in records}
    # Whose record cannot be read may well have rules.
    unread = {*instance_names(context.host.paths)} - {name for name, _port in known}
    for line in firewall.rules or ():
        if line.rule is None or line.instance is None or line.instance in unread:
            continue
        if (line.instance, line.rule.port) not in known:
            typed = core.by_hand(line.instance, core.Change(remove=(line.rule,)))
            problem = f"UFW has a rule of an instance that is not yours or no more: {line.text}"
            yield Finding(problem=problem, mend=typed)
