"""What is done to an instance from the screen: by the operations of the commands, told in their words."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from typing import TYPE_CHECKING

from openclaw_ocm.cli import frame
from openclaw_ocm.cli.screen.state import Verb
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.errors import OcmError, as_ocm_error, bug

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host

# Whether it went well, and what a person is told.
Ending = tuple[bool, tuple[str, ...]]


def item_of(verb: Verb, name: str) -> str:
    """Return one word for something that is done to an instance."""
    return f"{verb.value}/{name}"


def parts_of(item: str) -> tuple[Verb, str]:
    """Return what `item_of` was made of."""
    verb, _, name = item.partition("/")
    return Verb(verb), name


def perform(host: Host, item: str, report: Callable[[str], None]) -> Ending:
    """Do what is asked for, and return what became of it; phases are told to `report`."""
    from openclaw_ocm.cli.render.outcome import show_error
    from openclaw_ocm.instances.context import make_context

    verb, name = parts_of(item)
    context = dataclasses.replace(make_context(host, report), command=f"top: {verb.value}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            ok = _do(context, verb, InstanceName(name))
        except (OcmError, OSError) as refused:
            ok = False
            show_error(name, as_ocm_error(refused))
        except Exception as error:  # noqa: BLE001 - the screen goes on
            ok = False
            show_error(name, bug(error))
    return ok, tuple(line.removeprefix("ocm: ") for line in printed.getvalue().splitlines() if line.strip())


def _do(context: Context, verb: Verb, name: InstanceName) -> bool:
    """Do it with what a command does without options, and print what that prints."""
    from openclaw_ocm.cli.render.outcome import show_outcome

    if verb is Verb.BACKUP:
        from openclaw_ocm.cli.render.backups import show_backup
        from openclaw_ocm.operations.backup import Request, backup

        show_backup(backup(context, name, Request()))
        return True
    if verb is Verb.CHECK:
        return _check(context, name)
    show_outcome(_run(context, verb, name))
    return True


def _check(context: Context, name: InstanceName) -> bool:
    from openclaw_ocm.cli.check import SECONDS
    from openclaw_ocm.cli.render.able import show_checked
    from openclaw_ocm.operations.check import check, prepare

    checked = check(context, prepare(context, name), timeout_seconds=SECONDS)
    show_checked(checked)
    return checked.ok


def _run(context: Context, verb: Verb, name: InstanceName) -> Outcome:
    from openclaw_ocm.operations import start
    from openclaw_ocm.operations.planning.repair import Effort

    if verb in (Verb.STOP, Verb.STOP_NOW):
        return start.stop(context, name, dry_run=False, now=verb is Verb.STOP_NOW)
    run = start.start if verb is Verb.START else start.restart
    effort = Effort(timeout_seconds=frame.READY_SECONDS, keep=False, repair=False)
    return run(context, name, effort, dry_run=False)
