"""Shows a page in the browser of the user's graphical session: the way there never stands in an argument.

Every user of the machine reads the arguments of a process. So the browser is given a file that the user alone
can read, which leads on, and which is removed a minute later.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.system import files, programs
from openclaw_ocm.system.packages import line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.system.host import Host

_OPENER, _PACKAGE = "xdg-open", "xdg-utils"
# A browser that was not running yet takes half of it on a busy machine.
_KEPT_SECONDS = 60
# What finds no browser says so by then; a browser goes on.
_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.02
_SILENT = tuple((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3))


def is_graphical(environ: Mapping[str, str]) -> bool:
    """Tell whether the caller is in a graphical session."""
    return bool(environ.get("WAYLAND_DISPLAY") or environ.get("DISPLAY"))


def show(host: Host, environ: Mapping[str, str], document: str) -> str | None:
    """Have the user's browser show a document that may hold secrets; return what keeps it from that, or None.

    `environ` is the caller's: a browser is not to be had without it.
    """
    opener = next(_openers(environ), None)
    if opener is None:
        return f"nothing here opens a browser: {line(_PACKAGE)}, or set BROWSER"
    if not _is_private(host.runtime):
        return f"there is no private place for what a browser is to read: {host.runtime}"
    page = host.runtime / f"ocm-open-{secrets.token_hex(8)}.html"
    argv = [word.replace("%s", f"file://{page}") for word in opener]
    remover = ("-I", "-S", "-c", programs.text("remove_later.py"), str(page), str(_KEPT_SECONDS))
    os.posix_spawn(sys.executable, [sys.executable, *remover], {}, file_actions=_SILENT, setsid=True)
    try:
        files.write_new(page, document.encode())
    except OSError as error:
        return f"what a browser is to read could not be written: {error.strerror}"
    host.runner.show(tuple(argv))
    try:
        process = os.posix_spawn(argv[0], argv, dict(environ), file_actions=_SILENT, setsid=True)
        status = _end(process)
    except OSError as error:
        status = error.strerror
    if not status:
        return None
    files.remove_file(page)
    return f"no browser came up: {argv[0]} ended with {status}"


def _openers(environ: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield what opens a page: what BROWSER names, as others read it, then what the desktop has."""
    for named in (*environ.get("BROWSER", "").split(os.pathsep), _OPENER):
        with contextlib.suppress(ValueError):
            words = shlex.split(named)
            program = shutil.which(words[0], path=environ.get("PATH", "")) if words else None
            if program is not None:
                given = words[1:] if any("%s" in word for word in words) else [*words[1:], "%s"]
                yield [program, *given]


def _is_private(directory: PurePosixPath) -> bool:
    """Tell whether a directory is the user's and shut to all others."""
    try:
        status = Path(directory).stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _end(process: int) -> str | None:
    """Return in words how a program failed that ends soon, None where it did not, or goes on."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return f"exit status {code}" if code else None
        time.sleep(_POLL_SECONDS)
    return None
