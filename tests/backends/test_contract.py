"""The contract of backends, with the fake and with the real supervisord; with systemd in the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.backends import contract, fake
from tests.backends import home as homes
from tests.backends.contract import CHECKS
from tests.backends.fake import Fake, definitions
from tests.backends.home import make_home
from tests.backends.supervisord import supervised

from openclaw_ocm.backends import registry
from openclaw_ocm.backends.definition import Definition

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.backends.home import Home

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy

    Check = Callable[[Home[Backend]], None]

EVERY_CHECK = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home[Backend]:
    monkeypatch.setitem(registry.BACKENDS, fake.NAME, fake.REGISTERED)
    return make_home(fake.NAME, tmp_path)


@EVERY_CHECK
def test_fake(check: Check, home: Home[Backend]) -> None:
    check(home)


@pytest.mark.slow
@EVERY_CHECK
def test_supervisord(check: Check) -> None:
    with supervised.supervised_home() as made:
        check(made)


def nothing(*_arguments: object, **_options: object) -> tuple[()]:
    return ()


def unsigned(backend: Fake, record: Record, _policy: Policy) -> Definition:
    return Definition(path=definitions(backend.host) / f"{record.name}.gateway", text="gateway\n")


@pytest.mark.parametrize(
    ("method", "broken", "check"),
    [
        ("observe", lambda _backend, _names: {}, contract.names_go_in_and_a_state_for_each_comes_out),
        ("defined", nothing, contract.names_go_in_and_a_state_for_each_comes_out),
        ("definition", unsigned, contract.a_definition_is_signed_and_says_the_same_each_time),
        (
            "definition_path",
            lambda backend, _name: definitions(backend.host),
            contract.a_definition_is_signed_and_says_the_same_each_time,
        ),
        ("stop", nothing, contract.a_gateway_starts_once_and_stops_once),
        ("stop", nothing, contract.a_config_that_is_refused_keeps_a_gateway_down_until_it_is_forgotten),
        ("prove", nothing, contract.what_is_not_up_is_not_proved_and_what_is_not_sealed_need_not_be),
        (
            "ask",
            lambda _backend, _gateways, **_options: {},
            contract.every_gateway_that_is_asked_after_has_an_answer,
        ),
        (
            "lives",
            lambda _backend, _process: True,
            contract.only_of_one_that_lives_is_known_what_it_uses,
        ),
        ("enable", nothing, contract.enabling_starts_nothing_and_disabling_stops_nothing),
        ("disable", nothing, contract.enabling_starts_nothing_and_disabling_stops_nothing),
        ("remove", nothing, contract.what_is_removed_leaves_nothing),
        ("log", nothing, contract.the_log_is_told_oldest_first_and_bounded),
        (
            "_scripted",
            lambda _backend, _name: None,
            contract.one_that_ends_waits_to_be_started_again_and_not_after_a_stop,
        ),
        ("start", nothing, contract.of_one_that_it_never_saw_it_says_so),
    ],
)
def test_a_backend_that_does_not_keep_to_it_is_found(
    method: str,
    broken: Callable[..., object],
    check: Check,
    home: Home[Backend],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Fake, method, broken)
    for module in (contract, homes):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    with pytest.raises((AssertionError, StopIteration)):
        check(home)
