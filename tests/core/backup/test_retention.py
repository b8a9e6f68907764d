"""Names of backups, and which of them a retention keeps."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.backup.retention import BackupFile, backup_stem, kept, parse_backup_file
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.record import Keep

NAME = parse_name("worker1")
NOW = datetime(2026, 11, 22, 12, 30, 5, tzinfo=timezone.utc)


def backup(time: datetime) -> BackupFile:
    found = parse_backup_file(f"{backup_stem(NAME, time)}.tar.gz")
    assert found is not None
    return found


def times(files: frozenset[str]) -> list[str]:
    return sorted((file.split("-")[1][:13] for file in files), reverse=True)


def test_a_name_says_whose_and_when() -> None:
    assert backup_stem(NAME, NOW) == "worker1-20261122T123005Z"
    for ending, encrypted in ((".tar.gz", False), (".tar.zst", False), (".tar.zst.age", True)):
        file = f"my-w_1-20261122T123005Z{ending}"
        assert parse_backup_file(file) == BackupFile(
            file=file, name=parse_name("my-w_1"), time=NOW, encrypted=encrypted
        )


@pytest.mark.parametrize(
    "file",
    [
        "worker1.tar.gz",
        ".worker1-20261122T123005Z.tar.gz",
        "worker1-20261122T123005Z.tar.gz.part",
        "worker1-20261322T123005Z.tar.gz",
        "worker1-20261122T123005Z.tar",
        "main-20261122T123005Z.tar.gz",
        "-20261122T123005Z.tar.gz",
        "worker1-20261122T123005Z.tar.gz\n",
        "x/worker1-20261122T123005Z.tar.gz",
        "worker1-20261122t123005z.tar.gz",
    ],
)
def test_any_other_name_is_not_ours(file: str) -> None:
    assert parse_backup_file(file) is None


def keep(*, last: int = 0, daily: int = 0, weekly: int = 0, monthly: int = 0) -> Keep:
    return Keep(last=last, daily=daily, weekly=weekly, monthly=monthly)


def test_of_each_period_the_newest_is_kept() -> None:
    half_days = [backup(NOW - timedelta(hours=12 * index)) for index in range(120)]
    assert times(kept(half_days, keep(last=3))) == ["20261122T1230", "20261122T0030", "20261121T1230"]
    assert times(kept(half_days, keep(daily=3))) == ["20261122T1230", "20261121T1230", "20261120T1230"]
    # 22 November 2026 is a Sunday.
    assert times(kept(half_days, keep(weekly=3))) == ["20261122T1230", "20261115T1230", "20261108T1230"]
    assert times(kept(half_days, keep(monthly=2))) == ["20261122T1230", "20261031T1230"]
    assert times(kept(half_days, keep(last=1, daily=2, monthly=9))) == [
        "20261122T1230",
        "20261121T1230",
        "20261031T1230",
        "20260930T1230",
    ]


BACKUPS = st.lists(st.integers(0, 10**7), unique=True, max_size=60).map(
    lambda minutes: [backup(NOW - timedelta(minutes=minute)) for minute in minutes]
)
COUNTS = st.builds(
    keep,
    last=st.integers(1, 9),
    daily=st.integers(0, 9),
    weekly=st.integers(0, 9),
    monthly=st.integers(0, 9),
) | st.builds(keep, daily=st.integers(1, 9), weekly=st.integers(0, 9), monthly=st.integers(0, 9))


@given(BACKUPS, COUNTS)
def test_the_newest_is_kept_and_no_more_than_was_asked_for(backups: list[BackupFile], counts: Keep) -> None:
    files = kept(backups, counts)
    assert files <= {one.file for one in backups}
    assert len(files) <= max(counts.last, 1) + counts.daily + counts.weekly + counts.monthly
    if backups:
        assert max(backups, key=lambda one: one.time).file in files


@given(BACKUPS, COUNTS)
def test_pruning_again_prunes_nothing(backups: list[BackupFile], counts: Keep) -> None:
    files = kept(backups, counts)
    assert kept([one for one in backups if one.file in files], counts) == files


@given(BACKUPS, COUNTS)
def test_keeping_more_keeps_all_that_less_kept(backups: list[BackupFile], counts: Keep) -> None:
    more = keep(
        last=counts.last + 1, daily=counts.daily + 2, weekly=counts.weekly, monthly=counts.monthly + 1
    )
    assert kept(backups, counts) <= kept(backups, more)
