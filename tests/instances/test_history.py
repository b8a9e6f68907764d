"""A line for each change, whatever became of it; none where nothing was changed."""

from __future__ import annotations

import itertools
import json
import os
import stat
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.hosts import context

from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.plan import Plan, Step
from openclaw_ocm.core.steps import LinkConfig, RemoveFile
from openclaw_ocm.errors import OcmError, UndoIncomplete
from openclaw_ocm.instances import history, transaction
from openclaw_ocm.instances.history import HistoryEntry, last_change, read_history
from openclaw_ocm.instances.transaction import Transaction, recover
from openclaw_ocm.system.files import append_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.instances.context import Context

WORKER = InstanceName("worker1")


_COUNTED = itertools.count()


class Killed(BaseException):
    pass


def plan(home: Path, *, commit: int | None = None, name: str = "worker1") -> Plan:
    steps: tuple[Step, ...] = (
        LinkConfig(link=str(home / f"link{next(_COUNTED)}"), target="/nowhere"),
        RemoveFile(path=str(home / "file")),
    )
    if commit == 0:
        steps = (RemoveFile(path=str(home / "file")), RemoveFile(path=str(home / "other")))
    return Plan(
        operation="delete",
        name=name,
        backend="systemd",
        steps=steps,
        commit=len(steps) if commit is None else commit,
        others=(),
    )


def run(host: Context, wanted: Plan, *, at: int | None = None, error: BaseException | None = None) -> None:
    """Carry out a plan, and raise `error` before the step `at`."""
    told = []

    def progress(words: str) -> None:
        told.append(words)
        if len(told) - 1 == at and error is not None:
            raise error

    Transaction(context=host, plan=wanted, progress=progress).run()


def only(host: Context) -> HistoryEntry:
    (found,) = read_history(host.host.paths)
    return found


def test_a_change_is_a_line_of_its_own(tmp_path: Path) -> None:
    host = context(tmp_path)
    run(host, plan(tmp_path))
    run(host, plan(tmp_path, name="worker2"))
    first, second = read_history(host.host.paths)
    assert (first.command, first.instance, first.ended, first.error) == ("delete", "worker1", "done", None)
    assert first.seconds is not None
    assert 0 <= first.seconds < 60
    assert first.when.endswith("+00:00")
    assert read_history(host.host.paths, InstanceName("worker2")) == (second,)
    assert last_change(host.host.paths, WORKER) == first
    assert last_change(host.host.paths, InstanceName("other")) is None
    path = Path(host.host.paths.history)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [json.loads(line)["instance"] for line in path.read_text().splitlines()] == ["worker1", "worker2"]


@pytest.mark.parametrize(
    ("error", "ended", "slug"),
    [
        (OcmError("no", code="not_ready"), "failed, undone", "not_ready"),
        (OSError(28, "full"), "failed, undone", "os_error"),
        (KeyboardInterrupt(), "interrupted, undone", None),
        (ValueError("x"), "failed, undone", "bug"),
    ],
)
def test_what_failed_and_was_undone_is_told_as_that(
    tmp_path: Path, error: BaseException, ended: str, slug: str | None
) -> None:
    host = context(tmp_path)
    with pytest.raises(type(error)):
        run(host, plan(tmp_path), at=1, error=error)
    assert (only(host).ended, only(host).error) == (ended, slug)


def test_what_is_past_its_commit_point_is_to_be_finished_and_later_is(tmp_path: Path) -> None:
    host = context(tmp_path)
    with pytest.raises(OcmError):
        run(host, plan(tmp_path, commit=0), at=1, error=OcmError("no"))
    assert recover(host, WORKER) == "an interrupted delete of worker1 was finished"
    first, second = read_history(host.host.paths)
    assert (first.ended, second.ended) == ("failed, to be finished", "cut off, finished later")


