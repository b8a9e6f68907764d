from __future__ import annotations

from types import SimpleNamespace

from openclaw_ocm.backends.supervisord import plugin as supervision


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
