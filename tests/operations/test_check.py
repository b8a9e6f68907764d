"""`ocm check` on the backend in memory: a stand-in prints what OpenClaw 2026.9.6 does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import samples
from tests.core.openclaw.test_turn import SAID, answer, error
from tests.operations.test_contents import Worker, worker

from openclaw_ocm.core.log import Entry
from openclaw_ocm.core.openclaw.turn import Failure
from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.check import check, prepare, refuse_silent
from openclaw_ocm.operations.planning.result import Outcome

if TYPE_CHECKING:
    from openclaw_ocm.operations.check import Checked

__all__ = ["worker"]
NAME = samples.NAME
DEPLOYED = Outcome(name=NAME, operation="deploy", changed=True, message="ready and sealed", notes=("a note",))
SAYS = dict(reversed(SAID["errors"]))


def asked(worker: Worker, main: str, group: str | None = None, *, seconds: float = 60.0) -> Checked:
    """Check an instance whose OpenClaw prints this for main, and this for a group."""
    (worker.home / "main.json").write_text(main)
    (worker.home / "group.json").write_text(main if group is None else group)
    script = f"""#!/bin/sh
printf '%s\\n' "$*" >> {worker.home}/asked
case "$*" in *:ocm:group:check*) cat {worker.home}/group.json;; *) cat {worker.home}/main.json;; esac
"""
    (worker.home / "node").write_text(script)
    return check(worker.context, prepare(worker.context, NAME), timeout_seconds=seconds)


def sessions(worker: Worker) -> list[str]:
    words = (worker.home / "asked").read_text().split()
    return [words[index + 1] for index, word in enumerate(words) if word == "--session-key"]


def test_an_instance_that_answers_is_told_with_what_it_took(worker: Worker) -> None:
    found = asked(worker, answer("4f5c", "exec"), answer("4f5c", "exec", boxed=True))
    assert (found.ok, found.model) == (True, "a/1")
    assert [(one.session, one.ok, one.boxed) for one in found.turns] == [
        ("main", True, False),
        ("group", True, True),
    ]
    assert sessions(worker) == ["agent:main:main", "agent:main:ocm:group:check"]
    assert all(one.seconds <= found.seconds for one in found.turns)
    refuse_silent(found, DEPLOYED)


def test_what_is_set_around_main_and_not_for_it_is_told_with_the_turns(worker: Worker) -> None:
    dotenv = worker.home / ".openclaw" / ".env"
    dotenv.write_text("HTTPS_PROXY=http://proxy.example:3128\n")
    found = asked(worker, answer("4f5c", "exec"), answer("4f5c", "exec", boxed=True))
    assert found.ok
    command = f"ocm env {NAME} set HTTPS_PROXY=http://proxy.example:3128"
    assert f"HTTPS_PROXY is set in {dotenv}, and not for {NAME}: {command}" in found.notes


@pytest.mark.parametrize(
    "failure", ["NO_KEY", "UNKNOWN_MODEL", "REFUSED", "NO_CREDIT", "REJECTED"], ids=str.lower
)
def test_where_the_provider_fails_no_group_is_asked(worker: Worker, failure: str) -> None:
    found = asked(worker, error(SAYS[failure]))
    assert not found.ok
    assert [one.problem for one in found.turns] == [Failure[failure].value]
    assert sessions(worker) == ["agent:main:main"]
    with pytest.raises(OcmError) as caught:
        refuse_silent(found, DEPLOYED)
    assert (caught.value.code, caught.value.exit_code) == (Failure[failure].value, 1)
    assert caught.value.message == (
        f"{NAME} is there, ready and sealed, but does not answer: main: {found.turns[0].message}"
    )
    assert caught.value.hint == found.turns[0].mend


def test_a_refusal_by_a_provider_that_gets_no_key_tells_of_that(worker: Worker) -> None:
    config = worker.config
    del config["models"]["providers"]["a"]["apiKey"]
    Path(worker.paths.config).write_text(json.dumps(config))
    found = asked(worker, error(SAYS["REFUSED"]))
    assert [one.problem for one in found.turns] == ["provider_refuses"], "it has a secret"
    config["agents"]["defaults"]["model"] = {"primary": "lab/m-1"}
    config["models"]["providers"]["lab"] = {"baseUrl": "http://127.0.0.1:9/v1"}
    Path(worker.paths.config).write_text(json.dumps(config))
    found = asked(worker, error(SAYS["REFUSED"]))
    assert [(one.problem, one.message) for one in found.turns] == [("no_key", "it has no key for lab")]


def test_a_box_that_cannot_be_made_fails_the_group_alone(worker: Worker) -> None:
    found = asked(worker, answer("4f5c", "exec"), error(SAYS["NO_BOX"]))
    assert [(one.session, one.problem) for one in found.turns] == [
        ("main", None),
        ("group", "box_impossible"),
    ]
    assert not found.ok


def test_without_a_tool_call_the_group_is_asked_all_the_same(worker: Worker) -> None:
    found = asked(worker, answer("I would rather not"), answer("4f5c", "exec"))
    assert [one.problem for one in found.turns] == ["no_tool_call", None]
    assert found.turns[0].answer == "I would rather not"


def test_without_a_model_nothing_is_asked(worker: Worker) -> None:
    config = worker.config
    del config["agents"]["defaults"]["model"]
    Path(worker.paths.config).write_text(json.dumps(config))
    found = asked(worker, answer("4f5c", "exec"))
    assert (found.model, [one.problem for one in found.turns]) == (None, ["no_model"])
    assert not (worker.home / "asked").exists()


def test_an_agents_own_model_is_the_one_that_is_asked(worker: Worker) -> None:
    config = worker.config
    config["agents"]["entries"] = {"two": {"model": {"primary": "b/3"}}}
    Path(worker.paths.config).write_text(json.dumps(config))
    assert asked(worker, answer("4f5c", "exec")).model == "b/3"
    assert sessions(worker) == ["agent:two:main", "agent:two:ocm:group:check"]


def test_one_that_prints_nothing_within_its_time_hangs(worker: Worker) -> None:
    (worker.home / "node").write_text("#!/bin/sh\nexec sleep 60\n")
    found = check(worker.context, prepare(worker.context, NAME), timeout_seconds=4.0)
    assert [one.problem for one in found.turns] == ["provider_hangs"]
    assert found.turns[0].message == "a did not answer within 3 s"
    assert found.seconds < 30


def test_what_the_gateway_logged_tells_why_its_time_was_up(worker: Worker) -> None:
    line = next(line for failure, line in SAID["logged"] if failure == "UNREACHABLE")
    later = 2**40
    entry = Entry(time="2026-11-26T17:50:41+00:00", source="gateway", message=line)
    worker.world.entries.setdefault(NAME, []).append((later, entry))
    found = asked(worker, error(SAYS["HANGS"]))
    assert [one.problem for one in found.turns] == ["provider_unreachable"]


def test_a_gateway_that_is_not_ready_is_not_asked(worker: Worker) -> None:
    worker.world.answers[NAME] = Answer(problem="it hangs")
    with pytest.raises(OcmError) as caught:
        prepare(worker.context, NAME)
    assert (caught.value.code, caught.value.hint) == ("not_ready", f"ocm start {NAME}")
