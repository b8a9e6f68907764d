"""One turn of an agent: how it is asked for, what `openclaw agent --json` printed, and what failed in it.

Texts and shapes are those of OpenClaw 2026.9.6; what an instance prints is not trusted to have any.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_ANSWER = 200
_MAX_TEXT = 20_000
# What a gateway logs of an attempt that it makes again until the time is up.
_LOGGED = re.compile(r" isError=true .*? error=(.*?)(?: rawError=|$)")
_TOOL = "exec"
# Below it OpenClaw itself ends the turn, and says so.
_MARGIN_SECONDS = 20.0
_MARGIN_SHARE = 0.25
_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# A model that `ocm model` takes, of which no shell takes a letter for anything else.
_TYPED = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}/[A-Za-z0-9._:/@+-]{1,200}")
# Of a line of the log: what is written in one is the instance's.
_MAX_LINE = 2000


class Session(str, Enum):
    """Which session is asked: the agent's main one, or one as a group of strangers has it."""

    MAIN = "main"
    GROUP = "group"

    def key(self, agent: str) -> str:
        """Return its key, by which OpenClaw knows it."""
        return f"agent:{agent}:main" if self is Session.MAIN else f"agent:{agent}:ocm:group:check"


class Failure(str, Enum):
    """What kept an agent from answering: the slug that `--json` carries."""

    NO_MODEL = "no_model"
    NO_KEY = "no_key"
    UNKNOWN_MODEL = "model_unknown"
    REFUSED = "provider_refuses"
    NO_CREDIT = "no_credit"
    BUSY = "provider_busy"
    UNREACHABLE = "provider_unreachable"
    REJECTED = "provider_rejects"
    HANGS = "provider_hangs"
    NO_BOX = "box_impossible"
    NO_TOOL = "no_tool_call"
    OTHER = "turn_failed"

    @property
    def is_of_session(self) -> bool:
        """Tell whether another session of the same instance may answer all the same."""
        return self in (Failure.NO_BOX, Failure.NO_TOOL, Failure.OTHER)


