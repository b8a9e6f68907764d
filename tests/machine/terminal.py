"""A conversation with a command on a pseudo-terminal of the machine."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .nspawn import MachineError
from .processes import text

if TYPE_CHECKING:
    import subprocess

Answers = Sequence[tuple[str, str]]

# Runs in the machine: the pseudo-terminal must belong to the machine's own /dev/pts.
PTY_HELPER = """
import fcntl, os, pty, selectors, struct, sys, termios
size = struct.pack("HHHH", int(sys.argv[1]), int(sys.argv[2]), 0, 0)
child, master = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, size)
    try:
        os.execvp(sys.argv[3], sys.argv[3:])
    except OSError as error:
        print(error)
        os._exit(127)
watched = selectors.DefaultSelector()
watched.register(master, selectors.EVENT_READ, 1)
watched.register(0, selectors.EVENT_READ, master)
running = True
while running:
    for key, _ in watched.select():
        try:
            chunk = os.read(key.fd, 65536)
        except OSError:
            chunk = b""
        if chunk:
            os.write(key.data, chunk)
        elif key.fd == master:
            running = False
        else:
            watched.unregister(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code if code >= 0 else 128 - code)
"""


class CommandTimedOut(MachineError):
    pass


def converse(process: subprocess.Popen[bytes], answers: Answers, timeout: float) -> str:
    """Read the terminal to its end, typing each answer once its text has appeared."""
    assert process.stdout is not None
    assert process.stdin is not None
    end = time.monotonic() + timeout
    waiting, seen, output = list(answers), 0, b""
    with selectors.DefaultSelector() as watched:
        watched.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not watched.select(timeout=max(0.0, end - time.monotonic())):
                raise CommandTimedOut(f"still on the terminal after {timeout:g} s:\n{text(output)}")
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                break
            output += chunk
            while waiting and (found := output.find(waiting[0][0].encode(), seen)) >= 0:
                seen = found + len(waiting[0][0].encode())
                process.stdin.write(waiting.pop(0)[1].encode())
                process.stdin.flush()
    if waiting:
        raise MachineError(f"the terminal never showed {waiting[0][0]!r}:\n{text(output)}")
    return text(output)
