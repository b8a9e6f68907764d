from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.releases import (
    NODE_RANGE,
    NODE_VERSION,
    Span,
    fetched_by_npm,
    is_newer,
    is_unreachable,
    is_within,
    parse_range,
    parse_version,
    progress_of_pip,
)

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
        ("2026.9.6", "2026.9.6-beta.1", True),
        ("2026.9.6-beta.10", "2026.9.6-beta.9", True),
        ("2026.9.6-beta.1", "2026.9.6-alpha.4", True),
        ("2026.9.6-beta.1", "2026.9.5", True),
        ("2026.9.6-1", "2026.9.6", True),
        ("2026.9.6-1", "2026.9.6-beta.3", True),
        ("2026.9.6+local", "2026.9.6", False),
    ],
)
def test_a_version_is_newer_by_its_numbers_and_one_without_any_always(
    one: str, other: str, *, newer: bool
) -> None:
    assert is_newer(one, other) is newer


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Progress 262144 of 61123607\n", (262144, 61123607)),
        ("Progress 5 of None", (5, None)),
        ("Collecting progress 5 of 6", None),
        ("Progress of 6", None),
    ],
)
def test_the_progress_of_pip_is_read(line: str, told: tuple[int, int | None] | None) -> None:
    assert progress_of_pip(line) == told


def test_the_fetches_of_npm_are_read() -> None:
    address = "https://registry.example/@clack%2fcore/-/core-1.5.1.tgz"
    assert fetched_by_npm(f"npm http fetch GET 200 {address} 3417ms (cache miss)") == address
    assert fetched_by_npm(f"npm http fetch GET 404 {address} 34ms") is None
    assert fetched_by_npm("npm http fetch GET https://x attempt 1 failed with EAI_AGAIN") is None
    assert fetched_by_npm("added 330 packages in 22s") is None


# The last words of pip 26, npm 11 and apt 2.6 with the network taken away.
@pytest.mark.parametrize(
    "printed",
    [
        "Retrying after connection broken by 'NameResolutionError()': /x/\nERROR: No match for x==1",
        "npm error code EAI_AGAIN\nnpm error syscall getaddrinfo\nnpm error errno EAI_AGAIN",
        "W: Failed to fetch http://x  Temporary failure resolving 'x'",
    ],
)
def test_no_network_is_known_by_the_words_for_it(printed: str) -> None:
    assert is_unreachable(printed)


@pytest.mark.parametrize(
    "printed",
    [
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        "npm error code ENOSPC",
        "ERROR: No matching distribution found for x==1",
        "E: Unable to locate package bubblewrap",
        "connection broken by 'x'" + "\nlater" * 20,
    ],
)
def test_another_failure_is_not_taken_for_it(printed: str) -> None:
    assert not is_unreachable(printed)
