from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest
from tests.readiness import answering

from openclaw_ocm.backends.supervisord.turns import Question, Turns, jobs_in, port_in
from openclaw_ocm.core.load import TURN_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 1
PLENTY = 10**12


def due(
    turns: Turns, now: float = 0.0, *, cores: int = 1, free: int = PLENTY, jobs: int | None = None
) -> list[str]:
    return list(turns.due(now, cores=cores, free=free, jobs=jobs))


@pytest.fixture
def waiting() -> Turns:
    turns = Turns()
    for name in ("w1", "w2", "w3"):
        turns.wait(name)
    return turns


def test_as_many_start_as_fit_in_the_order_in_which_they_came(waiting: Turns) -> None:
    assert due(waiting, cores=2) == ["w1", "w2"]
    assert due(waiting, cores=2, free=0) == ["w1"]
    assert due(waiting, jobs=9) == ["w1", "w2", "w3"]


def test_the_next_one_starts_when_one_has_ended_or_took_too_long(waiting: Turns) -> None:
    waiting.began("w1", NOBODY, 0.0)
    assert not waiting.is_waiting("w1")
    assert due(waiting) == []
    waiting.over("w1")
    assert due(waiting) == ["w2"]
    waiting.began("w2", NOBODY, 1.0)
    assert due(waiting, TURN_SECONDS) == []
    assert due(waiting, TURN_SECONDS + 1.1) == ["w3"]


def test_who_was_started_by_a_command_counts_and_one_that_is_stopped_waits_no_more(waiting: Turns) -> None:
    waiting.began("elsewhere", NOBODY, 0.0)
    assert due(waiting) == []
    waiting.over("w1")
    waiting.over("elsewhere")
    assert due(waiting) == ["w2"]


def test_what_runs_no_gateway_keeps_nobody_waiting(waiting: Turns) -> None:
    waiting.began("w1", None, 0.0)
    assert due(waiting) == ["w2"]


def looks(port: int, times: int = 200) -> bool:
    """Tell whether it says that it is ready within so many looks; none of them waits."""
    question, pause = Question(port=port), threading.Event()
    try:
        return any(question.look(0.0) or pause.wait(0.005) for _ in range(times))
    finally:
        question.close()


def test_a_gateway_that_says_so_is_ready() -> None:
    with answering(200, b'{"ready":true}') as port:
        assert looks(port)


@pytest.mark.parametrize(
    ("status", "body"), [(503, b'{"ready":true}'), (200, b'{"ready":false}'), (200, b"x" * 9999)]
)
def test_another_answer_does_not_make_it_ready(status: int, body: bytes) -> None:
    with answering(status, body) as port:
        assert not looks(port, 60)


def test_one_that_never_answers_is_asked_anew() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.settimeout(10)
        question = Question(port=deaf.getsockname()[1])
        question.look(0.0)
        first = deaf.accept()[0]
        with first:
            for now in (1.0, 2.0, 30.0, 31.0):
                assert not question.look(now)
            with deaf.accept()[0]:
                question.close()


def test_nobody_listens_yet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert not looks(port, 20)


def test_the_port_is_what_the_gateway_is_told() -> None:
    assert port_in("bwrap -- node openclaw gateway --port 19001 --x") == 19001
    assert port_in("bwrap -- sh") is None


@pytest.mark.parametrize(
    ("text", "jobs"),
    [("", None), ("jobs = 3\nfirst_port = 2000\n", 3), ("jobs = 0", None), ("jobs =", None), ("\xff", None)],
)
def test_the_settings_say_how_many(tmp_path: Path, text: str, jobs: int | None) -> None:
    settings = tmp_path / "settings.toml"
    assert jobs_in(settings) is None
    settings.write_bytes(text.encode("latin-1"))
    assert jobs_in(settings) == jobs
