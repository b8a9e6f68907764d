"""Has gateways of supervisord start in turns: who waits, and whose start is not over yet.

supervisord has one thread, in which everything is done: nothing in here waits.
"""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import msgspec

from openclaw_ocm.core.load import STARTING, TURN_SECONDS, together

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONGEST_ANSWER = 4096
_ANSWER_SECONDS = 5.0
_READY = re.compile(rb'HTTP/1\.[01] 200 .*"ready":\s*true', re.DOTALL)
_PORT = re.compile(r"\s--port\s+([0-9]{1,5})\b")


def port_in(command: str) -> int | None:
    """Return the port of the gateway that a program of supervisord's runs, None where it names none."""
    found = _PORT.findall(command)
    return int(found[-1]) if found else None


def jobs_in(settings: Path) -> int | None:
    """Return how many are to start at once by the settings of the host; None where these leave it open."""
    with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
        return msgspec.toml.decode(settings.read_bytes(), type=_Settings).jobs
    return None


class _Settings(msgspec.Struct, frozen=True):
    jobs: Annotated[int, msgspec.Meta(ge=1)] | None = None


@dataclass(slots=True, kw_only=True)
class Question:
    """Asks the gateway on a port of the loopback whether it is ready; look at it again and again.

    The answer is the instance's: it is bounded in size and time.
    """

    port: int
    _asked: bool = False
    _since: float = 0.0
    _said: bytes = b""
    _end: socket.socket | None = None

    def look(self, now: float) -> bool:
        """Tell whether it said that it is ready; begins to ask where nothing is asked."""
        if self._end is None:
            self._connect(now)
            return False
        try:
            if not self._asked:
                self._end.send(f"GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
                self._asked = True
                return False
            part = self._end.recv(_LONGEST_ANSWER)
        except BlockingIOError:
            if now - self._since > _ANSWER_SECONDS:
                self.close()
            return False
        except OSError:
            part = b""
        self._said += part
        ready = _READY.match(self._said) is not None
        if ready or not part or len(self._said) >= _LONGEST_ANSWER or now - self._since > _ANSWER_SECONDS:
            self.close()
        return ready

    def close(self) -> None:
        """Ask no more."""
        if self._end is not None:
            self._end.close()
        self._end, self._said, self._asked = None, b"", False

    def _connect(self, now: float) -> None:
        self._end, self._since = socket.socket(socket.AF_INET, socket.SOCK_STREAM), now
        self._end.settimeout(0.0)
        # Whether it is connected shows when it is asked.
        self._end.connect_ex(("127.0.0.1", self.port))


@dataclass(slots=True, kw_only=True)
class _Start:
    """A start that is not over yet: when it began, and what its gateway is asked."""

    since: float
    question: Question | None


@dataclass(slots=True)
class Turns:
    """Who waits for a turn to start, in this order, and whose start is not over yet; times are in seconds."""

    _waiting: dict[str, None] = field(default_factory=dict)
    _starts: dict[str, _Start] = field(default_factory=dict)

    def wait(self, name: str) -> None:
        """Have a gateway started when it is its turn."""
        self._waiting.setdefault(name)

    def is_waiting(self, name: str) -> bool:
        """Tell whether a gateway waits for its turn."""
        return name in self._waiting

    def began(self, name: str, port: int | None, now: float) -> None:
        """Note that a gateway was started, by whomever: until it is ready others wait for it."""
        self.over(name)
        self._waiting.pop(name, None)
        question = None if port is None else Question(port=port)
        self._starts[name] = _Start(since=now, question=question)

    def over(self, name: str) -> None:
        """Note that the start of a gateway is over, or that there is to be none."""
        self._waiting.pop(name, None)
        start = self._starts.pop(name, None)
        if start is not None and start.question is not None:
            start.question.close()

    def due(self, now: float, *, cores: int, free: int | None, jobs: int | None) -> Iterator[str]:
        """Yield who may start now: as many as fit beside those that still do, or as `jobs` says."""
        for name, start in list(self._starts.items()):
            late = now - start.since > TURN_SECONDS
            if late or start.question is None or start.question.look(now):
                self.over(name)
        fit = jobs or together(STARTING, cores=cores, free=free)
        yield from list(self._waiting)[: max(fit - len(self._starts), 0)]
