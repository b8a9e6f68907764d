"""`ocm model` on the backend in memory: what is listed, asked for, written and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import model_lists, samples
from tests.operations.test_contents import EFFORT, Worker, worker

from openclaw_ocm.core.models.choice import parse_choice
from openclaw_ocm.core.models.listing import Page
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations import model
from openclaw_ocm.operations.model import Chosen, Need, Wanted, choose, look_up, offers
from openclaw_ocm.operations.secret import list_secrets
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.kept.secrets import read_secrets

__all__ = ["worker"]
NAME = samples.NAME
KEY = "sk-PLANTED-0123456789-wxyz"
# What OpenClaw 2026.9.6 printed, shortened.
LISTED = {
    "count": 2,
    "models": [
        {"key": "openrouter/auto", "name": "Auto", "available": False, "tags": []},
        {"key": "lab/m-1\u001b[31m", "name": "M", "available": True},
        {"name": "no key"},
    ],
}


def manifest(worker: Worker, provider: str, *variables: str) -> None:
    """Have the OpenClaw of the instance come with a provider."""
    package = Path(read_record(worker.context.host.paths, NAME).runtime.openclaw)
    folder = package / "dist/extensions" / provider
    folder.mkdir(parents=True)
    said = {"id": provider, "providers": [provider]}
    setup = {"providers": [{"id": provider, "envVars": list(variables)}]}
    (folder / "openclaw.plugin.json").write_text(json.dumps({**said, "setup": setup}))


def need(worker: Worker, reference: str, url: str | None = None, **options: Any) -> Need:  # noqa: ANN401 - those of `look_up`
    asked = {"variable": None, "no_key": False, **options}
    return look_up(worker.context, NAME, parse_choice(reference, url), **asked)


def given(worker: Worker, wanted: Need, key: str | None, *, dry_run: bool = False) -> Chosen:
    return choose(worker.context, NAME, Wanted(need=wanted, key=key), EFFORT, dry_run=dry_run)


def secrets(worker: Worker) -> dict[str, str]:
    return read_secrets(worker.paths)


def test_a_built_in_provider_gets_its_key_where_openclaw_looks(worker: Worker) -> None:
    manifest(worker, "openrouter", "OPENROUTER_API_KEY")
    wanted = need(worker, "openrouter/z-ai/glm-4.6")
    assert (wanted.variable, wanted.missing) == ("OPENROUTER_API_KEY", True)
    pid, providers = worker.pid, worker.config["models"]["providers"]
    done = given(worker, wanted, KEY)
    assert (done.changed, done.restarted, done.running, done.key) == (True, True, True, wanted.variable)
    assert worker.pid != pid, "a process reads its secrets when it starts"
    assert secrets(worker)["OPENROUTER_API_KEY"] == KEY
    assert worker.config["models"]["providers"] == providers
    assert worker.config["agents"]["defaults"]["model"]["primary"] == "openrouter/z-ai/glm-4.6"
    assert KEY not in Path(worker.paths.config).read_text()
    assert KEY not in repr(done)
    assert KEY not in "\n".join(worker.told)


def test_another_model_of_a_provider_that_has_a_key_takes_neither_key_nor_restart(worker: Worker) -> None:
    given(worker, need(worker, "lab/m-1", "https://lab.example/v1"), KEY)
    pid = worker.pid
    wanted = need(worker, "lab/m-2")
    assert not wanted.missing
    done = given(worker, wanted, None)
    assert (done.changed, done.restarted, done.key) == (True, False, "LAB_API_KEY")
    assert worker.pid == pid
    assert worker.config["models"]["providers"]["lab"]["apiKey"] == "${LAB_API_KEY}"
    assert not given(worker, wanted, None).changed


def test_a_new_key_alone_is_a_change(worker: Worker) -> None:
    wanted = need(worker, "lab/m-1", "https://lab.example/v1")
    given(worker, wanted, KEY)
    done = given(worker, need(worker, "lab/m-1"), "sk-another-0123456789")
    assert (done.changed, done.restarted, done.keys) == (True, True, ())
    assert secrets(worker)["LAB_API_KEY"] == "sk-another-0123456789"


def test_a_key_that_was_inherited_is_the_instances_own_from_then_on(worker: Worker) -> None:
    inherited = read_inherited(worker.paths)
    assert inherited is not None
    assert "A_API_KEY" in inherited.secrets
    wanted = need(worker, "a/9")
    assert (wanted.variable, wanted.missing) == ("A_API_KEY", False)
    given(worker, wanted, KEY)
    after = read_inherited(worker.paths)
    assert after is not None
    assert "A_API_KEY" not in after.secrets
    assert {one.key: one.source for one in list_secrets(worker.context, NAME)}["A_API_KEY"] == "own"


def test_without_a_key_nothing_is_done(worker: Worker) -> None:
    before = worker.files()
    with pytest.raises(Invalid) as caught:
        given(worker, need(worker, "lab/m-1", "https://lab.example/v1"), None)
    assert (caught.value.code, caught.value.exit_code) == ("key_missing", 2)
    assert "--key-stdin" in str(caught.value.hint)
    assert worker.files() == before


@pytest.mark.parametrize("asked", [{"no_key": True}, {}])
def test_what_runs_on_this_machine_takes_no_key(worker: Worker, asked: dict[str, bool]) -> None:
    provider = "lab" if asked else "vllm"
    done = given(worker, need(worker, f"{provider}/m-1", "http://127.0.0.1:8000/v1", **asked), None)
    assert (done.changed, done.key) == (True, None)
    assert "apiKey" not in worker.config["models"]["providers"][provider]


def test_a_provider_of_which_nothing_is_known_is_refused(worker: Worker) -> None:
    before = worker.files()
    with pytest.raises(OcmError) as caught:
        need(worker, "nosuch/m-1")
    assert (caught.value.code, caught.value.exit_code) == ("provider_unknown", 1)
    assert need(worker, "nosuch/m-1", variable="NOSUCH_TOKEN").variable == "NOSUCH_TOKEN"
    assert worker.files() == before


@pytest.mark.parametrize("variable", ["PATH", "lower", "NODE_OPTIONS"])
def test_a_key_is_no_variable_that_steers_programs(worker: Worker, variable: str) -> None:
    with pytest.raises(Invalid) as caught:
        need(worker, "lab/m-1", "https://lab.example/v1", variable=variable)
    assert caught.value.code == "key_invalid"


def test_agents_with_a_model_of_their_own_are_told(worker: Worker) -> None:
    config = worker.config
    config["agents"]["entries"] = {"main": {}, "two": {"model": "a/1"}}
    Path(worker.paths.config).write_text(json.dumps(config))
    done = given(worker, need(worker, "lab/m-1", "https://lab.example/v1"), KEY, dry_run=True)
    assert done.notes[0] == "agents with a model of their own keep it: two"


def answering(worker: Worker, script: str) -> None:
    (worker.home / "node").write_text(f"#!/bin/sh\n{script}\n")


def test_what_openclaw_lists_is_told(worker: Worker) -> None:
    manifest(worker, "openrouter", "OPENROUTER_API_KEY")
    answering(worker, f"""printf '%s' "$*" > {worker.home}/asked; cat <<'END'\n{json.dumps(LISTED)}\nEND""")
    found = offers(worker.context, NAME, "openrouter")
    assert (worker.home / "asked").read_text().endswith("models list --provider openrouter --json")
    assert [(one.reference, one.usable) for one in found.models] == [
        ("openrouter/auto", False),
        ("lab/m-1", True),
    ]
    assert found.model == "a/1"
    assert {"openrouter", "a", "b"} <= set(found.providers)


@pytest.mark.parametrize("said", ["", "no JSON", "[]", '{"models": 3}', '{"models": [3, {"key": 3}]}'])
def test_an_answer_of_another_shape_lists_nothing(worker: Worker, said: str) -> None:
    answering(worker, f"echo '{said}'")
    assert offers(worker.context, NAME, None).models == ()


def test_without_a_key_a_provider_itself_is_asked(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(worker, """echo '{"count": 0, "models": []}'""")
    asked = []

    def download(url: str, _report: object) -> Page:
        asked.append(url)
        return Page(rows=tuple(model_lists.ppq(2)))

    monkeypatch.setattr(model, "download", download)
    found = offers(worker.context, NAME, "ppq")
    assert asked == ["https://api.ppq.ai/v1/models"]
    assert len(found.models) == 2
    assert all(one.reference.startswith("ppq/") and one.usable is None for one in found.models)
    assert offers(worker.context, NAME, "lab").models == ()


def test_an_openclaw_that_does_not_list_is_told(worker: Worker) -> None:
    answering(worker, "echo 'it is broken' >&2; exit 1")
    with pytest.raises(OcmError) as caught:
        offers(worker.context, NAME, None)
    assert (caught.value.code, caught.value.details) == ("models_unlisted", ("it is broken",))


def test_a_key_in_a_variable_of_ones_own_is_referred_to(worker: Worker) -> None:
    manifest(worker, "openrouter", "OPENROUTER_API_KEY")
    wanted = need(worker, "openrouter/x", variable="MINE_API_KEY")
    assert wanted.missing
    given(worker, wanted, "sk-PLANTED")
    config = json.loads(Path(worker.paths.config).read_text())
    assert config["models"]["providers"]["openrouter"] == {"apiKey": "${MINE_API_KEY}"}
    assert not need(worker, "openrouter/x", variable="MINE_API_KEY").missing
    assert need(worker, "openrouter/x", variable="TYPO_KEY").missing
