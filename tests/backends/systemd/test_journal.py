from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.backends.systemd.journal import parse_entry
from openclaw_ocm.core.log import Entry

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def entry(message: object, **fields: object) -> Entry | None:
    line: dict[str, Any] = {"__REALTIME_TIMESTAMP": "1795348800123456", "MESSAGE": message, **fields}
    return parse_entry(json.dumps(line).encode())


def text(message: object) -> str:
    found = entry(message)
    assert found is not None
    return found.message


def test_an_entry_has_its_time_in_utc_its_source_and_its_message() -> None:
    assert entry("hello") == Entry(time="2026-11-22T12:00:00.123+00:00", source="gateway", message="hello")
    assert entry("Started.", SYSLOG_IDENTIFIER="systemd") == Entry(
        time="2026-11-22T12:00:00.123+00:00", source="systemd", message="Started."
    )
    told = entry("slirp4netns does not start", _SYSTEMD_USER_UNIT="ocm-uplink@w1.service")
    assert told is not None
    assert told.source == "uplink"


def test_what_a_terminal_would_obey_is_taken_out_and_a_line_without_an_end_is_cut() -> None:
    assert text("\x1b[31mred\x1b[0m") == "red"
    assert len(text("x" * 1_000_000)) == 4000


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (list(b"plain"), "plain"),
        (list("ä".encode()), "ä"),
        ([255, 104, 105], "\ufffdhi"),
        ([27, 91, 51, 49, 109, 104, 105], "hi"),
        ([104, 256, -1, "x", None, 105], "hi"),
        ([], ""),
    ],
)
def test_an_array_of_bytes_is_text_too(message: list[object], shown: str) -> None:
    assert text(message) == shown


@pytest.mark.parametrize("message", [None, 5, {"a": 1}, True])
def test_an_entry_whose_message_is_no_text_is_none(message: object) -> None:
    assert entry(message) is None


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"\n", b"nonsense", b"{", b"null", b"[]", b"[1]", b'"text"', b"5", b"{}", b"\xff\xfe\x00"),
        b'{"MESSAGE":"no time"}',
        b'{"MESSAGE":"x","__REALTIME_TIMESTAMP":null}',
        b'{"MESSAGE":"x","__REALTIME_TIMESTAMP":"soon"}',
        b'{"MESSAGE":"x","__REALTIME_TIMESTAMP":Infinity}',
        b'{"MESSAGE":"x","__REALTIME_TIMESTAMP":"' + b"9" * 30 + b'"}',
        b'{"MESSAGE":"x","__REALTIME_TIMESTAMP":"' + b"9" * 5000 + b'"}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_no_entry_is_passed_over(line: bytes) -> None:
    assert parse_entry(line) is None


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_line_at_all_makes_it_fail(line: bytes) -> None:
    assert parse_entry(line) is None


@given(time=JSON, message=JSON, identifier=JSON)
def test_no_value_of_any_field_makes_it_fail(time: object, message: object, identifier: object) -> None:
    fields = {"__REALTIME_TIMESTAMP": time, "MESSAGE": message, "SYSLOG_IDENTIFIER": identifier}
    found = parse_entry(json.dumps(fields).encode())
    assert found is None or found.source in ("gateway", "systemd", "uplink")
