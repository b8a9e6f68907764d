from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from tests.hosts import context

from openclaw_ocm.backends.supervisord import plugin as supervision
from openclaw_ocm.backends.supervisord.daemon import Daemon
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Recorder:
    """Stands for what a guarded method belongs to."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


def test_an_error_of_the_plug_in_is_logged_and_does_not_reach_supervisord() -> None:
    def on_event(_self: object, _event: object) -> None:
        message = "wrong"
        raise ValueError(message)

    recorder = Recorder()
    supervision._guarded(on_event)(recorder, SimpleNamespace())  # type: ignore[arg-type]
    (line,) = recorder.lines
    assert line.startswith("error in on_event: Traceback")
    assert "ValueError: wrong" in line


def test_every_event_is_handled_under_guard() -> None:
    handlers = [
        getattr(supervision.Supervision, name) for name in vars(supervision.Supervision) if name[:3] == "on_"
    ]
    assert len(handlers) == 6
    assert all(hasattr(handler, "__wrapped__") for handler in handlers)


def test_a_plug_in_of_an_older_ocm_kills_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, ...]] = []

    def call(_self: Daemon, *words: str) -> None:
        called.append(words)
        if words[0] == "ocm.kill":
            raise OcmError("supervisord refused ocm.kill: UNKNOWN_METHOD", code="supervisord_refused")

    monkeypatch.setattr(Daemon, "_call", call)
    Daemon(host=context(tmp_path).host).kill(parse_name("worker1"))
    assert called[1:] == [("supervisor.signalProcess", "worker1", "KILL")]
