"""Asks gateways over HTTP how they are: all at once, with one deadline, trusting nothing of the answer."""

from __future__ import annotations

import json
import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.status import Answer
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openclaw_ocm.core.names import InstanceName

_MAX_BODY = 64 * 1024
_TEXT = 120
_MAX_FAILING = 10


def ask_all(ports: Mapping[InstanceName, int], *, deadline_seconds: float) -> dict[InstanceName, Answer]:
    """Ask the gateway on each port whether it is ready and return what each said.

    A gateway that has not answered in full by the deadline counts as not answering: one that sends a
    byte a second cannot hold up the others. The threads are daemons, so it cannot hold up the exit.
    """
    asking = {name: partial(ask, port, deadline_seconds) for name, port in ports.items()}
    return by_deadline(asking, deadline_seconds)


def by_deadline(
    asking: Mapping[InstanceName, Callable[[], Answer]], deadline_seconds: float
) -> dict[InstanceName, Answer]:
    """Return what each returns, all at the same time; who has not by the deadline counts as not answering."""
    answers: queue.SimpleQueue[tuple[InstanceName, Answer]] = queue.SimpleQueue()
    for name, one in asking.items():
        threading.Thread(target=lambda name=name, one=one: answers.put((name, one())), daemon=True).start()
    deadline = time.monotonic() + deadline_seconds
    found: dict[InstanceName, Answer] = {}
    while len(found) < len(asking):
        try:
            name, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        found[name] = answer
    silent = Answer(problem=f"no answer within {deadline_seconds:g} s")
    return {name: found.get(name, silent) for name in asking}


def ask(port: int, timeout_seconds: float) -> Answer:
    """Return what the gateway on a loopback port says of itself (GET /startupz and /readyz)."""
    import http.client

    try:
        startup = _get(port, "/startupz", timeout_seconds)
        readiness = _get(port, "/readyz", timeout_seconds)
    except ConnectionRefusedError:
        return Answer(problem="not listening yet")
    except TimeoutError:
        return Answer(problem=f"no answer within {timeout_seconds:g} s")
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        return Answer(problem=f"no usable answer: {type(error).__name__}")
    return answer_of(startup, readiness)


def answer_of(startup: Mapping[str, Any], readiness: Mapping[str, Any]) -> Answer:
    """Return what a gateway says of itself by the bodies of `/startupz` and `/readyz`."""
    failing = readiness.get("failing")
    words = failing[:_MAX_FAILING] if isinstance(failing, list) else []
    phase, version = startup.get("status"), startup.get("version")
    return Answer(
        ready=readiness.get("ready") is True,
        phase=phase if phase in ("starting", "started", "draining") else None,
        version=printable(version, limit=_TEXT) if isinstance(version, str) else None,
        failing=tuple(printable(word, limit=_TEXT) for word in words if isinstance(word, str)),
    )


def _get(port: int, path: str, timeout_seconds: float) -> dict[str, Any]:
    # A tenth of what a list of stopped instances takes.
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        connection.request("GET", path)
        # OpenClaw answers unknown paths with 200 and a page of HTML: only a JSON object counts.
        body = json.loads(connection.getresponse().read(_MAX_BODY))
    finally:
        connection.close()
    if not isinstance(body, dict):
        message = "the body is no object"
        raise ValueError(message)  # noqa: TRY004 - the caller treats it like any other malformed body
    return body
