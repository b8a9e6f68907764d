"""Passes on what a gateway prints, line by line, and no more than its share of a log that is not its own.

journald gives no unit of a user a share of the journal (systemd 257): one that prints without an end drives
out what others said, and of all others of its user nothing more is kept.
"""

from __future__ import annotations

import os
import time

# What a line costs besides its bytes: an entry of the journal has fields of some hundred bytes, and counts.
_LINE_COST = 200
# A start prints some sixty lines. These are 2,500 short lines at once, then forty in a second.
_MOST = 2**19
_EACH_SECOND = 2**13
# journald splits a line at this (LineMax= of journald.conf(5)).
_LONGEST = 48 * 2**10
_CHUNK = 2**16
# Where lines were left out, none is passed on before so much is left again.
_AGAIN = 2**16
# What waits for a reader that does not come.
_MOST_UNSENT = 2**18


class Printed:
    """What is read of a pipe, and where it goes; both do not block."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self._target = source, target
        for handle in (source, target):
            os.set_blocking(handle, False)
        self._left, self._at = float(_MOST), time.monotonic()
        self._began = self._unsent = b""
        self._lost = 0

    def pass_on(self) -> bool:
        """Pass on what can be read, once; tell whether more may come."""
        try:
            data = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._refill()
        *lines, self._began = (self._began + data).split(b"\n")
        for line in lines:
            self._take(line)
        while len(self._began) >= _LONGEST:
            self._take(self._began[:_LONGEST])
            self._began = self._began[_LONGEST:]
        self._send()
        return bool(data)

    def close(self) -> None:
        """Pass on the rest, once nobody prints any more."""
        for _ in range(_MOST // _CHUNK):
            if not self.pass_on():
                break
        if self._began:
            self._take(self._began)
        self._tell_lost()
        self._send()

    def has_deadline(self) -> bool:
        """Tell whether something waits to be said: `expire` says it."""
        return bool(self._lost or self._unsent)

    def expire(self) -> None:
        """Say what waits, and how much was left out where there is room for more again."""
        self._refill()
        if self._left >= _AGAIN:
            self._tell_lost()
        self._send()

    def _refill(self) -> None:
        now = time.monotonic()
        self._left = min(self._left + (now - self._at) * _EACH_SECOND, _MOST)
        self._at = now

    def _take(self, line: bytes) -> None:
        cost = len(line) + _LINE_COST
        if self._left < (_AGAIN if self._lost else cost) or len(self._unsent) > _MOST_UNSENT:
            self._lost += 1
            return
        self._tell_lost()
        self._left -= cost
        self._unsent += line + b"\n"

    def _tell_lost(self) -> None:
        if self._lost:
            self._unsent += b"tool host: %d lines were left out: it prints too much\n" % self._lost
            self._lost = 0

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._target, self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""
