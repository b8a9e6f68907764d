"""What backends share whose gateways are processes of this machine: who listens in their place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from tests import hosts, samples
from tests.samples import NAME

from openclaw_ocm.backends.local import LocalBackend
from openclaw_ocm.backends.protocol import Observed
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.status import Activity, Answer, Listener, Process
from openclaw_ocm.system import health, listening, processes, uplinks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from openclaw_ocm.core.network import Kind

OTHER = parse_name("worker2")
UP, SERVER, BELOW, STRANGER = 100, 200, 101, 300


class Plain(LocalBackend):
    """One whose sandboxes nothing changes."""

    def violations(self, name: InstanceName, process: Process) -> Iterator[str]:  # noqa: ARG002 - nothing is
        yield from ()


@dataclass(kw_only=True)
class Ports:
    """Who listens, by port, and below which process it was looked for first."""

    heard: dict[int, Listener]
    roots: dict[int, int]

    def listeners(self, ports: Iterable[int], roots: Mapping[int, int]) -> dict[int, Listener]:
        self.roots.update(roots)
        return {port: self.heard[port] for port in ports if port in self.heard}


@pytest.fixture
def backend(tmp_path: Path) -> Plain:
    return Plain(host=hosts.context(tmp_path).host)


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> Ports:
    found = Ports(heard={}, roots={})
    own = {(UP, UP), (BELOW, UP)}
    monkeypatch.setattr(listening, "listeners", found.listeners)
    monkeypatch.setattr(processes, "is_same_or_below", lambda pid, above: (pid, above) in own)
    monkeypatch.setattr(uplinks, "server", lambda _paths: SERVER)
    return found


def gateway(
    name: InstanceName = NAME, *, port: int = 19001, pid: int | None = UP, network: Kind = "shared"
) -> Observed:
    activity = Activity.STOPPED if pid is None else Activity.RUNNING
    process = Process(activity=activity, installed=True, autostart=False, pid=pid)
    return Observed(record=samples.record(name=name, port=port, network=network), process=process)


@pytest.mark.parametrize("pid", [UP, BELOW])
def test_a_gateway_and_what_it_started_are_no_strangers(backend: Plain, ports: Ports, pid: int) -> None:
    """They are looked for first: else what another has open could keep them from being found in time."""
    ports.heard[19001] = Listener(pid=pid, command="node")
    assert backend.strangers([gateway()]) == {}
    assert ports.roots == {19001: UP}


@pytest.mark.parametrize(
    ("pid", "network", "root"), [(UP, "shared", UP), (UP, "own", SERVER), (None, "shared", None)]
)
def test_who_else_listens_is_told(
    backend: Plain, ports: Ports, pid: int | None, network: Kind, root: int | None
) -> None:
    for stranger in (Listener(pid=STRANGER, command="nginx"), Listener(pid=None, command=None)):
        ports.heard[19001] = stranger
        asked = [gateway(pid=pid, network=network), gateway(OTHER, port=19021)]
        assert backend.strangers(asked) == {NAME: stranger}
    assert ports.roots.get(19001) == root


@pytest.mark.parametrize("pid", [UP, None])
@pytest.mark.parametrize("answers", [(None, UP), (UP, None)])
def test_what_serves_a_port_is_no_stranger_while_it_comes_and_goes(
    backend: Plain,
    ports: Ports,
    monkeypatch: pytest.MonkeyPatch,
    pid: int | None,
    answers: tuple[int | None, ...],
) -> None:
    """It may have begun to listen after it was asked for, and be ended as soon as it was heard."""
    ports.heard[19001] = Listener(pid=UP, command="slirp4netns")
    said = iter(answers)
    monkeypatch.setattr(uplinks, "server", lambda _paths: next(said))
    assert backend.strangers([gateway(pid=pid, network="own")]) == {}


def test_gateways_are_asked_on_their_ports_together(backend: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask_all(ports: dict[InstanceName, int], *, deadline_seconds: float) -> dict[InstanceName, Answer]:
        asked.append((ports, deadline_seconds))
        return dict.fromkeys(ports, Answer(ready=True))

    monkeypatch.setattr(health, "ask_all", ask_all)
    answers = backend.ask([gateway(), gateway(OTHER, port=19021)], deadline_seconds=5)
    assert answers == dict.fromkeys((NAME, OTHER), Answer(ready=True))
    assert asked == [({NAME: 19001, OTHER: 19021}, 5)]


def test_whether_one_goes_on_the_kernel_says(backend: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "lives", lambda pid: pid == UP)
    seen = [gateway(pid=pid).process for pid in (UP, STRANGER, None)]
    assert [backend.lives(process) for process in seen] == [True, False, False]


def test_what_a_backend_does_not_count_the_kernel_does(
    backend: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "memory_and_cpu", lambda pid: (pid, 0.5))
    up = gateway().process
    assert backend.use(replace(up, memory_bytes=7, cpu_seconds=1.5)) == (7, 1.5)
    for counted in (up, replace(up, memory_bytes=7), replace(up, cpu_seconds=1.5)):
        assert backend.use(counted) == (UP, 0.5)
    assert backend.use(gateway(pid=None).process) == (None, None)
