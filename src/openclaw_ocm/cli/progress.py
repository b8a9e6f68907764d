"""What a person sees on a terminal while something takes long: the phase, the seconds. Elsewhere nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID

    from openclaw_ocm.core.needs import Progress as Step


@contextlib.contextmanager
def progress(name: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that takes the words of each phase and shows them on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _phase: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from openclaw_ocm.core.text import printable

    # No markup: what is in brackets may be part of a path.
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def report(phase: str) -> None:
            bar.update(task, description=printable(f"{name}: {phase}"))

        yield report
    elapsed = time.monotonic() - began
    if elapsed > 1:
        sys.stderr.write(f"{name}: {elapsed:.0f} s\n")


@contextlib.contextmanager
def installing() -> Iterator[Callable[[Step], None]]:
    """Yield a function that takes how far an install is: a bar on a terminal, elsewhere a line for each."""
    if not sys.stderr.isatty():
        yield _say_each_once()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def report(step: Step) -> None:
            if step.what not in tasks:
                for task in tasks.values():
                    bar.stop_task(task)
                tasks[step.what] = bar.add_task(step.what, total=None, amount="")
            bar.update(tasks[step.what], total=step.total, completed=step.done or 0, amount=_amount(step))

        yield report


def _say_each_once() -> Callable[[Step], None]:
    said: set[str] = set()

    def report(step: Step) -> None:
        if step.what not in said:
            said.add(step.what)
            sys.stderr.write(f"ocm: {step.what}\n")
            sys.stderr.flush()

    return report


def _amount(step: Step) -> str:
    if step.done is None:
        return ""
    divisor, unit = (1e6, "MB") if step.unit == "bytes" else (1, step.unit)
    done = round(step.done / divisor)
    return f"{done} {unit}" if step.total is None else f"{done} of {round(step.total / divisor)} {unit}"
