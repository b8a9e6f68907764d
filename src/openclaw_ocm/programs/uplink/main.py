"""Gives the network namespace of a sandbox its rules, its way out and its way in, from outside of it.

The rules come first, by nft(8), then slirp4netns(1), which is made anew when it ends. It ends with the first
process of the sandbox, the tool host, which owns the namespace and starts nothing before it has a route.

usage: uplink --rules FILE [--reach-host] [--state DIRECTORY --serve HOST:PORT [--expose]] [--of-unit UNIT]
              [-- ARGV...]

ARGV is what makes the sandbox, which this process becomes: a systemd-run of UNIT or, without one, a bwrap,
which tells the first process by --info-fd. Without ARGV it is that of a unit of the user manager, and this
process ends with it. In DIRECTORY it keeps what serves the port.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from typing import NamedTuple, NoReturn

from .host import Failed, complain, prctl, run
from .network import Uplink

NAME = b"ocm-uplink"
SYSTEMCTL = "/usr/bin/systemctl"
_WAIT_SECONDS = 20.0
_FIRST_POLL_SECONDS = 0.05
_POLL_SECONDS = 0.5
_USAGE = 64  # EX_USAGE
NO_GATEWAY = 69  # EX_UNAVAILABLE; the unit says it too
_SET_NAME = 15  # linux/prctl.h


class Options(NamedTuple):
    """What the command line says; `serve` is where on the host the port inside is reached.

    With `expose` that is so at the host's other addresses too.
    """

    rules: str
    state: str | None
    serve: tuple[str, int] | None
    expose: bool
    reaches_host: bool
    unit: str | None
    argv: list[str]


def options(words: list[str]) -> Options:
    """Return what a command line says; ends the process where it says nothing that is known."""
    found: dict[str, str] = {}
    flags = {"--reach-host": False, "--expose": False}
    rest = list(words)
    while rest and rest[0] != "--":
        if rest[0] in flags:
            flags[rest[0]] = True
            del rest[:1]
        elif rest[0] in ("--rules", "--state", "--serve", "--of-unit") and len(rest) > 1:
            found[rest[0]] = rest[1]
            del rest[:2]
        else:
            break
    address, _, port = found.get("--serve", ":0").rpartition(":")
    unit, argv = found.get("--of-unit"), rest[1:]
    together = ("--state" in found) == ("--serve" in found)
    known = rest[:1] in ([], ["--"]) and port.isdigit() and together and (unit is not None or bool(argv))
    if not known or "--rules" not in found:
        complain(__doc__)
        sys.exit(_USAGE)
    return Options(
        rules=found["--rules"],
        state=found.get("--state"),
        serve=(address, int(port)) if address else None,
        expose=flags["--expose"],
        reaches_host=flags["--reach-host"],
        unit=unit,
        argv=argv,
    )


def attend(chosen: Options, pid: int) -> int:
    """Make the network of the sandbox with the first process `pid`; return an exit status when it ends."""
    prctl(_SET_NAME, NAME)
    # It goes on while the gateway drains, and ends by itself.
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    uplink = Uplink(chosen, pid)
    if chosen.unit is not None and _main_process(chosen.unit) != pid:
        complain("the sandbox ended before it had a network")
        return 1
    try:
        if chosen.state is not None:
            # The name of a socket may be no longer than 107 bytes, this path may.
            os.chdir(chosen.state)
        uplink.set_up()
        uplink.look_after()
    except (Failed, OSError) as error:
        complain(error)
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(uplink.handle, signal.SIGHUP)
        return 1
    finally:
        uplink.stop()
    return 0


def main(words: list[str]) -> NoReturn:
    """Do what the command line says."""
    chosen = options(words)
    if not chosen.argv:
        pid = _main_process(chosen.unit or "")
        sys.exit(attend(chosen, pid) if pid is not None else NO_GATEWAY)
    info, tell = os.pipe()
    between = os.fork()
    if between == 0:
        # bwrap is to have no child but the sandbox.
        if os.fork() == 0:
            _attend_beside(chosen, info, tell)
        os._exit(0)
    os.waitpid(between, 0)
    os.close(info)
    argv = chosen.argv
    if chosen.unit is None:
        os.set_inheritable(tell, True)  # noqa: FBT003 - as the standard library has it
        argv = [argv[0], "--info-fd", str(tell), *argv[1:]]
    os.execvp(argv[0], argv)


def _attend_beside(chosen: Options, info: int, tell: int) -> NoReturn:
    """In a process of its own: attend to the sandbox that the one it came from makes."""
    status = 1
    try:
        os.close(tell)
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1):
            os.dup2(nothing, number)
        pid = _first_inside(info) if chosen.unit is None else _main_process(chosen.unit)
        status = attend(chosen, pid) if pid is not None else 1
    finally:
        os._exit(status)


def _first_inside(info: int) -> int | None:
    """Return the first process of the sandbox that bwrap makes, None where it makes none."""
    text = b""
    while part := os.read(info, 4096):
        text += part
        if b"}" in text:
            return int(json.loads(text[: text.index(b"}") + 1])["child-pid"])
    return None


def _main_process(unit: str) -> int | None:
    """Return the main process of a unit of the user manager, None where it does not start in time."""
    until, pause = time.monotonic() + _WAIT_SECONDS, _FIRST_POLL_SECONDS
    while time.monotonic() < until:
        _, said = run([SYSTEMCTL, "--user", "show", "--property=MainPID", "--value", unit], b"")
        if said.strip().isdigit() and int(said) > 0:
            return int(said)
        time.sleep(pause)
        pause = min(pause * 1.2, _POLL_SECONDS)
    return None
