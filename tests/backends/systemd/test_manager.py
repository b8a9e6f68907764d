"""What is asked of a user manager, where that one does not do all of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from tests.hosts import context

from openclaw_ocm.backends.systemd.manager import Systemd
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.system.runner import Completed, Runner, failure

if TYPE_CHECKING:
    from pathlib import Path

    from openclaw_ocm.system.runner import Command

NAME = parse_name("worker1")


@dataclass(frozen=True, kw_only=True)
class Manager(Runner):
    """Answers as a user manager of systemd 257 that refuses to read its unit files anew."""

    asked: list[str] = field(default_factory=list)

    def run(self, command: Command, *, check: bool = True) -> Completed:
        verb = command.argv[2]
        self.asked.append(verb)
        if verb == "daemon-reload":
            refused = Completed(returncode=1, stdout="", stderr="Refused")
            if check:
                raise failure(command.argv, refused.returncode, refused.stderr)
            return refused
        unit = "Id=openclaw-gateway-worker1.service\nLoadState=loaded\nActiveState=active\nInvocationID=\n"
        printed = {"show": "257\n" if "--value" in command.argv else unit}
        return Completed(returncode=0, stdout=printed.get(verb, ""), stderr="")


@pytest.fixture
def manager(tmp_path: Path) -> Manager:
    return Manager(environ={"HOME": str(tmp_path)})


def test_a_gateway_is_stopped_although_the_manager_reads_nothing_anew(
    tmp_path: Path, manager: Manager
) -> None:
    Systemd(host=replace(context(tmp_path).host, runner=manager)).stop([NAME])
    assert manager.asked[-2:] == ["stop", "reset-failed"]
