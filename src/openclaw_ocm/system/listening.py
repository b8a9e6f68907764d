"""Who listens on a port: asked of the kernel, at a cost that no instance can drive up.

The kernel itself looks for the port (sock_diag(7)), so a million other sockets cost nothing, and says in
which control group a socket was made. Where that does not tell whose it is, the open files of processes are
looked through, for so long and no longer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from openclaw_ocm.core.status import Listener
from openclaw_ocm.system.processes import command_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_SOCK_DIAG, _REQUEST_AND_DUMP, _BY_FAMILY = 4, 0x301, 20
_ERROR, _DONE = 2, 3
_LISTENING = 1 << 10
_BYTECODE, _AT_LEAST, _AT_MOST = 1, 2, 3
_CGROUP = 21
_HEADER, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
_ASKED, _TEST = struct.Struct("=BBBxI48x"), struct.Struct("=BBHxxH")
_INODE_OFFSET, _ANSWER_BYTES = 68, 72
_BUFFER = 2**16
_ANSWER_SECONDS = 10.0
# Of the processor's time: on a busy machine the owner of a socket is to be found as well.
_CPU_SECONDS = 0.2
_MOST_BELOW = 64


class _Socket(NamedTuple):
    port: int
    address: str
    inode: int
    cgroup: int | None


def listeners(ports: Iterable[int], roots: Mapping[int, int] | None = None) -> dict[int, Listener]:
    """Return who listens on each of `ports`; a port without a listener is left out.

    `roots` are processes by port: where one of them or of those below it listens, that is found at once. The
    `pid` of another user's process is None, and of one that could not be found in time.
    """
    sockets = [one for port in frozenset(ports) for one in _sockets(port)]
    found: dict[int, Listener] = {}
    for one in sockets:
        root = (roots or {}).get(one.port)
        pid = None if root is None or one.port in found else _owner_below(root, one)
        if pid is not None:
            found[one.port] = Listener(pid=pid, command=command_name(pid))
    missing = {one.inode: one.port for one in sockets if one.port not in found}
    for inode, pid in _owners(frozenset(missing), _all_processes()):
        found.setdefault(missing[inode], Listener(pid=pid, command=command_name(pid)))
    nobody = Listener(pid=None, command=None)
    return {**dict.fromkeys(missing.values(), nobody), **found}


def listening_addresses(ports: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Return on which local addresses each of `ports` is listened on; one without a listener is left out."""
    addresses = {port: sorted({one.address for one in _sockets(port)}) for port in frozenset(ports)}
    return {port: tuple(found) for port, found in addresses.items() if found}


def _sockets(port: int) -> Iterator[_Socket]:
    """Yield the sockets that listen on a port."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            yield from _asked(family, port)
        except OSError:
            # Where the kernel has no sock_diag; what listens comes first in there.
            yield from _listed(family, port)


def _asked(family: socket.AddressFamily, port: int) -> Iterator[_Socket]:
    """Yield what the kernel answers; raises `OSError` where it does not."""
    # Each test says how far it is to the next one where it holds, and where not: beyond the end.
    tests = _TEST.pack(_AT_LEAST, 8, 20, port) + _TEST.pack(_AT_MOST, 8, 12, port)
    asked = _ASKED.pack(family, socket.IPPROTO_TCP, 0, _LISTENING)
    asked += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(tests), _BYTECODE) + tests
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as kernel:
        kernel.settimeout(_ANSWER_SECONDS)
        kernel.send(_HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, _REQUEST_AND_DUMP, 1, 0) + asked)
        while True:
            data = kernel.recv(_BUFFER)
            while data:
                length, kind, *_ = _HEADER.unpack_from(data)
                message, data = data[_HEADER.size : length], data[(length + 3) & ~3 :]
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    number = -int.from_bytes(message[:4], "little", signed=True)
                    raise OSError(number, os.strerror(number))
                yield _parsed(family, message)


def _parsed(family: socket.AddressFamily, message: bytes) -> _Socket:
    """Return the socket of a `struct inet_diag_msg` and the attributes after it."""
    port, address = struct.unpack_from("!4xH2x16s", message)
    (inode,) = struct.unpack_from("=I", message, _INODE_OFFSET)
    cgroup, rest = None, message[_ANSWER_BYTES:]
    while len(rest) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(rest)
        if kind == _CGROUP:
            (cgroup,) = struct.unpack_from("=Q", rest, _ATTRIBUTE.size)
        rest = rest[max((length + 3) & ~3, _ATTRIBUTE.size) :]
    text = socket.inet_ntop(family, address[: 4 if family == socket.AF_INET else 16])
    return _Socket(port, text, inode, cgroup)


def _listed(family: socket.AddressFamily, port: int) -> Iterator[_Socket]:
    """Yield what /proc/net lists, as far as it lists what listens."""
    path, size = ("/proc/net/tcp", 4) if family == socket.AF_INET else ("/proc/net/tcp6", 16)
    with contextlib.suppress(OSError), Path(path).open(encoding="ascii") as file:
        next(file, None)
        for line in file:
            _, local, _, state, *rest = line.split()
            if state != "0A":
                return
            address, _, number = local.partition(":")
            if int(number, 16) == port:
                words = struct.unpack(f">{size // 4}I", bytes.fromhex(address))
                text = socket.inet_ntop(family, struct.pack(f"={size // 4}I", *words))
                yield _Socket(port, text, int(rest[5]), None)


def _owner_below(root: int, one: _Socket) -> int | None:
    """Return the process, `root` or below it, whose socket this is, None where it is none of theirs."""
    if one.cgroup is not None and one.cgroup == _own_cgroup(root):
        return root
    return next((pid for _, pid in _owners(frozenset({one.inode}), _descendants(root))), None)


def _own_cgroup(root: int) -> int | None:
    """Return the control group that a process and those below it have to themselves, as a unit has."""
    try:
        parent = Path(f"/proc/{root}/stat").read_text(errors="replace").rpartition(")")[2].split()[1]
    except (OSError, IndexError):
        return None
    own = _cgroup(root)
    return None if own == _cgroup(int(parent)) else own


def _cgroup(pid: int) -> int | None:
    """Return the number of the control group of a process, None where there are none of version 2."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/cgroup").read_text(errors="replace").splitlines()
        path = next((line[3:] for line in lines if line.startswith("0::/")), None)
        return None if path is None else os.stat(f"/sys/fs/cgroup{path}").st_ino  # noqa: PTH116
    return None


def _descendants(root: int) -> Iterator[int]:
    """Yield a process and those below it, the nearest first."""
    waiting, seen = deque([root]), 0
    while waiting and seen < _MOST_BELOW:
        pid, seen = waiting.popleft(), seen + 1
        yield pid
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task")[:_MOST_BELOW]:  # noqa: PTH208
                text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
                waiting.extend(map(int, text.split()[:_MOST_BELOW]))


def _all_processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def _owners(inodes: frozenset[int], pids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield which process has which of these sockets open, as far as that is found in time."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    until = time.thread_time() + _CPU_SECONDS
    for pid in pids if wanted else ():
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as handles:
            for handle in handles:
                if time.thread_time() > until:
                    return
                with contextlib.suppress(OSError):
                    inode = wanted.pop(os.readlink(handle.path), None)  # noqa: PTH115
                    if inode is not None:
                        yield inode, pid
                if not wanted:
                    return
