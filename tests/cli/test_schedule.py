from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--every", "daily%n"], "'daily%n' is no time for backups"),
        (["--every", ""], "'' is no time for backups"),
        (["--every", "daily\nUnit=x"], "is no time for backups"),
        (["--every", "never", "--keep-last", "3"], "--every never takes no other option"),
        (["--every", "never", "--format", "zst"], "--every never takes no other option"),
        (["--keep-last", "3"], "--keep-last and the like need --every"),
        (["--every", "daily", "-o", "nowhere"], "must be a directory that exists"),
        (["--every", "daily", "--encrypt-to", "me"], "'me' is no recipient of age"),
        (["--every", "daily", "--keep-daily", "-1"], "--keep-daily"),
        (["--every", "daily", "--format", "zip"], "--format"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_in_one_sentence(
    ocm: Run, home: Path, arguments: list[str], words: str
) -> None:
    refused = ocm("backup", "worker1", *arguments)
    assert refused.returncode == 2, refused.stderr
    assert words in refused.stderr.splitlines()[0]
    assert len(refused.stderr.splitlines()) <= 2
    assert all(line.isprintable() for line in refused.stderr.splitlines())
    assert list(home.iterdir()) == []


def test_what_a_timer_runs_is_not_shown_and_tells_of_an_instance_that_is_gone(ocm: Run) -> None:
    assert "--scheduled" not in ocm("backup", "--help").stdout
    gone = ocm("backup", "--scheduled=worker1")
    assert (gone.returncode, "there is no instance worker1" in gone.stderr) == (1, True)
