"""`ocm notify` as it is typed: secrets from standard input alone, and one sentence for what cannot be."""

from __future__ import annotations

import json
import shlex
import stat
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

SECRET = "https://hooks.example.org/T0PSECRET"


def refused(done: subprocess.CompletedProcess[str], words: str, status: int = 2) -> None:
    assert done.returncode == status, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "T0PSECRET" not in done.stderr + done.stdout


@pytest.mark.parametrize("kind", ["webhook", "ntfy"])
def test_an_address_that_is_typed_as_an_argument_is_refused_and_not_told_back(
    ocm: Run, home: Path, kind: str
) -> None:
    refused(ocm("notify", "add", kind, SECRET), "the address comes from standard input")
    assert not (home / ".config/ocm/notify.toml").exists()


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("webhook", "", "the secret is empty"),
        ("webhook", "T0PSECRET\n", "that is no address of a webhook"),
        ("webhook", f"{SECRET} and more\n", "that is no address of a webhook"),
        ("webhook", f"{SECRET}\n{SECRET}\n", "a secret is one line"),
        ("ntfy", "https://ntfy.sh/\n", "no topic"),
        ("ntfy", "ftp://ntfy.sh/T0PSECRET\n", "that is no address of a webhook"),
    ],
)
def test_what_is_no_address_is_refused_without_it(
    process: Run, home: Path, kind: str, given: str, words: str
) -> None:
    typed = f"printf %s {shlex.quote(given)} | {sys.executable} -m openclaw_ocm notify add {kind}"
    refused(process(program=("bash", "-o", "pipefail", "-c", typed)), words)
    assert not (home / ".config/ocm").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["notify", "add", "pager"], "'pager' is not one of"),
        (["notify", "add"], "Missing argument 'KIND'"),
        (["notify", "add", "email"], "name one address"),
        (["notify", "add", "email", "a@b", "c@d"], "name one address"),
        (["notify", "add", "email", "-f"], "No such option"),
        (["notify", "add", "email", "--", "-f"], "is no address of mail"),
        (["notify", "add", "command"], "name the program"),
        (["notify", "add", "command", "/gone/away"], "there is no program /gone/away"),
        (["notify", "add", "command", "--name", "A B", "true"], "is no name of a way"),
        (["notify", "remove"], "name one or more ways, or say --all"),
        (["notify", "remove", "phone", "--all"], "name one or more ways, or say --all"),
        (["notify", "nonsense"], "No such command"),
    ],
)
def test_what_cannot_be_is_one_sentence(ocm: Run, home: Path, arguments: list[str], words: str) -> None:
    refused(ocm(*arguments), words)
    assert not (home / ".config/ocm").exists()


@pytest.mark.parametrize("arguments", [["remove", "phone"], ["test", "phone"]])
def test_a_way_that_there_is_not_is_told(ocm: Run, arguments: list[str]) -> None:
    refused(ocm("notify", *arguments), "there is no way", 1)


def test_without_any_way_nothing_is_wrong(ocm: Run) -> None:
    done = ocm("notify", "list")
    assert done.returncode == 0
    assert "nobody is told: ocm notify add" in done.stderr
    assert json.loads(ocm("notify", "list", "--json").stdout)["results"] == []
    assert ocm("notify", "remove", "--all").returncode == 0
    done = ocm("notify", "check")
    assert (done.returncode, done.stdout) == (0, "nothing to tell\n")


def test_what_is_there_is_listed_masked_tested_and_checked(ocm: Run, home: Path) -> None:
    ways = home / ".config/ocm/notify.toml"
    ways.parent.mkdir(parents=True)
    tell = home / "tell"
    tell.write_text(f"#!/bin/sh\ncat >> {home}/told\n")
    tell.chmod(0o755)
    ways.write_text(
        f'[[way]]\ntype = "command"\nname = "file"\nargv = ["{tell}"]\n'
        f'[[way]]\ntype = "webhook"\nname = "chat"\nurl = "http://127.0.0.1:1/T0PSECRET"\n'
    )
    done = ocm("notify", "list")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["NAME", "KIND", "TO", "LAST"],
        ["file", "command", str(tell), "-"],
        ["chat", "webhook", "http://127.0.0.1:1/...", "-"],
    ]
    done = ocm("notify", "test", "file")
    assert done.stdout == f"file: a test message went to {tell}\n"
    assert (home / "told").read_text().startswith("A test of ocm notify\n")
    done = ocm("notify", "test", "--json")
    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert [one["name"] for one in answer["results"]] == ["file"]
    (error,) = answer["errors"]
    assert (error["name"], error["code"]) == ("chat", "not_sent")
    assert error["message"] == "a message did not go by chat: the connection was refused"
    assert "T0PSECRET" not in done.stdout + done.stderr
    records = home / ".config/ocm/instances"
    records.mkdir()
    (records / "worker1.toml").write_text("nonsense")
    answer = json.loads(ocm("notify", "check", "--json").stdout)
    assert (answer["ok"], answer["results"]) == (True, []), "not before it lasted some minutes"
    told = home / ".local/state/ocm/notify.json"
    assert stat.S_IMODE(told.stat().st_mode) == 0o600
    assert "T0PSECRET" not in told.read_text()
