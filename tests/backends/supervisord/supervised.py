"""A user's home in which a real supervisord runs small programs in the gateways' place, in real sandboxes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.backends import home as homes
from tests.backends.home import PATIENCE_SECONDS, SERVE, Home

from openclaw_ocm.backends.supervisord import places
from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.backends.protocol import Backend

__all__ = ["PATIENCE_SECONDS", "SERVE", "Supervised", "daemons", "destroy", "is_alive", "supervised_home"]

Supervised = Home[Supervisord]


@contextlib.contextmanager
def supervised_home() -> Iterator[Supervised]:
    """Give a home with all that gateways run: not below /tmp, of which every sandbox has its own."""
    made = homes.make_home("supervisord", Path.home())
    try:
        assert isinstance(made.backend, Supervisord)
        yield Supervised(backend=made.backend, host=made.host)
    finally:
        destroy(made)


def daemons(home: Home[Backend]) -> list[int]:
    """Return the processes that are a supervisord of this home."""
    config = str(places.config(home.host.paths)).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if config in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def destroy(home: Home[Backend]) -> None:
    """Kill supervisord, with which everything ends, and remove the home."""
    for pid in daemons(home):
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)
    home.backend.stop_sessions([parse_name(path.name[10:]) for path in home.home.glob(".openclaw-*")])
    files.remove_tree(PurePosixPath(home.home))
