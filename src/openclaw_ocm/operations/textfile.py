"""`ocm metrics --textfile`: metrics as a file, written once or from then on by themselves."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.metrics.text import prometheus
from openclaw_ocm.core.metrics.textfile import FILE, Textfile
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.steps import RemoveFile, WriteRecord
from openclaw_ocm.core.times import parse_interval
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.metrics import collect
from openclaw_ocm.operations.planning.change import carry_out, locked, make_plan
from openclaw_ocm.operations.planning.result import Outcome
from openclaw_ocm.operations.planning.textfile import end_others, ending_steps, writing_steps
from openclaw_ocm.system.kept.textfile import encode_textfile, read_textfile
from openclaw_ocm.system.textfile import check_textfile, remove_textfile, write_textfile

if TYPE_CHECKING:
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context

# What answers: it is of no instance.
_NAME = Purpose.METRICS.value


def write(
    context: Context,
    directory: PurePosixPath,
    *,
    dry_run: bool = False,
    interval_seconds: float | None = None,
) -> Outcome:
    """Write the metrics of all instances into a directory; raises `OcmError` where that is not one for it.

    `interval_seconds` is how far apart that is done, where it is done by itself.
    """
    notes = check_textfile(context.host, directory)
    if not dry_run:
        write_textfile(
            context.host,
            directory,
            prometheus(collect(context, keep=True, interval_seconds=interval_seconds)),
        )
    return Outcome(
        name=_NAME,
        operation=_NAME,
        changed=not dry_run,
        message=f"{'would write' if dry_run else 'wrote'} {directory / FILE}",
        dry_run=dry_run,
        notes=notes,
    )


def write_scheduled(context: Context) -> Outcome:
    """Write them where a timer is to; raises `OcmError` where they are to be written nowhere."""
    textfile = read_textfile(context.host.paths)
    if textfile is None:
        hint = "ocm metrics --textfile DIR --every 1m has them written"
        raise OcmError("no metrics are written by themselves", hint=hint, code="not_scheduled")
    return write(context, PurePosixPath(textfile.directory), interval_seconds=textfile.seconds)


def write_from_now(
    context: Context, every: str, directory: PurePosixPath | None, *, dry_run: bool
) -> Outcome:
    """Have metrics written each so often, and once now; without a directory it is the one until now.

    Raises `OcmError` where there is none, or it is not one to write them into.
    """
    parse_interval(every)
    with locked(context, MAIN):
        paths = context.host.paths
        before = read_textfile(paths)
        if directory is None and before is None:
            message = "say where metrics are to be written"
            raise OcmError(message, hint="ocm metrics --textfile DIR --every 1m", code="textfile_refused")
        place = directory or PurePosixPath(before.directory if before else "")
        wanted = Textfile(directory=str(place), every=every)
        first = write(context, place, dry_run=dry_run, interval_seconds=wanted.seconds)
        steps: list[Step] = []
        if wanted != before:
            text = None if before is None else encode_textfile(before)
            steps.append(WriteRecord(path=str(paths.textfile), text=encode_textfile(wanted), previous=text))
        steps += writing_steps(context, before, wanted)
        said = f"{place / FILE} is written each {every}"
        end_others(context, _NAME, dry_run=dry_run)
        outcome = carry_out(
            context,
            make_plan(context.backend, _NAME, MAIN, steps),
            done=f"{said} from now on",
            nothing=f"already {said}",
            dry_run=dry_run,
            notes=(*first.notes, *context.backend.notes()),
        )
        _forget_place(context, before, place, dry_run=dry_run)
        return replace(outcome, name=_NAME)


def write_no_more(context: Context, *, dry_run: bool) -> Outcome:
    """Have no metrics written by themselves any more, and remove the file: its numbers would never change."""
    with locked(context, MAIN):
        paths = context.host.paths
        before: Textfile | None = None
        # Whatever it says, it is to go.
        with contextlib.suppress(OcmError):
            before = read_textfile(paths)
        end_others(context, _NAME, dry_run=dry_run)
        steps = ending_steps(context.backend)
        for path in (paths.textfile, paths.sizes):
            # One that cannot be read is there as well. What was measured goes with what it was measured for.
            if os.path.lexists(path) and (steps or path == paths.textfile):
                steps.append(RemoveFile(path=str(path)))
        outcome = carry_out(
            context,
            make_plan(context.backend, _NAME, MAIN, steps),
            done="metrics are written by themselves no more",
            nothing="no metrics are written by themselves",
            dry_run=dry_run,
        )
        _forget_place(context, before, None, dry_run=dry_run)
        return replace(outcome, name=_NAME)


def _forget_place(
    context: Context, before: Textfile | None, place: PurePosixPath | None, *, dry_run: bool
) -> None:
    """Remove the file where it is written no more."""
    if before is not None and not dry_run and before.directory != str(place):
        remove_textfile(context.host, PurePosixPath(before.directory))
