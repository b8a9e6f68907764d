"""What a person sees on a terminal while something takes long: the phase, the seconds. Elsewhere nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from rich.progress import Progress, TaskID

    from openclaw_ocm.core.needs import Progress as Step
    from openclaw_ocm.system.workers import Event


@contextlib.contextmanager
def progress(name: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that takes the words of each phase and shows them on a terminal."""
    if not is_terminal(sys.stderr):
        yield lambda _phase: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

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
        say(f"{name}: {elapsed:.0f} s")


class Together:
    """How far work on several items is that goes on at once.

    `live` on a terminal, where each that is under way or has failed has a line; elsewhere each that ends
    gets one, on standard error.
    """

    def __init__(self, total: int, bar: Progress | None) -> None:
        self._total = total
        self._bar = bar
        self._ended = 0
        self._began: dict[str, float] = {}
        self._tasks: dict[str, TaskID] = {}
        if bar is not None:
            self._all = bar.add_task("", total=None)
            self._count()

    @property
    def live(self) -> bool:
        """Tell whether lines on a terminal change, between which nothing may be printed."""
        return self._bar is not None

    def tell(self, event: Event | None, *, failed: bool) -> None:
        """Show what happened; an item that ended may have `failed`, or been interrupted."""
        from openclaw_ocm.system.workers import Began, Ended, Said

        if isinstance(event, Began):
            self._began[event.item] = time.monotonic()
            if self._bar is not None:
                self._tasks[event.item] = self._bar.add_task(printable(event.item), total=None)
        if isinstance(event, Said) and self._bar is not None:
            words = printable(f"{event.item}: {event.words}")
            self._bar.update(self._tasks[event.item], description=words)
        if isinstance(event, Ended):
            self._ended += 1
            word = "failed" if failed else "done"
            self._end(event.item, "interrupted" if event.interrupted else word)
        if self._bar is not None:
            self._bar.refresh()

    def _end(self, item: str, word: str) -> None:
        if self._bar is None:
            seconds = time.monotonic() - self._began[item]
            line = f"{item} {word} after {seconds:.0f} s, {self._ended} of {self._total}"
            say(f"ocm: {printable(line)}")
            return
        self._bar.stop_task(self._tasks[item])
        self._bar.update(self._tasks[item], description=printable(f"{item}: {word}"), visible=word != "done")
        self._count()

    def _count(self) -> None:
        if self._bar is not None:
            self._bar.update(self._all, description=f"{self._ended} of {self._total} done")


@contextlib.contextmanager
def progress_together(total: int, *, verbose: bool) -> Iterator[Together]:
    """Yield what shows the progress of work on `total` items; never live among commands that are printed."""
    if verbose or not is_terminal(sys.stderr):
        yield Together(total, None)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    # It is refreshed by who waits: a thread for that would be there when a process is forked.
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        yield Together(total, bar)


def say(line: str) -> None:
    """Tell a line on standard error, where there is one."""
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Tell whether a standard stream is a terminal; one that was closed when ocm started is none."""
    return stream is not None and stream.isatty()


@contextlib.contextmanager
def installing() -> Iterator[Callable[[Step], None]]:
    """Yield a function that takes how far an install is: a bar on a terminal, elsewhere a line for each."""
    if not is_terminal(sys.stderr):
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
            say(f"ocm: {step.what}")

    return report


def _amount(step: Step) -> str:
    if step.done is None:
        return ""
    divisor, unit = (1e6, "MB") if step.unit == "bytes" else (1, step.unit)
    done = round(step.done / divisor)
    return f"{done} {unit}" if step.total is None else f"{done} of {round(step.total / divisor)} {unit}"
