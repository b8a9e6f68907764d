"""What a machine lacks is brought, as the backend that is to keep the instances asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.backends.fake import Fake
from tests.operations.kept import NAME

from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core.needs import InstallNode, Need, Presence, Progress
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations import setup as module
from openclaw_ocm.operations.setup import bring, look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.operations.kept import Kept

    from openclaw_ocm.core.needs import Install
    from openclaw_ocm.operations.setup import Setup
    from openclaw_ocm.system.host import Host


def states(setup: Setup) -> dict[str, Presence]:
    return {finding.what: finding.state for finding in setup.findings}


def test_a_machine_with_node_and_openclaw_has_all_that_the_fake_asks(kept: Kept) -> None:
    setup = look(kept.host)
    found = states(setup)
    assert (found["Node"], found["OpenClaw"]) == (Presence.HAVE, Presence.HAVE)
    assert {found["linger"], found["bubblewrap"]} == {Presence.UNNEEDED}
    assert setup.steps == ()
    setup.check(installing=False)
    kept.create()
    assert setup.runtime == kept.record(NAME).runtime


def test_a_backend_says_itself_what_it_needs(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "needs", frozenset({Need.LINGER}))
    assert states(look(kept.host))["linger"] is not Presence.UNNEEDED
    assert states(look(kept.host, backend="supervisord"))["linger"] is Presence.UNNEEDED
    monkeypatch.setattr(Supervisord, "needs", frozenset())
    assert states(look(kept.host, backend="supervisord"))["bubblewrap"] is Presence.UNNEEDED


def test_a_backend_that_there_is_not_has_no_needs(kept: Kept) -> None:
    with pytest.raises(OcmError, match="there is no backend upstart"):
        look(kept.host, backend="upstart")


def test_what_is_missing_is_brought_step_by_step(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    (kept.home / ".npm-global/bin/node").unlink()
    monkeypatch.setattr("openclaw_ocm.system.openclaw.find._USUAL", (".npm-global/bin",))
    setup = look(kept.host)
    target = f"{kept.home}/.local/share/ocm/node-24.19.0"
    assert setup.steps == (InstallNode(target=target),)
    assert setup.runtime.node == f"{target}/bin/node", "where it will be"
    with pytest.raises(OcmError, match="this machine lacks Node"):
        setup.check(installing=False)
    setup.check(installing=True)
    brought: list[Install] = []

    def install(_host: Host, steps: Iterable[Install], report: Callable[[Progress], None]) -> None:
        brought.extend(steps)
        report(Progress(what="Node", done=1, total=2))

    told: list[Progress] = []
    monkeypatch.setattr(module, "install", install)
    bring(kept.host, setup, told.append)
    assert (brought, told) == (list(setup.steps), [Progress(what="Node", done=1, total=2)])
