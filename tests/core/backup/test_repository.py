"""What a repository may be called, what opens one, and what restic says of what is in it."""

from __future__ import annotations

import json

import pytest

from openclaw_ocm.core.backup.repository import (
    last_words,
    parse_repository,
    parse_snapshots,
    unknown_variables,
)
from openclaw_ocm.errors import Invalid

SNAPSHOT = {
    "id": "0123456789abcdef" * 4,
    "paths": ["/home/ann/x/worker1-20261127T030000Z.tar"],
    "tags": ["ocm", "worker1", "bytes=42"],
}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/srv/backups/", "/srv/backups"),
        ("sftp:ann@server:/srv/backups", "sftp:ann@server:/srv/backups"),
        ("rest:https://server:8000/", "rest:https://server:8000/"),
        ("s3:s3.amazonaws.com/bucket", "s3:s3.amazonaws.com/bucket"),
        ("rclone:remote:path", "rclone:remote:path"),
    ],
)
def test_a_repository_is_a_directory_or_elsewhere(text: str, kept: str) -> None:
    assert parse_repository(text) == kept


@pytest.mark.parametrize(
    "text", ["", "backups", "--repo", "sftp:", "ftp:x", "s3:a b", "s3:a\nb", "/a\nb", "/" + "x" * 1000]
)
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is no repository of restic"):
        parse_repository(text)


def test_a_password_is_named_in_no_repository() -> None:
    with pytest.raises(Invalid, match="without its password") as caught:
        parse_repository("rest:https://ann:PLANTED@server/")
    assert "PLANTED" not in str(caught.value)


def test_only_variables_of_restic_and_its_stores_are_passed_on() -> None:
    known = {"RESTIC_PASSWORD", "AWS_ACCESS_KEY_ID", "RCLONE_CONFIG", "SSH_AUTH_SOCK", "HTTPS_PROXY"}
    assert unknown_variables(frozenset({*known, "PATH", "LD_PRELOAD", "RESTIC_REPOSITORY"})) == [
        "LD_PRELOAD",
        "PATH",
        "RESTIC_REPOSITORY",
    ]


@pytest.mark.parametrize(
    "stderr",
    [
        "created new cache\nFatal: wrong password or no key found\n",
        '{"message_type": "exit_error", "code": 12, "message": "Fatal: wrong password or no key found"}\n',
    ],
)
def test_why_it_failed_is_its_last_line_of_old_and_of_new(stderr: str) -> None:
    assert last_words(stderr) == "Fatal: wrong password or no key found"


@pytest.mark.parametrize(
    "change",
    [{"tags": ["worker1"]}, {"tags": None}, {"paths": ["/home/ann/notes"]}, {"paths": ["/a", "/b"]}],
)
def test_what_is_not_of_ocm_is_passed_over(change: dict[str, object]) -> None:
    other = {key: value for key, value in {**SNAPSHOT, **change}.items() if value is not None}
    (found,) = parse_snapshots(json.dumps([other, SNAPSHOT]))
    assert (found.id, found.file.name, found.size_bytes) == ("01234567", "worker1", 42)
    assert parse_snapshots("null") == ()
