"""`ocm secret` as far as it goes without a gateway, and that no secret is told."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.cli.conftest import SOURCE, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    AddRecord = Callable[..., Path]

VALUE = "sk-PLANTED-0123456789-wxyz"


@pytest.fixture
def typed(home: Path) -> Run:
    """Return a function that runs ocm with a text on its standard input, under supervisord's backend."""
    settings = home / ".config/ocm/settings.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('backend = "supervisord"\n')

    def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "openclaw_ocm", *arguments],
            capture_output=True,
            text=True,
            input=text,
            check=False,
            timeout=60,
            cwd=home,
            env={**environment(home), "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    return run


@pytest.fixture
def worker(home: Path, add_record: AddRecord) -> Path:
    """Return where the secrets of an instance are."""
    path = add_record("worker1")
    path.write_text('backend = "supervisord"\n' + path.read_text())
    return home / ".config/ocm/secrets/worker1.env"


def inherited(home: Path, *names: str) -> Path:
    path = home / ".config/ocm/inherited/worker1.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, "source": "main", "config": {}, "secrets": names}))
    return path


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def test_a_secret_is_set_listed_and_unset(typed: Run, worker: Path) -> None:
    done = typed("secret", "set", "worker1", "PPQ_API_KEY", text=f"{VALUE}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "worker1: add PPQ_API_KEY; takes effect at the next start\n"
    assert lines(worker) == [f"PPQ_API_KEY={VALUE}"]
    assert stat.S_IMODE(worker.stat().st_mode) == 0o600
    assert stat.S_IMODE(worker.parent.stat().st_mode) == 0o700
    assert typed("secret", "list", "worker1").stdout.split() == ["PPQ_API_KEY", "...wxyz", "own"]
    assert (
        typed("secret", "set", "worker1", "PPQ_API_KEY", text=VALUE).stdout == "worker1: nothing to change\n"
    )
    assert typed("secret", "unset", "worker1", "PPQ_API_KEY").returncode == 0
    assert lines(worker) == []
    assert typed("secret", "unset", "worker1", "PPQ_API_KEY").stdout == "worker1: nothing to change\n"


def test_a_dry_run_changes_nothing(typed: Run, worker: Path) -> None:
    done = typed("secret", "set", "worker1", "A_KEY", "--dry-run", text=VALUE)
    first, what, *plan = done.stdout.splitlines()
    assert [first, what] == ["worker1: secret would do this:", "  add A_KEY"]
    beside = str(worker.with_name(".worker1.env.TOKEN.ocm"))
    assert [re.sub(r"[0-9a-f]{12}", "TOKEN", line) for line in plan] == [
        f"  make ready {beside}",
        f"  put {beside} in the place of {worker}",
        f"  remove {beside}",
    ]
    assert not worker.parent.exists()


def test_an_inherited_secret_that_is_set_becomes_the_instances_own(
    typed: Run, worker: Path, home: Path
) -> None:
    base = inherited(home, "A_KEY", "B_KEY")
    worker.parent.mkdir()
    worker.write_text(f"A_KEY=sk-from-main-1234\nB_KEY={VALUE}\n")
    assert typed("secret", "set", "worker1", "A_KEY", text=VALUE).returncode == 0
    assert json.loads(base.read_text())["secrets"] == ["B_KEY"]
    found = json.loads(typed("secret", "list", "worker1", "--json").stdout)
    assert found["command"] == "secret list"
    assert found["results"] == [
        {"name": "worker1", "key": "A_KEY", "last": "...wxyz", "source": "own"},
        {"name": "worker1", "key": "B_KEY", "last": "...wxyz", "source": "main"},
    ]
    refused = typed("secret", "unset", "worker1", "B_KEY")
    assert refused.returncode == 1
    assert "would be back with the next sync" in refused.stderr
    assert lines(worker) == [f"A_KEY={VALUE}", f"B_KEY={VALUE}"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("set", "worker1", "A_KEY", VALUE), ""),
        (("set", "worker1", VALUE), ""),
        (("set", "worker1", f"A_KEY={VALUE}"), ""),
        (("set", "worker1", "A_KEY"), f"{VALUE}\n{VALUE}\n"),
        (("set", "worker1", "A_KEY"), f"{VALUE}\x1b"),
        (("set", "worker1", "LD_PRELOAD"), VALUE),
        (("set", "worker1", "A_KEY"), ""),
        (("set", "worker1", "A_KEY"), f"{VALUE}" * 2000),
        (("unset", "worker1", VALUE), ""),
    ],
    ids=["argv", "as name", "as assignment", "two lines", "control", "reserved", "empty", "long", "unset"],
)
@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_bad_input_is_one_sentence_without_the_secret(
    typed: Run, worker: Path, arguments: tuple[str, ...], text: str, extra: tuple[str, ...]
) -> None:
    done = typed("secret", *arguments, *extra, text=text)
    assert done.returncode == 2
    assert VALUE not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not worker.exists()


