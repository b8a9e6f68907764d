from __future__ import annotations

import json
from datetime import timezone

import pytest

from openclaw_ocm.core.openclaw.leases import Lease, in_words, left_behind, parse_leases

NOW, BEGAN = 1_795_807_400.0, 1_795_807_380.0


def lease(*, until: float = 200.0, renewed: float = -30.0, scope: str = "core:plugin-lifecycle") -> Lease:
    return Lease(scope=scope, until=NOW + until, renewed=NOW + renewed)


def test_leases_are_read_and_what_is_none_is_passed_by() -> None:
    good = json.dumps(["core:plugin-lifecycle", 1_795_807_600_000, 1_795_807_370_000])
    bad = ["", "[]", "null", '["a", "x", 1]', '["a", 1]', '{"a": 1}', "[" * 9999, '["a", 1e400, "1"', "\x1b"]
    assert parse_leases([*bad, good]) == (lease(),)
    assert len(parse_leases([good] * 999)) == 50
    assert parse_leases([json.dumps(["\x1b[31m" + "x" * 999, 1, 1])])[0].scope.isprintable()


@pytest.mark.parametrize(
    "other",
    [
        lease(renewed=-10.0),
        lease(until=-1.0),
        lease(until=99_999.0),
    ],
    ids=["of one that lives", "over", "of no lease that OpenClaw makes"],
)
def test_only_what_a_gateway_of_before_left_behind_counts(other: Lease) -> None:
    assert left_behind([other], since=BEGAN, now=NOW) is None
    mine = lease()
    assert left_behind([other, mine], since=BEGAN, now=NOW) == mine
    assert left_behind([mine], since=None, now=NOW) is None


def test_the_time_of_its_end_is_told() -> None:
    said = "waits for a lease (core:plugin-lifecycle) that its killed predecessor holds until 19:26:40"
    assert in_words(lease(), timezone.utc) == said
