"""Tells what could not start a program in a sandbox from a program that was started there and failed.

What systemd-run, bubblewrap and OCM's own programs say before a program runs is known by how it begins. An
instance can print the same: it decides what a person is told, and nothing else.
"""

from __future__ import annotations

import re

from openclaw_ocm.core.text import printable

# What a program ends with that systemd could not start (systemd.exec(5), "Process Exit Codes").
_SETUP_STATUS = range(200, 250)
_SETUP = {
    200: "its directory cannot be entered (200/CHDIR)",
    203: "its program cannot be run: it is gone, or may not be executed (203/EXEC)",
    216: "its group cannot be set (216/GROUP)",
    217: "its user cannot be set (217/USER)",
    218: "its capabilities cannot be set (218/CAPABILITIES)",
    219: "its control group cannot be made (219/CGROUP)",
    226: "its sandbox cannot be made: what it shows is gone, or no namespace may be made (226/NAMESPACE)",
    228: "the filter of system calls cannot be set (228/SECCOMP)",
}
# As a shell and `env` tell that a program may not be executed, or is not there. OpenClaw ends with neither.
NOT_STARTED = _NOT_EXECUTABLE, _NOT_FOUND = (126, 127)
_KILLED = 128
_SIGNALS = {
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    9: "SIGKILL, as where memory is short",
    11: "SIGSEGV",
    15: "SIGTERM",
}
_SAID = re.compile(
    r"^(?:Failed to (?:connect to .*\bbus\b|start transient service unit|get (?:D-Bus|bus) connection"
    r"|create bus|allocate|query|set up|fork off).*"
    r"|bwrap: .*|uplink: .*|tool host: .*|nsenter: .*"
    r"|(?:/usr/bin/)?env: .*|the secrets cannot be read: .*|Can't exec \".*|fork: .*)$",
    re.MULTILINE,
)


def setup_failure(status: int) -> str | None:
    """Return in words what an exit status tells that systemd gives what it could not start, else None."""
    return _SETUP.get(status, f"systemd could not set it up ({status})") if status in _SETUP_STATUS else None


def obstacle(status: int, said: str) -> str | None:
    """Return in words what kept a program in a sandbox from doing its work, None where it ended by itself.

    `status` is that of what started it, negative for a signal, `said` what was printed on the way.
    """
    if status == 0:
        return None
    words = setup_failure(status)
    if words is not None:
        return words
    number = -status if status < 0 else status - _KILLED
    if number in _SIGNALS:
        return f"it was ended by {_SIGNALS[number]}"
    line = _SAID.search(said)
    if line is not None:
        return printable(line.group())
    return {
        _NOT_EXECUTABLE: "its program may not be executed (126)",
        _NOT_FOUND: "its program is not there (127)",
    }.get(status)
