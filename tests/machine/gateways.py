"""Counts the gateways that are started in the machines of this process: each costs 17 CPU seconds."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from .lifetime import OWNED
from .processes import start_ticks

# A gateway takes seconds until it is one, whatever its config: none comes and goes between two looks.
INTERVAL_SECONDS = 0.2
# A process that is older than this has become what it is: a backend executes a gateway at once.
BECOMING_SECONDS = 15.0
MACHINE = re.compile(r"/ocm-test/machine-([a-z0-9-]+)(?:/|$)", re.MULTILINE)


class Gateways(threading.Thread):
    """Looks at the host's processes, among which are those of every machine, until it is stopped.

    Neither journals nor logs would do: what is deleted with an instance, or never written, is not in them.
    """

    def __init__(self) -> None:
        super().__init__(name="gateways", daemon=True)
        self.started: Counter[str] = Counter()
        self._first_seen: dict[int, float] = {}
        self._counted: set[tuple[int, int]] = set()
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(INTERVAL_SECONDS):
            self.look()

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def look(self) -> None:
        """Count what is new by the name of its machine."""
        now = time.monotonic()
        self._first_seen = {pid: self._first_seen.get(pid, now) for pid in psutil.pids()}
        for pid, first in self._first_seen.items():
            if now - first > BECOMING_SECONDS:
                continue
            with contextlib.suppress(OSError):
                if is_gateway(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")):
                    self._count(pid)

    def _count(self, pid: int) -> None:
        process = pid, start_ticks(pid)
        within = MACHINE.search(Path(f"/proc/{pid}/cgroup").read_text())
        if process not in self._counted and within and within[1] in OWNED:
            self._counted.add(process)
            self.started[within[1]] += 1


def is_gateway(argv: list[bytes]) -> bool:
    """Tell a gateway from what starts or seals it, and from a command about gateways.

    It has the command line it was started with, of Node or of OpenClaw, until it gives itself a title.
    """
    program = argv[0].rpartition(b"/")[2]
    if program.startswith(b"openclaw-gateway"):
        return True
    if program not in (b"node", b"openclaw") or b"gateway" not in argv:
        return False
    following = argv[argv.index(b"gateway") + 1]
    return not following or following.startswith(b"--")
