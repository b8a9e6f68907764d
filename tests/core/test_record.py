from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.record import (
    MINIMUM_CPUS,
    Keep,
    Limits,
    Record,
    Schedule,
    Settings,
    memory_bytes,
    parse_memory,
    parse_model,
)
from openclaw_ocm.errors import Invalid

GOOD: dict[str, Any] = {
    "version": 1,
    "name": "worker1",
    "port": 19001,
    "runtime": {"node": "/usr/bin/node", "openclaw": "/opt/openclaw"},
}


def decode(**changes: object) -> Record:
    return msgspec.convert({**GOOD, **changes}, type=Record)


def test_a_record_without_optional_fields_gets_the_defaults() -> None:
    record = decode()
    assert (record.autostart, record.docker, record.limits) == (False, False, Limits(tasks=512))
    assert record.expose == ()
    assert record.backups is None


def test_scheduled_backups_keep_something_of_everything_by_default() -> None:
    backups = decode(backups={"every": "Mon 03:00"}).backups
    assert backups == Schedule(every="Mon 03:00", keep=Keep(last=3, daily=7, weekly=4, monthly=6))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": 0},
        {"port": 1023},
        {"port": 65426},
        {"port": "19001"},
        {"port": True},
        {"name": 1},
        {"autostart": "yes"},
        {"backend": ""},
        {"backend": "a/b"},
        {"backend": "systemd\n"},
        {"backend": ["systemd"]},
        {"backups": "daily"},
        {"backups": {}},
        {"backups": {"every": "daily", "keep": {"last": 0, "daily": 0, "weekly": 0, "monthly": 0}}},
        {"backups": {"every": "daily", "keep": {"last": -1}}},
        {"backups": {"every": "daily", "directory": "backups"}},
        {"backups": {"every": "daily\nUnit=x"}},
        {"backups": {"every": "daily%n"}},
        {"backups": {"every": " daily"}},
        {"backups": {"every": "daily", "more": 1}},
        {"expose": "any"},
        {"expose": ["everyone"]},
        {"expose": ["10.0.0.1/8"]},
        {"expose": ["10.0.0.1"]},
        {"expose": ["fd00::/8"]},
        {"expose": ["10.0.0.0/8", "10.0.0.0/8"]},
        {"expose": ["any", "10.0.0.0/8"]},
        {"expose": ["any; true"]},
        {"unknown": 1},
        {"runtime": {"node": "node", "openclaw": "/opt/openclaw"}},
        {"runtime": {"node": "/usr/bin/node\nExecStart=/bin/sh", "openclaw": "/opt/openclaw"}},
        {"runtime": {"node": "/usr/bin/node"}},
        {"runtime": {"node": "/usr/bin/node", "openclaw": "/opt/openclaw", "extra": "x"}},
        {"runtime": {"node": "/" + "a" * 4096, "openclaw": "/opt/openclaw"}},
        {"limits": {"tasks": 63}},
        {"limits": {"tasks": 100_001}},
        {"limits": {"cpus": 0.0}},
        {"limits": {"cpus": -1.0}},
        {"limits": {"cpus": 0.004}},
        {"limits": {"cpus": 1025.0}},
        {"limits": {"cpus": math.inf}},
        {"limits": {"cpus": math.nan}},
        {"limits": {"memory": 2}},
        {"limits": {"memory": "lots"}},
        {"limits": {"memory": "2g"}},
        {"limits": {"memory": "2G\nExecStart=/bin/sh"}},
        {"limits": {"memory": "2G\n"}},
        {"limits": {"memory": "1M"}},
        {"limits": {"memory": "767M"}},
    ],
)
def test_a_record_with_a_field_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(**changes)


def test_a_record_takes_the_limits_that_the_command_line_takes() -> None:
    record = decode(limits={"memory": "1536M", "cpus": MINIMUM_CPUS, "tasks": 64})
    assert record.limits == Limits(memory="1536M", cpus=0.05, tasks=64)


@pytest.mark.parametrize("expose", [[], ["any"], ["10.0.0.0/8"], ["192.168.1.20/32", "10.0.0.0/8"]])
def test_a_record_takes_the_networks_that_the_command_line_writes(expose: list[str]) -> None:
    assert decode(expose=expose).expose == tuple(expose)


@pytest.mark.parametrize("step", [19, 0, -20, 1001])
def test_a_port_step_below_the_window_or_above_a_thousand_is_refused(step: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"port_step": step}, type=Settings)


@pytest.mark.parametrize(
    ("text", "size"), [("768M", 768 * 2**20), ("2G", 2 * 2**30), ("1536M", 1536 * 2**20)]
)
def test_a_memory_size_is_kept_as_written_and_counted_in_binary_units(text: str, size: int) -> None:
    assert parse_memory(text) == text
    assert memory_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "2", "G", "2g", "2GB", "2 G", "-2G", "0G", "02G", "1.5G", "2G\n", "50%", "infinity", "٢G"]
)
def test_what_is_no_memory_size_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no memory size"):
        parse_memory(text)


@pytest.mark.parametrize("text", ["1M", "767M"])
def test_less_memory_than_a_gateway_needs_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=f"^{text} is too little"):
        parse_memory(text)


@given(number=st.integers(768, 9_999_999), unit=st.sampled_from("MG"))
def test_every_memory_size_that_is_taken_can_be_read_from_a_record(number: int, unit: str) -> None:
    assert decode(limits={"memory": parse_memory(f"{number}{unit}")}).limits.memory == f"{number}{unit}"


@pytest.mark.parametrize(
    "text", ["minimax/MiniMax-M2.7", "openrouter/meta/llama-3", "a/b:c", "p.r-o_v/m@1", "fake/fake-1"]
)
def test_a_model_is_a_provider_and_a_model(text: str) -> None:
    assert parse_model(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model",
        "/model",
        "provider/",
        "-p/m",
        "p/m m",
        "p/m\n",
        'p/"m',
        "p/'m",
        "p/m\\",
        "p /m",
        "p/\x1b[1m",
    ],
)
def test_what_is_no_model_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid, match="no model") as caught:
        parse_model(text)
    assert caught.value.hint == "for example minimax/MiniMax-M2.7"
