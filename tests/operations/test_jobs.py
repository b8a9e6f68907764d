from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from openclaw_ocm.core.load import STARTING, WAITING
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.jobs import jobs
from openclaw_ocm.system import capacity

GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("cores", "free", "expected"),
    [
        (8, 100 * GIGABYTE, 8),
        (8, 2 * GIGABYTE, 2),
        (8, GIGABYTE // 2, 1),
        (8, 0, 1),
        (1, 100 * GIGABYTE, 1),
        (4, None, 4),
    ],
)
def test_a_core_bears_one_start_and_there_is_memory_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, free: int | None, expected: int
) -> None:
    monkeypatch.setattr(capacity, "cores", lambda: cores)
    monkeypatch.setattr(capacity, "free_memory", lambda: free)
    assert jobs(host_paths(PurePosixPath(tmp_path), {}), STARTING, None) == expected


def test_what_only_waits_is_bounded_more_loosely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "cores", lambda: 2)
    monkeypatch.setattr(capacity, "free_memory", lambda: GIGABYTE)
    paths = host_paths(PurePosixPath(tmp_path), {})
    assert jobs(paths, WAITING, None) > jobs(paths, STARTING, None)


def test_what_is_asked_goes_before_the_settings_and_these_before_the_machine(tmp_path: Path) -> None:
    paths = host_paths(PurePosixPath(tmp_path), {})
    settings = Path(paths.settings)
    settings.parent.mkdir(parents=True)
    settings.write_text("jobs = 37\n")
    assert jobs(paths, STARTING, None) == 37
    assert jobs(paths, STARTING, 3) == 3


@pytest.mark.parametrize("text", ["jobs = 0", "jobs = 1001", 'jobs = "4"', "jobs = 1.5"])
def test_a_setting_that_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    paths = host_paths(PurePosixPath(tmp_path), {})
    Path(paths.settings).parent.mkdir(parents=True)
    Path(paths.settings).write_text(text)
    with pytest.raises(OcmError, match="jobs"):
        jobs(paths, STARTING, None)


def test_the_machine_tells_what_it_has() -> None:
    assert 1 <= capacity.cores() <= len(os.sched_getaffinity(0))
    free = capacity.free_memory()
    assert free is not None
    assert 0 <= free < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("quota", "limit", "used", "cores", "free"),
    [
        ("max 100000", "max", "1000", None, None),
        ("100000 100000", "max", "1000", 1, None),
        ("50000 100000", "2000", "1500", 1, 500),
        ("max 100000", "1000", "1500", None, 0),
    ],
)
def test_a_container_has_what_it_was_given(  # noqa: PLR0913, PLR0917 - one for each file
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    quota: str,
    limit: str,
    used: str,
    cores: int | None,
    free: int | None,
) -> None:
    for name, text in (("cpu.max", quota), ("memory.max", limit), ("memory.current", used)):
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(capacity, "_CGROUP", tmp_path)
    assert capacity.cores() == (cores or len(os.sched_getaffinity(0)))
    found = capacity.free_memory()
    assert found == free if free is not None else (found or 0) > 0


@pytest.mark.parametrize(
    ("limit", "swap", "memory"),
    [
        (None, None, 12 * 1024),
        ("max", "max", 12 * 1024),
        ("2048", "max", 2048 + 4096),
        ("2048", "0", 2048),
        ("max", "1024", 9 * 1024),
    ],
)
def test_the_memory_of_a_machine_or_container_has_its_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, swap: str | None, memory: int
) -> None:
    for name, text in (("memory.max", limit), ("memory.swap.max", swap)):
        if text is not None:
            (tmp_path / name).write_text(f"{text}\n")
    (tmp_path / "meminfo").write_text("MemTotal:  8 kB\nMemFree:  1 kB\nSwapTotal:  4 kB\n")
    kernel(monkeypatch, tmp_path, {"/proc/meminfo": tmp_path / "meminfo"})
    assert capacity.memory() == memory


def test_memory_that_nobody_tells_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel(monkeypatch, tmp_path, {"/proc/meminfo": tmp_path / "none"})
    assert capacity.memory() is None
    assert capacity.free_memory() is None


def kernel(monkeypatch: pytest.MonkeyPatch, groups: Path, instead: dict[str, Path]) -> None:
    """Have the kernel tell of control groups what is in `groups`, and other files read for some paths."""
    read = capacity._read
    monkeypatch.setattr(capacity, "_CGROUP", groups)

    def read_instead(path: Path) -> str:
        return read(instead.get(str(path), path))

    monkeypatch.setattr(capacity, "_read", read_instead)


USER = "user.slice/user-1000.slice"


@pytest.mark.parametrize(
    ("own", "bounding"),
    [
        (f"{USER}/session-3.scope", {f"/{USER}", "/user.slice"}),
        (
            f"{USER}/user@1000.service/app.slice/x.service",
            {"/user.slice", f"/{USER}", f"/{USER}/user@1000.service"},
        ),
        ("box/init.scope", {"/box", "/box/init.scope"}),
    ],
)
def test_what_bounds_the_tasks_of_gateways_is_found_in_the_control_groups_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, bounding: set[str]
) -> None:
    directory = tmp_path
    for part in PurePosixPath(own).parts:
        directory /= part
        directory.mkdir()
        (directory / "pids.max").write_text("77\n")
    (tmp_path / "pids.max").write_text("max\n")
    read = capacity._read
    monkeypatch.setattr(capacity, "_CGROUP", tmp_path)
    monkeypatch.setattr(
        capacity, "_read", lambda path: f"0::/{own}" if path == Path("/proc/self/cgroup") else read(path)
    )
    found = {limit.place: limit.most for limit in capacity.task_limits()}
    assert {place for place, most in found.items() if most == 77} == bounding
    assert found["kernel.pid_max"] > 1000
