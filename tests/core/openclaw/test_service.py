from __future__ import annotations

import pytest

from openclaw_ocm.core.openclaw.service import parse_environment_d, parse_environment_file, parse_service

UNIT = "/etc/one.service"
TEXT = (
    "[Unit]\nDescription=Environment=NO=1\n[Service]\nUser=jane\n; Environment=NO=1\n"
    'Environment=A=1 "B=two words" D=%%h\nEnvironment=C=%h/x\nEnvironmentFile=-%h/one.env\n'
    "ExecStart=-/usr/bin/openclaw --profile main \\\n  gateway --port=18800\n"
)


def test_a_unit_says_command_user_variables_and_files_and_a_drop_in_may_take_them_back() -> None:
    service = parse_service([(UNIT, TEXT)], {"h": "/home/ann"})
    assert (service.place, service.user, service.runs_gateway) == (UNIT, "jane", True)
    assert service.variables == {
        name: (value, UNIT)
        for name, value in {"A": "1", "B": "two words", "D": "%h", "C": "/home/ann/x"}.items()
    }
    assert service.files == ("-/home/ann/one.env",)
    assert (service.option("--profile"), service.option("--port"), service.option("--x")) == (
        "main",
        "18800",
        None,
    )
    drop_in = "[Service]\nEnvironment=\nEnvironment=E=4\nEnvironmentFile=\nExecStart=\nExecStart=/bin/true\n"
    changed = parse_service([(UNIT, TEXT), ("/etc/own.conf", drop_in)], {"h": "/home/ann"})
    assert changed.variables == {"E": ("4", "/etc/own.conf")}
    assert (changed.files, changed.words, changed.runs_gateway) == ((), ("/bin/true",), False)


def test_what_a_unit_says_badly_is_passed_over() -> None:
    text = (
        "Environment=X=1\n[Service]\nEnvironment='A=1\nEnvironmentFile=relative\nEnvironment=B\nExecStart='"
    )
    service = parse_service([("u", text)], {})
    assert (service.variables, service.files, service.words) == ({}, (), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\nB = two words \n", {"A": "1", "B": "two words"}),
        ("# A=1\n; B=2\nC='single # $X'\nD=\"double\"\n", {"C": "single # $X", "D": "double"}),
        ("A=value # no comment\nB=\n", {"A": "value # no comment", "B": ""}),
        ("no assignment\n=1\n1A=2\nA=long\\\ner\r\n", {"A": "longer"}),
    ],
)
def test_a_file_of_variables_is_read_as_systemd_reads_it(text: str, expected: dict[str, str]) -> None:
    assert parse_environment_file(text) == (expected, ())


def test_a_line_with_export_is_none_of_systemds_and_told() -> None:
    assert parse_environment_file('A=1\nexport B="2"\nexport 3\n') == ({"A": "1"}, ("B",))


def test_environment_d_refers_to_what_is_known_and_to_what_stands_above() -> None:
    text = "A=${HOME}/x\nB=$A:${C}:${C:-none}:${A:+some}\nD='${A}'\n"
    assert parse_environment_d(text, {"HOME": "/h"}) == {"A": "/h/x", "B": "/h/x::none:some", "D": "/h/x"}
