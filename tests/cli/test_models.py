"""`ocm update-models` up to where OpenClaw would judge the result, which is tested in the machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests import model_lists
from tests.system.list_server import ListServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., "Path"]

PROVIDERS = {"ppq": {"baseUrl": "https://ppq.example", "models": [{"id": str(n)} for n in range(100)]}}


@pytest.fixture
def server() -> Iterator[ListServer]:
    found = ListServer()
    with found.serving():
        yield found


@pytest.fixture
def config(home: Path) -> Path:
    path = home / ".openclaw/openclaw.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"models": {"providers": PROVIDERS}}))
    return path


def error_of(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """Return the code of the one error of an answer in JSON."""
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    (error,) = json.loads(done.stdout)["errors"]
    assert error["hint"]
    code: str = error["code"]
    return code


def test_without_a_config_of_mains_the_next_command_is_told(ocm: Run, home: Path, server: ListServer) -> None:
    done = ocm("update-models", "--url", server.page(model_lists.ppq(3)))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"ocm: main has no config {home}/.openclaw/openclaw.json",
        "ocm: openclaw onboard makes one; ocm update-models NAME updates an instance",
    ]


def test_a_list_that_is_refused_leaves_the_config_to_the_byte(
    ocm: Run, config: Path, server: ListServer
) -> None:
    before = config.read_bytes()
    shrunk = server.page(model_lists.ppq(40), "/shrunk")
    assert error_of(ocm("update-models", "--json", "--url", shrunk)) == "list_shrunk"
    assert error_of(ocm("update-models", "--json", "--url", server.page([]))) == "list_empty"
    config.write_text('{"$include": "x", ' + before.decode()[1:])
    assert error_of(ocm("update-models", "--json", "--url", shrunk, "--force")) == "config_included"
    config.write_bytes(before)
    # The list would do: what is missing is the OpenClaw that is to judge the result.
    done = ocm("update-models", "--json", "--url", shrunk, "--force", PATH=os.devnull)
    assert error_of(done) in ("node_missing", "openclaw_missing")
    assert config.read_bytes() == before
    assert [path.name for path in config.parent.iterdir()] == ["openclaw.json"]


def test_a_list_that_changes_nothing_needs_no_openclaw(ocm: Run, config: Path, server: ListServer) -> None:
    entry = {"id": "a", "name": "A"}
    whole = {"baseUrl": "https://ppq.example", "apiKey": "sk-x", "api": "ollama", "models": [entry]}
    config.write_text(json.dumps({"models": {"providers": {"ppq": whole}}}))
    done = ocm("update-models", "--url", server.page([{"id": "a"}]), PATH=os.devnull)
    assert (done.returncode, done.stdout) == (0, "main: ppq has 1 model: none changed\n")


def test_without_a_server_nothing_is_read_or_written(ocm: Run, home: Path, server: ListServer) -> None:
    url = server.url()
    server.shutdown()
    server.server_close()
    assert error_of(ocm("update-models", "--json", "--url", url)) == "download_failed"
    assert error_of(ocm("update-models", "--json", "--url", "http://ppq.example/"), status=2) == "url_invalid"
    assert [path.name for path in home.rglob("*") if path.is_file()] == []


def test_each_instance_has_its_error(ocm: Run, server: ListServer, add_record: AddRecord) -> None:
    add_record("worker1")
    done = ocm("update-models", "worker1", "nosuch", "--json", "--url", server.page(model_lists.ppq(3)))
    assert done.returncode == 1
    errors = json.loads(done.stdout)["errors"]
    assert [error["name"] for error in errors] == ["worker1", "nosuch"]
    assert errors[1]["code"] == "unknown_instance"
    assert len(server.heads) == 1, "one download for all"


def test_names_and_all_exclude_each_other_before_anything_is_asked(ocm: Run, server: ListServer) -> None:
    done = ocm("update-models", "worker1", "--all", "--url", server.url())
    assert done.returncode == 2
    assert "name one or more instances, or say --all" in done.stderr
    assert server.heads == []
