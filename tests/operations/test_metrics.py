"""What is told to a program that watches instances: what is not known has no number."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.operations.kept import NAME, OTHER
from tests.operations.test_status import DOWN, move_to

from openclaw_ocm import __version__
from openclaw_ocm.core.backup.retention import backup_stem
from openclaw_ocm.core.backup.schedule import LastRun
from openclaw_ocm.core.metrics.families import KNOWN
from openclaw_ocm.core.metrics.sizes import Size
from openclaw_ocm.core.metrics.text import open_metrics
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.record import Limits
from openclaw_ocm.core.status import Answer
from openclaw_ocm.operations import metrics as module
from openclaw_ocm.operations.metrics import collect
from openclaw_ocm.operations.schedule import Asked, set_schedule
from openclaw_ocm.system import files
from openclaw_ocm.system.disk_use import disk_use
from openclaw_ocm.system.kept.newest import Newest, keep_newest
from openclaw_ocm.system.kept.sizes import keep_sizes, read_sizes

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName

Labels = tuple[tuple[str, str], ...]


def told(kept: Kept) -> dict[str, dict[Labels, float]]:
    """Return what is printed, as a parser that is not OCM's reads it, by the names of samples."""
    found: dict[str, dict[Labels, float]] = {}
    labels = {known.sample: known.labels for known in KNOWN}
    for metric in text_string_to_metric_families(open_metrics(collect(kept.context))):
        for sample in metric.samples:
            assert tuple(sample.labels) == labels[sample.name], "as the reference has it"
            found.setdefault(sample.name, {})[tuple(sample.labels.items())] = sample.value
    return found


def of(name: InstanceName) -> Labels:
    return (("instance", name),)


def test_everything_is_told_of_an_instance_that_is_ready(kept: Kept) -> None:
    kept.create(OTHER, limits=Limits(memory="2G"))
    kept.deploy(autostart=True)
    found = told(kept)
    assert found["ocm_instance_ready"] == {of(NAME): 1, of(OTHER): 0}
    assert found["ocm_instance_wanted"] == {of(NAME): 1, of(OTHER): 0}
    assert found["ocm_instance_observed"] == {of(NAME): 1, of(OTHER): 1}
    assert found["ocm_instance_restarts_total"][of(NAME)] == 0
    assert found["ocm_instance_memory_bytes"] == {of(NAME): 2**20}
    assert found["ocm_instance_cpu_seconds_total"] == {of(NAME): 1}
    assert found["ocm_instance_memory_limit_bytes"] == {of(OTHER): 2**31}
    assert found["ocm_instance_sealed"] == {of(NAME): 1, of(OTHER): 1}
    assert found["ocm_instance_start_time_seconds"][of(NAME)] == pytest.approx(time.time(), abs=600)
    assert found["ocm_instance_backups_scheduled"] == {of(NAME): 0, of(OTHER): 0}
    assert found["ocm_instances"] == {(): 2}
    assert found["ocm_build_info"] == {(("version", __version__),): 1}
    assert found["ocm_collection_timestamp_seconds"][()] == pytest.approx(time.time(), abs=600)
    (about,) = (dict(labels) for labels in found["ocm_instance_info"] if labels[0] == ("instance", NAME))
    assert (about["version"], about["isolation"], about["backend"]) == ("2026.9.6", "sealed", "fake")
    states = {
        dict(labels)["ocm_instance_state"] for labels, value in found["ocm_instance_state"].items() if value
    }
    assert states == {"ready", "stopped"}


def test_what_is_not_known_has_no_line_and_no_zero(kept: Kept) -> None:
    kept.create()
    found = told(kept)
    for name in (
        *("memory_bytes", "cpu_seconds_total", "start_time_seconds", "outdated", "backup_failed"),
        *("backup_problem", "last_backup_timestamp_seconds", "upgrade_problem"),
    ):
        assert f"ocm_instance_{name}" not in found, name
    assert "ocm_newest_openclaw_info" not in found


@pytest.mark.parametrize("trouble", ["record", "backend"])
def test_an_instance_that_cannot_be_looked_at_is_told_to_be_that(kept: Kept, trouble: str) -> None:
    kept.deploy()
    kept.create(OTHER)
    if trouble == "record":
        Path(kept.paths(OTHER).record).write_text("nonsense")
    else:
        move_to(kept, OTHER, "upstart")
    found = told(kept)
    assert found["ocm_instance_observed"] == {of(NAME): 1, of(OTHER): 0}
    assert found["ocm_instance_ready"] == {of(NAME): 1}
    assert found["ocm_instance_disk_bytes"].keys() == {of(NAME), of(OTHER)}
    assert all(("instance", OTHER) not in labels for labels in found["ocm_instance_state"])


def test_an_instance_that_is_changed_now_is_told_to_be_that(kept: Kept) -> None:
    kept.create()
    kept.create(OTHER)
    with files.lock(kept.host.paths.locks / f"{NAME}.lock", NAME):
        assert told(kept)["ocm_instance_changing"] == {of(NAME): 1, of(OTHER): 0}
    assert told(kept)["ocm_instance_changing"][of(NAME)] == 0