@pytest.mark.parametrize("damage", [f"A_KEY={VALUE}\n{VALUE}\n", f"export A={VALUE}\n", "A_KEY=\n"])
def test_a_damaged_file_is_one_sentence_without_a_secret(typed: Run, worker: Path, damage: str) -> None:
    worker.parent.mkdir()
    worker.write_text(damage)
    for arguments in (
        ("list", "worker1"),
        ("set", "worker1", "B_KEY"),
        ("unset", "worker1", "A_KEY", "--json"),
    ):
        done = typed("--debug", "secret", *arguments, text=VALUE)
        assert done.returncode == 1
        assert VALUE not in done.stdout + done.stderr
        assert "mend the line or remove it" in done.stdout + done.stderr
    assert worker.read_text() == damage


def test_what_was_inherited_and_is_damaged_is_one_sentence(typed: Run, worker: Path, home: Path) -> None:
    inherited(home).write_text("{")
    done = typed("secret", "list", "worker1")
    assert done.returncode == 1
    assert "is corrupt" in done.stderr
    assert not worker.exists()


def test_no_secrets_is_said(typed: Run, worker: Path) -> None:
    done = typed("secret", "list", "worker1")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no secrets" in done.stderr
    assert not worker.exists()


def test_the_secrets_of_one_instance_are_not_anothers(
    typed: Run, worker: Path, add_record: AddRecord
) -> None:
    other = add_record("worker2", port=19021)
    other.write_text('backend = "supervisord"\n' + other.read_text())
    typed("secret", "set", "worker2", "A_KEY", text=VALUE)
    assert typed("secret", "list", "worker1").stdout == ""
    assert not worker.exists()
    assert os.path.exists(worker.with_name("worker2.env"))  # noqa: PTH110


@pytest.mark.parametrize("command", ["sync", "create", "deploy"])
def test_inheriting_from_somewhere_and_from_nowhere_exclude_each_other(
    typed: Run, worker: Path, command: str
) -> None:
    done = typed(command, "worker1", "--no-inherit", "--inherit-from", "main")
    assert done.returncode == 2
    assert "exclude each other" in done.stderr
    assert not worker.exists()


def test_what_was_inherited_is_given_up_and_the_secrets_stay(typed: Run, worker: Path, home: Path) -> None:
    typed("secret", "set", "worker1", "A_KEY", text=VALUE)
    path = inherited(home, "A_KEY")
    assert typed("sync", "worker1", "--no-inherit").stdout == (
        "worker1: inherits no more, and keeps what it has\n"
    )
    assert not path.exists()
    assert lines(worker) == [f"A_KEY={VALUE}"]
    assert typed("sync", "worker1", "--no-inherit").stdout == "worker1: inherits nothing\n"
    assert typed("sync", "worker1", "--inherit-from", "worker1").returncode == 2
