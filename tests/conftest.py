"""What all tests share: how Hypothesis searches, and what is told of a test at the end of a run."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from tests.report import note

# The machine may be busy, so no example has a deadline; what failed once becomes a test of its own.
THOROUGH = hypothesis.settings(deadline=None, database=None)
hypothesis.settings.register_profile("thorough", THOROUGH)
hypothesis.settings.register_profile("ocm", THOROUGH, max_examples=25)
hypothesis.settings.load_profile("ocm")


@pytest.fixture(autouse=True)
def _no_network_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no test depend on what this machine happens to have: networks are in the machine tests."""
    from openclaw_ocm.system import uplinks

    # No package brings it, which a test could install.
    monkeypatch.setattr(uplinks, "_PACKAGES", {})
    monkeypatch.setattr(uplinks, "_TUN", "/nonexistent/tun")


@pytest.fixture(autouse=True)
def _no_openclaw_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no test find services and variables of the machine that it runs on."""
    from openclaw_ocm.operations.planning import offers
    from openclaw_ocm.system.openclaw import services, whereabouts

    monkeypatch.setattr(services, "SYSTEM", ())
    monkeypatch.setattr(services, "USER", ())
    monkeypatch.setattr(whereabouts, "ENVIRONMENT_D", ())
    monkeypatch.setattr(offers, "_SYSTEMS", Path("/nonexistent/environment"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return  # each process has a report of its own, and the first of them one of all
    reports = (one for those in terminalreporter.stats.values() for one in those)
    timed = (one for one in reports if isinstance(one, pytest.TestReport))
    note("durations", (f"{one.duration} {one.when:8} {one.location[0]}::{one.location[2]}" for one in timed))
