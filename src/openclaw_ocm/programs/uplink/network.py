"""The network of one sandbox: its rules, slirp4netns, and the ports of this machine that lead inside."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, NoReturn

from .host import IP, Failed, complain, own_addresses, own_hosts, prctl, run

if TYPE_CHECKING:
    from .main import Options

SLIRP, NSENTER = "/usr/bin/slirp4netns", "/usr/bin/nsenter"
INTERFACE, GUEST = "eth0", "10.0.2.100"
# Where the rules wait for those of other machines: who comes there is not taken for the host's own.
OUTER_PORT = 7
API, SLIRP_PID = "api", "slirp.pid"
_PRIVATE = ("/usr/bin/unshare", "--mount", "--propagation", "private", "--")
_MOST_OPEN = 1024
_WAIT_SECONDS = 20.0
_POLL_SECONDS = 0.01
_AGAIN_SECONDS = 0.5
_SETTLE_SECONDS = 0.2
_MOST_SAID = 2000
_DEATH_SIGNAL = 1  # linux/prctl.h
_ADDRESSES = 0x10  # RTMGRP_IPV4_IFADDR (linux/rtnetlink.h)
# The namespace's own sysctl: a caller from the host's loopback is led to that inside.
_LOAD_AGAIN = "exec /usr/sbin/nft -f -"
LOAD = f"{IP} link set lo up && echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet && {_LOAD_AGAIN}"


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
        self.served: set[str] = set()
        # Why other machines do not reach the port at some of the host's addresses.
        self.refused: str | None = None
        # What keeps everybody else from a port that a person's programs try first.
        self.held: socket.socket | None = None

    def has_ended(self) -> bool:
        """Tell whether the sandbox has ended: its number may be another's then."""
        return bool(select.select([self.handle], [], [], 0)[0])

    def set_up(self) -> None:
        """Load the rules and make the way out; raises `Failed` where that cannot be."""
        self._wait_for_namespace()
        with open(self.chosen.rules, "rb") as file:
            self._inside(LOAD, file.read() + own_addresses(), "the rules of the network cannot be loaded")
        self.start()
        if self.refused is not None:
            raise Failed(self.refused)

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
                address, port = self.chosen.serve
                # Whoever finds a listener there is to find whose it is.
                _write(f"{self.chosen.state}/{SLIRP_PID}", str(self.slirp))
                serve(address, port, inside=port)
                self.held = hold(port)
                self._expose()
        except BaseException:
            self.stop()
            raise
        finally:
            os.close(told)
            os.close(said)

    def _expose(self) -> None:
        """Have other machines reach the port at each of the host's addresses where they do not yet."""
        if not self.chosen.expose or self.chosen.serve is None:
            return
        before, self.refused = self.refused, None
        for address in sorted(own_hosts() - self.served):
            if not address.startswith("127."):
                try:
                    serve(address, self.chosen.serve[1], inside=OUTER_PORT)
                    self.served.add(address)
                except (Failed, OSError) as error:
                    self.refused = str(error)
        if self.refused not in (None, before):
            complain(self.refused)

    def _forget(self) -> None:
        self.served.clear()
        if self.held is not None:
            self.held.close()
            self.held = None
        # A session keeps nothing: it is in whatever directory its caller was.
        for name in (API, SLIRP_PID) if self.chosen.state is not None else ():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.chosen.state}/{name}")

    def stop(self) -> None:
        """End slirp4netns."""
        if self.slirp is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.slirp, signal.SIGKILL)
            os.waitpid(self.slirp, 0)
            self.slirp = None
        self._forget()

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
            if not ready:
                self._expose()
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
        # Without a way out, or with an address that was taken, one is tried for again.
        whole = slirp is not None and self.refused is None
        found = {handle for handle, _ in poll.poll(None if whole else _WAIT_SECONDS * 1000)}
        if slirp is not None:
            os.close(slirp)
        return found

    def _renew(self) -> None:
        flush = b"".join(b"flush set inet ocm %s\n" % name for name in (b"here", b"own4"))
        try:
            self._inside(_LOAD_AGAIN, flush + own_addresses(), "the host's addresses cannot be closed")
            self._expose()
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
        prctl(_DEATH_SIGNAL, signal.SIGKILL)
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


def serve(address: str, port: int, *, inside: int) -> None:
    """Have a port of the host lead to one `inside`; raises `Failed` where it is taken."""
    arguments = {"proto": "tcp", "host_addr": address, "host_port": port, "guest_addr": GUEST}
    asked = json.dumps({"execute": "add_hostfwd", "arguments": {**arguments, "guest_port": inside}})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_WAIT_SECONDS)
        connection.connect(API)
        connection.sendall(asked.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096).decode(errors="replace")
    if '"error"' in answer or not answer:
        raise Failed(f"port {port} on {address} cannot be had: {' '.join(answer.split())}")


def hold(port: int) -> socket.socket | None:
    """Take a port of the host's IPv6 loopback, where nobody is to be met; raises `Failed` where it is taken.

    A browser that is to go to localhost tries it first. None where the host has no IPv6.
    """
    end = socket.socket(socket.AF_INET6)
    try:
        end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        end.bind(("::1", port))
    except OSError as error:
        end.close()
        if error.errno != errno.EADDRINUSE:
            return None
        raise Failed(f"port {port} on ::1 cannot be had: {error.strerror}") from None
    return end


def _write(path: str, text: str) -> None:
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(text)
    os.rename(f"{path}.new", path)
