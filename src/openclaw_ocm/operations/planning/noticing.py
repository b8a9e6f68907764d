"""What has `ocm notify check` run: which backend keeps the time, and what is wrong with that."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.purpose import ALL, Purpose
from openclaw_ocm.core.steps import SetTimer
from openclaw_ocm.core.text import counted, moment_in_words, printable
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations.planning.change import carry_out, locked, make_plan
from openclaw_ocm.operations.planning.problems import MACHINE, Problem
from openclaw_ocm.operations.planning.timers import faults
from openclaw_ocm.system.host import local_zone
from openclaw_ocm.system.kept.notices import read_notices, read_ways
from openclaw_ocm.system.ways import changed_by, writable_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.host import Host

# What doctor does about it.
RUN_AGAIN = "have it run"
# What is wrong for some minutes is told; more often would be work for nothing.
EVERY = "*:0/2"
_PURPOSE = Purpose.NOTIFY


def keeper(context: Context) -> Backend:
    """Return the backend that keeps the timer, or that would: the one that new instances get."""
    for backend in context.backends.values():
        with contextlib.suppress(OcmError):
            if _is_kept(backend):
                return backend
    return context.backend


def keeping_steps(backend: Backend) -> list[Step]:
    """Return the step that has it looked from now on, or as it should be; none where it is so."""
    if not timer_faults(backend):
        return []
    return [SetTimer(name=ALL, every=EVERY, previous=EVERY if _is_kept(backend) else None, purpose=_PURPOSE)]


def end_steps(backend: Backend) -> list[Step]:
    """Return the step that ends it, none where nobody looks."""
    if not _is_kept(backend):
        return []
    return [SetTimer(name=ALL, every=None, previous=EVERY, purpose=_PURPOSE)]


def timer_faults(backend: Backend) -> tuple[str, ...]:
    """Return in words in what the timer is otherwise than it should be."""
    return faults(backend, ALL, _PURPOSE, EVERY, lambda: _timer(backend))


def _is_kept(backend: Backend) -> bool:
    return ALL in backend.timers(_PURPOSE).known()


def _timer(backend: Backend) -> Timer:
    return backend.timers(_PURPOSE).observe([ALL])[ALL]


def notice_problems(context: Context) -> Iterator[Problem]:
    """Yield which ways of `ocm notify` do not work, and what keeps it from looking."""
    paths = context.host.paths
    ways = read_ways(paths).way
    if not ways:
        return
    states = read_notices(paths).ways
    for way in ways:
        state = states.get(way.name)
        if state is not None and state.failure is not None:
            since = moment_in_words(state.failing_since or 0.0, local_zone())
            waiting = counted(len(state.waiting), "message")
            waits = f"{waiting} {'waits' if len(state.waiting) == 1 else 'wait'}"
            what = f"messages do not go by {way.name} since {since}: {state.failure}; {waits}"
            yield Problem(about=MACHINE, what=what, mend=f"ocm notify test {way.name} tries it")
    backend = keeper(context)
    found = timer_faults(backend)
    for fault in found:
        yield Problem(about=MACHINE, what=fault, fix=RUN_AGAIN)
    # One that could not send ends so too.
    failure = None if found or any(state.failure for state in states.values()) else _timer(backend).failure
    if failure is not None:
        what = f"the last run of {_PURPOSE.typed} went wrong: {failure}"
        yield Problem(about=MACHINE, what=what, mend=f"{_PURPOSE.typed} tells why")


def run_again(context: Context) -> None:
    """Have the timer be as it should be."""
    with locked(context, MAIN):
        backend = keeper(context)
        plan = make_plan(backend, "doctor", MAIN, keeping_steps(backend))
        carry_out(context, plan, done="", nothing="", dry_run=False)


def refuse_programs_of_instances(host: Host, argv: Iterable[str]) -> None:
    """Raise `Invalid` where a word is a path that an instance can change: that would be run unsealed."""
    found = changed_by_instance(host, argv)
    if found is not None:
        word, owner = found
        message = f"{printable(word)} lies where {owner} can write, and would run outside of its sandbox"
        raise Invalid(message, hint="put it where no instance can write", code="way_invalid")


def changed_by_instance(host: Host, argv: Iterable[str]) -> tuple[str, InstanceName] | None:
    """Return the first of these words that is a path which an instance can change, and who; None for none.

    Raises `OcmError` where links of one go in a circle.
    """
    places = writable_places(host.paths)
    found = ((word, changed_by(places, PurePosixPath(Path.cwd(), word))) for word in argv if "/" in word)
    return next(((word, owner) for word, owner in found if owner is not None), None)
