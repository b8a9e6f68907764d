"""The turns in which gateways start, with the program run as the unit runs it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.readiness import answering

from openclaw_ocm.core.load import STARTING, together
from openclaw_ocm.core.sandbox.launch import PERL
from openclaw_ocm.system import programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = str(programs.DIRECTORY / "take_turn.pl")
LONG = 60


class Turns:
    """Slots in a directory of their own, and what they are bounded by."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.slots = directory / "slots"
        self.settings = directory / "settings.toml"
        self._end = contextlib.ExitStack()

    def machine(self, *, cpus: str, available: int | None, quota: str = "max 100000") -> None:
        """Have the kernel tell that this is there; memory in kB."""
        memory = "" if available is None else f"MemAvailable:   {available} kB\n"
        for path, text in (
            ("proc/self/status", f"Name:\tperl\nCpus_allowed:\t{cpus}\nCpus_allowed_list:\t0\n"),
            ("proc/meminfo", f"MemTotal:  99 kB\n{memory}"),
            ("sys/fs/cgroup/cpu.max", quota),
        ):
            place = self.directory / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def ask(self, name: str, *, port: int = 1, keep: float = LONG, wait: float = LONG) -> Turn:
        """Have a gateway ask for its turn."""
        record = self.directory / f"{name}.toml"
        record.write_text(f'version = 1\nport = {port}\n[limits]\nport = "no"\n')
        address = str(self.directory / f"{name}.sock")
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(address)
        argv = [PERL, PROGRAM, *map(str, (self.slots, name, record, self.settings, STARTING.memory))]
        argv += [str(keep), str(wait), str(self.directory)]
        process = subprocess.Popen(argv, env={"NOTIFY_SOCKET": address}, stderr=subprocess.PIPE)
        self._end.enter_context(process)
        self._end.callback(process.kill)
        return Turn(process, self._end.enter_context(manager))

    def end(self) -> None:
        """End what still runs."""
        self._end.close()


class Turn:
    """What became of one that asked."""

    def __init__(self, process: subprocess.Popen[bytes], manager: socket.socket) -> None:
        self.process = process
        self._manager = manager

    def hear(self) -> str:
        """Return what it tells the manager next."""
        self._manager.settimeout(LONG)
        return self._manager.recv(1000).decode()

    def begins(self) -> bool:
        """Tell whether it may begin; it waits otherwise."""
        heard = self.hear()
        assert heard.startswith("READY=1\n") or "waits for its turn" in heard
        return heard.startswith("READY=1\n")


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[Turns]:
    made = Turns(tmp_path)
    yield made
    made.end()


GIGABYTE = 1_000_000  # in kB


@pytest.mark.parametrize(
    ("cpus", "cores", "available", "quota"),
    [
        ("f", 4, 100 * GIGABYTE, "max 100000"),
        ("f", 4, 2 * GIGABYTE, "max 100000"),
        ("f", 4, 0, "max 100000"),
        ("3", 2, None, "max 100000"),
        ("1", 1, 100 * GIGABYTE, "max 100000"),
        ("3,00000001", 3, 100 * GIGABYTE, "max 100000"),
        ("ff", 3, 100 * GIGABYTE, "350000 100000"),
        ("ff", 1, 100 * GIGABYTE, "50000 100000"),
    ],
)
def test_as_many_begin_at_once_as_a_command_would_start(
    turns: Turns, cpus: str, cores: int, available: int | None, quota: str
) -> None:
    turns.machine(cpus=cpus, available=available, quota=quota)
    free = None if available is None else available * 1024
    fit = together(STARTING, cores=cores, free=free)
    assert [turns.ask(f"w{number}").begins() for number in range(fit + 1)] == [True] * fit + [False]


@pytest.mark.parametrize("text", ["jobs = 2\n", "port_step = 40\njobs=2 # both\n[environment]\njobs = 9\n"])
def test_the_settings_say_how_many(turns: Turns, text: str) -> None:
    turns.machine(cpus="1", available=0)
    turns.settings.write_text(text)
    assert [turns.ask(f"w{number}").begins() for number in range(3)] == [True, True, False]


def test_a_turn_is_over_once_the_gateway_is_ready_and_the_next_one_begins(turns: Turns) -> None:
    turns.machine(cpus="1", available=0)
    with answering(200, b'{"ready":true}') as port:
        first = turns.ask("w1", port=port)
        assert first.begins()
        assert first.process.wait(LONG) == 0
    assert turns.ask("w2").begins()


@pytest.mark.parametrize("answer", [(503, b'{"ready":true}'), (200, b'{"ready":false}'), (200, b"x" * 9999)])
def test_a_gateway_that_is_not_ready_keeps_others_waiting_until_its_time_is_over(
    turns: Turns, answer: tuple[int, bytes]
) -> None:
    turns.machine(cpus="1", available=0)
    with answering(*answer) as port:
        first, second = turns.ask("w1", port=port, keep=1.5), None
        assert first.begins()
        second = turns.ask("w2")
        assert not second.begins()
        assert second.begins()
        assert first.process.wait(LONG) == 0


def test_a_turn_ends_with_what_it_was_asked_by(turns: Turns) -> None:
    turns.machine(cpus="1", available=0)
    first = turns.ask("w1")
    assert first.begins()
    second = turns.ask("w2")
    assert not second.begins()
    first.process.terminate()
    assert second.begins()


def test_who_is_started_by_a_command_waits_for_nobody(turns: Turns) -> None:
    turns.machine(cpus="1", available=0)
    assert turns.ask("w1").begins()
    second = turns.ask("w2")
    assert not second.begins()
    (turns.slots / "w2.pass").touch()
    assert second.begins()
    assert not (turns.slots / "w2.pass").exists(), "it is good for one start"
    third = turns.ask("w3")
    assert not third.begins()
    second.process.terminate()
    second.process.wait()
    assert third.process.poll() is None, "one that was let pass keeps a place of its own"


def test_nobody_waits_for_ever(turns: Turns) -> None:
    turns.machine(cpus="1", available=0)
    assert turns.ask("w1").begins()
    late = turns.ask("w2", wait=0.5)
    assert not late.begins()
    assert late.begins()
    assert late.process.wait(LONG) == 0


def test_without_a_place_for_the_turns_gateways_begin_all_the_same(turns: Turns) -> None:
    turns.machine(cpus="1", available=0)
    turns.slots.write_text("a file")
    for name in ("w1", "w2"):
        turn = turns.ask(name)
        assert turn.begins()
        assert turn.process.wait(LONG) == 0
        assert b"without turns" in (turn.process.stderr.read() if turn.process.stderr else b"")


def test_what_belongs_to_turns_is_the_users_alone(turns: Turns) -> None:
    turns.machine(cpus="1", available=0)
    assert turns.ask("w1").begins()
    assert turns.slots.stat().st_mode & 0o777 == 0o700
