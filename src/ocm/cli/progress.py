"""What a person sees on a terminal while something takes long: the phase, the seconds. Elsewhere nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(name: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that takes the words of each phase and shows them on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _phase: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def report(phase: str) -> None:
            bar.update(task, description=f"{name}: {phase}")

        yield report
    elapsed = time.monotonic() - began
    if elapsed > 1:
        sys.stderr.write(f"{name}: {elapsed:.0f} s\n")
