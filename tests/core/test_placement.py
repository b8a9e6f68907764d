"""Where in a cluster an instance is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.placement import Access, Placement
from openclaw_ocm.core.record import Record, Runtime
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.kept.records import encode_record, parse_record

WHOLE = {
    "kubeconfig": "/home/ann/.kube/config",
    "context": "lab",
    "image": "ghcr.io/me/openclaw:2026.9.6",
    "owner": "0123456789abcdef" * 2,
    "owned_by": "ann@laptop",
}


def test_a_record_holds_it_and_is_read_back() -> None:
    placement = Placement(**WHOLE, storage_gib=3, storage_class="fast.ssd")
    record = Record(
        name=parse_name("ada"), port=19001, runtime=Runtime(node="/n", openclaw="/o"), placement=placement
    )
    text = encode_record(record)
    assert "[placement]" in text
    assert parse_record(text, "ada.toml") == record
    assert placement.access == Access("/home/ann/.kube/config", "lab")


def test_one_of_this_machine_has_none() -> None:
    record = Record(name=parse_name("ada"), port=19001, runtime=Runtime(node="/n", openclaw="/o"))
    assert "placement" not in encode_record(record)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kubeconfig", "config"),
        ("kubeconfig", "/a\nb"),
        ("context", ""),
        ("context", "a\x1b[31m"),
        ("image", "openclaw:latest"),
        ("image", "a b:1"),
        ("owner", "ann"),
        ("owner", "A" * 32),
        ("owned_by", "a\nb"),
        ("storage_gib", 0),
        ("storage_class", "Fast"),
        ("storage_class", "-a"),
        ("zone", "a"),
    ],
)
def test_what_no_command_would_have_written_is_refused(field: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**WHOLE, field: value}, Placement)
    record = {"name": "ada", "port": 19001, "runtime": {"node": "/n", "openclaw": "/o"}}
    text = msgspec.toml.encode({**record, "placement": {**WHOLE, field: value}}).decode()
    with pytest.raises(OcmError, match=r"ada\.toml is corrupt"):
        parse_record(text, "ada.toml")