# The first that fits decides: a refusal by the provider may come with words of a later one.
_SIGNS = (
    (Failure.OTHER, ("gateway not reachable",)),
    (Failure.NO_BOX, ("sandbox mode requires", "sandbox_provisioning", "sandboxprovisioning")),
    (
        Failure.NO_KEY,
        (
            "no route-compatible authentication",
            "no api key",
            "missing-provider-auth",
            "secret_surface_unavailable",
        ),
    ),
    (Failure.UNKNOWN_MODEL, ("unknown model", "model was not found by the provider", "model_not_found")),
    (Failure.NO_CREDIT, ("billing error", "out of credits", "insufficient balance", "http 402")),
    (
        Failure.REFUSED,
        *(("authentication failed", "http 401", "http 403", "request unauthorized", "auth/billing failure"),),
    ),
    (Failure.BUSY, ("rate limit", "rate_limit", "http 429", "status=429", "overloaded")),
    (
        Failure.UNREACHABLE,
        (
            *("connection refused by the provider", "dns lookup for the provider", "network connection"),
            *("network error", "endpoint is unreachable", "tls certificate validation"),
            *("proxy or tunnel configuration", "econnrefused", "enotfound", "eai_again", "enetunreach"),
            *("ehostunreach", "connection error"),
        ),
    ),
    (Failure.HANGS, ("timed out", "timeout after", "did not respond")),
    (Failure.REJECTED, ("llm request failed", "llm request rejected")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of a turn: `answer` is the agent's, `failure` what kept it, with OpenClaw's own `words`.

    `boxed` tells whether its tools were in a box, None where OpenClaw does not say.
    """

    failure: Failure | None
    answer: str = ""
    words: str = ""
    boxed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A turn with one harmless tool call, whose output nobody knows who did not make it."""

    token: str

    @property
    def command(self) -> str:
        """The command that the agent is to run."""
        return f"printf {self.token} | sha256sum | cut -c1-16"

    @property
    def proof(self) -> str:
        """What the command prints."""
        return hashlib.sha256(self.token.encode()).hexdigest()[:16]

    @property
    def message(self) -> str:
        """What is said to the agent."""
        return (
            "This is a check by ocm, which the owner of this machine runs. Call your exec tool once, with "
            f"the command `{self.command}`, and answer with what it prints and nothing else."
        )

    def arguments(self, session: str, seconds: float) -> tuple[str, ...]:
        """Return the arguments of openclaw that ask it in a session, with `seconds` for all of it."""
        limit = str(max(1, int(seconds - min(_MARGIN_SECONDS, _MARGIN_SHARE * seconds))))
        return ("agent", "--session-key", session, "--message", self.message, "--timeout", limit, "--json")


def agent_of(config: Mapping[str, Any]) -> str:
    """Return the agent to ask: main, or the first where there is none of that name."""
    names = list(agents_in(config))
    return "main" if "main" in names or not names else names[0]


def agents_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of the agents that a config names, those with a name that an agent may have."""
    entries = as_object(lookup(config, "agents.entries"))
    return {name: entry for name, entry in entries.items() if _AGENT.fullmatch(name)}


def read_turn(question: Question, stdout: str, stderr: str) -> Turn:
    """Return what came of a turn, of which OpenClaw printed this."""
    said = _parse(stdout)
    result = as_object(said.get("result"))
    payloads = result.get("payloads")
    rows = [as_object(row) for row in payloads[:50]] if isinstance(payloads, list) else []
    texts = [str(row.get("text") or "")[:_MAX_TEXT] for row in rows]
    words = _words(said, texts, stderr)
    boxed = lookup(as_object(result.get("meta")), "systemPromptReport.sandbox.sandboxed")
    failure = _failure(question, said, texts, words)
    failed = failure not in (None, Failure.NO_TOOL)
    return Turn(
        failure=failure,
        answer="" if failed else printable(" ".join(texts)[:_MAX_ANSWER]).strip(),
        words=printable(words[:_MAX_ANSWER]).strip() if failed else "",
        boxed=boxed if isinstance(boxed, bool) else None,
    )


def read_log(turn: Turn, lines: Iterable[str]) -> Turn:
    """Return a turn that took too long with what its gateway logged of the attempts that it made."""
    said = [match[1] for line in lines if (match := _LOGGED.search(line[:_MAX_LINE]))]
    failures = [(failure, words) for words in said if (failure := _read_signs(words)) is not Failure.OTHER]
    if turn.failure is not Failure.HANGS or not failures:
        return turn
    failure, words = failures[-1]
    return replace(turn, failure=failure, words=printable(words[:_MAX_ANSWER]).strip())


def _failure(question: Question, said: Mapping[str, Any], texts: list[str], words: str) -> Failure | None:
    if said.get("status") == "timeout":
        return Failure.HANGS
    if said.get("status") == "ok":
        used = lookup(said, "result.meta.agentMeta.terminalReceipt.successfulToolNames")
        called = isinstance(used, list) and _TOOL in used
        if called or any(question.proof in text for text in texts):
            return None
        if not any(_is_error(row) for row in _payloads(said)):
            return Failure.NO_TOOL
    return _read_signs(words)


def _read_signs(words: str) -> Failure:
    lower = words.lower()
    return next((failure for failure, signs in _SIGNS if any(sign in lower for sign in signs)), Failure.OTHER)


def _payloads(said: Mapping[str, Any]) -> list[Any]:
    payloads = lookup(said, "result.payloads")
    return payloads if isinstance(payloads, list) else []


def _is_error(row: object) -> bool:
    return as_object(row).get("isError") is True


def _words(said: Mapping[str, Any], texts: list[str], stderr: str) -> str:
    """Return OpenClaw's own words on what failed."""
    message = lookup(said, "error.message")
    if isinstance(message, str) and message:
        return message[:_MAX_TEXT]
    return " ".join(texts) or stderr.strip()[:_MAX_TEXT]


def _parse(text: str) -> dict[str, Any]:
    """Return the object that OpenClaw printed, an empty one where there is none."""
    start = text.find("{")
    try:
        return as_object(json.loads(text[start:])) if start >= 0 else {}
    except (ValueError, RecursionError):
        return {}


def sentence(failure: Failure, model: str, seconds: float) -> str:
    """Return in a person's words what failed with a model within `seconds`."""
    provider = model.partition("/")[0] or "the provider"
    return {
        Failure.NO_MODEL: "it has no model",
        Failure.NO_KEY: f"it has no key for {provider}",
        Failure.UNKNOWN_MODEL: f"there is no model {model}, says OpenClaw or the provider",
        Failure.REFUSED: f"{provider} refuses the key",
        Failure.NO_CREDIT: f"{provider} says that the account has no credit left",
        Failure.BUSY: f"{provider} says that it is asked too often, or is overloaded",
        Failure.UNREACHABLE: f"{provider} cannot be reached",
        Failure.REJECTED: f"{provider} answered with an error of its own",
        Failure.HANGS: f"{provider} did not answer within {round(seconds)} s",
        Failure.NO_BOX: "the box for its tools cannot be made",
        Failure.NO_TOOL: "it answered, but did not run the command that it was asked to run",
        Failure.OTHER: "OpenClaw could not complete the turn",
    }[failure]


def advice(failure: Failure, name: str, model: str) -> str:
    """Return what to type about a failure: `model` may be anything that the instance wrote."""
    if not _TYPED.fullmatch(model):
        model = "PROVIDER/MODEL"
    return {
        Failure.NO_MODEL: f"ocm model {name} PROVIDER/MODEL gives it one, with its key",
        Failure.NO_KEY: f"ocm model {name} {model} asks for it",
        Failure.UNKNOWN_MODEL: f"ocm model {name} lists those that are known",
        Failure.REFUSED: f"ocm model {name} {model} --key-stdin gives it another key",
        Failure.NO_CREDIT: "add credit with the provider, or choose another model",
        Failure.BUSY: "try again in a minute",
        Failure.UNREACHABLE: f"is its address right, and the network up? ocm logs {name}",
        Failure.REJECTED: f"ocm logs {name} has its words",
        Failure.HANGS: "try again, or give it longer with --timeout",
        Failure.NO_BOX: f"ocm status {name} says what is missing; until then only its main session has tools",
        Failure.NO_TOOL: "choose a model that calls tools, or see whether its tool policy allows exec",
        Failure.OTHER: f"ocm logs {name}",
    }[failure]
