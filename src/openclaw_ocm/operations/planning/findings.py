"""Where the firewall, the records and the real listeners differ, and who shares the machine's network."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core import firewall as core
from openclaw_ocm.core.firewall import ANY
from openclaw_ocm.core.sandbox.policy import DOCKER_SOCKET
from openclaw_ocm.core.text import some_of
from openclaw_ocm.operations.planning.guard import in_words
from openclaw_ocm.system import listening, ufw
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.uplinks import no_uplink

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from openclaw_ocm.core.firewall import Firewall
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.system.host import Host

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is `wrong` or just worth knowing of networks, and what mends it; `name` where it is of one."""

    problem: str
    mend: str | None = None
    name: str | None = None
    wrong: bool = False


def firewall_findings(host: Host, records: Collection[Record]) -> tuple[Finding, ...]:
    """Return where the firewall, the records and the real listeners differ, and what UFW does not cover.

    `records` are all that can be read.
    """
    firewall, docker = ufw.observe(host), Path(DOCKER_SOCKET).exists()
    heard = listening.listening_addresses(record.port for record in records)
    return (
        *(_findings_of_machine(firewall, docker=docker) if records else ()),
        *(found for record in records for found in _findings_of_listener(record, heard.get(record.port, ()))),
        *(found for record in records for found in _findings_of_rules(firewall, record)),
        *_left_over(firewall, host, records),
    )


def network_findings(host: Host, records: Iterable[Record]) -> tuple[Finding, ...]:
    """Return which instances share the network of this machine, and what to type for one of their own."""
    shared = [record.name for record in records if record.sealed and not record.isolated]
    lacking = no_uplink(host) if shared else None
    if lacking is not None:
        problem = f"instances share the network of this machine: {lacking.why}"
        return (Finding(problem=problem, mend=lacking.mend),)
    if not shared:
        return ()
    some = some_of(shared, _MOST_NAMED)
    problem = f"in the network of this machine, where they reach what listens: {some}"
    return (Finding(problem=problem, mend=f"ocm network {shared[0]} own"),)


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
        problem = f"{name} is open to more than {in_words(record.expose)}: {reason}"
        yield Finding(name=name, problem=problem, wrong=True)
    elif change.obstacles:
        yield Finding(
            name=name, problem=f"not OCM's, and in the place of a rule of {name}: {change.obstacles[0]}"
        )


def _left_over(firewall: Firewall, host: Host, records: Iterable[Record]) -> Iterator[Finding]:
    known = {(record.name, record.port) for record in records}
    # Whose record cannot be read may well have rules.
    unread = {*instance_names(host.paths)} - {name for name, _port in known}
    for line in firewall.rules or ():
        if line.rule is None or line.instance is None or line.instance in unread:
            continue
        if (line.instance, line.rule.port) not in known:
            typed = core.by_hand(line.instance, core.Change(remove=(line.rule,)))
            problem = f"UFW has a rule for {line.instance}, which you do not have on that port: {line.text}"
            # A comment does not say whose instance it is.
            mend = f"if no other user of this machine has {line.instance} there: {typed}"
            yield Finding(problem=problem, mend=mend)
