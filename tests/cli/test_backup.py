"""The command line of backups: what it refuses before it touches anything, and what it answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.archives import tree, write_archive

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backup"], "name one or more instances, or say --all"),
        (["backup", "worker1", "--all"], "name one or more instances, or say --all"),
        (["backup", "worker1", "--encrypt-to", "me"], "'me' is no recipient of age"),
        (["backup", "worker1", "--exclude", "../x"], "'../x' is no pattern of what is left out"),
        (["backup", "worker1", "--format", "zip"], "'zip' is not one of 'gz', 'zst'"),
        (["backup", "worker1", "worker2", "-o", "one.tar.gz"], "must be a directory"),
        (["backup", "worker1", "--to", "/x", "--format", "zst"], "--to takes no --output"),
        (["backup", "worker1", "--to", "ftp:x"], "'ftp:x' is no repository of restic"),
        (["backups", "prune", "--all"], "say what to keep"),
        (["backups", "prune", "--keep-last", "3"], "name one or more instances"),
        (["backups", "prune", "worker1", "--keep-last", "-1"], "-1 is not in the range"),
        (["backups", "verify"], "name an archive or an instance"),
        (["backups", "verify", "x", "--all"], "name an archive or an instance"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused(ocm: Run, add_record: AddRecord, arguments: list[str], words: str) -> None:
    add_record("worker1")
    add_record("worker2", port=19021)
    done = ocm(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backup", "nosuch"], "there is no instance nosuch"),
        (["backup", "worker1"], "worker1 has no state directory"),
        (["backup", "worker3"], "worker3.toml is corrupt"),
        (["backup", "worker1", "--to", "/nosuch/x"], "restic.env with the password of the repository"),
        (["backups", "list", "--from", "/nosuch"], "restic.env with the password of the repository"),
        (["restore", "x", "--from", "/nosuch"], "restic.env with the password of the repository"),
        (["backups", "verify", "nosuch"], "there is no backup of nosuch"),
        (["backups", "verify", "/nosuch"], "there is no file /nosuch"),
        (["backups", "verify", "--all", "--identity", "/nosuch"], "there is no file /nosuch"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there_is_one_clear_error(
    ocm: Run, home: Path, add_record: AddRecord, arguments: list[str], words: str
) -> None:
    add_record("worker1")
    add_record("worker3", text="port = ")
    done = ocm(*arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert not (home / "backups").exists()


def test_a_repository_is_listed_verified_and_pruned_without_its_instance(ocm: Run, home: Path) -> None:
    secrets, repository = home / ".config/ocm/restic.env", home / "repository"
    secrets.parent.mkdir(parents=True, exist_ok=True)
    secrets.write_text("RESTIC_PASSWORD=x\n")
    secrets.chmod(0o600)
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "RESTIC_PASSWORD": "x"}
    argv = ["restic", "--repo", str(repository)]
    subprocess.run([*argv, "init"], env=environ, check=True, capture_output=True)
    # From where OCM has them for a moment: what is from elsewhere it does not prune.
    scratch = home / ".local/state/ocm/tmp/@repository"
    scratch.mkdir(parents=True)
    for day in (1, 2):
        archive = write_archive(scratch / f"worker1-2026010{day}T000000Z.tar", tree(home), form="tar")
        given = [*argv, "backup", "--tag", "ocm", "--tag", "worker1", str(archive)]
        subprocess.run(given, env=environ, check=True, capture_output=True)
        archive.unlink()
    place = ("--from", str(repository))
    found = json.loads(ocm("backups", "list", *place, "--json").stdout)["results"]
    assert [one["time"] for one in found] == [f"2026-01-0{day}T00:00:00+00:00" for day in (1, 2)]
    first, second = (one["path"] for one in found)
    checked = ocm("backups", "verify", "worker1", *place)
    assert [line.partition(":")[0] for line in checked.stdout.splitlines()] == [first, second]
    assert ": whole: worker1, " in checked.stdout
    assert f"there is no backup worker9 in {repository}" in ocm("restore", "worker9", *place).stderr
    pruned = ocm("backups", "prune", "--all", "--keep-last", "1", *place).stdout
    assert pruned == f"worker1: removed 1, 1 kept\n  {first}\n"
    assert [line.split()[-1] for line in ocm("backups", "list", *place).stdout.splitlines()] == [
        "FILE",
        second,
    ]


def test_backups_are_listed_verified_and_pruned_without_their_instance(ocm: Run, home: Path) -> None:
    assert ocm("backups", "list").stderr == "no backups: ocm backup NAME makes one\n"
    backups = home / "backups"
    backups.mkdir()
    for day in (1, 2, 3):
        write_archive(backups / f"worker1-2026010{day}T000000Z.tar.gz", tree(home))
    (backups / "worker2-20260101T000000Z.tar.gz").write_text("no archive")
    lines = ocm("backups", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "worker1", "worker1", "worker1", "worker2"]
    found = json.loads(ocm("backups", "list", "worker1", "--json").stdout)["results"]
    assert [one["time"] for one in found] == [f"2026-01-0{day}T00:00:00+00:00" for day in (1, 2, 3)]
    some = ocm("backups", "verify", "--all", "--json")
    answer = json.loads(some.stdout)
    assert (some.returncode, len(answer["results"]), answer["ok"]) == (3, 3, False)
    (error,) = answer["errors"]
    assert (error["code"], error["name"]) == (
        "archive_invalid",
        str(backups / "worker2-20260101T000000Z.tar.gz"),
    )
    assert ocm("backups", "verify", "worker2").returncode == 1
    done = ocm("backups", "verify", "worker1")
    assert (done.returncode, done.stdout.count(": whole: worker1, 3 files and 1 database")) == (0, 3)
    told = ocm("backups", "prune", "--all", "--keep-daily", "2", "--dry-run")
    assert told.stdout.splitlines()[0] == "worker1: would remove 1, 2 kept"
    assert len(list(backups.iterdir())) == 4
    assert ocm("backups", "prune", "worker1", "--keep-last", "1").returncode == 0
    assert sorted(path.name[:17] for path in backups.iterdir()) == ["worker1-20260103T", "worker2-20260101T"]
    assert "PLANTED" not in some.stdout + some.stderr + done.stdout + done.stderr