def test_an_instance_that_waits_for_its_turn_is_told_to_do_so(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    kept.stop()
    kept.world.queued.add(NAME)
    assert told(kept)["ocm_instance_queued"] == {of(NAME): 1, of(OTHER): 0}
    assert told(kept)["ocm_instance_ready"][of(NAME)] == 0


def test_a_throw_away_instance_in_which_a_backup_is_tried_out_is_not_told_of(kept: Kept) -> None:
    kept.create()
    kept.create(parse_name("drill-0123abcd"))
    found = told(kept)
    assert found["ocm_instances"] == {(): 1}
    assert found["ocm_instance_observed"].keys() == {of(NAME)}


def test_no_backend_that_answers_is_no_error(kept: Kept) -> None:
    kept.create()
    kept.world.failing["observe"] = DOWN
    found = told(kept)
    assert found["ocm_instance_observed"] == {of(NAME): 0}
    assert "ocm_instance_ready" not in found


def test_a_gateway_that_says_of_itself_what_it_likes_makes_no_new_series(kept: Kept) -> None:
    kept.deploy()
    before = told(kept)["ocm_instance_info"]
    kept.world.answers[NAME] = Answer(ready=True, phase="started", version='1"} 7\n# EOF\n')
    found = told(kept)
    assert found["ocm_instance_ready"] == {of(NAME): 1}
    assert found["ocm_instance_info"] == before


def test_how_backups_go_is_told(kept: Kept) -> None:
    kept.create()
    asked = Asked(every="daily", keep={}, given={})
    set_schedule(kept.context, NAME, asked, dry_run=False)
    found = told(kept)
    assert found["ocm_instance_backups_scheduled"] == {of(NAME): 1}
    assert found["ocm_instance_backup_problem"] == {of(NAME): 0}
    assert "ocm_instance_backup_failed" not in found, "none was made yet"
    now = time.time()
    run = LastRun(ended=now, error="the disk is full", succeeded=now - 7200)
    files.write_file(kept.paths(NAME).last_backup, msgspec.json.encode(run))
    found = told(kept)
    assert found["ocm_instance_backup_failed"] == {of(NAME): 1}
    assert found["ocm_instance_backup_problem"] == {of(NAME): 1}
    assert found["ocm_instance_last_backup_timestamp_seconds"][of(NAME)] == pytest.approx(now - 7200)


def test_a_backup_that_somebody_made_counts_as_the_last_one(kept: Kept) -> None:
    kept.create()
    Path(kept.host.paths.backups).mkdir()
    for day in ("2026-11-20", "2026-11-22"):
        moment = datetime.fromisoformat(f"{day}T10:00:00+00:00")
        Path(kept.host.paths.backups, f"{backup_stem(NAME, moment)}.tar.gz").touch()
    found = told(kept)
    assert found["ocm_instance_last_backup_timestamp_seconds"] == {of(NAME): moment.timestamp()}


def test_what_npm_said_is_told_with_when_it_said_it(kept: Kept) -> None:
    kept.create()
    keep_newest(kept.host.paths, "latest", Newest(version="2026.10.1", asked=1.0))
    found = told(kept)
    assert found["ocm_newest_openclaw_info"] == {(("channel", "latest"), ("version", "2026.10.1")): 1}
    assert found["ocm_newest_openclaw_asked_timestamp_seconds"] == {(("channel", "latest"),): 1}
    assert found["ocm_instance_outdated"] == {of(NAME): 1}


def test_a_state_without_an_end_costs_the_others_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.create()
    kept.create(OTHER)
    endless = kept.paths(NAME).state
    monkeypatch.setattr(
        module, "disk_use", lambda path, seconds: None if path == endless else disk_use(path, seconds=seconds)
    )
    found = told(kept)
    assert found["ocm_instance_disk_measured"] == {of(NAME): 0, of(OTHER): 1}
    assert found["ocm_instance_disk_bytes"].keys() == {of(OTHER)}
    assert found["ocm_instance_disk_bytes"][of(OTHER)] > 4096


def test_a_size_that_took_long_is_kept_for_a_while_and_that_of_no_instance_is_not(kept: Kept) -> None:
    kept.create()
    now = time.time()
    before = kept.files()
    keep_sizes(
        kept.host.paths,
        {NAME: Size(measured=now, took=5, bytes=7), OTHER: Size(measured=now, took=5, bytes=7)},
    )
    assert told(kept)["ocm_instance_disk_bytes"] == {of(NAME): 7}
    collect(kept.context, keep=True)
    assert read_sizes(kept.host.paths) == {NAME: Size(measured=now, took=5, bytes=7)}
    Path(kept.host.paths.sizes).write_text("nonsense")
    assert told(kept)["ocm_instance_disk_bytes"][of(NAME)] > 7
    Path(kept.host.paths.sizes).unlink()
    collect(kept.context)
    assert kept.files() == before, "who only looks writes nothing"


def test_all_instances_are_asked_for_as_the_list_asks_for_them(kept: Kept) -> None:
    kept.deploy()
    kept.deploy(OTHER)
    kept.world.calls.clear()
    kept.rows()
    listed = list(kept.world.calls)
    kept.world.calls.clear()
    collect(kept.context)
    assert kept.world.calls == listed
    assert [set(names) for method, names in listed if method == "observe"] == [{NAME, OTHER}]
