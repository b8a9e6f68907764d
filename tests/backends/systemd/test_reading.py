"""Whence the log of a gateway comes where its user may read a journal, or none."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from tests.operations.kept import NAME, keep

from openclaw_ocm.backends.systemd.reading import read_log
from openclaw_ocm.core.needs import Lacking
from openclaw_ocm.errors import CommandFailed, OcmError
from openclaw_ocm.system.machine import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.system.host import Host

WHY = Lacking(why="ann may read no journal", mend="Storage=persistent")
IN_JOURNAL = json.dumps({"__REALTIME_TIMESTAMP": "1795348800123456", "MESSAGE": "from the journal"}).encode()


@dataclass
class Journalctl:
    """Stands in the place of the program, which is another on each machine."""

    printed: list[bytes] = field(default_factory=list)
    fails: bool = False

    def lines(self, argv: tuple[str, ...]) -> Iterator[bytes]:
        assert "--user" not in argv
        yield from self.printed
        if self.fails:
            message = "No journal files were opened due to insufficient permissions."
            raise CommandFailed(message, returncode=1, stderr=message)


@dataclass
class Reading:
    host: Host
    program: Journalctl

    def messages(self, *, follow: bool = False) -> list[str]:
        return [one.message for one in read_log(self.host, NAME, lines=None, follow=follow, since=None)]


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    program = Journalctl()
    host = cast("Host", _HostWith(keep(tmp_path, monkeypatch).host, program))
    return Reading(host, program)


class _HostWith:
    """A host whose programs are run by another."""

    def __init__(self, host: Host, program: Journalctl) -> None:
        self._host, self.runner = host, program

    def __getattr__(self, name: str) -> object:
        return getattr(self._host, name)


def write_own(reading: Reading) -> None:
    place = Path(reading.host.instance(NAME).state, "logs/gateway.log")
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"0": "{}", "1": "from itself", "time": "2026-11-27T19:22:01+00:00"}))


def test_a_journal_that_may_be_read_is_what_is_told(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lacking, "no_journal", lambda _host: None)
    write_own(reading)
    reading.program.printed = [IN_JOURNAL, b"no JSON"]
    assert reading.messages() == ["from the journal"]
    reading.program.printed = []
    assert reading.messages() == []


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("follow", [True, False])
def test_without_one_openclaws_own_log_is_told_and_that_it_is_that(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, *, fails: bool, follow: bool
) -> None:
    monkeypatch.setattr(lacking, "no_journal", lambda _host: WHY)
    reading.program.fails = fails
    with pytest.raises(OcmError, match="ann may read no journal") as caught:
        reading.messages(follow=follow)
    assert (caught.value.code, caught.value.hint) == ("no_journal", "Storage=persistent")
    write_own(reading)
    said, own = reading.messages(follow=follow)
    assert said.startswith(
        "ann may read no journal; so this is what OpenClaw itself wrote into logs/gateway.log"
    )
    assert own == "from itself"


def test_a_journal_that_fails_for_another_reason_says_so(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lacking, "no_journal", lambda _host: None)
    write_own(reading)
    reading.program.fails = True
    with pytest.raises(CommandFailed):
        reading.messages()
