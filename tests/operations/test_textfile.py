"""Metrics as a file: where it may be written, and that it is written by itself until nobody wants it."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.operations.kept import NAME

from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core.backup.schedule import Timer
from openclaw_ocm.core.metrics.textfile import FILE, Textfile
from openclaw_ocm.core.purpose import ALL, Purpose
from openclaw_ocm.errors import CommandFailed, Invalid, OcmError
from openclaw_ocm.operations import textfile as operation
from openclaw_ocm.operations.planning.textfile import WRITE_AGAIN
from openclaw_ocm.system import textfile
from openclaw_ocm.system.kept.textfile import read_textfile

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.operations.planning.result import Outcome


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "text files"
    directory.mkdir(mode=0o755)
    return directory


def write(kept: Kept, place: Path, *, dry_run: bool = False) -> Outcome:
    return operation.write(kept.context, PurePosixPath(place), dry_run=dry_run)


def from_now(kept: Kept, place: Path | None, every: str = "1m", *, dry_run: bool = False) -> Outcome:
    directory = None if place is None else PurePosixPath(place)
    return operation.write_from_now(kept.context, every, directory, dry_run=dry_run)


def no_more(kept: Kept, *, dry_run: bool = False) -> Outcome:
    return operation.write_no_more(kept.context, dry_run=dry_run)


def timed(kept: Kept) -> str | None:
    """Return what the backend does about metrics, None where it does nothing."""
    return kept.world.timers.get((ALL, Purpose.METRICS))


def read(place: Path) -> dict[str, float]:
    metrics = text_string_to_metric_families((place / FILE).read_text())
    return {sample.name: sample.value for metric in metrics for sample in metric.samples}


def test_the_file_is_for_everybody_to_read_and_nothing_else_is_left(kept: Kept, place: Path) -> None:
    kept.deploy()
    old = os.umask(0o077)
    try:
        said = write(kept, place)
    finally:
        os.umask(old)
    assert said.message == f"wrote {place / FILE}"
    assert [path.name for path in place.iterdir()] == [FILE]
    assert (place / FILE).stat().st_mode & 0o7777 == 0o644
    assert read(place)["ocm_instance_ready"] == 1
    assert Path(kept.host.paths.sizes).exists()


def test_a_link_in_its_place_is_replaced_and_not_followed(kept: Kept, place: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (place / FILE).symlink_to(victim)
    write(kept, place)
    assert victim.read_text() == "mine"
    assert not (place / FILE).is_symlink()


def test_what_is_half_written_is_not_called_as_the_collector_reads(
    kept: Kept, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / FILE).write_text("old")
    seen: list[str] = []
    rename = os.rename

    def note(source: str, target: str, **options: int) -> None:
        seen.extend(path.name for path in place.iterdir())
        rename(source, target, **options)

    monkeypatch.setattr(os, "rename", note)
    write(kept, place)
    assert {name for name in seen if name.endswith(".prom")} == {FILE}
    assert len(set(seen)) == 2


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("gone", "there is no such directory"),
        ("file", "it is no directory"),
        ("below a file", "it is no directory"),
        ("foreign", "it belongs to somebody else"),
        ("foreign link", "is a link of somebody else's"),
        ("of another user", "belongs to another user"),
        ("taken", "ocm.prom is a directory there"),
        ("of an instance", "which could read and change it"),
    ],
)
def test_a_directory_that_is_not_one_for_it_is_refused(
    kept: Kept, place: Path, monkeypatch: pytest.MonkeyPatch, trouble: str, said: str
) -> None:
    kept.create()
    where = place
    if trouble == "gone":
        where = place / "gone"
    elif trouble in ("file", "below a file"):
        (place / "file").touch()
        where = place / ("file" if trouble == "file" else "file/below")
    elif trouble == "of an instance":
        where = Path(kept.paths(NAME).state)
    elif trouble == "taken":
        (place / FILE).mkdir()
    elif trouble == "of another user":
        (place / FILE).touch()
        monkeypatch.setattr(textfile, "_ROOT", kept.host.uid)
        monkeypatch.setattr(type(kept.host), "uid", kept.host.uid + 1)
    else:
        if trouble == "foreign link":
            where = place.with_name("link")
            where.symlink_to(place)
        monkeypatch.setattr(textfile, "_ROOT", -1)
        monkeypatch.setattr(type(kept.host), "uid", kept.host.uid + 1)
    before = kept.files()
    for attempt in (write, from_now):
        with pytest.raises(OcmError, match=said) as caught:
            attempt(kept, where)
        assert caught.value.hint
    assert kept.files() == before
    assert timed(kept) is None


def test_a_directory_that_node_exporter_may_not_enter_is_told(kept: Kept, place: Path) -> None:
    place.chmod(0o700)
    assert any("is closed to other users" in note for note in write(kept, place).notes)


def test_it_is_written_now_and_from_then_on(kept: Kept, place: Path) -> None:
    kept.create()
    said = from_now(kept, place)
    assert said.message == f"{place / FILE} is written each 1m from now on"
    assert read(place)["ocm_instances"] == 1
    assert read_textfile(kept.host.paths) == Textfile(directory=str(place), every="1m")
    assert "*:0/1 " in (timed(kept) or "")
    assert "metrics --scheduled" in (timed(kept) or "")
    again = from_now(kept, None)
    assert (again.changed, again.message) == (False, f"already {place / FILE} is written each 1m")
    (place / FILE).unlink()
    operation.write_scheduled(kept.context)
    assert (read(place)["ocm_instances"], read(place)["ocm_collection_interval_seconds"]) == (1, 60)


def test_another_directory_or_time_is_taken_and_the_old_file_goes(
    kept: Kept, place: Path, tmp_path: Path
) -> None:
    from_now(kept, place)
    assert from_now(kept, None, "5m").changed
    assert "*:0/5 " in (timed(kept) or "")
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    from_now(kept, other, "5m")
    assert not (place / FILE).exists()
    assert (other / FILE).exists()


def test_it_ends_without_a_trace(kept: Kept, place: Path) -> None:
    kept.create()
    before = kept.files()
    assert no_more(kept).message == "no metrics are written by themselves"
    from_now(kept, place)
    assert no_more(kept, dry_run=True).steps
    assert timed(kept) is not None
    assert no_more(kept).changed
    assert timed(kept) is None
    assert not list(place.iterdir()), "its numbers would never change"
    assert kept.files() == before
    with pytest.raises(OcmError, match="no metrics are written by themselves"):
        operation.write_scheduled(kept.context)


def test_a_dry_run_tells_and_does_nothing(kept: Kept, place: Path) -> None:
    before = kept.files()
    said = from_now(kept, place, dry_run=True)
    assert [step.split()[0] for step in said.steps] == ["write", "have"]
    assert "have ocm metrics --scheduled run *:0/1" in said.steps
    assert write(kept, place, dry_run=True).message == f"would write {place / FILE}"
    assert kept.files() == before
    assert not list(place.iterdir())


def test_without_a_directory_there_is_nothing_to_write_to(kept: Kept) -> None:
    with pytest.raises(OcmError, match="say where metrics are to be written"):
        from_now(kept, None)


def test_a_timer_that_cannot_be_had_leaves_nothing_behind(
    kept: Kept, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise CommandFailed("no", returncode=1, stderr="")

    monkeypatch.setattr(type(kept.context.backend.timers(Purpose.METRICS)), "set", refuse)
    with pytest.raises(OcmError, match="no"):
        from_now(kept, place)
    assert read_textfile(kept.host.paths) is None
    assert timed(kept) is None


def test_what_says_where_is_refused_when_it_was_damaged_and_still_ends(kept: Kept, place: Path) -> None:
    from_now(kept, place)
    path = Path(kept.host.paths.textfile)
    for text in (
        "nonsense",
        'directory = "here"\nevery = "1m"\n',
        'directory = "/x"\nevery = "7m"\n',
        "\udcff",
    ):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(OcmError, match="is corrupt"):
            operation.write_scheduled(kept.context)
        assert any("is corrupt" in problem.what for problem in kept.examine().problems)
    no_more(kept)
    assert timed(kept) is None
    assert not path.exists()


def about_metrics(kept: Kept) -> dict[str, str | None]:
    """Return what the doctor finds, and what it does about it."""
    return {one.what: one.fix for one in kept.examine().problems if "metrics" in f"{one.what} {one.fix}"}


def test_doctor_mends_a_timer_that_is_no_more_as_it_was_asked_for(kept: Kept, place: Path) -> None:
    kept.create()
    from_now(kept, place)
    assert about_metrics(kept) == {}
    assert not any(problem.about == ALL for problem in kept.examine().problems), "it is no instance"
    (definition,) = kept.context.backend.timers(Purpose.METRICS).definitions(ALL, "*:0/1")
    for damage in (lambda: Path(definition.path).write_text("edited"), Path(definition.path).unlink):
        damage()
        assert set(about_metrics(kept).values()) == {WRITE_AGAIN}
        kept.fix(kept.examine())
        assert about_metrics(kept) == {}
        assert Path(definition.path).read_text() == definition.text


def test_doctor_ends_what_nobody_asked_for(kept: Kept, place: Path) -> None:
    from_now(kept, place)
    Path(kept.host.paths.textfile).unlink()
    assert about_metrics(kept) == {"fake has metrics written, which nobody asked it for": WRITE_AGAIN}
    kept.fix(kept.examine())
    assert about_metrics(kept) == {}
    assert timed(kept) is None


def test_doctor_says_how_to_learn_why_nothing_was_written(
    kept: Kept, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_now(kept, place)
    failed = Timer(active=True, failure="it ended with exit 1")
    timers = type(kept.context.backend.timers(Purpose.METRICS))
    monkeypatch.setattr(timers, "observe", lambda _self, names: dict.fromkeys(names, failed))
    (problem,) = (one for one in kept.examine().problems if "metrics" in one.what)
    assert problem.what == "metrics were not written: it ended with exit 1"
    assert problem.mend == f"ocm metrics --textfile '{place}' tells why"


def test_another_backend_has_them_written_no_more(
    kept: Kept, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[object] = []
    timers = Supervisord(host=kept.host).timers(Purpose.METRICS)
    monkeypatch.setattr(type(timers), "known", lambda self: (ALL,) if self.purpose is Purpose.METRICS else ())
    monkeypatch.setattr(type(timers), "clear", lambda _self, names: ended.extend(names))
    from_now(kept, place)
    assert ended == [ALL]


@pytest.mark.parametrize("every", ["7m", "0m", "90s", "daily", "61m", "2h", "1", ""])
def test_a_time_that_no_backend_keeps_is_refused(kept: Kept, place: Path, every: str) -> None:
    with pytest.raises(Invalid, match="is no time between two runs"):
        from_now(kept, place, every)
    assert read_textfile(kept.host.paths) is None
