from __future__ import annotations

import pytest

from openclaw_ocm.core.openclaw.schemas import (
    Schema,
    Stated,
    newer,
    parse_schemas,
    parse_stated,
    unreadable,
)

STATED = Stated(state=17, agent=21)
END = '["end"]'


@pytest.mark.parametrize(
    "package",
    [
        {},
        {"openclaw": None},
        {"openclaw": {"schemaVersions": [1, 2]}},
        {"openclaw": {"schemaVersions": {"state": 1}}},
        {"openclaw": {"schemaVersions": {"state": True, "agent": 2}}},
        {"openclaw": {"schemaVersions": {"state": -1, "agent": 2}}},
    ],
)
def test_a_package_that_states_no_versions_is_asked_for_none(package: dict[str, object]) -> None:
    assert parse_stated(package) is None


def test_a_package_states_its_versions() -> None:
    assert parse_stated({"openclaw": {"schemaVersions": {"state": 17, "agent": 21}}}) == STATED


@pytest.mark.parametrize(
    "lines",
    [[], ['["state",null,15]'], ["x", END], ["{}", END], ['["agent"]', END], ["[" * 100_000, END]],
    ids=range(6),
)
def test_what_is_not_whole_tells_nothing(lines: list[str]) -> None:
    assert parse_schemas(lines) is None


def test_what_was_printed_inside_is_bounded_and_without_escapes() -> None:
    found = parse_schemas([f'["agent","\\u001b[1m{"a" * 500}","9"]', '["state",null,15]', END, "x"])
    assert found is not None
    assert found[0].version is None
    assert len(found[0].agent or "") == 80
    assert "\x1b" not in (found[0].agent or "")
    assert found[1] == Schema(agent=None, version=15)


def test_one_that_is_newer_is_found_whose_ever_it_is() -> None:
    older = [Schema(agent=None, version=3), Schema(agent="a", version=None)]
    assert newer([*older, Schema(agent=None, version=17), Schema(agent="a", version=21)], STATED) is None
    assert newer([*older, Schema(agent="gone", version=22)], STATED) == Schema(agent="gone", version=22)


@pytest.mark.parametrize("version", [None, 20, 22])
def test_of_agents_in_use_each_database_has_to_be_just_right(version: int | None) -> None:
    found = [Schema(agent=None, version=17), Schema(agent="a", version=version)]
    assert unreadable(found, STATED, {"a"}) == found[1]
    assert unreadable(found, STATED, {"main"}) is None
    assert unreadable([Schema(agent=None, version=version)], STATED, set()) is not None
