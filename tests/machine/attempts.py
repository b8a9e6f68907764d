"""Runs in the machine: tries to get out of where it runs in many ways, and says what came of each.

python3 attempts.py FACTS VERDICTS, where FACTS is a JSON file with the places to try. An attempt that gets
somewhere is "got" with what it got; one that the kernel refuses is "refused" with the kernel's words. Stdlib
only; knows nothing of OCM. Run as the owner outside of any sandbox it shows what it can do.
"""
# ruff: noqa: PTH101, PTH104, PTH108, PTH115, PTH208 - what is tried is a system call, named here

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import json
import os
import pty
import signal
import socket
import stat
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
SECONDS = 5
# asm/unistd_64.h and the same in the generic table, where they have no wrapper everywhere.
CLONE3, IO_URING_SETUP, PIDFD_GETFD = 435, 425, 438
ADD_KEY, BPF = {"x86_64": (248, 321), "aarch64": (217, 280)}[os.uname().machine]
NEW_USER, NEW_NET, NEW_PID, NEW_MOUNT = 0x10000000, 0x40000000, 0x20000000, 0x00020000
SEIZE = 0x4206
FACTS: dict[str, Any] = {}
ATTEMPTS: dict[str, Callable[[], object]] = {}


def attempt(function: Callable[[], object]) -> Callable[[], object]:
    ATTEMPTS[function.__name__] = function
    return function


def checked(status: int) -> int:
    if status < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return status


def call(number: int, *arguments: object) -> int:
    return checked(LIBC.syscall(ctypes.c_long(number), *arguments))


def in_child(function: Callable[[], object]) -> str:
    """Do what changes a process in one that ends afterwards; raises what went wrong there."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            function()
            os.write(tell, b"0")
        except OSError as error:
            os.write(tell, str(error.errno or 1).encode())
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as answer:
        number = int(answer.read() or 1)
    os.waitpid(child, 0)
    if number:
        raise OSError(number, os.strerror(number))
    return "done"


def first(paths: list[str], function: Callable[[str], object]) -> object:
    """Return what comes of the first of several paths where something does."""
    failed = OSError("no path to try")
    for path in paths:
        try:
            return function(path)
        except OSError as error:
            failed = error
    raise failed


def content(path: str) -> str:
    text = Path(path).read_bytes()[:16]
    if not text:
        raise OSError(f"{path} is empty")
    return repr(text)


def names(path: str) -> str:
    found = os.listdir(path)
    if not found:
        raise OSError(f"{path} is empty")
    return " ".join(found)[:80]


def write(path: str) -> str:
    """Write what is there already: where nothing confines it, it must break nothing."""
    with Path(path).open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(byte)
    return path


def make(folder: str) -> str:
    path = Path(folder, f"attempt-{os.getpid()}")
    path.write_text("made by an attempt")
    path.unlink()
    return str(path)


# What the instance, OCM and the owner have in files. `credential` is a file among its credentials.


PLACES: dict[str, tuple[Callable[[str], object], tuple[str, ...]]] = {
    "read": (
        content,
        (
            *("config", "database", "credential", "secrets", "config_link", "gateway_tmp_file", "record"),
            *("home_file", "srv_file", "var_file", "shm_file", "other_workspace_file"),
        ),
    ),
    "list": (names, ("state", "home", "gateway_tmp", "ocm_state", "other_workspace")),
    "write": (
        write,
        *(("usr_file", "etc_file", "credential", "other_workspace_file", "gateway_tmp_file", "bin_file"),),
    ),
    "make_in": (make, ("state", "other_workspace", "bin", "gateway_tmp")),
}


def at(key: str, function: Callable[[str], object]) -> Callable[[], object]:
    return lambda: first(FACTS[key], function)


for verb, (do, keys) in PLACES.items():
    ATTEMPTS.update({f"{verb}_{key}": at(key, do) for key in keys})
ON_CREDENTIAL: dict[str, Callable[[str], object]] = {
    "truncate": lambda path: os.truncate(path, 20),
    "chmod": lambda path: os.chmod(path, 0o644),
    "utime": lambda path: os.utime(path, (1, 1)),
    "setxattr": lambda path: os.setxattr(path, "user.attempt", b"1"),
    "exists": os.stat,
}
ATTEMPTS.update({key: at("credential", do) for key, do in ON_CREDENTIAL.items()})


@attempt
def symlink_out() -> object:
    """Read what a link in the workspace leads to."""
    path = Path(f"attempt-link-{os.getpid()}")
    path.symlink_to(FACTS["credential"][0])
    try:
        return content(str(path))
    finally:
        path.unlink()


@attempt
def hard_link_in() -> object:
    """Give a file of the state a name in the workspace."""
    path = Path(f"attempt-hard-{os.getpid()}")
    os.link(FACTS["credential"][0], path)
    path.unlink()
    return str(path)


@attempt
def rename_out() -> object:
    path = Path(f"attempt-out-{os.getpid()}")
    path.write_text("planted")
    try:
        os.rename(path, f"{FACTS['state'][0]}/attempt-out")
    finally:
        path.unlink(missing_ok=True)
    os.unlink(f"{FACTS['state'][0]}/attempt-out")
    return "moved"


@attempt
def rename_in() -> object:
    """Move a file of the state here, and back."""
    source = FACTS["credential"][0]
    os.rename(source, "attempt-in")
    os.rename("attempt-in", source)
    return "moved"


@attempt
def leave_by_a_descriptor() -> object:
    """Go up from the workspace to the state, in which it lies."""
    handle = os.open(".", os.O_RDONLY)
    above = os.open("../openclaw.json", os.O_RDONLY, dir_fd=handle)
    return repr(os.read(above, 8))


@attempt
def inherited_descriptors() -> object:
    """Find an open file that is not the command's own."""
    handle = os.open("/proc/self/fd", os.O_RDONLY)
    found = [name for name in os.listdir(handle) if int(name) > 2 and int(name) != handle]
    os.close(handle)
    links = [
        os.readlink(f"/proc/self/fd/{name}") for name in found if os.path.lexists(f"/proc/self/fd/{name}")
    ]
    if not links:
        raise OSError("none but the standard streams")
    return " ".join(links)


