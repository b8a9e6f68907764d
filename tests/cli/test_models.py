"""`ocm update-models` up to where OpenClaw would judge the result, which is tested in the machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
import pytest
from tests import model_lists
from tests.list_server import ListServer

from openclaw_ocm.cli import frame
from openclaw_ocm.operations import models
from openclaw_ocm.system.runner import Completed

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


KEY, OLD_KEY = "sk-PLANTED-now-1111", "sk-PLANTED-old-2222"
WHOLE = {"baseUrl": "https://ppq.example", "api": "ollama", "models": [{"id": "a", "name": "A"}]}


@pytest.fixture
def follower(home: Path, config: Path, add_record: AddRecord) -> Path:
    """Make an instance that inherits from main, whose key has changed since; return its file of secrets."""
    record = add_record("worker1")
    record.write_text('backend = "supervisord"\n' + record.read_text())
    config.write_text(json.dumps({"models": {"providers": {"ppq": {**WHOLE, "apiKey": KEY}}}}))
    taken = {"models": {"providers": {"ppq": {**WHOLE, "apiKey": "${PPQ_API_KEY}"}}}}
    inherited = {"version": 1, "source": "main", "config": taken, "secrets": ["PPQ_API_KEY"]}
    secrets = home / ".config/ocm/secrets/worker1.env"
    for path, text in (
        (home / ".config/ocm/settings.toml", 'backend = "supervisord"\n'),
        (home / ".config/ocm/inherited/worker1.json", json.dumps(inherited)),
        (home / ".openclaw-worker1/openclaw.json", json.dumps({"gateway": {"mode": "local"}, **taken})),
        (secrets, f"PPQ_API_KEY={OLD_KEY}\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (home / ".openclaw-worker1").chmod(0o700)
    return secrets


@pytest.fixture
def _openclaw_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have main's config judged valid: the real OpenClaw judges in the machine."""
    verdict = Completed(returncode=0, stdout='{"valid": true}', stderr="")
    monkeypatch.setattr(models, "validate_main", lambda _host, _text: verdict)


HINT = (
    "ocm: not in step with main: worker1; ocm sync --all --dry-run shows what would change, "
    "ocm sync --all does it"
)


@pytest.mark.usefixtures("_openclaw_takes_it")
def test_after_a_change_of_main_the_sync_of_what_inherits_from_it_is_told(
    ocm: Run, follower: Path, server: ListServer
) -> None:
    url = server.page([{"id": "a"}, {"id": "b"}])
    assert HINT not in ocm("update-models", "--url", url, "--dry-run").stderr
    assert HINT in ocm("update-models", "--url", url).stderr.splitlines()
    again = ocm("update-models", "--url", url, "--json")
    assert HINT not in again.stderr, "nothing was changed"
    assert [one["name"] for one in json.loads(again.stdout)["results"]] == ["main"]
    assert OLD_KEY in follower.read_text()


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.usefixtures("_openclaw_takes_it")
def test_on_a_terminal_it_is_asked_and_no_is_the_default(
    ocm: Run,
    follower: Path,
    server: ListServer,
    monkeypatch: pytest.MonkeyPatch,
    answer: bool,  # noqa: FBT001
) -> None:
    asked = []

    def confirm(question: str, *, default: bool, err: bool) -> bool:
        asked.append((question, default, err))
        return answer

    monkeypatch.setattr(frame, "streams_are_terminals", lambda: True)
    monkeypatch.setattr(click, "confirm", confirm)
    done = ocm("update-models", "--url", server.page([{"id": "a"}, {"id": "b"}]))
    assert asked == [("Sync what inherits from main (worker1)?", False, True)]
    # The worker's models would change too, which an OpenClaw would have to judge that is not here.
    assert (HINT in done.stderr, "worker1" in done.stderr.replace(HINT, "")) == (not answer, answer)
    assert done.returncode == (3 if answer else 0)
    assert OLD_KEY in follower.read_text()


@pytest.mark.parametrize("as_json", [True, False])
def test_with_sync_they_are_synced_without_a_question_and_without_a_change(
    ocm: Run,
    follower: Path,
    server: ListServer,
    as_json: bool,  # noqa: FBT001
) -> None:
    url = server.page([{"id": "a"}])
    arguments = ("update-models", "--url", url, "--sync", *(["--json"] if as_json else []))
    assert "worker1" not in ocm(*arguments, "--dry-run", PATH=os.devnull).stdout
    assert OLD_KEY in follower.read_text()
    done = ocm(*arguments, PATH=os.devnull)
    assert done.returncode == 0
    if as_json:
        main, worker = json.loads(done.stdout)["results"]
        assert (main["changed"], worker["changes"]) == (False, ["replace secret PPQ_API_KEY"])
    else:
        assert done.stdout.splitlines()[-1] == "worker1: in step with main"
    assert "PLANTED" not in done.stdout + done.stderr
    assert f"PPQ_API_KEY={KEY}" in follower.read_text().splitlines()


