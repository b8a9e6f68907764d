"""What a run tells at its end: the slowest tests, the gateways started and first failures, of all its parts.

`script/test` gives the directory in which processes note it; without one there is nothing to note.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SLOWEST = 20
DEAREST = 15


def note(kind: str, lines: Iterable[str]) -> None:
    """Add lines to what is told of a kind."""
    if directory := os.environ.get("OCM_TEST_REPORT"):
        with Path(directory, kind).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)


def noted(directory: Path, kind: str) -> list[list[str]]:
    path = directory / kind
    return [line.split(maxsplit=1) for line in path.read_text().splitlines()] if path.exists() else []


def summary(directory: Path) -> list[str]:
    """Return the report on what was noted in a directory."""
    durations = sorted(
        ((float(seconds), test) for seconds, test in noted(directory, "durations")), reverse=True
    )
    started: dict[str, int] = {}
    for machine, count in noted(directory, "gateways"):
        release = machine.partition("-")[0]
        started[release] = started.get(release, 0) + int(count)
    each = ", ".join(f"{release} {count}" for release, count in sorted(started.items()))
    modules: dict[str, float] = {}
    for seconds, test in durations:
        module = test.split(maxsplit=1)[-1].partition("::")[0]
        modules[module] = modules.get(module, 0) + seconds
    dearest = sorted(modules.items(), key=lambda one: -one[1])[:DEAREST]
    return [
        f"slowest {SLOWEST} tests",
        *(f"{seconds:8.1f} s  {test}" for seconds, test in durations[:SLOWEST]),
        f"dearest {DEAREST} modules",
        *(f"{seconds:8.1f} s  {module}" for module, seconds in dearest),
        f"gateways started: {sum(started.values())}{each and f' ({each})'}",
        *first_failures(directory),
    ]


def first_failures(directory: Path) -> list[str]:
    """Return the first failure of each process, with the end of the journal of its machine."""
    path = directory / "first failure"
    return ["first failures", *path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    print("\n".join(summary(Path(os.environ["OCM_TEST_REPORT"]))))
