"""Fixtures of the machine tests, and which run where. A machine that cannot boot is an error, no skip."""

from __future__ import annotations

import contextlib
import fcntl
import time
from typing import TYPE_CHECKING, Literal

import pytest
from tests.report import note
from xdist.scheduler import LoadScopeScheduling

from .agents import Agents, agents_in
from .checkout import Ocm, push_checkout
from .gateways import Gateways
from .image import RELEASES
from .machine import Machine
from .nspawn import MachineError, cache_dir

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.cluster.cluster import Cluster
    from xdist.remote import Producer

# Longest first: at the end no process is left alone with much to do.
LONG = (
    *("test_restore", "test_trouble", "test_deploy", "test_docs", "test_recovery", "test_contents"),
    *("test_chats", "test_boxes", "test_ends", "test_schedule", "test_firewall", "test_supervisord"),
)
HOST_NETWORK = ("test_bare", "test_fresh", "test_fresh_fleet")
IN_CLUSTER = "test_pod"
HAS_MACHINE = (Machine, Ocm, Agents)
BEGAN = pytest.StashKey[float]()
TOLD = pytest.StashKey[bool]()
JOURNAL_LINES = 400
TOLD_LINES, LINE_LENGTH = 40, 250
# Those of a module are gone with it: their gateways take memory, and their ports are the host's.
MACHINES: dict[str, Literal["session", "module"]] = {
    "machine": "session",
    "fresh": "module",
    "bare": "module",
    "older": "module",
    "odd": "module",
    "agents": "module",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--release",
        action="append",
        choices=RELEASES,
        help="Debian release to test all in; repeatable (default: the last, others as marked)",
    )
    parser.addoption("--kills", type=int, default=9, help="how often test_kills kills (default: 9)")
    parser.addoption("--stops", type=int, default=3, help="how often test_ends stops each (default: 3)")
    parser.addoption(
        "--open",
        type=int,
        default=40,
        help="for how many seconds test_network keeps a web socket (default: 40)",
    )
    parser.addoption("--seed", type=int, help="when it does (default: another one each time, printed)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.getoption("--release", None) or RELEASES
    for name, scope in MACHINES.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, chosen, indirect=True, scope=scope)


class EachWithItsMachine(LoadScopeScheduling):  # type: ignore[misc]
    """Gives one of several processes all of a module in one release: they share fixtures, and a machine."""

    def _split_scope(self, nodeid: str) -> str:
        module, _, test = nodeid.partition("::")
        # Those on the host's network would only wait for each other.
        if any(name in module for name in HOST_NETWORK):
            return "host"
        if IN_CLUSTER in module:
            return "cluster"
        return " ".join([module, *(one for one in RELEASES if one in test)])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> EachWithItsMachine:
    return EachWithItsMachine(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what one release shows for all, and begin with what takes long."""
    items.sort(key=order)
    if config.getoption("--release", None):
        return
    left_out = [item for item in items if is_shown_elsewhere(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def order(item: pytest.Item) -> tuple[int, int]:
    """Bring the host's network first, then release after release, each with the longest first."""
    release, name = release_of(item), item.path.stem
    if release is None or name in HOST_NETWORK:
        return 0, 0
    return 1 + RELEASES[::-1].index(release), LONG.index(name) if name in LONG else len(LONG)


def is_shown_elsewhere(item: pytest.Item) -> bool:
    """Tell whether what a test shows is shown by a like test, or by the same in another release."""
    if item.get_closest_marker("full"):
        return True
    if item.get_closest_marker("both_releases"):
        return False
    chosen = RELEASES[0 if item.get_closest_marker("first_release") else -1]
    return release_of(item) not in (chosen, None)


def release_of(item: pytest.Item) -> str | None:
    """Return the release that a test boots, None for a test without a machine."""
    parameters = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    return next((str(parameters[name]) for name in MACHINES if name in parameters), None)


@pytest.fixture(scope="session", autouse=True)
def gateways() -> Iterator[Gateways]:
    """Count the gateways of the session, for the report at its end."""
    counting = Gateways()
    counting.start()
    yield counting
    counting.stop()
    note("gateways", [f"{name} {count}" for name, count in counting.started.items()])


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """One booted machine per release, shared by all tests of the session."""
    with Machine.boot(request.param) as booted:
        yield booted


@pytest.fixture(scope="module")
def fresh(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Boot a Debian with systemd, without Node, OpenClaw or bubblewrap, on the host's network."""
    with host_network(), Machine.boot(request.param, kind="fresh", network="host") as booted:
        yield booted


@pytest.fixture(scope="module")
def older(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Boot a machine in which OCM has installed older OpenClaws."""
    with Machine.boot(request.param, kind="older") as booted:
        yield booted


@pytest.fixture(scope="module")
def bare(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Start a container: root, Python, git, apt and no more, on the host's network."""
    with host_network(), Machine.boot(request.param, kind="bare", network="host") as started:
        yield started


@pytest.fixture(scope="module")
def odd(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Boot a machine that a module changes in what it has of the system."""
    with Machine.boot(request.param) as booted:
        yield booted


@pytest.fixture(scope="module")
def agents(request: pytest.FixtureRequest) -> Iterator[Agents]:
    """Boot a machine with an agent of each backend that answers once it is started."""
    with agents_in(request.param) as booted:
        yield booted


@contextlib.contextmanager
def host_network() -> Iterator[None]:
    """Have the host's ports for oneself: two machines there would take the same."""
    with (cache_dir() / "host-network.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Give the cluster that all tests of pods share."""
    from tests.cluster.cluster import Cluster

    with Cluster() as made:
        yield made


@pytest.fixture(scope="session")
def ocm(machine: Machine) -> Ocm:
    """`./ocm.py` of the working copy, in the machine."""
    return push_checkout(machine)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[BEGAN] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    given = getattr(item, "funcargs", {}).values() if report.failed else ()
    machines = {
        one if isinstance(one, Machine) else one.machine for one in given if isinstance(one, HAS_MACHINE)
    }
    for machine in machines:
        text = journal(machine, item.stash[BEGAN])
        report.sections.append((f"journal of {machine.name}", text))
        # Where the output is cut off, its end is what is left.
        if not item.config.stash.get(TOLD, False):
            item.config.stash[TOLD] = True
            note(
                "first failure",
                [item.nodeid, *(line[:LINE_LENGTH] for line in text.splitlines()[-TOLD_LINES:])],
            )
    return report


def journal(machine: Machine, since: float) -> str:
    try:
        lines = machine.journal(since=since).splitlines()
    except (MachineError, OSError) as error:
        return f"no journal: {error}"
    omitted = [f"... {len(lines) - JOURNAL_LINES} lines before"] if len(lines) > JOURNAL_LINES else []
    return "\n".join([*omitted, *lines[-JOURNAL_LINES:]])
