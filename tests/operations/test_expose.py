"""What OCM finds of listeners and rules, with real sockets; UFW itself is in the machine tests."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests import hosts, samples

from openclaw_ocm.core import firewall
from openclaw_ocm.core.firewall import Firewall
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.instances.instance import open_all
from openclaw_ocm.operations.planning import findings
from openclaw_ocm.operations.planning.findings import firewall_findings
from openclaw_ocm.system import ufw
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.kept.records import encode_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.findings import Finding


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return hosts.context(tmp_path)


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def listener(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """Listen on an address and give it, with the port."""
    with socket.socket() as end:
        end.bind((request.param, 0))
        end.listen()
        yield end.getsockname()


def add(context: Context, *, port: int, exposed: tuple[str, ...] = ()) -> Record:
    record = msgspec.structs.replace(samples.record(port=port), expose=exposed)
    path = Path(context.host.instance(record.name).record)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(encode_record(record))
    return record


def found(context: Context) -> tuple[Finding, ...]:
    opened = open_all(context, instance_names(context.host.paths)).instances
    return firewall_findings(context.host, [one.record for one in opened.values()])


def problems(context: Context) -> list[str]:
    return [one.problem for one in found(context) if "listen" in one.problem]


def test_who_listens_where_the_record_does_not_say_so_is_found(
    context: Context, listener: tuple[str, int]
) -> None:
    address, port = listener
    add(context, port=port)
    beyond = f"worker1 is not exposed, but port {port} is listened on at 0.0.0.0"
    assert problems(context) == ([beyond] if address == "0.0.0.0" else [])
    add(context, port=port, exposed=("any",))
    alone = "worker1 is exposed, but listens on the loopback alone"
    assert problems(context) == ([] if address == "0.0.0.0" else [alone])


def test_without_instances_there_is_nothing_to_find(context: Context) -> None:
    assert found(context) == ()


def test_a_corrupt_record_keeps_nothing_from_being_found(context: Context) -> None:
    path = Path(context.host.instance(parse_name("broken")).record)
    path.parent.mkdir(parents=True)
    path.write_text("]")
    assert found(context) == ()


@pytest.mark.parametrize(
    ("there", "docker", "words"),
    [
        (Firewall(installed=False), True, []),
        (Firewall(active=True, rules=()), False, []),
        (Firewall(active=True, rules=()), True, ["ports that Docker publishes pass UFW by"]),
        (Firewall(rules=()), True, ["UFW is inactive"]),
        (Firewall(active=True), False, ["the rules of UFW are unknown: not permitted to look"]),
        (Firewall(active=True, problem="ERROR: x"), False, ["the rules of UFW are unknown: ERROR: x"]),
    ],
)
def test_what_ufw_itself_lacks_is_found(there: Firewall, *, docker: bool, words: list[str]) -> None:
    found = list(findings._findings_of_machine(there, docker=docker))
    assert len(found) == len(words)
    for finding, start in zip(found, words, strict=True):
        assert finding.problem.startswith(start)
        assert finding.mend


def test_an_exposure_that_nothing_limits_is_found() -> None:
    limited = msgspec.structs.replace(samples.record(), expose=("10.0.0.0/8",))
    rules = firewall.wanted_rules(19001, limited.expose)
    text = "".join(f"ufw {rule.describe()} comment 'ocm:worker1'\n" for rule in rules)
    there = Firewall(active=True, rules=firewall.parse_added(text))
    assert list(findings._findings_of_rules(there, limited)) == []
    (found,) = findings._findings_of_rules(Firewall(rules=there.rules), limited)
    assert found.problem == "worker1 is open to more than 10.0.0.0/8: UFW is inactive"
    (absent,) = findings._findings_of_rules(Firewall(installed=False), limited)
    assert absent.problem == "worker1 is open to more than 10.0.0.0/8: UFW is not installed"
    (pending,) = findings._findings_of_rules(Firewall(active=True, rules=()), samples.record())
    assert pending.mend == "sudo ufw prepend deny 19001/tcp comment ocm:worker1"


def test_a_rule_that_may_be_of_another_user_is_not_said_to_be_left_over(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = firewall.parse_added("ufw deny 19101/tcp comment 'ocm:worker1'\n")
    monkeypatch.setattr(ufw, "observe", lambda _host: Firewall(active=True, rules=rules))
    (one,) = found(context)
    assert (one.wrong, one.name) == (False, None)
    assert one.mend is not None
    assert one.mend.startswith("if no other user of this machine has worker1 there: sudo ufw delete")
