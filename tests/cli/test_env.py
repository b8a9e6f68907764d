"""`ocm env` as it is typed: what it prints, in text and JSON, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.operations.kept import NAME, Kept, keep

from openclaw_ocm.cli import frame, lifecycle, main
from openclaw_ocm.operations.planning import offers

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]


@pytest.fixture
def worker(add_record: AddRecord) -> Path:
    path = add_record("worker1")
    with path.open("a") as record:
        record.write("[environment]\nTZ = 'UTC'\nNO_PROXY = 'a b'\n")
    return path


def test_the_list_is_one_a_line_and_with_all_each_has_its_name(ocm: Run, worker: Path) -> None:
    assert worker.exists()
    assert ocm("env", "worker1").stdout.splitlines() == ["TZ=UTC", "NO_PROXY=a b"]
    assert ocm("env", "--all").stdout.splitlines() == ["worker1: TZ=UTC", "worker1: NO_PROXY=a b"]
    answer = json.loads(ocm("env", "--all", "list", "--json").stdout)
    assert answer["results"] == [
        {"name": "settings.toml", "variables": {}},
        {"name": "worker1", "variables": {"TZ": "UTC", "NO_PROXY": "a b"}},
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name an instance, or say --all"),
        (("worker1", "put", "A=1"), "after the name comes list, set or unset"),
        (("worker1", "set"), "set takes one or more KEY=VALUE"),
        (("worker1", "unset"), "unset takes one or more names"),
        (("worker1", "list", "A"), "list takes nothing"),
        (("worker1", "set", "LD_PRELOAD=/x.so"), "LD_PRELOAD decides what programs load and run"),
        (("worker1", "set", "HTTPS_PROXY=http://me:geheim@proxy:1"), "ocm secret set worker1 HTTPS_PROXY"),
        (("--all", "set", "A_TOKEN=geheim"), "ocm secret set NAME A_TOKEN"),
        (("worker1", "set", "TZ="), "ocm env worker1 unset TZ takes it away"),
        (("--all", "unset", "PATH"), "PATH is set by OCM"),
        (("nobody1", "list"), "there is no instance nobody1"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    ocm: Run, worker: Path, words: tuple[str, ...], said: str
) -> None:
    before = worker.read_text()
    done = ocm("env", *words)
    assert done.returncode == 2 or "no instance" in said
    assert said in done.stderr
    assert "geheim" not in done.stderr
    assert "Traceback" not in done.stderr
    assert worker.read_text() == before
    assert json.loads(ocm("env", *words, "--json").stdout)["ok"] is False


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Return a home on whose machine a proxy is set, and that a person sits at."""
    made = keep(tmp_path, monkeypatch)
    system = tmp_path / "environment"
    system.write_text("HTTPS_PROXY=http://1.1.1.1:3128\nALL_PROXY=http://me:geheim@1.1.1.1:3128\n")
    monkeypatch.setattr(offers, "_SYSTEMS", system)
    monkeypatch.setattr(frame, "this_host", lambda _ctx: made.host)
    monkeypatch.setattr(frame, "streams_are_terminals", lambda: True)
    return made


def created(*words: str, typed: str) -> str:
    obj = {"verbose": False, "debug": False}
    arguments = [NAME, "--no-inherit", *words]
    done = CliRunner().invoke(lifecycle.create, arguments, input=typed, obj=obj, **main.ocm.context_settings)
    assert done.exit_code == 0, done.output
    assert "geheim" not in done.output
    return done.stderr


@pytest.mark.parametrize(
    ("words", "typed", "given"),
    [
        ((), "y\n", {"HTTPS_PROXY": "http://1.1.1.1:3128"}),
        ((), "\n", {"HTTPS_PROXY": "http://1.1.1.1:3128"}),
        ((), "n\n", {}),
        (("--env", "HTTPS_PROXY=http://1.0.0.1:1"), "", {"HTTPS_PROXY": "http://1.0.0.1:1"}),
        (("--yes",), "", {}),
        (("--json",), "", {}),
    ],
)
def test_what_is_set_around_is_asked_about_once_and_given_by_a_yes_alone(
    kept: Kept, words: tuple[str, ...], typed: str, given: dict[str, str]
) -> None:
    said = created(*words, typed=typed)
    assert ("Give it these?" in said) is bool(typed)
    assert dict(kept.record(NAME).environment) == given
    assert (f"ocm env {NAME} set HTTPS_PROXY=http://1.1.1.1:3128" in said) is (
        not given and "--json" not in words
    )
    assert not created(typed="").count("Give it")
