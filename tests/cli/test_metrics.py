"""What `ocm metrics` says to bad input, and that it leaves nothing behind then."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]


@pytest.fixture(autouse=True)
def _supervisord(home: Path) -> None:
    settings = home / ".config/ocm/settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('backend = "supervisord"\n')


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*")}


def test_what_is_printed_is_open_metrics_and_nothing_else(
    ocm: Run, home: Path, add_record: AddRecord
) -> None:
    add_record("worker1")
    add_record("worker2").write_text("nonsense")
    before = files(home)
    done = ocm("metrics")
    assert (done.returncode, done.stderr) == (0, "")
    found = {metric.name for metric in text_string_to_metric_families(done.stdout)}
    assert {"ocm_instances", "ocm_instance_observed", "ocm_build"} <= found
    results = json.loads(ocm("metrics", "--json").stdout)["results"]
    assert {metric["name"] for metric in results} >= found
    assert files(home) == before


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["--every", "1m"], "say where metrics are to be written", 1),
        (["--textfile", "gone"], "there is no such directory", 1),
        (["--textfile", "gone", "--every", "1m"], "there is no such directory", 1),
        (["--textfile", ""], "--textfile needs a directory", 2),
        (["--textfile", "a\nb"], "is no directory for metrics", 2),
        (["--textfile", "x" * 5000], "is no directory for metrics", 2),
        (["--textfile", "\udcff"], "is no directory for metrics", 2),
        (["--textfile", "here", "--every", "7m"], "'7m' is no time between two runs", 2),
        (["--textfile", "here", "--every", ""], "'' is no time between two runs", 2),
        (["--textfile", "here", "--every", "never"], "--every never takes no --textfile", 2),
        (["--scheduled"], "no metrics are written by themselves", 1),
        (["worker1"], "unexpected extra argument", 2),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing_behind(
    ocm: Run, home: Path, arguments: list[str], said: str, status: int
) -> None:
    (home / "here").mkdir()
    before = files(home)
    done = ocm("metrics", *arguments)
    assert done.returncode == status
    assert said in done.stderr.splitlines()[0]
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)
    # Where locks are stays.
    assert {path for path in files(home) - before if not path.startswith(".local")} == set()
    assert not any(path.endswith((".lock", ".jsonl")) for path in files(home))


def test_a_file_is_written_once(ocm: Run, home: Path) -> None:
    (home / "here").mkdir()
    done = ocm("metrics", "--textfile", "here", "--json")
    assert json.loads(done.stdout)["results"][0]["message"] == f"wrote {home}/here/ocm.prom"
    assert "# TYPE ocm_instances gauge\n" in (home / "here/ocm.prom").read_text()
    assert ocm("metrics", "--every", "never").stdout == "metrics: no metrics are written by themselves\n"