def test_sync_is_for_what_inherits_from_main(ocm: Run, server: ListServer) -> None:
    done = ocm("update-models", "worker1", "--sync", "--url", server.url())
    assert done.returncode == 2
    assert "--sync is for what inherits from main" in done.stderr
    assert server.heads == []


LAB_KEY = "sk-PLANTED-lab-3333"


@pytest.fixture
def lab(config: Path, server: ListServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have main's config know the server as its provider `lab`, with one model and a key."""
    del monkeypatch
    entry = {"id": "a", "name": "A", "reasoning": False, "input": ["text"]}
    provider = {"baseUrl": server.url("/v1"), "apiKey": LAB_KEY, "models": [entry]}
    config.write_text(json.dumps({"models": {"providers": {"lab": provider}}}))
    return config


def test_a_provider_of_mains_own_config_is_asked_with_its_key_and_the_key_is_told_nowhere(
    ocm: Run, lab: Path, server: ListServer
) -> None:
    before = lab.read_bytes()
    server.page([{"id": "a"}, {"id": "lab/*"}])
    done = ocm("--verbose", "update-models", "--provider", "LAB")
    assert (done.returncode, done.stdout) == (0, "main: lab has 1 model: none changed\n")
    assert "left out: lab/*, each of which stands for many models" in done.stderr
    (head,) = server.heads
    assert head.startswith("GET /v1/models ")
    assert f"Authorization: Bearer {LAB_KEY}\r\n" in head
    assert LAB_KEY not in done.stdout + done.stderr
    assert lab.read_bytes() == before


def test_a_provider_that_main_has_not_is_told_with_those_that_it_has(
    ocm: Run, lab: Path, server: ListServer
) -> None:
    del lab
    done = ocm("update-models", "--provider", "lap")
    assert done.returncode == 1
    assert "main's config has no provider 'lap'" in done.stderr
    assert "there are lab, ppq, openrouter" in done.stderr
    assert server.heads == []


def test_a_key_that_is_refused_is_told_by_who_refused_it(ocm: Run, lab: Path, server: ListServer) -> None:
    server.body(b"no", status="401 Unauthorized")
    done = ocm("update-models", "--provider", "lab", "--json")
    assert error_of(done) == "provider_refuses"
    lab.write_text(lab.read_text().replace(LAB_KEY, ""))
    done = ocm("update-models", "--provider", "lab")
    assert "OCM found none for lab" in done.stderr
    assert LAB_KEY not in done.stdout + done.stderr


def test_a_key_follows_no_redirect_and_no_url_to_another_server(
    ocm: Run, lab: Path, server: ListServer
) -> None:
    del lab
    other = ListServer()
    with other.serving():
        server.redirect(other.page([{"id": "a"}]))
        assert error_of(ocm("update-models", "--provider", "lab", "--json")) == "redirect_refused"
        assert other.heads == []
        done = ocm("update-models", "--provider", "lab", "--url", other.url())
        assert done.returncode == 0, done.stderr
        (head,) = other.heads
    assert "authorization" not in head.lower()
    server.redirect("/v1/models/")
    server.page([{"id": "a"}], "/v1/models/")
    assert ocm("update-models", "--provider", "lab").returncode == 0
    assert "Authorization: Bearer" in server.heads[-1]


def test_where_there_is_no_list_beside_the_chats_that_of_ollama_is_read(
    ocm: Run, lab: Path, server: ListServer
) -> None:
    del lab
    server.body(b"", status="404 Not Found")
    server.body(json.dumps({"models": [{"name": "a", "model": "a"}]}).encode(), "/api/tags")
    done = ocm("update-models", "--provider", "lab")
    assert (done.returncode, done.stdout) == (0, "main: lab has 1 model: none changed\n")
    assert [head.split()[1] for head in server.heads] == ["/v1/models", "/api/tags"]
    server.body(b"", "/api/tags", status="404 Not Found")
    assert error_of(ocm("update-models", "--provider", "lab", "--json")) == "list_unreadable"


def test_plain_http_is_for_private_networks_alone(ocm: Run, lab: Path, server: ListServer) -> None:
    for address in ("http://8.8.8.8/v1", "http://models.example/v1"):
        lab.write_text(
            json.dumps({"models": {"providers": {"lab": {"baseUrl": address, "apiKey": LAB_KEY}}}})
        )
        assert error_of(ocm("update-models", "--provider", "lab", "--json"), status=2) == "url_invalid"
    assert server.heads == []


def test_an_instance_without_the_provider_does_not_get_it(
    ocm: Run, lab: Path, server: ListServer, follower: Path
) -> None:
    del follower
    entry = {"id": "a", "name": "A"}
    provider = {"baseUrl": server.url("/v1"), "models": [entry]}
    lab.write_text(json.dumps({"models": {"providers": {"lab": provider}}}))
    server.page([{"id": "a"}])
    assert error_of(ocm("update-models", "--provider", "lab", "worker1", "--json")) == "provider_unknown"
