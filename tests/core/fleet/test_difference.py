"""What an instance lacks of what a fleet file says is a list in an order in which it can be done."""

from __future__ import annotations

from typing import Any

from openclaw_ocm.core.fleet.difference import Change, Have, differences
from openclaw_ocm.core.fleet.file import Described
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.record import Record, Runtime

RECORD = Record(
    name=parse_name("mira"),
    backend="systemd",
    port=19001,
    runtime=Runtime(node="/node", openclaw="/openclaw"),
)


def changes(described: Described, config: dict[str, Any]) -> tuple[Change, ...]:
    have = Have(
        record=RECORD, version="2026.9.6", running=True, source=None, model=None, config=config, secrets={}
    )
    return differences(described, have, mounts=(), secrets={}, bot=None)


def test_all_of_a_config_is_one_change_before_the_model_whose_provider_it_may_describe() -> None:
    config = {"models.providers.lab": {"baseUrl": "http://lab/v1"}, "tools.deny": ["x"], "tools.web": 1}
    found = changes(Described(model="lab/one", config=config), {"tools": {"web": 1}})
    assert [(one.kind, one.words) for one in found] == [
        ("config", "set models.providers.lab, tools.deny in its config"),
        ("model", "model none -> lab/one"),
    ]
