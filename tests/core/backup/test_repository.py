"""What a repository may be called, what opens one, and what restic says of what is in it."""

from __future__ import annotations

import json

import pytest

from openclaw_ocm.core.backup.repository import (
    is_missing,
    last_words,
    parse_repository,
    parse_snapshots,
    unknown_variables,
    way,
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
    with pytest.raises(Invalid, match="without its password") as caught:
        parse_repository("https://ann:PLANTED@server/")
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
    ("passed_on", "told"),
    [
        ("subprocess ssh: Host key verification failed.\r\n", "ssh: Host key verification failed."),
        (
            "subprocess ssh: Warning: added\nsubprocess ssh: ann@nas: Permission denied (publickey).\n",
            "ssh: ann@nas: Permission denied (publickey).",
        ),
        ("subprocess ssh: ssh: connect: refused\n", "ssh: connect: refused"),
        ("rclone: CRITICAL: didn't find section\n", "rclone: CRITICAL: didn't find section"),
    ],
)
def test_where_the_way_there_failed_its_own_words_are_told(passed_on: str, told: str) -> None:
    assert last_words(f"{passed_on}Fatal: unable to open repository at sftp:nas:/x: EOF\n") == told


@pytest.mark.parametrize(
    ("place", "typed"),
    [
        ("sftp:ann@nas:/srv/x", "ssh ann@nas"),
        ("sftp:nas:x", "ssh nas"),
        ("sftp://ann@nas:2222//srv/x", "ssh -p 2222 ann@nas"),
        ("sftp:$(x):/y", "ssh '$(x)'"),
        ("s3:nas/x", None),
        ("/srv/x", None),
    ],
)
def test_where_ssh_does_not_lead_there_its_command_is_named(place: str, typed: str | None) -> None:
    assert way(place, "ssh: Host key verification failed.") == typed
    assert way(place, "Fatal: unable to start the sftp session, error: EOF") == typed
    assert way(place, "Fatal: wrong password or no key found") is None


@pytest.mark.parametrize(
    "change",
    [
        {"tags": ["worker1"]},
        {"tags": None},
        {"paths": ["/home/ann/notes"]},
        {"paths": ["/a", "/b"]},
        {"paths": ["/../../home/ann/backups/worker1-20261127T030000Z.tar"]},
        {"paths": ["worker1-20261127T030000Z.tar"]},
    ],
)
def test_what_is_not_of_ocm_is_passed_over(change: dict[str, object]) -> None:
    other = {key: value for key, value in {**SNAPSHOT, **change}.items() if value is not None}
    (found,) = parse_snapshots(json.dumps([other, SNAPSHOT]))
    assert (found.id, found.file.name, found.size_bytes) == ("01234567", "worker1", 42)
    assert parse_snapshots("null") == ()


@pytest.mark.parametrize(
    ("why", "is_there"),
    [
        ("unable to open config file: stat /srv/x/config: no such file or directory", False),
        ("repository does not exist: unable to open config file: Stat: <config/> does not exist", False),
        ("unable to open config file: Stat: The specified key does not exist.", False),
        ("unable to open config file: file does not exist", False),
        ("unable to open config file: unexpected HTTP response (404): 404 Not Found", False),
        ("unable to open config file: unexpected HTTP response (401): 401 Unauthorized", True),
        ("unable to open config file: Stat: Access Denied.", True),
        ("unable to open config file: stat /srv/x/config: permission denied", True),
        ("unable to open config file: client.Head: dial tcp 127.0.0.1:9: connect: connection refused", True),
    ],
)
def test_a_repository_that_cannot_be_read_is_not_one_that_is_not_there(why: str, *, is_there: bool) -> None:
    said = f"Fatal: {why}\nIs there a repository at the following location?\nrest:http://server/x\n"
    assert is_missing(said) is not is_there
    assert last_words(said) == f"Fatal: {why}"
    assert last_words(json.dumps({"message_type": "exit_error", "message": said})) == f"Fatal: {why}"
