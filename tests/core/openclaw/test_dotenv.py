from __future__ import annotations

import pytest

from openclaw_ocm.core.openclaw.dotenv import parse_dotenv


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("export A=1", {"A": "1"}),
        (
            "A='single $X'\nB=\"double\\nline\"\nC=`tick`",
            {"A": "single $X", "B": "double\nline", "C": "tick"},
        ),
        ("A=value # a comment\nB='with # in it' # and one\n# C=3\n", {"A": "value", "B": "with # in it"}),
        ("A=\nB=''", {"A": "", "B": ""}),
        ("A: yaml\n", {"A": "yaml"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("no assignment\n=1\nA=1\nA=2", {"A": "2"}),
        ("", {}),
    ],
)
def test_a_dotenv_is_read_as_the_package_dotenv_reads_it(text: str, expected: dict[str, str]) -> None:
    assert parse_dotenv(text) == expected
