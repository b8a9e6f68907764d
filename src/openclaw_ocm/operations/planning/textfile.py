"""Which backend has metrics written by themselves, and in what that is otherwise than it was asked for."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.purpose import ALL, Purpose
from openclaw_ocm.core.steps import SetTimer
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.operations.planning.change import carry_out, locked, make_plan
from openclaw_ocm.operations.planning.problems import MACHINE, Problem
from openclaw_ocm.operations.planning.timers import faults
from openclaw_ocm.system.kept.textfile import read_textfile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.backends.protocol import Backend
    from openclaw_ocm.core.backup.schedule import Timer
    from openclaw_ocm.core.metrics.textfile import Textfile
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context

# What doctor does about it.
WRITE_AGAIN = "have metrics written as they were asked for"
_PURPOSE = Purpose.METRICS


def writing_steps(context: Context, before: Textfile | None, wanted: Textfile) -> list[Step]:
    """Return the step that has them written at the times that are `wanted`, none where they are."""
    previous = None if before is None else before.times
    if wanted.times == previous and not _faults(context, wanted):
        return []
    return [SetTimer(name=ALL, every=wanted.times, previous=previous, purpose=_PURPOSE)]


def ending_steps(backend: Backend) -> list[Step]:
    """Return the step that ends what a backend has written, none where that is nothing."""
    if ALL not in backend.timers(_PURPOSE).known():
        return []
    return [SetTimer(name=ALL, every=None, previous=None, purpose=_PURPOSE)]


def end_others(context: Context, operation: str, *, dry_run: bool) -> None:
    """Have no backend write them beside the chosen one: it was another one once."""
    for backend in context.backends.values():
        if backend.name != context.backend.name and (steps := _known_steps(backend)):
            plan = make_plan(backend, operation, MAIN, steps)
            carry_out(context, plan, done="", nothing="", dry_run=dry_run)


def _known_steps(backend: Backend) -> list[Step]:
    """Return the step that ends what a backend has written, none where it does not answer.

    Raises `UnreadableFile` where a file of this machine would tell and cannot be read.
    """
    try:
        return ending_steps(backend)
    except UnreadableFile:
        raise
    except OcmError:
        return []


def textfile_problems(context: Context) -> Iterator[Problem]:
    """Yield what is wrong with metrics that are to be written by themselves, or are and are not to be."""
    textfile = read_textfile(context.host.paths)
    for backend in context.backends.values():
        is_wanted = textfile is not None and backend.name == context.backend.name
        if not is_wanted and _known_steps(backend):
            what = f"{backend.name} has metrics written, which nobody asked it for"
            yield Problem(about=MACHINE, what=what, fix=WRITE_AGAIN)
    if textfile is None:
        return
    found = _faults(context, textfile)
    for fault in found:
        yield Problem(about=MACHINE, what=fault, fix=WRITE_AGAIN)
    failure = None if found else _timer(context).failure
    if failure is not None:
        mend = f"ocm metrics --textfile {shlex.quote(textfile.directory)} tells why"
        yield Problem(about=MACHINE, what=f"metrics were not written: {failure}", mend=mend)


def write_again(context: Context) -> None:
    """Have metrics written as they were asked for, and not otherwise."""
    with locked(context, MAIN):
        textfile = read_textfile(context.host.paths)
        end_others(context, "doctor", dry_run=False)
        steps = (
            ending_steps(context.backend) if textfile is None else writing_steps(context, textfile, textfile)
        )
        plan = make_plan(context.backend, "doctor", MAIN, steps)
        carry_out(context, plan, done="", nothing="", dry_run=False)


def _faults(context: Context, textfile: Textfile) -> tuple[str, ...]:
    return faults(context.backend, ALL, _PURPOSE, textfile.times, lambda: _timer(context))


def _timer(context: Context) -> Timer:
    return context.backend.timers(_PURPOSE).observe([ALL])[ALL]
