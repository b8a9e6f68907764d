"""Gives the network namespace of a sandbox its rules, its way out and its way in, from outside of it.

The rules come first, by nft(8), then slirp4netns(1), which is made anew when it ends. It ends with the first
process of the sandbox, the tool host, which owns the namespace and starts nothing before it has a route.

usage: uplink --rules FILE [--reach-host] [--state DIRECTORY --serve HOST:PORT] [--of-unit UNIT] [-- ARGV...]

ARGV is what makes the sandbox, which this process becomes: a systemd-run of UNIT or, without one, a bwrap,
which tells the first process by --info-fd. Without ARGV it is that of a unit of the user manager, and this
process ends with it. In DIRECTORY it keeps what serves the port.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from typing import NamedTuple, NoReturn

NAME = b"ocm-uplink"
SLIRP, NSENTER = "/usr/bin/slirp4netns", "/usr/bin/nsenter"
IP, SYSTEMCTL = "/usr/sbin/ip", "/usr/bin/systemctl"
INTERFACE, GUEST = "eth0", "10.0.2.100"
API, SLIRP_PID = "api", "slirp.pid"
_PRIVATE = ("/usr/bin/unshare", "--mount", "--propagation", "private", "--")
_MOST_OPEN = 1024
_WAIT_SECONDS = 20.0
_POLL_SECONDS = 0.01
_START_POLL_SECONDS = 0.05
_AGAIN_SECONDS = 0.5
_SETTLE_SECONDS = 0.2
_MOST_SAID = 2000
_USAGE = 64  # EX_USAGE
_DEATH_SIGNAL, _SET_NAME = 1, 15  # linux/prctl.h
_ADDRESSES = 0x10  # RTMGRP_IPV4_IFADDR (linux/rtnetlink.h)
# The namespace's own sysctl: a caller from the host's loopback is led to that inside.
_LOAD_AGAIN = "exec /usr/sbin/nft -f -"
_LOAD = f"{IP} link set lo up && echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet && {_LOAD_AGAIN}"

_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """There is no network; the text says why."""


class Options(NamedTuple):
    """What the command line says; `serve` is where on the host the port inside is reached."""

    rules: str
    state: str | None
    serve: tuple[str, int] | None
    reaches_host: bool
    unit: str | None
    argv: list[str]


def options(words: list[str]) -> Options:
    """Return what a command line says; ends the process where it says nothing that is known."""
    found: dict[str, str] = {}
    rest, reaches_host = list(words), False
    while rest and rest[0] != "--":
        if rest[0] == "--reach-host":
            reaches_host = True
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
        reaches_host=reaches_host,
        unit=unit,
        argv=argv,
    )


class Uplink:
    """The network of one sandbox, whose first process is `pid`."""

    def __init__(self, chosen: Options, pid: int) -> None:
        self.chosen, self.pid = chosen, pid
        self.handle = os.pidfd_open(pid)
        # What changes while the rules are loaded is to be heard as well.
        self.addresses = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.addresses.bind((0, _ADDRESSES))
        self.addresses.setblocking(False)  # noqa: FBT003 - as the standard library has it
        self.slirp: int | None = None

    def has_ended(self) -> bool:
        """Tell whether the sandbox has ended: its number may be another's then."""
        return bool(select.select([self.handle], [], [], 0)[0])

    def set_up(self) -> None:
        """Load the rules and make the way out; raises `Failed` where that cannot be."""
        self._wait_for_namespace()
        with open(self.chosen.rules, "rb") as file:
            self._inside(_LOAD, file.read() + own_addresses(), "the rules of the network cannot be loaded")
        self.start()

    def start(self) -> None:
        """Start slirp4netns, and have the port inside reached; raises `Failed` where that cannot be."""
        self._forget()
        told, tell = os.pipe()
        said = os.memfd_create("slirp4netns")
        self.slirp = os.fork()
        if self.slirp == 0:
            _become_slirp(self.chosen, self.pid, tell, said)
        os.close(tell)
        try:
            _wait_for_route(told, said)
            if self.chosen.serve is not None:
                serve(*self.chosen.serve)
                _write(f"{self.chosen.state}/{SLIRP_PID}", str(self.slirp))
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(told)
            os.close(said)

    def _forget(self) -> None:
        # A session keeps nothing: it is in whatever directory its caller was.
        for name in (API, SLIRP_PID) if self.chosen.state is not None else ():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.chosen.state}/{name}")

    def stop(self) -> None:
        """End slirp4netns."""
        self._forget()
        if self.slirp is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.slirp, signal.SIGKILL)
            os.waitpid(self.slirp, 0)
            self.slirp = None

    def look_after(self) -> None:
        """Return when the sandbox ends; until then make anew what ends, and keep up with the addresses."""
        while True:
            ready = self._wait()
            if self.handle in ready:
                return
            if self.slirp is None or os.waitpid(self.slirp, os.WNOHANG)[0]:
                self.slirp = None
                time.sleep(_AGAIN_SECONDS)
                if self.has_ended():
                    return
                try:
                    self.start()
                    complain("slirp4netns ended and was started again")
                except (Failed, OSError) as error:
                    complain(error)
            if self.addresses.fileno() in ready:
                time.sleep(_SETTLE_SECONDS)
                # It may also have been too much to keep.
                with contextlib.suppress(OSError):
                    while self.addresses.recv(2**16):
                        pass
                self._renew()

    def _wait(self) -> set[int]:
        poll = select.poll()
        slirp = os.pidfd_open(self.slirp) if self.slirp is not None else None
        for handle in (self.handle, self.addresses.fileno(), slirp):
            if handle is not None:
                poll.register(handle, select.POLLIN)
        # Without a way out one is tried for again.
        found = {handle for handle, _ in poll.poll(None if slirp is not None else _WAIT_SECONDS * 1000)}
        if slirp is not None:
            os.close(slirp)
        return found

    def _renew(self) -> None:
        flush = b"".join(b"flush set inet ocm %s\n" % name for name in (b"here", b"own4"))
        try:
            self._inside(_LOAD_AGAIN, flush + own_addresses(), "the host's addresses cannot be closed")
        except (Failed, OSError) as error:
            complain(error)

    def _wait_for_namespace(self) -> None:
        own, until = os.readlink("/proc/self/ns/net"), time.monotonic() + _WAIT_SECONDS
        while os.readlink(f"/proc/{self.pid}/ns/net") == own:
            if time.monotonic() > until:
                raise Failed("the sandbox makes no network namespace")
            time.sleep(_POLL_SECONDS)

    def _inside(self, script: str, text: bytes, what: str) -> None:
        argv = [NSENTER, f"--target={self.pid}", "--user", "--net", "--preserve-credentials", "--"]
        status, said = run([*argv, "/bin/sh", "-c", script], text)
        if status != 0:
            raise Failed(f"{what}: {' '.join(said.split()) or f'exit status {status}'}")


