from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.text import counted, printable


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b[?1049hother screen", "other screen"),
        ("\x1b]0;title\x07text", " ]0;title text"),
        ("\x1b]52;c;aGk=\x1b\\copy", " ]52;c;aGk= \\copy"),
        ("\x9b31mred", " 31mred"),
        ("one\ntwo\r\nthree", "one two  three"),
        ("back\x08\x08", "back"),
        ("tab\tstays", "tab\tstays"),
        ("right\u202eto left", "right to left"),
        ("\x00nul", " nul"),
        ("ä日", "ä日"),
        ("trailing  \n", "trailing"),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(message: str, shown: str) -> None:
    assert printable(message) == shown


@given(st.text())
def test_no_text_at_all_brings_an_escape_or_a_second_line_to_the_terminal(raw: str) -> None:
    assert all(character.isprintable() or character == "\t" for character in printable(raw))


@given(st.text(st.characters(categories=["L", "N", "P"])))
def test_plain_text_stays_as_it_is(raw: str) -> None:
    assert printable(raw) == raw


def test_a_line_without_an_end_is_cut() -> None:
    assert len(printable("x" * 1_000_000)) == 4000
    assert printable("abc", limit=2) == "ab"


def test_what_is_counted_is_one_or_many() -> None:
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
