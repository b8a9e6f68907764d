from __future__ import annotations

import pytest

from openclaw_ocm.core.openclaw.dotenv import parse_dotenv, parse_unit


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


def test_a_unit_sets_variables_and_names_files_and_a_drop_in_may_take_them_back() -> None:
    unit = '[Service]\nEnvironment=A=1 "B=two words"\nEnvironment=C=%h/x\nEnvironmentFile=-/etc/one.env\n'
    assert parse_unit([unit], "/home/ann") == (
        {"A": "1", "B": "two words", "C": "/home/ann/x"},
        ("/etc/one.env",),
    )
    drop_in = "[Service]\nEnvironment=\nEnvironment=D=4\nEnvironmentFile=\nEnvironmentFile=%h/two.env\n"
    assert parse_unit([unit, drop_in], "/home/ann") == ({"D": "4"}, ("/home/ann/two.env",))


def test_what_a_unit_says_badly_is_passed_over() -> None:
    assert parse_unit(["Environment='A=1\nEnvironmentFile=relative\nEnvironment=B"], "/h") == ({}, ())
