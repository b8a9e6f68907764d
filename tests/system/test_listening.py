"""Who listens, with real sockets and processes, by the kernel's answer and by what it lists."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.status import Listener
from openclaw_ocm.system import listening
from openclaw_ocm.system.processes import command_name

if TYPE_CHECKING:
    from collections.abc import Iterator

# Listens on a free port of both loopbacks, prints it and its PID, and holds as many more files as it is told.
_LISTEN = """
import os, socket, sys
one = socket.create_server(("127.0.0.1", 0))
port = one.getsockname()[1]
two = socket.create_server(("::1", port), family=socket.AF_INET6)
kept = [os.dup(one.fileno()) for _ in range(int(sys.argv[1]))]
print(port, os.getpid(), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def listener(*before: str, more: int = 0) -> Iterator[tuple[int, int]]:
    """Give the port and the PID of a program that listens, started by the command `before`."""
    argv = [*before, sys.executable, "-c", _LISTEN, str(more)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            port, pid = map(int, process.stdout.readline().split())
            yield port, pid
        finally:
            process.stdin.close()


@pytest.fixture(params=["asked", "listed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the kernel asked, or read what it lists where it does not answer."""

    def refused(*_: object) -> Iterator[listening._Socket]:
        raise OSError

    if request.param == "listed":
        monkeypatch.setattr(listening, "_asked", refused)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_who_listens_is_found_with_its_addresses() -> None:
    with listener() as (port, pid):
        name = command_name(pid)
        assert listening.listeners([port]) == {port: Listener(pid=pid, command=name)}
        assert listening.listening_addresses([port]) == {port: ("127.0.0.1", "::1")}


@pytest.mark.usefixtures("way")
def test_a_port_on_which_nobody_listens_is_left_out() -> None:
    with socket.socket() as bound, listener() as (port, _pid):
        bound.bind(("127.0.0.1", 0))
        other = bound.getsockname()[1]
        assert set(listening.listeners([port, other])) == {port}
        assert set(listening.listening_addresses([port, other])) == {port}
    assert listening.listeners([port]) == {}


@pytest.mark.usefixtures("way")
def test_a_connection_is_no_listener() -> None:
    with listener() as (port, _pid), socket.create_connection(("127.0.0.1", port)) as connected:
        assert listening.listeners([connected.getsockname()[1]]) == {}


def test_it_is_found_below_a_process_without_a_look_at_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_all_processes", lambda: iter(()))
    with listener("/bin/sh", "-c", '"$@"; exit', "sh") as (port, pid):
        assert listening.listeners([port], {port: os.getpid()})[port].pid == pid


def test_who_listens_below_another_process_is_a_stranger() -> None:
    with listener() as (port, pid), subprocess.Popen(["/bin/sleep", "60"]) as other:
        assert listening.listeners([port], {port: other.pid})[port].pid == pid
        other.kill()


def test_the_files_of_a_process_are_looked_through_for_so_long_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "_CPU_SECONDS", -1)
    monkeypatch.setattr(listening, "_asked", listening._listed)
    with listener(more=500) as (port, _pid):
        assert listening.listeners([port]) == {port: Listener(pid=None, command=None)}


def test_a_control_group_of_its_own_tells_whose_a_socket_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a unit has: then no open file has to be looked at."""
    with listener() as (port, pid):
        of_sockets = {one.cgroup for one in listening._asked(socket.AF_INET, port)}
        groups = {pid: of_sockets.pop()}
        monkeypatch.setattr(listening, "_cgroup", groups.get)
        monkeypatch.setattr(listening, "_owners", lambda *_: iter(()))
        assert listening.listeners([port], {port: pid})[port].pid == pid
