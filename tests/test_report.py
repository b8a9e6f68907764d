"""The report at the end of a run: slowest tests and started gateways, of all parts and processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.machine.gateways import is_gateway
from tests.report import SLOWEST, note, summary

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_slowest_come_first_then_modules_and_gateways_are_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCM_TEST_REPORT", str(tmp_path))
    note("durations", [f"{seconds}.5 call     tests/test_a.py::test_b[{seconds}]" for seconds in range(90)])
    note("durations", ["1000.25 setup    tests/machine/test_a.py::test_b"])
    note("gateways", ["trixie-1f 3", "bookworm-2f 2"])
    note("gateways", ["trixie-3f 4"])
    told = summary(tmp_path)
    assert told[1] == "  1000.2 s  setup    tests/machine/test_a.py::test_b"
    assert told[2] == "    89.5 s  call     tests/test_a.py::test_b[89]"
    assert told[SLOWEST + 2] == "  4050.0 s  tests/test_a.py"
    assert told[SLOWEST + 3] == "  1000.2 s  tests/machine/test_a.py"
    assert len(told) == SLOWEST + 5
    assert told[-1] == "gateways started: 9 (bookworm 2, trixie 7)"


def test_what_failed_first_comes_last_where_a_cut_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCM_TEST_REPORT", str(tmp_path))
    note("first failure", ["tests/machine/test_a.py::test_b", "Nov 27 07:56:52 the gateway ended"])
    assert summary(tmp_path)[-3:] == [
        "first failures",
        "tests/machine/test_a.py::test_b",
        "Nov 27 07:56:52 the gateway ended",
    ]


def test_without_a_directory_nothing_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OCM_TEST_REPORT", raising=False)
    note("gateways", ["trixie-1f 3"])
    assert summary(tmp_path)[-1] == "gateways started: 0"


def argv(line: str) -> list[bytes]:
    return [word.encode() for word in line.split(" ")] + [b""]


def test_a_gateway_is_told_from_what_starts_it_and_from_commands_about_it() -> None:
    for line in (
        "openclaw-gateway",
        "openclaw-gateway-worker1   ",
        "/usr/local/bin/node --x=1 /a/openclaw.mjs --profile w gateway --port 19001",
        "node /usr/local/bin/openclaw gateway",
    ):
        assert is_gateway(argv(line)), line
    for line in (
        "",
        "openclaw",
        "bwrap --unshare-pid /usr/local/bin/node /a/openclaw.mjs --profile w gateway --port 19001",
        "perl /x/with-secrets /run/ocm/secrets.env node /a/openclaw.mjs --profile w gateway --port 19001",
        "node /usr/local/bin/openclaw --profile w gateway status --deep",
        "node /usr/local/bin/openclaw --profile gateway cron list",
        "node /a/openclaw.mjs --profile w agent",
    ):
        assert not is_gateway(argv(line)), line
