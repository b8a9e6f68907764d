"""What the program says that copies databases: it runs where an instance may have it say anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openclaw_ocm.core.backup.copying import parse_answer, parse_plugins
from openclaw_ocm.core.backup.layout import MAX_PLUGINS

DISCORD = {
    "name": "discord",
    "package": "@openclaw/discord",
    "version": "2026.9.6",
    "path": "npm/projects/openclaw-discord-c0892df945/node_modules/@openclaw/discord",
}


def test_a_copy_lies_in_a_file_of_its_own_or_in_a_place_among_others() -> None:
    alone, among = (
        parse_answer(json.dumps({"index": 1, "problem": None, "place": place}), 2)
        for place in (None, [4096, 8192])
    )
    assert alone is not None
    assert (alone.name, alone.place) == ("1", None)
    assert among is not None
    assert (among.name, among.place) == ("small", (4096, 8192))


@pytest.mark.parametrize("place", [[-1, 1], [0, -1], [0], [0, 1, 2], [0.5, 1], ["0", 1], [0, 2**44 + 1], {}])
def test_a_place_that_cannot_be_counts_for_nothing(place: Any) -> None:  # noqa: ANN401 - what JSON holds
    assert parse_answer(json.dumps({"index": 0, "problem": None, "place": place}), 1) is None


def test_plugins_are_told_as_openclaw_recorded_them() -> None:
    (found,) = parse_plugins(json.dumps({"plugins": [DISCORD]}))
    assert (found.name, found.package, found.version) == ("discord", "@openclaw/discord", "2026.9.6")


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../../.ssh"},
        {"path": "/etc"},
        {"path": ""},
        {"path": "a\nb"},
        {"path": None},
        {"package": "--force"},
        {"package": "a; rm"},
        {"package": None},
        {"name": "a\x1b[2J"},
        {"version": "1 2"},
    ],
)
def test_what_is_said_of_a_plugin_and_cannot_be_counts_for_nothing(change: dict[str, Any]) -> None:
    told = {"plugins": [{**DISCORD, **change}, DISCORD]}
    assert [one.path for one in parse_plugins(json.dumps(told))] == [DISCORD["path"]]


@pytest.mark.parametrize("line", ["", "{}", '{"plugins": {}}', '{"index": 0}', "[" * 100_000])
def test_a_line_that_tells_of_none_is_none(line: str) -> None:
    assert parse_plugins(line) == ()


def test_there_is_an_end_to_plugins() -> None:
    assert len(parse_plugins(json.dumps({"plugins": [DISCORD] * (MAX_PLUGINS + 1)}))) == MAX_PLUGINS
