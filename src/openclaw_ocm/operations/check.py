"""`ocm check`: whether an instance answers, by one small turn to main and one as a group has it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.models.choice import agent_model, has_default_model, is_served_without_key
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
from openclaw_ocm.core.status import State
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import instance_of, open_instance
from openclaw_ocm.instances.verify import verdicts
from openclaw_ocm.operations.planning.able import ability
from openclaw_ocm.operations.planning.agents import behind_source
from openclaw_ocm.operations.session import capture, ready_for_session, refuse_stranger
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw.providers import known_providers

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

# Of the time for both turns; what main leaves of it is the group's. Main's is the first after a start.
_FOR_MAIN = 0.75
_LOG_LINES = 400
# What is said of an agent that names no model and has a key for the one that OpenClaw takes then.
_DEFAULT = "OpenClaw's default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of one turn: `problem` is the slug of what failed, `message` tells it, `mend` what to type.

    `boxed` tells whether its tools were in a box.
    """

    session: str
    ok: bool
    seconds: float
    message: str
    problem: str | None = None
    mend: str | None = None
    answer: str = ""
    words: str = ""
    boxed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Whether an instance answers, with which model, and what came of each turn.

    `notes` are what it misses besides.
    """

    name: str
    ok: bool
    model: str | None
    seconds: float
    turns: tuple[Answered, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is to be asked: the agent and its model, None where it has none and nothing can be asked.

    `keyless` tells that the provider gets no key; `notes` are what the instance misses besides.
    """

    record: Record
    agent: str
    model: str | None
    keyless: bool
    notes: tuple[str, ...] = ()


def prepare(context: Context, name: InstanceName) -> Prepared:
    """Return what a check would ask; raises `OcmError` where the gateway is not ready."""
    worker = open_instance(context, name)
    verdict = verdicts([worker])[name]
    if verdict.state is not State.READY:
        message = f"{name} is not ready: {verdict.reason or verdict.state.value}"
        raise OcmError(message, hint=f"ocm start {name}", code="not_ready")
    record = ready_for_session(context, name)
    config = worker.read_config()[1]
    agent = agent_of(config)
    kept = read_secrets(worker.paths)
    found = agent_model(config, agent) or (_DEFAULT if has_default_model(kept) else None)
    provider, known = (found or "").partition("/")[0], known_providers(PurePosixPath(record.runtime.openclaw))
    return Prepared(
        record=record,
        agent=agent,
        model=printable(found) if found else None,
        keyless=is_served_without_key(config, provider, kept, known[0]),
        notes=(*ability(worker).others, *behind_source(worker)),
    )


def check(context: Context, prepared: Prepared, *, timeout_seconds: float) -> Checked:
    """Ask an instance and return what came of it, within `timeout_seconds`.

    Where main fails for want of a model, a key or a provider, no group is asked: it has the same.
    """
    began = time.monotonic()
    turns: list[Answered] = []
    for session in Session:
        left = timeout_seconds - (time.monotonic() - began)
        limit = left * _FOR_MAIN if session is Session.MAIN else left
        context.report(f"ask {session.value}")
        turn, took = _ask(context, prepared, session, max(limit, 1.0))
        turns.append(_answered(prepared, session, turn, took))
        if turn.failure is not None and not turn.failure.is_of_session:
            break
    return Checked(
        name=prepared.record.name,
        ok=all(one.ok for one in turns),
        model=prepared.model,
        seconds=round(time.monotonic() - began, 1),
        turns=tuple(turns),
        notes=prepared.notes,
    )


def _ask(context: Context, prepared: Prepared, session: Session, limit: float) -> tuple[Turn, float]:
    """Return what came of a turn in a session, and how many seconds it took."""
    if prepared.model is None:
        return Turn(failure=Failure.NO_MODEL), 0.0
    question = Question(token=f"ocm-{secrets.token_hex(8)}")
    arguments = question.arguments(session.key(prepared.agent), limit)
    refuse_stranger(instance_of(context, prepared.record))
    began, wall = time.monotonic(), time.time()
    try:
        completed = capture(context, prepared.record, arguments, extra={}, timeout=limit)
    except OcmError as error:
        if error.code != "timeout":
            raise
        turn = Turn(failure=Failure.HANGS)
    else:
        turn = read_turn(question, completed.stdout, completed.stderr)
    took = time.monotonic() - began
    if turn.failure is Failure.HANGS:
        # OpenClaw tries again and again, and at the end only says that the time is up.
        turn = read_log(turn, _logged(context, prepared.record, since=wall))
    if turn.failure is Failure.REFUSED and prepared.keyless:
        # What a provider says to a wrong key it says to none, too.
        turn = replace(turn, failure=Failure.NO_KEY)
    return turn, took


def _logged(context: Context, record: Record, *, since: float) -> list[str]:
    backend = instance_of(context, record).backend
    try:
        entries = backend.log(record.name, lines=_LOG_LINES, follow=False, since=since)
        return [entry.message for entry in entries]
    except OcmError:
        return []


def _answered(prepared: Prepared, session: Session, turn: Turn, took: float) -> Answered:
    name, model = prepared.record.name, prepared.model or ""
    failure = turn.failure
    return Answered(
        session=session.value,
        ok=failure is None,
        seconds=round(took, 1),
        message="answers, and its tools work" if failure is None else sentence(failure, model, took),
        problem=None if failure is None else failure.value,
        mend=None if failure is None else advice(failure, name, model),
        answer=turn.answer,
        words=turn.words,
        boxed=turn.boxed,
    )


def refuse_silent(checked: Checked, done: Outcome) -> None:
    """Raise `OcmError` with what failed, and what was done before, where an instance does not answer."""
    failed = [one for one in checked.turns if not one.ok]
    if not failed:
        return
    first = failed[0]
    raise OcmError(
        f"{checked.name} is there, {done.message}, but does not answer: {first.session}: {first.message}",
        hint=first.mend,
        code=first.problem or "turn_failed",
        details=(*(one.words for one in failed if one.words), *done.notes),
    )
