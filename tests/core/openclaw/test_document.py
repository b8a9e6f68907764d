from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.openclaw.document import (
    as_object,
    changed_keys,
    format_config,
    lookup,
    parse_config,
    parse_key,
    parse_value,
    with_value,
    without_value,
)
from openclaw_ocm.errors import Invalid, OcmError

PARTS = st.from_regex(r"[A-Za-z0-9_:@/-]{1,8}", fullmatch=True)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map(".".join)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=3)
)
CONFIGS = st.dictionaries(PARTS, VALUES, max_size=4)
SECRET = "s3cret-token"


def parse(text: str | bytes) -> dict[str, Any]:
    return parse_config(text.encode() if isinstance(text, str) else text, source="the config")


@given(CONFIGS)
def test_a_config_comes_back_as_it_was_written(config: dict[str, Any]) -> None:
    assert parse(format_config(config)) == config


def test_json5_is_read_as_openclaw_reads_it() -> None:
    text = "\ufeff// note\n{a: 1, 'b': [0x10, +2, .5,], /* c */ \"c\": {d: 'x\\\ny'},}"
    assert parse(text) == {"a": 1, "b": [16, 2, 0.5], "c": {"d": "xy"}}


def test_the_config_is_written_as_openclaw_writes_it() -> None:
    assert format_config({"ä": {"b": [1]}}) == ('{\n  "ä": {\n    "b": [\n      1\n    ]\n  }\n}\n'.encode())


def test_half_a_surrogate_pair_which_javascript_allows_is_written_as_javascript_writes_it() -> None:
    assert json.loads(format_config({"a": "\ud800x"})) == {"a": "\ud800x"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "}",
        "{a}",
        "{a: 1",
        "nonsense",
        "{a: 'b}",
        "{} {}",
        "{a: 1e}",
        b"\xff\xfe",
        b'{"a": "\xed\xa0\x80"}',
        b"\x00",
        "{\x1b[31m",
    ],
)
def test_what_is_no_json5_is_told_in_one_line(text: str | bytes) -> None:
    with pytest.raises(OcmError, match=r"^the config is not valid JSON5: ") as caught:
        parse(text)
    assert caught.value.code == "config_unreadable"
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("text", ["[]", "1", '"{}"', "null", "true"])
def test_a_config_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(OcmError, match="holds no JSON object"):
        parse(text)


@pytest.mark.parametrize("text", ["[" * 300_000, '{"a":' * 100_000, "{a:" * 101 + "1" + "}" * 101])
def test_a_config_nested_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(OcmError, match="not valid JSON5"):
        parse(text)


def test_a_number_that_could_not_be_written_again_is_refused() -> None:
    with pytest.raises(OcmError, match="thousands of digits"):
        parse_config(b"{a: 0x" + b"f" * 5000 + b"}", source="it")


@pytest.mark.parametrize("tail", ["", "}", "}},", "}}} x", "}}, b"])
def test_what_is_told_of_a_broken_config_holds_nothing_of_what_is_in_it(tail: str) -> None:
    with pytest.raises(OcmError) as caught:
        parse('{"gateway": {"auth": {"token": "' + SECRET + '"' + tail)
    assert SECRET not in str(caught.value)


@given(st.binary())
def test_no_bytes_at_all_raise_anything_but_an_error_for_the_user(data: bytes) -> None:
    try:
        parse(data)
    except OcmError as error:
        assert error.code == "config_unreadable"  # noqa: PT017 - most examples raise, some parse


@given(KEYS)
def test_a_dotted_key_has_its_parts(key: str) -> None:
    assert ".".join(parse_key(key)) == key


@pytest.mark.parametrize(
    "key",
    [
        *("", ".", "a.", ".a", "a..b", "a b", "a\n", "a[0]", "a\x00b", "a" * 201),
        *("__proto__", "a.__proto__.b", "constructor", "a.prototype"),
    ],
)
def test_what_is_no_key_is_refused_and_so_are_those_of_javascript_prototypes(key: str) -> None:
    for change in (parse_key, lambda key: with_value({}, key, 1), lambda key: without_value({}, key)):
        with pytest.raises(Invalid, match="no config key"):
            change(key)


