from __future__ import annotations

import pytest

from openclaw_ocm.core.openclaw.lost import Since, in_words, linked_anew, parse_since

END = '["end"]'


def test_what_came_is_counted_over_all_agents() -> None:
    assert parse_since(['["a", 2, 1]', '["b", 3, 2]', END, "x"]) == Since(messages=5, sessions=3)
    assert parse_since([END]) == Since(messages=0, sessions=0)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ['["a", 2, 1]'],
        ['["a", null, null]', END],
        ['["a", -1, 1]', END],
        ['["a", 1e300, 1]', END],
        [f'["a", {10**12}, 1]', END],
        ['["a", 1]', END],
        ["x", END],
        ["[" * 100_000, END],
    ],
    ids=range(9),
)
def test_what_is_not_whole_counts_nothing(lines: list[str]) -> None:
    assert parse_since(lines) is None


@pytest.mark.parametrize(
    ("since", "words"),
    [
        (None, "what came since then is lost, and could not be counted"),
        (Since(messages=0, sessions=0), "no message came since then"),
        (Since(messages=1, sessions=1), "1 message in 1 session since then is lost"),
        (Since(messages=7, sessions=2), "7 messages in 2 sessions since then are lost"),
    ],
)
def test_it_is_told_in_words(since: Since | None, words: str) -> None:
    assert in_words(since) == words


def test_channels_whose_logins_change_are_named_where_they_are_on() -> None:
    config = {"channels": {"whatsapp": {}, "signal": {"enabled": False}, "telegram": {}, "matrix": "odd"}}
    found = list(linked_anew(config, "worker1"))
    assert [one.partition(" ")[0] for one in found] == ["WhatsApp", "Matrix"]
    assert found[0].endswith("ocm use worker1 channels login --channel whatsapp")
