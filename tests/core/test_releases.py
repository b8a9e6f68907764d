from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.needs import NODE_RANGE, NODE_VERSION
from openclaw_ocm.core.releases import Span, is_newer, is_within, parse_range, parse_version

PARTS = st.integers(min_value=0, max_value=10_000)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("24.16.0", (24, 16, 0)),
        ("v24.16.0", (24, 16, 0)),
        (" v24.16.0\n", (24, 16, 0)),
        ("25", (25, 0, 0)),
        ("26.1", (26, 1, 0)),
        ("26.1.0-nightly2026", (26, 1, 0)),
        ("", None),
        ("latest", None),
        ("-1.2.3", None),
    ],
)
def test_a_version_is_read_by_its_numbers(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


def test_the_range_of_openclaw_has_two_alternatives() -> None:
    assert parse_range(NODE_RANGE) == (Span((24, 16, 0), (25, 0, 0)), Span((26, 1, 0), None))


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("24.15.9", False),
        ("24.16.0", True),
        ("24.99.0", True),
        ("25.0.0", False),
        ("26.0.9", False),
        ("26.1.0", True),
        ("30.0.0", True),
        (NODE_VERSION, True),
    ],
)
def test_a_node_fits_or_not(version: str, *, fits: bool) -> None:
    spans, parsed = parse_range(NODE_RANGE), parse_version(version)
    assert spans is not None
    assert parsed is not None
    assert is_within(parsed, spans) is fits


@pytest.mark.parametrize("text", ["", "24", "^24.16.0", ">=24 || *", "<25", ">=24 <=25", ">24", "||", ">=x"])
def test_a_range_that_openclaw_does_not_write_is_none_rather_than_a_guess(text: str) -> None:
    assert parse_range(text) is None


@given(st.tuples(PARTS, PARTS, PARTS), st.tuples(PARTS, PARTS, PARTS))
def test_a_range_holds_its_lowest_and_not_its_limit(
    lowest: tuple[int, int, int], limit: tuple[int, int, int]
) -> None:
    spans = parse_range(f">={'.'.join(map(str, lowest))} <{'.'.join(map(str, limit))}")
    assert spans is not None
    assert is_within(lowest, spans) is (lowest < limit)
    assert not is_within(limit, spans)


@pytest.mark.parametrize(
    ("one", "other", "newer"),
    [
        ("2026.9.6", "2026.9.6", False),
        ("2026.9.6", "2026.9.10", False),
        ("2026.10.0", "2026.9.30", True),
        ("2027.1.1", "2026.12.31", True),
        ("2026.9.6-beta.1", "2026.9.6", False),
        ("latest", "2026.9.6", True),
        ("2026.9.6", "latest", True),
    ],
)
def test_a_version_is_newer_by_its_numbers_and_one_without_any_always(
    one: str, other: str, *, newer: bool
) -> None:
    assert is_newer(one, other) is newer
