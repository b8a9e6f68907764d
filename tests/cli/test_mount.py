"""`ocm mount` and `ocm unmount` as they are typed: what they print, also as JSON, and what they refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]


@pytest.fixture
def worker(add_record: AddRecord, tmp_path: Path) -> Path:
    path = add_record("worker1")
    (tmp_path / "data").mkdir()
    with path.open("a") as record:
        record.write(f"[[mounts]]\npath = '{tmp_path}/data'\nat = '/srv/data'\nwritable = true\n")
    return path


def test_the_list_is_one_a_line_and_in_json_one_object_each(ocm: Run, worker: Path, tmp_path: Path) -> None:
    assert worker.exists()
    assert ocm("mount", "worker1").stdout.splitlines() == [f"{tmp_path}/data at /srv/data, writable"]
    (answer,) = json.loads(ocm("mount", "worker1", "--json").stdout)["results"]
    shown = {"path": f"{tmp_path}/data", "at": "/srv/data", "writable": True}
    assert answer == {"name": "worker1", "mounts": [shown], "problems": []}


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("mount", "worker1", "--rw"), "--rw, --at and --restart are for a PATH", 2),
        (("mount", "worker1", "/srv", "--at", "srv"), "'srv' is no absolute path of plain text", 2),
        (("mount", "worker1", ""), "an empty PATH is none", 2),
        (("mount", "worker1", "/srv/a\nb"), "no absolute path of plain text", 2),
        (("mount", "worker1", "/proc"), "/proc cannot be shown: /proc is the running system", 1),
        (("mount", "worker1", "/srv/none/such"), "/srv/none/such is not there", 1),
        (("unmount", "worker1", "/srv/other"), "worker1 is not shown /srv/other", 1),
        (("unmount", "worker1"), "Missing argument 'PATH'", 2),
        (("mount", "nobody1"), "there is no instance nobody1", 1),
    ],
)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    ocm: Run, worker: Path, words: tuple[str, ...], said: str, code: int
) -> None:
    before = worker.read_text()
    done = ocm(*words)
    assert said in done.stderr
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert worker.read_text() == before
