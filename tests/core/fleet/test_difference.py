"""What an instance lacks of what a fleet file says is a list in an order in which it can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from openclaw_ocm.core.fleet.difference import Change, Have, differences
from openclaw_ocm.core.fleet.file import Described
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.record import Record, Runtime

if TYPE_CHECKING:
    from openclaw_ocm.core.network import Kind

RECORD = Record(
    name=parse_name("mira"),
    backend="systemd",
    port=19001,
    runtime=Runtime(node="/node", openclaw="/openclaw"),
)


def changes(described: Described, config: dict[str, Any], record: Record = RECORD) -> tuple[Change, ...]:
    have = Have(
        record=record, version="2026.9.6", running=True, source=None, model=None, config=config, secrets={}
    )
    return differences(described, have, mounts=(), secrets={}, bot=None)


def test_all_of_a_config_is_one_change_before_the_model_whose_provider_it_may_describe() -> None:
    config = {"models.providers.lab": {"baseUrl": "http://lab/v1"}, "tools.deny": ["x"], "tools.web": 1}
    found = changes(Described(model="lab/one", config=config), {"tools": {"web": 1}})
    assert [(one.kind, one.words) for one in found] == [
        ("config", "set models.providers.lab, tools.deny in its config"),
        ("model", "model none -> lab/one"),
    ]


@pytest.mark.parametrize(
    ("network", "wanted", "words"),
    [
        ("own", None, ["let it reach 10.0.0.1:80"]),
        ("own", "shared", ["network own -> shared"]),
        ("shared", "own", ["network shared -> own; let it reach 10.0.0.1:80"]),
        ("shared", None, []),
        ("shared", "shared", []),
    ],
)
def test_in_the_network_of_the_machine_nothing_near_has_to_be_opened(
    network: Kind, wanted: Kind | None, words: list[str]
) -> None:
    record = msgspec.structs.replace(RECORD, network=network)
    found = changes(Described(network=wanted, allow=("10.0.0.1:80",)), {}, record)
    assert [one.words for one in found] == words
