"""Copies between the caller's standard streams and the pipes of a program."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 65536
_SILENCE_MILLISECONDS = 1000
_Pipe = IO[bytes] | None


def copy_streams(
    stdin: _Pipe, stdout: _Pipe, stderr: _Pipe, is_over: Callable[[], bool]
) -> list[threading.Thread]:
    """Copy to and from a program's pipes until it `is_over`; return the copiers of its output."""
    copiers = []
    for source, target in ((0, stdin), (stdout, 1), (stderr, 2)):
        copier = threading.Thread(target=_copy, args=(source, target, is_over), daemon=True)
        copier.start()
        copiers.append(copier)
    return copiers[1:]


def _has_more(source: int, is_over: Callable[[], bool]) -> bool:
    """Wait for data or an end; False where the program is gone and nothing came for a while.

    What then still holds the other end has outlived its session, and is not waited for.
    """
    poll = select.poll()
    poll.register(source, select.POLLIN)
    while not poll.poll(_SILENCE_MILLISECONDS):
        if is_over():
            return False
    return True


def _copy(source: IO[bytes] | int, target: IO[bytes] | int, is_over: Callable[[], bool]) -> None:
    """Copy until either end is closed, then close the pipe, so that the other side learns of it."""
    source_number, target_number = (end if isinstance(end, int) else end.fileno() for end in (source, target))
    with contextlib.suppress(OSError):
        while _has_more(source_number, is_over) and (data := os.read(source_number, _CHUNK)):
            while data:
                data = data[os.write(target_number, data) :]
    for pipe in (source, target):
        if not isinstance(pipe, int):
            with contextlib.suppress(OSError):
                pipe.close()
