"""A network namespace of the sandbox's own, to which its owner gives rules and a way out from outside."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time

from . import kernel
from .gateway import complain

_FAILED = 71  # EX_OSERR
_SECONDS, _LOST_SECONDS = 30.0, 30.0
_POLL_SECONDS = 0.01
_DEFAULT = "00000000"
_ROUTES = 0x40  # RTMGRP_IPV4_ROUTE (linux/rtnetlink.h)


def make(ending: tuple[signal.Signals, ...]) -> Watch:
    """Leave the host's network, and return once there is a way out of the new one.

    It comes after its rules: nothing runs here without these. Ends the process where none comes, and with the
    status of a shell where one of the signals `ending`, which are blocked, comes before.
    """
    kernel.unshare("net")
    until = time.monotonic() + _SECONDS
    while not has_route():
        heard = signal.sigtimedwait({*ending, signal.SIGHUP}, _POLL_SECONDS)
        if heard is not None and heard.si_signo in ending:
            sys.exit(128 + heard.si_signo)
        if heard is not None or time.monotonic() > until:
            complain("the sandbox has no network: its uplink failed")
            sys.exit(_FAILED)
    return Watch()


class Watch:
    """Notices when the way out is lost for so long that nobody makes it anew."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.socket.bind((0, _ROUTES))
        self.socket.setblocking(False)  # noqa: FBT003 - as the standard library has it
        self.until: float | None = None
        self.lost = False

    def look(self) -> None:
        """Take note of whether there is a way out, after the routes changed."""
        with contextlib.suppress(OSError):
            while self.socket.recv(2**16):
                pass
        if has_route():
            self.until = None
        elif self.until is None:
            self.until = time.monotonic() + _LOST_SECONDS

    def has_deadline(self) -> bool:
        """Tell whether something is to be done when its time comes: `expire` does it."""
        return self.until is not None

    def expire(self) -> None:
        """Take note where it is time to begin anew, with another network."""
        if self.until is not None and time.monotonic() > self.until:
            complain("the network of the sandbox is lost: it begins anew")
            self.lost, self.until = True, None


def has_route() -> bool:
    """Tell whether there is a default route (proc_net_route in the kernel: its destination is 0)."""
    with open("/proc/self/net/route", encoding="ascii") as file:
        rows = [line.split() for line in file][1:]
    return any(len(row) > 1 and row[1] == _DEFAULT for row in rows)
