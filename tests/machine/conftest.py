"""Fixtures of the machine tests. A machine that cannot boot is an error, never a skip."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import pytest

from .checkout import Ocm, push_checkout
from .image import RELEASES
from .machine import Machine
from .nspawn import MachineError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

BEGAN = pytest.StashKey[float]()
JOURNAL_LINES = 400
# Those of a module are gone with it: their gateways take memory, and their ports are the host's.
MACHINES: dict[str, Literal["session", "module"]] = {
    "machine": "session",
    "fresh": "module",
    "bare": "module",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--release",
        action="append",
        choices=RELEASES,
        help="Debian release to test in; repeatable (default: all)",
    )
    parser.addoption("--kills", type=int, default=9, help="how often test_kills kills (default: 9)")
    parser.addoption("--seed", type=int, help="when it does (default: another one each time, printed)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.getoption("--release", None) or RELEASES
    for name, scope in MACHINES.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, chosen, indirect=True, scope=scope)


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """One booted machine per release, shared by all tests of the session."""
    with Machine.boot(request.param) as booted:
        yield booted


@pytest.fixture(scope="module")
def fresh(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Boot a Debian with systemd, without Node, OpenClaw or bubblewrap, on the host's network."""
    with Machine.boot(request.param, kind="fresh", network="host") as booted:
        yield booted


@pytest.fixture(scope="module")
def bare(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Start a container: root, Python, git, apt and no more, on the host's network."""
    with Machine.boot(request.param, kind="bare", network="host") as started:
        yield started


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
    given = getattr(item, "funcargs", {}).values()
    for machine in given if report.failed else ():
        if isinstance(machine, Machine):
            report.sections.append((f"journal of {machine.name}", journal(machine, item.stash[BEGAN])))
    return report


def journal(machine: Machine, since: float) -> str:
    try:
        lines = machine.journal(since=since).splitlines()
    except (MachineError, OSError) as error:
        return f"no journal: {error}"
    omitted = [f"... {len(lines) - JOURNAL_LINES} lines before"] if len(lines) > JOURNAL_LINES else []
    return "\n".join([*omitted, *lines[-JOURNAL_LINES:]])
