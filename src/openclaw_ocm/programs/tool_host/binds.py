"""What a box may see of the sandbox: sources opened without following links, targets that cover nothing.

Who asks is not to be trusted, and what it names can be replaced by a program that still runs in an older box,
by a link to the credentials for instance. So a source is opened component by component, and once the box is
there its mounts are compared with what was opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple

from .calls import Bind, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# What of an instance's state no box has a use for.
_CLOSED = frozenset({"agents", "credentials", "devices", "identity", "openclaw.json", "secrets", "state"})
# What a box has of its own, or of the system's.
_TAKEN = frozenset(
    {"usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "proc", "dev", "sys", "run", "tmp", "var", "root"}
    | {"home", "boot", "opt"}
)
# Main's session, which no box confines, runs what lies there: a box may not write it.
_PROTECTED = (".openclaw/extensions", ".git/hooks", ".git/config")
_OPEN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# What says nothing of what was to be opened.
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_OCTAL = re.compile(r"\\([0-7]{3})")
MOST = 64


class Opened(NamedTuple):
    """A bind whose source is open; `path` is where it was found."""

    handle: int
    path: str
    target: str
    writable: bool


def check(binds: Sequence[Bind], roots: Sequence[str]) -> None:
    """Raise `Refused` where a bind names what no box may see, or a place where it must not appear."""
    if len(binds) > MOST:
        raise Refused(f"a box may have {MOST} mounts and not {len(binds)}")
    for bind in binds:
        root = next((root for root in roots if bind.source.startswith(f"{root}/")), None)
        if root is None or (root == roots[0] and bind.source[len(root) + 1 :].split("/")[0] in _CLOSED):
            raise Refused(
                f"docker -v {bind.source}: a box may see workspaces and what lies beside them, not this"
            )
        if bind.target == "/" or bind.target.split("/")[1] in _TAKEN:
            raise Refused(f"docker -v {bind.source}:{bind.target}: a box has something else there")
    if len({bind.target for bind in binds}) != len(binds):
        raise Refused("docker -v: a target is named twice")


def opened(binds: Iterable[Bind], roots: Sequence[str]) -> list[Opened]:
    """Open the sources of `binds`, which `check` let pass, and what is protected in them, in mounting order.

    Raises `Refused` where one is gone or a link leads there, and `OSError` where too much is open already;
    nothing of it is open then.
    """
    found: list[Opened] = []
    try:
        for bind in binds:
            root = next(root for root in roots if bind.source.startswith(f"{root}/"))
            handle = _open_root(root)
            handle = _descend(handle, bind.source[len(root) + 1 :], bind.source)
            found.append(Opened(handle, bind.source, bind.target, bind.writable))
        declared = {bind.target for bind in binds}
        for each in tuple(found):
            if each.writable:
                found += _protected(each, declared)
    except BaseException:
        close(found)
        raise
    return sorted(found, key=lambda each: each.target.count("/"))


def close(found: Iterable[Opened]) -> None:
    """Close what `opened` opened."""
    for each in found:
        os.close(each.handle)


def _open_root(root: str) -> int:
    try:
        return os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"{root} cannot be opened: {error.strerror}", 1) from None


def _descend(handle: int, below: str, whole: str) -> int:
    """Return what is at `below` a directory, whose descriptor is closed; raises `Refused` at a link."""
    for part in below.split("/"):
        try:
            following = os.open(part, _OPEN, dir_fd=handle)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            raise Refused(f"{whole} of this box is not there: {error.strerror}", 1) from None
        finally:
            os.close(handle)
        handle = following
        mode = os.fstat(handle).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            os.close(handle)
            raise Refused(f"{whole} of this box is or leads over a link, which OCM does not follow", 1)
    return handle


def _protected(bind: Opened, declared: set[str]) -> Iterator[Opened]:
    """Yield, read-only, what a box may not write of a directory that it may write.

    The directory above each is a mount as well: else it could be moved away with what is mounted in it.
    """
    for name in _PROTECTED:
        above, _, last = name.partition("/")
        target = f"{bind.target}/{name}"
        if target in declared:
            continue
        with contextlib.suppress(Refused):
            parent = _descend(os.dup(bind.handle), above, bind.path)
            try:
                inner = _descend(os.dup(parent), last, bind.path)
            except BaseException:
                os.close(parent)
                raise
            if f"{bind.target}/{above}" in declared:
                os.close(parent)
            else:
                declared.add(f"{bind.target}/{above}")
                yield Opened(parent, f"{bind.path}/{above}", f"{bind.target}/{above}", writable=True)
            declared.add(target)
            yield Opened(inner, f"{bind.path}/{name}", target, writable=False)


def where(handle: int) -> str:
    """Return where what is open is now; raises `Refused` where it was removed."""
    path = os.readlink(f"/proc/self/fd/{handle}")
    if path.endswith(" (deleted)"):
        raise Refused("a directory of this box was removed", 1)
    return path


def prove(found: Sequence[Opened], pid: int, own: frozenset[str]) -> None:
    """Raise `Refused` where the mounts of the box of process `pid` are not what was opened, and no others.

    `own` are the mount points that a box has by itself.
    """
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounted = list(_mount_points(file))
    for point, writable in mounted:
        expected = next((each for each in found if each.target == point), None)
        if expected is None and not _comes_along(point, found, own):
            raise Refused(f"the box has something at {point} that nobody asked for", 1)
        if expected is not None and writable != expected.writable:
            raise Refused(f"the box has {point} not as it was asked for", 1)
    for each in found:
        if [point for point, _ in mounted].count(each.target) != 1 or not _is_same(each, pid):
            raise Refused(f"what is at {each.path} was replaced while the box was made", 1)


def _comes_along(point: str, found: Sequence[Opened], own: frozenset[str]) -> bool:
    """Tell whether a mount is a box's own, or below what is in the box."""
    if point in own:
        return True
    above = (*(path for path in own if path != "/"), *(each.target for each in found))
    return point.startswith(tuple(f"{path}/" for path in above))


def _is_same(each: Opened, pid: int) -> bool:
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        inside = _descend(root, each.target[1:], each.target)
    except (OSError, Refused):
        return False
    try:
        return os.path.samestat(os.fstat(inside), os.fstat(each.handle))
    finally:
        os.close(inside)


def _mount_points(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    for line in lines:
        fields = line.split(" ")
        yield _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]), "rw" in fields[5].split(",")
