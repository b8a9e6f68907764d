from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.names import MAX_LENGTH, parse_name, unknown_instance
from openclaw_ocm.errors import USAGE, Invalid

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name not in ("main", "default")
)


@given(NAMES)
def test_a_name_of_letters_digits_and_inner_separators_is_taken_as_it_is(name: str) -> None:
    assert parse_name(name) == name


@given(st.text())
def test_whatever_is_taken_is_safe_as_a_file_name_and_in_a_unit_name(text: str) -> None:
    try:
        name = parse_name(text)
    except Invalid:
        return
    assert 0 < len(name) <= MAX_LENGTH
    assert set(name) <= set(LETTERS + "-_")
    assert name[0] in LETTERS
    assert name[-1] in LETTERS


@pytest.mark.parametrize(
    "text",
    ["", "Worker", "-a", "a-", "_a", "a_", ".", "..", "a.b", "a/b", "a b", "a\n", "ä", "a\0", "%i", "@host"],
)
def test_what_is_no_name_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_name(text)
    assert (caught.value.code, caught.value.exit_code) == ("name_invalid", USAGE)
    assert caught.value.hint == "for example worker1"
    assert "\n" not in caught.value.message


def test_a_name_has_at_most_63_characters() -> None:
    assert parse_name("a" * 63)
    with pytest.raises(Invalid, match="at most 63 characters, this one has 64"):
        parse_name("a" * 64)


@pytest.mark.parametrize("name", ["main", "default"])
def test_the_names_of_the_users_own_openclaw_are_reserved(name: str) -> None:
    with pytest.raises(Invalid, match="reserved") as caught:
        parse_name(name)
    assert caught.value.code == "name_reserved"


@pytest.mark.parametrize(
    ("known", "hint"),
    [
        (["worker1", "other"], "did you mean worker1?"),
        (["other"], "ocm list shows the instances"),
        ([], "ocm deploy worke1 makes it"),
    ],
)
def test_an_unknown_instance_leads_to_the_nearest_name_the_list_or_to_deploy(
    known: list[str], hint: str
) -> None:
    error = unknown_instance("worke1", known)
    assert error.message == "there is no instance worke1"
    assert (error.code, error.hint) == ("unknown_instance", hint)
