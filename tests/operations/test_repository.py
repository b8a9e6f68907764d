"""Backups in a repository of restic, the real one, in a directory."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.operations.test_backup import LAST, NAME, STATE_DATABASE, Instance

from openclaw_ocm.core.backup.schedule import LastRun
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.record import Schedule
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations.backup import Request
from openclaw_ocm.operations.backups import cut_off, verify
from openclaw_ocm.operations.repository import (
    backup_to,
    check_repository,
    fetched,
    identifiers,
    list_repository,
    names_in,
    prune_repository,
)
from openclaw_ocm.operations.schedule import Asked, set_schedule
from openclaw_ocm.operations.scheduled import run_scheduled
from openclaw_ocm.system.archive.reader import extract
from openclaw_ocm.system.kept.records import encode_record, read_record

if TYPE_CHECKING:
    from openclaw_ocm.operations.backup import Backup

PASSWORD = "PLANTED-password-of-the-repository"


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = Instance(tmp_path)
    made.create()
    secrets(made).write_text(f"RESTIC_PASSWORD={PASSWORD}\n")
    secrets(made).chmod(0o600)
    with made.database(STATE_DATABASE):
        pass
    return made


@pytest.fixture
def place(instance: Instance) -> str:
    """Return a repository that was just made."""
    found = str(instance.home / "repository")
    check_repository(instance.context, found)
    return found


def secrets(instance: Instance) -> Path:
    return Path(instance.context.host.paths.ocm_config, "restic.env")


def made_to(instance: Instance, place: str, *, exclude: tuple[str, ...] = ()) -> Backup:
    return backup_to(instance.context, NAME, Request(exclude=exclude), place)


def size(place: str) -> int:
    return sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())


def test_what_nights_share_is_kept_once_and_comes_back_as_it_was(instance: Instance, place: str) -> None:
    noise = random.Random(1).randbytes(16 * 2**20)
    (Path(instance.paths.workspace) / "noise").write_bytes(noise)
    first = made_to(instance, place)
    before = size(place)
    instance.write("workspace/NOTES.md", "a second night")
    second = made_to(instance, place)
    # restic cuts by content, into pieces of a megabyte and up to eight.
    assert before > len(noise) > 2 * (size(place) - before)
    assert (first.encrypted, first.databases, second.files) == (True, 1, first.files + 1)
    assert second.size_bytes < first.size_bytes / 2
    listed = list_repository(instance.context, place)
    assert [f"{one.path} in {place}" for one in listed] == [first.path, second.path]
    assert all(one.name == NAME and one.size_bytes > len(noise) for one in listed)
    assert names_in(instance.context, place) == (NAME,)
    for word, there in ((listed[0].path, False), (NAME, True)):
        with fetched(instance.context, place, word) as archive:
            assert verify(instance.context, archive, ()).name == NAME
            into = instance.home / f"out-{word}"
            extract(archive, PurePosixPath(into), free_bytes=2**32)
        assert (into / "state/workspace/noise").read_bytes() == noise
        assert (into / "state/workspace/NOTES.md").exists() is there
    assert not Path(archive).exists()
    assert instance.leftovers() == []
    assert cut_off(instance.context.host) == ()


def test_neither_secrets_nor_the_password_are_in_it_or_in_what_is_run(
    instance: Instance, place: str, capfd: pytest.CaptureFixture[str]
) -> None:
    context = instance.context
    runner = replace(context.host.runner, verbose=True)
    loud = replace(context, host=replace(context.host, runner=runner))
    backup_to(loud, NAME, Request(), place)
    said = capfd.readouterr()
    assert "restic" in said.err
    kept = b"".join(path.read_bytes() for path in Path(place).rglob("*") if path.is_file())
    assert b"PLANTED" not in kept + said.err.encode() + said.out.encode()


def test_the_same_rules_keep_backups_as_on_this_machine(instance: Instance, place: str) -> None:
    made = [made_to(instance, place) for _ in range(3)]
    found = identifiers(instance.context, place, (NAME,))
    assert identifiers(instance.context, place, ()) == found
    assert [one.path.split()[0] for one in made] == list(found)
    planned, done = (
        prune_repository(instance.context, NAME, place, LAST, dry_run=dry_run) for dry_run in (True, False)
    )
    assert (planned.removed, planned.kept) == (done.removed, done.kept) == (found[:2], found[2:])
    assert identifiers(instance.context, place, (NAME,)) == found[2:]


def test_they_are_made_by_themselves_and_pruned(instance: Instance, place: str) -> None:
    record = read_record(instance.paths.host, NAME)
    (Path(instance.paths.workspace) / "disk.img").write_text("large")
    schedule = Schedule(every="daily", keep=LAST, repository=place, exclude=("*.img",))
    Path(instance.paths.record).write_text(encode_record(msgspec.structs.replace(record, backups=schedule)))
    for _night in range(2):
        made = run_scheduled(instance.context, NAME)
        assert made.left_out["excluded by *.img"] == 1
    (one,) = list_repository(instance.context, place)
    assert made.path == f"{one.path} in {place}"
    last = msgspec.json.decode(Path(instance.paths.last_backup).read_bytes(), type=LastRun)
    assert (last.archive, last.error) == (made.path, None)
    shutil.rmtree(place)
    with pytest.raises(OcmError, match="there is no repository at") as caught:
        run_scheduled(instance.context, NAME)
    assert caught.value.code == "repository_missing"
    assert not Path(place).exists(), "a disk may not be mounted"


def test_a_schedule_goes_to_one_place() -> None:
    to_disk = Schedule(every="daily", directory="/mnt", format="zst", encrypt_to=("age1x",))
    moved = Asked(every="daily", keep={}, given={"repository": "/srv/repository"}).over(to_disk)
    assert moved == Schedule(every="daily", repository="/srv/repository")
    assert Asked(every="hourly", keep={}, given={}).over(moved).repository == "/srv/repository"
    back = Asked(every="daily", keep={}, given={"directory": "/mnt"}).over(moved)
    assert (back.repository, back.directory) == (None, "/mnt")


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (None, 0o600, "there is no .*restic.env"),
        ("# nothing\n", 0o600, "has no RESTIC_PASSWORD"),
        (f"RESTIC_PASSWORD={PASSWORD}\n", 0o640, "can be read by others"),
        (f"RESTIC_PASSWORD={PASSWORD}\nLD_PRELOAD=/x\n", 0o600, "has LD_PRELOAD, which is no variable"),
    ],
)
def test_without_a_password_of_ones_own_nothing_is_made(
    instance: Instance, content: str | None, mode: int, why: str
) -> None:
    secrets(instance).unlink()
    if content is not None:
        secrets(instance).write_text(content)
        secrets(instance).chmod(mode)
    with pytest.raises(OcmError, match=why) as caught:
        check_repository(instance.context, str(instance.home / "none"))
    assert caught.value.code == "repository_secrets"
    assert PASSWORD not in str(caught.value)
    assert not (instance.home / "none").exists()
    with pytest.raises(OcmError, match=why) as read:
        list_repository(instance.context, str(instance.home / "none"))
    lacks = mode == 0o600 and PASSWORD not in (content or "")
    # One that is there is opened by no password that is made up now.
    assert ["urandom" in str(one.value.hint) for one in (caught, read)] == [lacks, False]


def test_a_wrong_password_and_a_damaged_repository_are_told(instance: Instance, place: str) -> None:
    made_to(instance, place)
    for pack in Path(place, "data").rglob("*"):
        if pack.is_file():
            pack.chmod(0o600)
            os.truncate(pack, 10)
    with (
        pytest.raises(OcmError, match="restic failed with") as caught,
        fetched(instance.context, place, NAME),
    ):
        pass
    assert caught.value.code == "repository_failed"
    secrets(instance).write_text("RESTIC_PASSWORD=another\n")
    with pytest.raises(OcmError, match=r"restic failed with .*wrong password"):
        list_repository(instance.context, place)


def test_one_in_the_reach_of_an_instance_is_refused(instance: Instance) -> None:
    with pytest.raises(Invalid, match="which could read and change it"):
        check_repository(instance.context, str(instance.state / "repository"))
    assert not (instance.state / "repository").exists()


def test_what_is_not_there_and_what_is_of_others_is_no_backup(instance: Instance, place: str) -> None:
    made_to(instance, place)
    environ = {"PATH": os.environ["PATH"], "RESTIC_PASSWORD": PASSWORD, "HOME": str(instance.home)}
    other = instance.home / "other.tar"
    other.write_text("something else of the user's")
    argv = ["restic", "--repo", place, "backup", "--json", str(other)]
    subprocess.run(argv, env=environ, check=True, capture_output=True)
    assert len(list_repository(instance.context, place)) == 1
    for word in ("nobody", "01234567"):
        with pytest.raises(OcmError, match=f"there is no backup {word} in") as caught:
            identifiers(instance.context, place, (word,))
        assert caught.value.code == "archive_missing"


def planted(place: str, archive: Path, *more: str) -> None:
    """Add something as whoever has the password may."""
    environ = {"PATH": os.environ["PATH"], "RESTIC_PASSWORD": PASSWORD, "HOME": str(archive.parent)}
    argv = ["restic", "--repo", place, "backup", "--json", "--tag", "ocm", *more, str(archive)]
    subprocess.run(argv, env=environ, check=True, capture_output=True)


@pytest.mark.parametrize("more", [("--host", "another"), ()], ids=["machine", "user"])
def test_what_another_machine_or_user_made_is_not_pruned(
    instance: Instance, place: str, more: tuple[str, ...]
) -> None:
    scratch = Path(instance.context.host.paths.ocm_state, "tmp", "@repository") if more else instance.home
    scratch.mkdir(parents=True, exist_ok=True)
    other = scratch / f"{NAME}-20200101T000000Z.tar"
    other.write_text("of another instance of that name")
    planted(place, other, *more)
    made_to(instance, place)
    made_to(instance, place)
    before = {one.path for one in list_repository(instance.context, place)}
    pruned = prune_repository(instance.context, NAME, place, LAST, dry_run=False)
    assert (len(before), len(pruned.removed), len(pruned.kept)) == (3, 1, 1)
    assert len(list_repository(instance.context, place)) == 2


def test_a_link_in_a_repository_leads_nowhere(instance: Instance, place: str) -> None:
    away = instance.home / "away"
    away.mkdir()
    mine = instance.home / f"{NAME}-20200101T000000Z.tar"
    mine.write_text("a file of the user's")
    link = away / mine.name
    link.symlink_to(mine)
    planted(place, link)
    with (
        pytest.raises(OcmError, match="does not hold the file that it says") as caught,
        fetched(instance.context, place, NAME),
    ):
        pass
    assert caught.value.code == "repository_failed"
    assert mine.exists()


def test_no_repository_is_made_for_what_cannot_be(instance: Instance) -> None:
    place = str(instance.home / "none")
    nobody = parse_name("nobody")
    for attempt in (
        lambda: backup_to(instance.context, nobody, Request(), place, make=True),
        lambda: set_schedule(instance.context, nobody, to_nowhere(place, "daily"), dry_run=False),
        lambda: set_schedule(instance.context, NAME, to_nowhere(place, "no time"), dry_run=False),
    ):
        with pytest.raises(OcmError):
            attempt()
        assert not Path(place).exists()
    assert backup_to(instance.context, NAME, Request(), place, make=True).files
    assert len(list_repository(instance.context, place)) == 1


def to_nowhere(place: str, every: str) -> Asked:
    return Asked(every=every, keep={}, given={"repository": place})


def test_what_finds_no_room_is_not_fetched(instance: Instance, place: str) -> None:
    archive = instance.home / f"{NAME}-20200101T000000Z.tar"
    archive.write_text("more than there is room for, by its tag")
    planted(place, archive, "--tag", f"bytes={2**50}")
    with (
        pytest.raises(OcmError, match="more than is free in") as caught,
        fetched(instance.context, place, NAME),
    ):
        pass
    assert caught.value.code == "no_space"
