"""What gives a program its secrets."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.sandbox.launch import ENV, PERL, clean
from openclaw_ocm.system import programs

if TYPE_CHECKING:
    from pathlib import Path

WITH_SECRETS = (PERL, str(programs.DIRECTORY / "with_secrets.pl"))


def run_with_secrets(tmp_path: Path, content: bytes | None, *argv: str) -> subprocess.CompletedProcess[str]:
    secrets = tmp_path / "secrets.env"
    if content is not None:
        secrets.write_bytes(content)
    command = clean({"A": "own", "LANG": "C"}, (*WITH_SECRETS, str(secrets), *argv))
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_program_gets_its_secrets_to_the_letter_and_nothing_of_its_own_is_replaced(tmp_path: Path) -> None:
    lines = (
        b"KEY=a b$HOME`id`'\"\\#=\n",
        b"A=other\n",
        b"# B=1\n",
        b"lower=1\n",
        b"EMPTY=\n",
        "U=\u00e4".encode(),
    )
    done = run_with_secrets(tmp_path, b"".join(lines), ENV)
    assert done.stdout.splitlines() == ["A=own", "LANG=C", "KEY=a b$HOME`id`'\"\\#=", "U=\u00e4"]


@pytest.mark.parametrize(
    ("content", "own"),
    [
        (b"HTTPS_PROXY=http://me:x@p:1\n", ["NO_PROXY=localhost,127.0.0.1,::1"]),
        (b"HTTPS_PROXY=http://me:x@p:1\nNO_PROXY=.corp\n", ["NO_PROXY=.corp"]),
        (b"PROXY=1\n", []),
    ],
)
def test_with_a_proxy_an_instance_reaches_itself_without_one(
    tmp_path: Path, content: bytes, own: list[str]
) -> None:
    found = run_with_secrets(tmp_path, content, ENV).stdout.splitlines()
    assert [line for line in found if line.startswith("NO_PROXY")] == own


def test_a_file_of_secrets_that_is_missing_is_an_empty_one(tmp_path: Path) -> None:
    assert run_with_secrets(tmp_path, None, ENV).stdout.splitlines() == ["A=own", "LANG=C"]


def test_secrets_that_cannot_be_read_are_told_and_nothing_is_run(tmp_path: Path) -> None:
    done = run_with_secrets(tmp_path, None, ENV)
    (tmp_path / "loop").symlink_to("loop")
    argv = clean({}, (*WITH_SECRETS, str(tmp_path / "loop"), ENV))
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.startswith("the secrets cannot be read: ")


def test_a_program_with_secrets_is_the_process_that_was_started(tmp_path: Path) -> None:
    run_with_secrets(tmp_path, b"", ENV)
    argv = (*WITH_SECRETS, str(tmp_path / "secrets.env"), "/bin/sh", "-c", "echo $$")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.read() == f"{process.pid}\n"


def test_a_program_that_is_missing_ends_with_the_status_of_a_shell(tmp_path: Path) -> None:
    assert run_with_secrets(tmp_path, b"", "/nowhere").returncode == 127
