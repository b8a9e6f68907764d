"""This machine: its addresses, programs that run on it, and where to say what goes wrong."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

IP = "/usr/sbin/ip"

_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """There is no network; the text says why."""


def own_networks() -> set[str]:
    """Return the host's IPv4 addresses, each with its network: `ADDRESS/LENGTH`."""
    status, text = run([IP, "-4", "-oneline", "address", "show"], b"")
    if status != 0:
        raise Failed(f"the host's addresses cannot be read: {text.strip()}")
    fields = [line.split() for line in text.splitlines()]
    return {each[3] for each in fields if len(each) > 3 and each[2] == "inet"}  # noqa: PLR2004 - number, interface


def own_hosts() -> set[str]:
    """Return the host's IPv4 addresses."""
    return {each.partition("/")[0] for each in own_networks()}


def own_addresses() -> bytes:
    """Return what adds the host's addresses, alone and with their networks, to the sets of the rules."""
    found = own_networks()
    sets = (("here", sorted({each.partition("/")[0] for each in found})), ("own4", sorted(found)))
    return "".join(
        f"add element inet ocm {name} {{ {', '.join(each)} }}\n" for name, each in sets if each
    ).encode()


def run(argv: list[str], text: bytes) -> tuple[int, str]:
    """Run a program on a text and return its exit status and what it printed."""
    given, said = os.memfd_create("in"), os.memfd_create("out")
    os.pwrite(given, text, 0)
    streams = [(os.POSIX_SPAWN_DUP2, handle, number) for number, handle in enumerate((given, said, said))]
    process = os.posix_spawn(argv[0], argv, dict(os.environ), file_actions=streams)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    printed = os.pread(said, 2**20, 0).decode(errors="replace")
    os.close(given)
    os.close(said)
    return status, printed


def complain(text: object) -> None:
    """Say something where the instance's log has it."""
    with contextlib.suppress(OSError, ValueError):
        print(f"uplink: {text}", file=sys.stderr, flush=True)  # noqa: T201 - it has no other way to say it


def prctl(option: int, value: int | bytes) -> None:
    """Ask the kernel for something for this process (prctl(2))."""
    word = ctypes.c_ulong(value) if isinstance(value, int) else ctypes.c_char_p(value)
    _libc.prctl(option, word, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
