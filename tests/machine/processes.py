"""Processes of the host: known by more than their pid, waited for, and killed with their children."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .nspawn import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Found = TypeVar("Found")


@dataclass(frozen=True)
class ProcessId:
    """A pid with its start time, so that a pid used again is not mistaken for it."""

    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        return cls(pid, start_ticks(pid))

    def is_alive(self) -> bool:
        try:
            return start_ticks(self.pid) == self.start_ticks
        except OSError:
            return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def kill_group(process: subprocess.Popen[bytes]) -> str:
    """Kill a command of `popen` with its children, and give back what it had still printed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
        out, err = process.communicate(timeout=10)
        return text(out) + text(err)
    return ""


def wait_for(condition: Callable[[], Found | None], deadline_seconds: float, what: str) -> Found:
    """Return the first truthy value of the condition; what is not there yet counts as false."""
    end = time.monotonic() + deadline_seconds
    while True:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if value := condition():
                return value
        if time.monotonic() > end:
            raise MachineError(f"waited {deadline_seconds:.0f} s for {what} in vain")
        time.sleep(0.1)


def start_ticks(pid: int) -> int:
    # The command name, in parentheses, may hold spaces: count the fields after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return int(fields[19])


def descendants(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from descendants(int(child))


def first_process(starter: int, name: str) -> int | None:
    """Return the descendant that is process 1 of a namespace and called so, None where there is none yet."""
    for pid in descendants(starter):
        status = Path(f"/proc/{pid}/status").read_text()
        if re.search(r"^NSpid:.*\s1$", status, re.MULTILINE) and f"Name:\t{name}\n" in status:
            return pid
    return None


def text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")
