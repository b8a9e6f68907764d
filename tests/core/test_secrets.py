from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core import secrets
from openclaw_ocm.errors import Invalid, OcmError

PATH = PurePosixPath("/c/secrets/worker1.env")
KEYS = st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True).filter(secrets.is_key)
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.dictionaries(KEYS, LINES, max_size=5))
def test_what_is_written_is_read(content: dict[str, str]) -> None:
    assert secrets.parse_file(secrets.format_file(content), PATH) == content


def test_the_file_is_one_name_and_value_on_a_line_and_never_empty() -> None:
    header, *lines = secrets.format_file({"B": "2 $x'", "A": "1"}).splitlines()
    assert header.startswith(b"# ")
    assert lines == [b"A=1", b"B=2 $x'"]
    assert secrets.format_file({}) == header + b"\n"


@pytest.mark.parametrize(
    "data", [b"A=1\nsk-secret\n", b"export A=sk-secret\n", b"A=sk-\xff\n", b"A=sk-secret\r\n"]
)
def test_a_damaged_file_is_told_without_what_is_in_it(data: bytes) -> None:
    with pytest.raises(OcmError) as caught:
        secrets.parse_file(data, PATH)
    assert "sk-" not in f"{caught.value} {caught.value.hint} {caught.value.details}"
    assert str(PATH) in caught.value.message


def test_a_file_that_is_too_large_is_not_read_in_part() -> None:
    with pytest.raises(OcmError, match="is larger than"):
        secrets.parse_file(b"#" * (secrets.MAX_BYTES + 1), PATH)
    with pytest.raises(OcmError, match="would be larger than"):
        secrets.format_file({f"A{number}": "x" * 30_000 for number in range(40)})


@pytest.mark.parametrize("name", ["OPENROUTER_API_KEY", "A", "HF_TOKEN", "B2", "HTTPS_PROXY"])
def test_a_name_of_a_secret(name: str) -> None:
    assert secrets.parse_key(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "lower", "1A", "_A", "A-B", "A B", "A=B", "A\n", "Ä", "A" * 129, "sk-or-v1-0123456789"),
        *("PATH", "HOME", "LD_PRELOAD", "NODE_OPTIONS", "OPENCLAW_STATE_DIR", "PERL5LIB", "BASH_ENV", "ENV"),
        *("NO_PROXY", "OCM_SESSION", "PERL5OPT", "LC_ALL", "NODE_EXTRA_CA_CERTS", "IFS"),
    ],
)
def test_no_name_of_a_secret(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        secrets.parse_key(name)
    assert caught.value.hint
    assert "sk-or" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "value"), [("sk-1\n", "sk-1"), ("sk-1\r\n", "sk-1"), (" a b ", " a b "), ("ä", "ä")]
)
def test_the_newline_at_the_end_is_no_part_of_a_secret(text: str, value: str) -> None:
    assert secrets.parse_value(text) == value


@pytest.mark.parametrize(
    "text", ["", "\n", "sk-1\nsk-2\n", "sk-\x00", "sk-\x1b[0m", "sk-\x9b0m", "sk-" * 20000, "sk-\udcff"]
)
def test_what_is_no_secret_is_refused_without_being_told_back(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        secrets.parse_value(text)
    assert "sk-" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *(("sk-or-v1-abcd1234", "...1234"), ("short-12345", "..."), ("x", "...")),
        *((f"sk-or-v1-abcd12{mark}", "...") for mark in ("\x9b", "\u202e", "\u2028", "\u200b")),
    ],
)
def test_of_a_secret_the_last_four_characters_are_shown_at_most(value: str, shown: str) -> None:
    assert secrets.last_characters(value) == shown