@given(VALUES)
def test_a_json_value_is_what_it_spells(value: object) -> None:
    assert parse_value(json.dumps(value)) == value


@pytest.mark.parametrize(
    "text", ["minimax/MiniMax-M2.7", "NaN", "-Infinity", "", "tru", "{a: 1}", "'x'", "[" * 100_000, "1 2"]
)
def test_text_that_spells_no_json_is_a_string(text: str) -> None:
    assert parse_value(text) == text


@given(config=CONFIGS, key=KEYS, value=VALUES)
def test_a_value_that_was_set_is_there_and_nothing_else_changed(
    config: dict[str, Any], key: str, value: object
) -> None:
    before = copy.deepcopy(config)
    try:
        changed = with_value(config, key, value)
    except Invalid:
        assert any_parent_is_a_value(config, key)
        return
    assert config == before
    assert lookup(changed, key) == value
    assert without_value(changed, key) == without_value(with_value(config, key, None), key)
    assert all(
        found == key or found.startswith(f"{key}.") or key.startswith(f"{found}.")
        for found in changed_keys(config, changed)
    )


@given(config=CONFIGS, key=KEYS)
def test_a_value_that_was_removed_is_gone_and_nothing_else_changed(config: dict[str, Any], key: str) -> None:
    before = copy.deepcopy(config)
    changed = without_value(config, key)
    assert config == before
    assert lookup(changed, key) is None
    if lookup(before, key) is None and key not in changed_keys(before, changed):
        assert changed == before
    else:
        assert with_value(changed, key, lookup(before, key)) == before


def any_parent_is_a_value(config: dict[str, Any], key: str) -> bool:
    parts = key.split(".")
    parents = (".".join(parts[:count]) for count in range(1, len(parts)))
    # An explicit null is a value too, though `lookup` cannot tell it from nothing.
    return any(not isinstance(lookup(config, parent), dict) for parent in parents)


def test_setting_below_a_value_is_refused() -> None:
    with pytest.raises(Invalid, match=r"^a\.b\.c cannot be set: b holds a value, not an object"):
        with_value({"a": {"b": 1}}, "a.b.c", 2)


def test_missing_objects_are_made_on_the_way() -> None:
    assert with_value({}, "a.b.c", 1) == {"a": {"b": {"c": 1}}}


@pytest.mark.parametrize("config", [{}, {"a": 1}, {"a": None}, {"a": [1]}, {"a": {}}])
def test_removing_what_is_not_there_changes_nothing(config: dict[str, Any]) -> None:
    assert without_value(config, "a.b.c") == config


@given(CONFIGS)
def test_a_config_does_not_differ_from_itself(config: dict[str, Any]) -> None:
    assert changed_keys(config, copy.deepcopy(config)) == ()


@given(CONFIGS, CONFIGS)
def test_two_configs_that_differ_have_a_changed_key_and_that_both_ways(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert bool(changed_keys(one, other)) == (one != other)
    assert set(changed_keys(one, other)) == set(changed_keys(other, one))


def test_changed_keys_are_as_deep_as_the_objects_on_both_sides() -> None:
    before = {"a": {"b": 1, "c": 2}, "d": {"e": 1}, "f": None}
    after = {"a": {"b": 1, "c": 3}, "d": 4, "g": None}
    assert set(changed_keys(before, after)) == {"a.c", "d", "f", "g"}


def test_looking_up_a_key_never_fails() -> None:
    tree = {"a": {"b": [1]}, "c": None}
    assert lookup(tree, "a.b") == [1]
    for key in ("x", "a.x", "a.b.0", "a.b.c.d", "c.d", ""):
        assert lookup(tree, key) is None


@pytest.mark.parametrize("value", [None, [], "text", 0, True])
def test_what_is_no_object_is_an_empty_one(value: object) -> None:
    assert as_object(value) == {}
    assert as_object({"a": value}) == {"a": value}
