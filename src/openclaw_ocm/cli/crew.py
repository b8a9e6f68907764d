"""Several items at once, each in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from openclaw_ocm.cli.progress import progress_together
from openclaw_ocm.errors import UNDO_INCOMPLETE, OcmError, as_ocm_error, bug
from openclaw_ocm.system.workers import Ended, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.cli.answers import Answers
    from openclaw_ocm.system.workers import Event

_I = TypeVar("_I", bound=str)


def attempt_together(
    answers: Answers,
    attempt: Callable[[_I, Callable[[str], None]], Any],
    *,
    jobs: int,
    verbose: bool,
) -> None:
    """Attempt all items, at most `jobs` at once; what ends is printed in the order of the items.

    On an interruption `KeyboardInterrupt` is raised, once all that was under way has come to an end and is
    printed, unless something could not be undone.
    """

    def work(item: _I, report: Callable[[str], None]) -> tuple[Any, OcmError | None]:
        try:
            return attempt(item, report), None
        except (OcmError, OSError) as refused:
            return None, as_ocm_error(refused)
        except Exception as error:  # noqa: BLE001 - it cannot be raised in the other process
            return None, bug(error)

    try:
        with progress_together(len(answers.items), verbose=verbose) as progress:

            def told(event: Event | None) -> None:
                if isinstance(event, Ended):
                    _take(answers, event)
                progress.tell(event, failed=isinstance(event, Ended) and _has_failed(event))
                if not progress.live:
                    answers.print_ready()

            run_all(answers.items, work, jobs=jobs, told=told)
    except KeyboardInterrupt:
        answers.print_ready(skipping=True)
        if not any(error.exit_code == UNDO_INCOMPLETE for _item, error in answers.errors):
            raise
    answers.print_ready()


def _has_failed(event: Ended) -> bool:
    return event.value is None or event.value[1] is not None


def _take(answers: Answers, event: Ended) -> None:
    if event.interrupted:
        return
    if event.killed:
        message = f"the ocm that worked on {event.item} was killed"
        hint = "what it had begun is undone or finished by the next ocm command"
        answers.failed(event.item, OcmError(message, hint=hint, code="killed"))
        return
    result, error = event.value
    if error is None:
        answers.succeeded(event.item, result)
    else:
        answers.failed(event.item, error)
