"""Proves a box: makes one as a session other than main gets it, and asks in it what can be reached."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox import expectations, probe
from openclaw_ocm.core.sandbox.launch import BWRAP, PYTHON
from openclaw_ocm.core.sandbox.policy import TEMPORARY
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import boxes, processes, programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from openclaw_ocm.backends.protocol import Observed
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.system.boxes import Answer
    from openclaw_ocm.system.host import Host

# As long as the tool host gives a box.
_MAKING_SECONDS = 20.0
_POLL_SECONDS = 0.1


def box_violations(host: Host, gateway: Observed, policy: Policy, canaries: tuple[str, ...]) -> Iterator[str]:
    """Yield in words what a box of an instance is not as it must be, or why none can be made.

    `canaries` are files that no box may see. Without bubblewrap there are no boxes, which `status` tells;
    with the real Docker they are not OCM's.
    """
    # Of a gateway that runs sealed it is the tool host, which makes them.
    tool_host = gateway.process.pid
    if tool_host is None or gateway.record.docker or not Path(BWRAP).exists():
        return
    paths, inside = host.instance(gateway.record.name), TEMPORARY[0]
    # The gateway sees the directory: it is not to know the box by it.
    name, directory = f"ocm-proof-{secrets.token_hex(8)}", f"ocm-proof-{secrets.token_hex(8)}"
    workspace = paths.temporary(inside) / directory
    socket = boxes.socket_of(paths)
    ask = functools.partial(boxes.ask, socket, tool_host)
    try:
        Path(workspace).mkdir(mode=0o700)
        ask("create", "--name", name, "-v", f"{inside / directory}:/workspace", "proof", "sleep", "infinity")
        ask("start", name)
        yield from _lasting(functools.partial(_kernel_violations, tool_host))
        checks = (
            *expectations.box_checks(paths, policy, runtime=host.runtime),
            *expectations.canary_checks(canaries),
        )
        yield from _answer_violations(name, ask, checks)
    except OcmError as error:
        yield f"no box can be made for sessions other than main: {error.message}"
    except OSError as error:
        yield f"no box can be made for sessions other than main: {workspace}: {error.strerror}"
    finally:
        with contextlib.suppress(OcmError):
            boxes.call(socket, tool_host, "rm", "-f", name)
        # Whatever else is in it by now the gateway put there: it is the instance's own.
        with contextlib.suppress(OSError):
            Path(workspace).rmdir()


def _lasting(look: Callable[[], Iterator[str]]) -> tuple[str, ...]:
    """Return what a look yields that goes on doing so: a box that is just being made is not yet whole."""
    until = time.monotonic() + _MAKING_SECONDS
    while (found := tuple(look())) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    return found


def _kernel_violations(tool_host: int) -> Iterator[str]:
    """Yield what a box of the tool host shares with the user's other processes, and lacks of filters."""
    outside, above = processes.namespaces(None), processes.filters(tool_host)
    bwraps = [pid for pid in processes.children(tool_host) if processes.command_name(pid) == Path(BWRAP).name]
    firsts = [pid for bwrap in bwraps for pid in processes.children(bwrap)]
    if not firsts:
        yield "the box that was made is not to be seen"
    for first in firsts:
        for kind, identity in processes.namespaces(first).items():
            if identity == outside[kind]:
                yield f"a box shares the {kind} namespace of the user's other processes"
        # What runs in a box from the start a program in it can write into: both have one user.
        if any(count <= above for count in _filters((first, *processes.children(first)))):
            yield "a box begins without a filter of its own for system calls"


def _filters(pids: Iterable[int]) -> Iterator[int]:
    """Yield how many filters there are for each process that has not ended meanwhile."""
    for pid in pids:
        with contextlib.suppress(OSError):
            yield processes.filters(pid)


def _answer_violations(
    name: str, ask: Callable[..., Answer], checks: tuple[probe.Check, ...]
) -> Iterator[str]:
    asked = {**probe.questions(checks, ()), "identity": [], "namespaces": []}
    answer = ask(
        "exec", "-i", name, PYTHON, "-ISc", programs.text("probe.py"), stdin=json.dumps(asked).encode()
    )
    try:
        answers = json.loads(answer.output)
    except ValueError:
        answers = {}
    for violation in probe.answer_violations(answers, checks=checks, listings=()):
        yield violation.replace("a process inside", "a program in a box", 1)