def _wait_for_route(told: int, said: int) -> None:
    """Return once slirp4netns says on `told` that it has configured the namespace."""
    if select.select([told], [], [], _WAIT_SECONDS)[0] and os.read(told, 1):
        return
    text = os.pread(said, _MOST_SAID, 0).decode(errors="replace").strip()
    raise Failed(f"slirp4netns does not start: {' '.join(text.split()) or 'it says nothing'}")


def _become_slirp(chosen: Options, pid: int, tell: int, said: int) -> NoReturn:
    try:
        _prctl(_DEATH_SIGNAL, signal.SIGKILL)
        os.set_inheritable(tell, True)  # noqa: FBT003 - as the standard library has it
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_NOFILE, (_MOST_OPEN, _MOST_OPEN))
        # As root it would mount an empty directory over /tmp for all, without mounts of its own.
        argv = [*(_PRIVATE if os.getuid() == 0 else ()), SLIRP, "--enable-sandbox", "--enable-seccomp"]
        argv += ["--configure", "--mtu=65520", f"--ready-fd={tell}"]
        argv += [] if chosen.reaches_host else ["--disable-host-loopback"]
        argv += [] if chosen.serve is None else [f"--api-socket={API}"]
        os.execv(argv[0], [*argv, str(pid), INTERFACE])
    except OSError as error:
        os.write(said, f"{SLIRP}: {error.strerror}".encode())
    os._exit(127)


def serve(address: str, port: int) -> None:
    """Have a port of the host lead to the same one inside; raises `Failed` where it is taken."""
    arguments = {"proto": "tcp", "host_addr": address, "host_port": port, "guest_addr": GUEST}
    asked = json.dumps({"execute": "add_hostfwd", "arguments": {**arguments, "guest_port": port}})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_WAIT_SECONDS)
        connection.connect(API)
        connection.sendall(asked.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096).decode(errors="replace")
    if '"error"' in answer or not answer:
        raise Failed(f"port {port} on {address} cannot be had: {' '.join(answer.split())}")


def own_addresses() -> bytes:
    """Return what adds the host's addresses, alone and with their networks, to the sets of the rules."""
    status, text = run([IP, "-4", "-oneline", "address", "show"], b"")
    if status != 0:
        raise Failed(f"the host's addresses cannot be read: {text.strip()}")
    fields = [line.split() for line in text.splitlines()]
    found = [each[3] for each in fields if len(each) > 3 and each[2] == "inet"]  # noqa: PLR2004 - number, interface
    addresses = [each.partition("/")[0] for each in found]
    sets = (("here", sorted(set(addresses))), ("own4", sorted(set(found))))
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


def _write(path: str, text: str) -> None:
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(text)
    os.rename(f"{path}.new", path)


def _prctl(option: int, value: int | bytes) -> None:
    word = ctypes.c_ulong(value) if isinstance(value, int) else ctypes.c_char_p(value)
    _libc.prctl(option, word, ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def attend(chosen: Options, pid: int) -> int:
    """Make the network of the sandbox with the first process `pid`; return an exit status when it ends."""
    _prctl(_SET_NAME, NAME)
    # It goes on while the gateway drains, and ends by itself.
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    uplink = Uplink(chosen, pid)
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
        sys.exit(attend(chosen, pid) if pid is not None else 0)
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
    until = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < until:
        _, said = run([SYSTEMCTL, "--user", "show", "--property=MainPID", "--value", unit], b"")
        if said.strip().isdigit() and int(said) > 0:
            return int(said)
        time.sleep(_START_POLL_SECONDS)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