@attempt
def secrets_in_the_environment() -> object:
    found = [name for name, text in os.environ.items() if FACTS["secret"] in text]
    if not found:
        raise OSError("no secret in it")
    return " ".join(found)


# The gateway's process, which is found where it can be seen.


def gateways() -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            argv = Path("/proc", pid, "cmdline").read_bytes()
            if argv.startswith(b"openclaw") or b"\0gateway\0" in argv:
                found.append(int(pid))
    return [*found, *FACTS["pids"]]


def at_gateway(function: Callable[[int], object]) -> object:
    return first([str(pid) for pid in gateways()], lambda pid: function(int(pid)))


def map_of(pid: int) -> int:
    """Return an address that a process can read itself."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if " r" in line:
            return int(line.partition("-")[0], 16)
    raise OSError("no map")


def memory(pid: int) -> str:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        file.seek(map_of(pid))
        return repr(file.read(4))


class Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def memory_by_call(pid: int) -> int:
    into = ctypes.create_string_buffer(4)
    here = Piece(ctypes.addressof(into), 4)
    there = Piece(map_of(pid), 4)
    one = ctypes.c_ulong(1)
    return checked(
        LIBC.process_vm_readv(pid, ctypes.byref(here), one, ctypes.byref(there), one, ctypes.c_ulong(0))
    )


def seize(pid: int) -> str:
    nothing = ctypes.c_void_p(0)
    return in_child(lambda: checked(LIBC.ptrace(ctypes.c_long(SEIZE), pid, nothing, nothing)))


def descriptor_of(pid: int) -> int:
    handle = os.pidfd_open(pid)
    return call(PIDFD_GETFD, handle, 0, 0)


OF_GATEWAY: dict[str, Callable[[int], object]] = {
    "see": lambda pid: Path(f"/proc/{pid}/cmdline").read_text()[:60],
    "environ": lambda pid: content(f"/proc/{pid}/environ"),
    "root": lambda pid: names(f"/proc/{pid}/root{FACTS['state'][0]}"),
    "cwd": lambda pid: names(f"/proc/{pid}/cwd/"),
    "fd": lambda pid: os.readlink(f"/proc/{pid}/fd/0"),
    "maps": map_of,
    "mem": memory,
    "process_vm_readv": memory_by_call,
    "signal": lambda pid: os.kill(pid, 0),
    "pidfd_send_signal": lambda pid: signal.pidfd_send_signal(os.pidfd_open(pid), 0),
    "pidfd_getfd": descriptor_of,
    "ptrace": seize,
    "priority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid)),
}
for key, function in OF_GATEWAY.items():
    ATTEMPTS[f"gateway_{key}"] = lambda function=function: at_gateway(function)  # type: ignore[misc]


# The network, and what is shared like one.


def connect(kind: int, address: tuple[str, int] | str) -> str:
    with socket.socket(kind) as tried:
        tried.settimeout(SECONDS)
        tried.connect(address)
        return f"connected to {address!r}"


def connect_to(path: str) -> str:
    return connect(socket.AF_UNIX, path)


ATTEMPTS.update({key: at(key, connect_to) for key in ("path_socket", "bus", "tool_host")})
for key in ("gateway_port", "model_port"):
    ATTEMPTS[key] = lambda key=key: connect(socket.AF_INET, ("127.0.0.1", FACTS[key]))  # type: ignore[misc]


@attempt
def udp() -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        tried.settimeout(SECONDS)
        tried.connect(("127.0.0.1", FACTS["udp_port"]))
        tried.send(b"anybody?")
        return repr(tried.recv(16))


@attempt
def abstract_socket() -> object:
    return connect(socket.AF_UNIX, f"\0{FACTS['abstract']}")


SIMPLE: dict[str, Callable[[], object]] = {
    "raw_socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).fileno(),
    "packet_socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).fileno(),
    "shared_memory": lambda: checked(LIBC.shmget(FACTS["shm_key"], ctypes.c_size_t(0), 0)),
    "unshare_user": lambda: in_child(lambda: checked(LIBC.unshare(NEW_USER))),
    "unshare_all": lambda: in_child(lambda: checked(LIBC.unshare(NEW_USER | NEW_NET | NEW_PID | NEW_MOUNT))),
    "mount": lambda: in_child(
        lambda: checked(LIBC.mount(b"none", b"/mnt", b"tmpfs", ctypes.c_ulong(0), None))
    ),
    "io_uring": lambda: call(IO_URING_SETUP, 1, ctypes.byref(ctypes.create_string_buffer(120))),
}
ATTEMPTS.update(SIMPLE)
ATTEMPTS["terminal_of_another"] = at("terminal", lambda path: os.open(path, os.O_RDWR | os.O_NOCTTY))
ATTEMPTS["control_group"] = at("cgroup", lambda path: Path(path).write_text(str(os.getpid())))


@attempt
def interfaces() -> object:
    found = [name for _, name in socket.if_nameindex() if name != "lo"]
    return found or connect(socket.AF_INET, ("127.0.0.1", FACTS["model_port"]))


# Ways to more than one has.


@attempt
def clone3_user() -> object:
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, ...
    arguments = (ctypes.c_uint64 * 11)(NEW_USER, 0, 0, 0, int(signal.SIGCHLD))
    child = call(CLONE3, ctypes.byref(arguments), ctypes.c_size_t(88))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "made"


@attempt
def nested_bwrap() -> object:
    argv = ["bwrap", "--dev-bind", "/", "/", "true"]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        raise OSError("bwrap failed")
    return "made"


@attempt
def set_uid_program() -> object:
    """Become root by a program whose file says so."""
    printed = subprocess.run([FACTS["set_uid"], "-u"], capture_output=True, text=True, check=False)
    if printed.stdout.strip() != "0":
        raise OSError(f"not root but {printed.stdout.strip() or printed.stderr.strip()}")
    return "root"


def of_the_owner(bit: int, make: Callable[[Path, int], object]) -> str:
    """Have a file that whoever runs it outside runs as the owner of the instance."""
    path = Path(f"attempt-set-id-{os.getpid()}")
    try:
        make(path, 0o755 | bit)
        if not path.stat().st_mode & bit:
            raise OSError("the mode was not taken")
        return oct(path.stat().st_mode)
    finally:
        path.unlink(missing_ok=True)


def made_and_changed(path: Path, mode: int) -> None:
    path.write_text("planted")
    path.chmod(mode)


for word, one in (("user", stat.S_ISUID), ("group", stat.S_ISGID)):
    for how, making in {
        "chmod": made_and_changed,
        "mknod": os.mknod,
        "open": lambda path, mode: os.open(path, os.O_CREAT | os.O_WRONLY, mode),
    }.items():
        ATTEMPTS[f"set_{word}_by_{how}"] = functools.partial(of_the_owner, one, making)


@attempt
def push_keys_into_a_terminal() -> object:
    """Put input into a terminal as if it were typed (TIOCSTI): here one of its own."""
    _, terminal = pty.openpty()

    def push() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        fcntl.ioctl(terminal, termios.TIOCSTI, b"x")

    return in_child(push)


@attempt
def keyring() -> object:
    size = ctypes.c_size_t(1)
    return call(
        ADD_KEY, ctypes.c_char_p(b"user"), ctypes.c_char_p(b"attempt"), ctypes.c_char_p(b"1"), size, -4
    )


@attempt
def bpf() -> object:
    return call(
        BPF, 0, ctypes.byref(ctypes.create_string_buffer(b"\1\0\0\0\4\0\0\0\4\0\0\0\1\0\0\0", 128)), 128
    )


@attempt
def kernel_parameter() -> object:
    path = Path("/proc/sys/net/ipv4/ip_default_ttl")
    before = path.read_text()
    return path.write_text(before)


@attempt
def more_than_half_of_what_a_user_may_watch() -> object:
    most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    taken = [LIBC.inotify_init() for _ in range(most // 2 + 1)]
    number = ctypes.get_errno()
    for handle in taken:
        if handle >= 0:
            os.close(handle)
    if min(taken) < 0:
        raise OSError(number, os.strerror(number))
    return len(taken)


def main() -> None:
    facts, verdicts = sys.argv[1:]
    FACTS.update(json.loads(Path(facts).read_text()))
    # First: what an attempt leaves open would look like it.
    order = sorted(ATTEMPTS, key=lambda name: name != "inherited_descriptors")
    said = {}
    for name in order:
        try:
            said[name] = {"got": repr(ATTEMPTS[name]())[:200]}
        except OSError as error:
            said[name] = {"refused": str(error)}
    Path(verdicts).write_text(json.dumps(said, indent=1))
    print(f"{len(said)} attempts")


if __name__ == "__main__":
    main()
