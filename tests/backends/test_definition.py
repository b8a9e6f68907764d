from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from openclaw_ocm.backends.definition import Definition, Standing, compare, signed

WANTED = Definition(path=PurePosixPath("/x"), text=signed("run this\n"))


@pytest.mark.parametrize(
    ("text", "standing"),
    [
        (None, Standing.MISSING),
        (WANTED.text, Standing.CURRENT),
        (signed("run that\n"), Standing.OLD),
        (f"{WANTED.text}and that\n", Standing.EDITED),
        ("somebody else's\n", Standing.EDITED),
        ("", Standing.EDITED),
    ],
)
def test_what_is_in_the_place_of_a_definition_stands_to_it_in_one_way(
    text: str | None, standing: Standing
) -> None:
    data = None if text is None else text.encode()
    assert compare(WANTED, data) == (standing, text)


def test_what_is_no_text_was_edited() -> None:
    assert compare(WANTED, b"\xff").standing is Standing.EDITED


def test_one_that_carries_no_signature_is_current_all_the_same_where_it_is_what_was_asked_for() -> None:
    plain = Definition(path=WANTED.path, text="every = 'daily'\n")
    assert compare(plain, plain.text.encode()).standing is Standing.CURRENT
