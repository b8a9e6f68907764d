from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.openclaw.document import parse_config
from openclaw_ocm.core.openclaw.json5 import with_member

if TYPE_CHECKING:
    from random import Random

NAMES = st.sampled_from(["a", "b", "models", "ppq", "x-y", "with space", 'quo"te', "it's", "ü", "a//b", "{"])
TEXTS = st.sampled_from(["", "x", "// no comment", "/*", '"', "'", "\\", "}", "],", "\n", "\u2028", "ü"])
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
COMMENT = re.compile(r"//note\d|/\*note\d\*/")


def parse(text: str) -> dict[str, Any]:
    return parse_config(text.encode(), source="the text")


def gap(random: Random) -> str:
    number = random.randrange(10)
    return random.choice(
        ["", "", " ", "\n  ", f"//note{number}\n", f"/*note{number}*/", f" /*note{number}*/ "]
    )


def as_json5(value: object, random: Random) -> str:
    """Write a value as a person might: comments anywhere, quotes of either kind or none, last commas."""
    if isinstance(value, dict):
        items = [
            gap(random) + key(name, random) + gap(random) + ":" + gap(random) + as_json5(item, random)
            for name, item in value.items()
        ]
        return "{" + listed(items, random) + "}"
    if isinstance(value, list):
        return "[" + listed([gap(random) + as_json5(item, random) for item in value], random) + "]"
    return quoted(value, random) if isinstance(value, str) else json.dumps(value)


def listed(items: list[str], random: Random) -> str:
    last = random.choice(["", ","]) if items else ""
    return ",".join(item + gap(random) for item in items) + last + gap(random)


def key(name: str, random: Random) -> str:
    return name if re.fullmatch(r"[a-z]+", name) and random.random() < 0.5 else quoted(name, random)


def quoted(text: str, random: Random) -> str:
    double = json.dumps(text, ensure_ascii=False)
    if random.random() < 0.5:
        return double
    return "'" + double[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def expected(config: dict[str, Any], path: list[str], value: object) -> tuple[dict[str, Any], bool]:
    """Return what the text should then say, and whether the last name of the path was new."""
    result = copy.deepcopy(config)
    at: Any = result
    for name in path[:-1]:
        at = at.setdefault(name, {})
    new = path[-1] not in at
    at[path[-1]] = value
    return result, new


@given(OBJECTS, st.lists(NAMES, min_size=1, max_size=3), VALUES, st.randoms(use_true_random=False))
def test_one_value_changes_and_every_comment_outside_of_it_stays(
    config: dict[str, Any], path: list[str], value: object, random: Random
) -> None:
    text = as_json5(config, random)
    assert parse(text) == config
    try:
        result, new = expected(config, path, value)
    except (AttributeError, TypeError):
        return  # the path leads through what is no object
    after = with_member(text, path, value)
    assert parse(after) == result
    comments = COMMENT.findall(after)
    assert (comments == COMMENT.findall(text)) if new else set(comments) <= set(COMMENT.findall(text))


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("{}", '{\n  "a": {\n    "b": 1\n  }\n}'),
        ("{a: {b: 2 /* old */, c: 3}}", "{a: {b: 1 /* old */, c: 3}}"),
        (
            "{ // top\n  a: {\n    // why\n    c: 3 // three\n    // end\n  }\n}\n",
            '{ // top\n  a: {\n    // why\n    c: 3, // three\n    // end\n    "b": 1\n  }\n}\n',
        ),
        ("{\n  'a': {\n    c: 3,\n  },\n}", "{\n  'a': {\n    c: 3,\n    \"b\": 1\n  },\n}"),
    ],
)
def test_what_is_new_is_written_where_a_person_would(text: str, after: str) -> None:
    assert with_member(text, ("a", "b"), 1) == after


def test_a_plain_config_is_written_as_openclaw_writes_it() -> None:
    config = {"a": {"x": [1], "b": {"old": [{}]}}, "z": {}}
    value = {"models": [{"id": "m", "cost": {}}], "empty": []}
    after = {**config, "a": {"x": [1], "b": value}}
    assert with_member(json.dumps(config, indent=2), ("a", "b"), value) == json.dumps(after, indent=2)
