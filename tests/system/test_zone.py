"""Which time zone counts: the machine's own, or in a container without one that of its environment."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import TZPATH

import pytest

from openclaw_ocm.system import host

pytestmark = pytest.mark.skipif(
    not any(Path(place, "Europe/Berlin").exists() for place in TZPATH), reason="no list of zones here"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what /etc/localtime is, in a container whose first process has no TZ."""
    local = tmp_path / "localtime"
    monkeypatch.setattr(host, "_LOCAL_TIME", str(local))
    monkeypatch.setattr(host, "_BOOTED", str(tmp_path / "booted"))
    monkeypatch.setattr(host, "_first_process", dict)
    for name in ("TZ", host.ZONE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return local


def file_of(zone: str) -> Path:
    return next(path for place in TZPATH if (path := Path(place, zone)).exists())


def shown() -> str:
    return f"{datetime(2026, 1, 1, tzinfo=host.local_zone()):%Z}"


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("zone", [None, "Etc/UTC", "Europe/Berlin", "America/New_York"])
def test_tz_counts_where_the_machine_has_no_zone_of_its_own(
    machine: Path, monkeypatch: pytest.MonkeyPatch, zone: str | None, *, copied: bool
) -> None:
    if zone is not None:
        if copied:
            machine.write_bytes(file_of(zone).read_bytes())
        else:
            machine.symlink_to(file_of(zone))
    own = {None: "UTC", "Etc/UTC": "UTC", "Europe/Berlin": "CET", "America/New_York": "EST"}[zone]
    assert shown() == own
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert shown() == ("JST" if own == "UTC" else own)


def test_the_containers_own_counts_before_the_callers_and_nonsense_not_at_all(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not machine.exists()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv(host.ZONE_VARIABLE, "Europe/Berlin")
    assert host.container_zone() == "Europe/Berlin"
    monkeypatch.setattr(host, "_first_process", lambda: {"TZ": ":America/New_York"})
    assert host.container_zone() == "America/New_York"
    monkeypatch.setattr(host, "_first_process", lambda: {"TZ": "../../etc/passwd"})
    assert host.container_zone() == "Europe/Berlin"


@pytest.mark.parametrize("given", ["Nowhere/Town", "JST-9", "x" * 300])
def test_a_zone_that_no_list_here_has_is_as_none(
    machine: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    assert not machine.exists()
    monkeypatch.setenv("TZ", given)
    assert host.container_zone() is None
    assert shown() == "UTC"


def test_systemd_knows_the_zone_of_the_machine_alone(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(machine.parent, "booted").mkdir()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert shown() == "UTC"