def test_what_was_killed_is_told_by_who_recovers_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = context(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "_fail", lambda *_arguments, **_options: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            run(host, plan(tmp_path), at=1, error=Killed())
    assert read_history(host.host.paths) == ()
    recover(host, WORKER)
    assert (only(host).ended, only(host).command, only(host).seconds) == (
        "cut off, undone later",
        "delete",
        None,
    )
    recover(host, WORKER)
    assert only(host)


def test_what_could_not_be_undone_is_told_with_what_ended_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = context(tmp_path)

    def resist(*_arguments: object) -> bool:
        raise OcmError("no")

    monkeypatch.setattr(transaction, "undo_step", resist)
    with pytest.raises(UndoIncomplete):
        run(host, plan(tmp_path), at=1, error=OcmError("no", code="not_ready"))
    assert (only(host).ended, only(host).error) == ("failed, undone in part", "not_ready")


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str], Path]:
    def make(kind: str) -> Path:
        path = Path(context(tmp_path).host.paths.history)
        path.parent.mkdir(parents=True)
        if kind == "directory":
            path.mkdir()
        elif kind == "link":
            path.symlink_to(tmp_path / "elsewhere")
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            # No byte of the write comes through, as on a full disk.
            path.symlink_to("/dev/full")
        return path

    return make


@pytest.mark.parametrize("kind", ["directory", "link", "pipe", "full"])
def test_where_it_cannot_be_written_the_change_is_made_all_the_same(
    tmp_path: Path, broken: Callable[[str], Path], kind: str
) -> None:
    broken(kind)
    host = context(tmp_path)
    run(host, plan(tmp_path))
    assert [path for path in tmp_path.glob("link*") if path.is_symlink()]
    assert not (tmp_path / "elsewhere").exists()
    assert last_change(host.host.paths, WORKER) is None


def test_a_failure_to_write_hides_no_failure_of_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("openclaw_ocm.system.files.append_line", full)
    with pytest.raises(OcmError, match="mine"):
        run(context(tmp_path), plan(tmp_path), at=1, error=OcmError("mine"))
    run(context(tmp_path), plan(tmp_path))


def test_it_grows_to_a_bound_and_the_older_half_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "_MOST_BYTES", 2000)
    host = context(tmp_path)
    for number in range(100):
        run(host, plan(tmp_path, name=f"worker{number}"))
    paths = host.host.paths
    assert Path(paths.history).stat().st_size < 2500
    assert Path(paths.older_history).stat().st_size < 2500
    found = [change.instance for change in read_history(paths)]
    assert found == [f"worker{number}" for number in range(100 - len(found), 100)]
    assert len(found) > 10


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    host = context(tmp_path)
    run(host, plan(tmp_path))
    with Path(host.host.paths.history).open("a") as file:
        file.write('{"when":"2026-')
    run(host, plan(tmp_path))
    assert [change.ended for change in read_history(host.host.paths)] == ["done", "done"]


def test_a_line_of_a_newer_ocm_or_of_nobody_is_passed_over(tmp_path: Path) -> None:
    host = context(tmp_path)
    run(host, plan(tmp_path))
    path = Path(host.host.paths.history)
    newer = {**json.loads(path.read_text()), "instance": "worker2", "wings": 2}
    path.write_bytes(
        path.read_bytes() + json.dumps(newer).encode() + b"\n\xff\n[]\n{}\n" + b"[" * 5000 + b"\n"
    )
    assert [change.instance for change in read_history(host.host.paths)] == ["worker1", "worker2"]


WRITER = """
import sys
from pathlib import PurePosixPath
from openclaw_ocm.system.files import append_line
path = PurePosixPath(sys.argv[1])
for number in range(200):
    line = f"{sys.argv[2]} {number} ".encode() + b"x" * 100
    append_line(path, line, most=20_000, older=path.with_name("older"))
"""


def test_several_that_write_at_once_leave_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "state" / "lines"
    source = str(Path(__file__).parents[2] / "src")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(writer)],
            env={"PYTHONPATH": source, "PATH": os.environ["PATH"]},
        )
        for writer in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    lines = (path.with_name("older").read_text() + path.read_text()).splitlines()
    assert len(lines) > 100
    assert all(len(line.split()[-1]) == 100 for line in lines)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_all_lines_are_there_where_none_had_to_go(tmp_path: Path) -> None:
    path = PurePosixPath(tmp_path, "lines")
    for number in range(50):
        append_line(path, str(number).encode(), most=10**6, older=PurePosixPath(tmp_path, "older"))
    assert Path(path).read_text().split() == [str(number) for number in range(50)]
    assert not (tmp_path / "older").exists()
