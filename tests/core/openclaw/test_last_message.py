"""When the last message came, from lines that an instance could have written."""

from __future__ import annotations

import pytest

from openclaw_ocm.core.openclaw.last_message import LastMessage, parse_last

NOW = 1_000_000.0


def test_the_newest_of_all_agents_counts() -> None:
    lines = ['["a", 1000]', '["main", 5000]', '["z", null]', '["end"]']
    assert parse_last(lines, now=NOW) == LastMessage(at=5.0)


def test_where_no_agent_has_one_there_is_none() -> None:
    assert parse_last(['["main", null]', '["end"]'], now=NOW) == LastMessage(at=None)
    assert parse_last(['["end"]'], now=NOW) == LastMessage(at=None)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "",
            "{",
            "[" * 100_000,
            '["a"]',
            '["a", false]',
            '["a", true]',
            '["a", -1]',
            '["a", 1.5]',
            "[1, 1]",
        ),
        *('["a", 1000000061000]', '["a", "1"]', '["a", 1, 1]', "null", '["a", 1' + "0" * 5000 + "]"),
    ],
    ids=lambda line: line[:20],
)
def test_what_cannot_be_read_or_is_not_to_be_believed_is_not_known(line: str) -> None:
    assert parse_last(['["main", 5000]', line, '["end"]'], now=NOW) is None


def test_what_is_not_whole_is_not_known() -> None:
    assert parse_last(['["main", 5000]'], now=NOW) is None
