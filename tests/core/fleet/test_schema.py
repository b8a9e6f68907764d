"""The JSON Schema takes what the parser takes, and refuses what is wrong by its form."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest

from openclaw_ocm.cli.render.fleet import example_text, schema_text
from openclaw_ocm.core.fleet.parse import parse_fleet
from openclaw_ocm.errors import Invalid

SCHEMA = json.loads(schema_text())
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}
UNDERSTOOD = {
    *("$schema", "$defs", "$ref", "title", "description", "default", "anyOf", "const", "enum", "type"),
    *("pattern", "minLength", "maxLength", "minimum", "maximum", "items", "maxItems", "minItems"),
    *("properties", "required", "additionalProperties", "propertyNames", "minProperties", "maxProperties"),
}


def nodes(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [node for one in below for node in nodes(one)]
    return [value, *found] if isinstance(value, dict) else found


def fits(value: Any, schema: dict[str, Any]) -> bool:  # noqa: ANN401 - any TOML value
    """Tell whether a value is as a schema says, by those words of JSON Schema that this one uses."""
    return (
        ("$ref" not in schema or fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]))
        and ("anyOf" not in schema or any(fits(value, one) for one in schema["anyOf"]))
        and any(value == one and type(value) is type(one) for one in _choices(value, schema))
        and isinstance(value, TYPES[schema["type"]] if "type" in schema else object)
        and not (isinstance(value, bool) and schema.get("type", "boolean") != "boolean")
        and _fits_in(value, schema)
    )


def _choices(value: Any, schema: dict[str, Any]) -> list[Any]:  # noqa: ANN401 - any TOML value
    return schema["enum"] if "enum" in schema else [schema.get("const", value)]


def _fits_in(value: Any, schema: dict[str, Any]) -> bool:  # noqa: ANN401 - any TOML value
    if isinstance(value, str):
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9) and bool(
            re.search(schema.get("pattern", ""), value)
        )
    if isinstance(value, (int, float)):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        within = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
        return within and all(fits(one, schema.get("items", {})) for one in value)
    if isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties", {})
        return (
            set(schema.get("required", ())) <= set(value)
            and schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", 10**9)
            and all(fits(key, schema.get("propertyNames", {})) for key in value)
            and all(
                fits(one, known[key]) if key in known else more is not False and fits(one, more or {})
                for key, one in value.items()
            )
        )
    return True


def taken(text: str) -> bool:
    return fits(msgspec.toml.decode(text), SCHEMA)


def test_nothing_in_it_is_unknown_to_these_tests() -> None:
    tables = [SCHEMA, *SCHEMA["$defs"].values()]
    used = {key for table in tables for node in nodes(table) for key in node}
    fields = {field for table in tables for field in table.get("properties", ())}
    assert used - fields - set(SCHEMA["$defs"]) <= UNDERSTOOD


def test_the_example_fits() -> None:
    assert taken(example_text())
    assert taken("")


def test_patterns_are_those_that_editors_understand() -> None:
    patterns = [node["pattern"] for node in nodes(SCHEMA) if isinstance(node.get("pattern"), str)]
    assert len(patterns) > 5
    assert not [one for one in patterns if "\\A" in one or "\\Z" in one or re.search(r"\(\?[^:]", one)]


def test_each_field_says_what_it_is_for() -> None:
    missing = [
        f"{name}.{field}"
        for name, table in SCHEMA["$defs"].items()
        for field, node in table.get("properties", {}).items()
        if not node.get("description")
    ]
    assert missing == []


@pytest.mark.parametrize(
    "text",
    [
        "instance.a = {}",
        "version = 2",
        "version = true",
        "[instances.a]\nmodle = 'x/y'",
        "[instances.a]\nlimits.memmory = '2G'",
        "[instances.a]\nlimits.memory = '2K'",
        "[instances.a]\nlimits.cpus = 0",
        "[instances.a]\nopenclaw = 'latest'",
        "[instances.a]\nport = 80",
        "[instances.a]\nport = '19001'",
        "[instances.a]\nport = true",
        "[instances.A]",
        "[instances.a]\nbackups = true",
        "[instances.a]\nauto_upgrade = true",
        "[instances.a]\nauto_upgrade = { versions = 'patch', at = '4:30' }",
        "[instances.a]\nbackups = { keep = { last = 1 } }",
        "[instances.a]\ninherit_from = true",
        "[instances.a]\nnetwork = 'host'",
        "[instances.a]\nsecrets.K = 'sk-plain'",
        "[instances.a]\nsecrets.K = {}",
        "[instances.a]\nsecrets.K = { file = 'a', env = 'b' }",
        "[instances.a]\nsecrets.K.command = []",
        "[instances.a]\nchannels.telegram = {}",
        "[instances.a]\nchannels.telegram = { token = { env = 'T' }, allow = ['me'] }",
        "[instances.a]\nmounts = [{ at = '/x' }]",
        "[instances.a]\nmounts = { path = '/x' }",
        "[instances.a]\nenvironment = { A = 3 }",
        "defaults.port = 19001",
        "groups.g.channels = {}",
        "groups.g.groups = []",
        "groups.g.limit = {}",
    ],
)
def test_what_is_wrong_by_its_form_is_refused_by_both(text: str) -> None:
    assert not taken(text)
    with pytest.raises(Invalid):
        parse_fleet(text, home=PurePosixPath("/home/ann"), folder=PurePosixPath("/srv"))
