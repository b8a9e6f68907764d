"""Who only reads an instance, such as a backup, can be ended by another ocm: nothing is lost by that.

Who does says so in the lock file that it holds. The file is OCM's own, no instance can write it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files, processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

_SIGNAL = signal.SIGUSR1
_WORDS = 3


class _Ended(KeyboardInterrupt):
    """Undone as for Ctrl-C: no error that somebody passes over."""


@contextlib.contextmanager
def reading(lock: PurePosixPath, what: str) -> Iterator[None]:
    """Let another ocm end this, which holds `lock` and is a `what`; raises `OcmError` where that was done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: object) -> None:
        signal.signal(_SIGNAL, signal.SIG_IGN)
        raise _Ended

    try:
        signal.signal(_SIGNAL, end)
        _say(lock, f"{os.getpid()} {processes.started(os.getpid())} {what}")
        try:
            yield
        finally:
            # And stays so: who saw the words a moment ago may send it yet.
            signal.signal(_SIGNAL, signal.SIG_IGN)
            _say(lock, "")
    except _Ended:
        message = f"this {what} was ended by another ocm, which stops or deletes {lock.stem}"
        raise OcmError(message, hint="run it again later", code="ended") from None


def end_reader(lock: PurePosixPath) -> str | None:
    """Have who holds `lock` end where it only reads; return in words who that is, None where it is not so."""
    with contextlib.suppress(OcmError, OSError, ValueError):
        words = (files.read_own(lock) or b"").decode().split()
        if len(words) != _WORDS:
            return None
        pid, began, what = int(words[0]), words[1], words[2]
        # The number stays this process's while it is held, so that no other gets the signal.
        process = os.pidfd_open(pid)
        try:
            its_own = Path(f"/proc/{pid}").stat().st_uid == os.getuid() and processes.started(pid) == began
            if not its_own:
                return None
            signal.pidfd_send_signal(process, _SIGNAL)
        finally:
            os.close(process)
        return f"a {what} of {lock.stem}, PID {pid}"
    return None


def left_by_reader(lock: PurePosixPath) -> str | None:
    """Return what it was that only read and was killed while it held `lock`, None where there is nothing."""
    with contextlib.suppress(OcmError, ValueError):
        words = (files.read_own(lock) or b"").decode().split()
        return words[-1] if len(words) == _WORDS else None
    return None


def forget_reader(lock: PurePosixPath) -> None:
    """Have nothing be known of a reader that was killed; the caller holds `lock`."""
    _say(lock, "")


def _say(lock: PurePosixPath, words: str) -> None:
    """Write into a lock file that is held; without room on the disk nobody can be told."""
    with contextlib.suppress(OSError):
        descriptor = os.open(lock, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.write(descriptor, words.encode())
        finally:
            os.close(descriptor)
