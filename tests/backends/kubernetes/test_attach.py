"""Sessions in pods as programs on this machine, with a terminal of their own and without."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.backends.kubernetes.kubelet import Faults, Kubelet

from openclaw_ocm.backends.kubernetes.execution import Target
from openclaw_ocm.backends.kubernetes.sessions import (
    Wanted,
    instance_of,
    new_token,
    session_argv,
    sessions_in,
    signal_session,
    stop_sessions,
)
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60.0
# Processes of this machine are found by it, and others may try the same at the same time.
NAME = parse_name(f"w{os.getpid()}")
TARGET = Target(namespace="ocm-w1", pod="gateway-0", container="gateway")


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    with Kubelet() as served:
        yield served


def wanted(*argv: str, terminal: bool = False, **environ: str) -> Wanted:
    return Wanted(
        kubeconfig="/k",
        context="c",
        namespace=TARGET.namespace,
        pod=TARGET.pod,
        container=TARGET.container,
        token=new_token(NAME),
        argv=argv,
        environ=environ,
        directory="/tmp",
        terminal=terminal,
    )


@contextlib.contextmanager
def session(
    kubelet: Kubelet, what: Wanted, *, stdin: int = subprocess.PIPE, under: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    argv = (*under, sys.executable, "-m", "tests.backends.kubernetes.attached", kubelet.url)
    with subprocess.Popen(
        (*argv, msgspec.json.encode(what).decode()),
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": os.environ["PATH"]},
        bufsize=0,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_its_streams_are_the_sessions_and_so_is_its_exit_status(kubelet: Kubelet) -> None:
    script = "echo $A $PWD; wc -c; echo no >&2; exit 3"
    with session(kubelet, wanted("/bin/sh", "-c", script, A="x y")) as process:
        out, errors = process.communicate(b"x" * 3_000_000, timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, errors) == (3, b"x y /tmp\n3000000\n", b"no\n")


def test_a_signal_is_the_status_of_a_shell(kubelet: Kubelet) -> None:
    with session(kubelet, wanted("/bin/sh", "-c", "kill -TERM $$"), stdin=subprocess.DEVNULL) as process:
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM


def test_what_breaks_off_is_told_and_has_a_status_of_its_own() -> None:
    with (
        Kubelet(Faults(breaks_after=100_000)) as kubelet,
        session(kubelet, wanted("/bin/sh", "-c", "cat /dev/zero"), stdin=subprocess.DEVNULL) as process,
    ):
        _out, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 255
    assert errors == b"ocm: the connection to pod gateway-0 of ocm-w1 broke off\n  try again\n"


def test_one_that_is_ended_ends_its_program(kubelet: Kubelet) -> None:
    with session(kubelet, wanted("/bin/sh", "-c", "echo up; exec sleep 600")) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    # The peer waits for the end of what it started.


def test_a_signal_that_its_starter_passes_on_itself_is_not_its_own(kubelet: Kubelet) -> None:
    deaf = ("/usr/bin/env", "--ignore-signal=INT,TERM,HUP")
    with session(kubelet, wanted("/bin/sh", "-c", "echo up; read a; echo $a"), under=deaf) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
        assert process.communicate(b"goes on\n", timeout=PATIENCE_SECONDS)[0] == b"goes on\n"
    assert process.returncode == 0


def test_one_whose_output_nobody_reads_ends_its_program(kubelet: Kubelet) -> None:
    with session(kubelet, wanted("/bin/cat", "/dev/zero")) as process:
        assert process.stdout
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGPIPE


def test_sessions_are_found_signalled_and_ended(kubelet: Kubelet) -> None:
    script = "trap 'echo hup; exit 4' USR1; echo up; while :; do sleep 0.1; done"
    first, second = wanted("/bin/sh", "-c", script), wanted("/bin/sh", "-c", "echo up; exec sleep 600")
    with session(kubelet, first) as one, session(kubelet, second) as other:
        for process in (one, other):
            assert process.stdout
            assert process.stdout.readline() == b"up\n"
        assert sessions_in(kubelet, TARGET, NAME) == {first.token, second.token}
        assert sessions_in(kubelet, TARGET, parse_name("another")) == frozenset()
        signal_session(kubelet, TARGET, first.token, signal.SIGUSR1)
        assert one.communicate(timeout=PATIENCE_SECONDS)[0] == b"hup\n"
        assert one.returncode == 4
        stop_sessions(kubelet, TARGET, NAME)
        assert other.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    assert sessions_in(kubelet, TARGET, NAME) == frozenset()


def test_a_session_that_hears_no_signal_is_killed_with_all_of_it(
    kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openclaw_ocm.backends.kubernetes.sessions._STOP_SECONDS", 2.0)
    script = "trap '' TERM; sleep 600 & echo up; while :; do sleep 1; done"
    with session(kubelet, wanted("/bin/sh", "-c", script)) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        stop_sessions(kubelet, TARGET, NAME)
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGKILL


def test_a_pod_that_makes_up_sessions_is_told_and_keeps_nobody_waiting(
    kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openclaw_ocm.backends.kubernetes.sessions._STOP_SECONDS", 1.0)
    made_up = new_token(NAME)
    script = f"while :; do OCM_SESSION={made_up} setsid sleep 600 & sleep 0.02; done"
    with subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True) as maker:
        try:
            with pytest.raises(OcmError, match=f"sessions do not end: {made_up}"):
                stop_sessions(kubelet, TARGET, NAME)
        finally:
            os.killpg(maker.pid, signal.SIGKILL)
            monkeypatch.undo()
            stop_sessions(kubelet, TARGET, NAME)


def test_the_command_that_is_one_holds_what_it_needs() -> None:
    what = wanted("/bin/true")
    argv = session_argv(what)
    assert msgspec.json.decode(argv[-1], type=Wanted) == what
    assert instance_of(what.token) == NAME
    done = subprocess.run([*argv[:-1], "{}"], check=False, capture_output=True, text=True, env={})
    assert "Object missing required field" in done.stderr


class Terminal:
    """A session on a terminal, of which this is the keyboard and the screen."""

    def __init__(self, kubelet: Kubelet, *argv: str) -> None:
        self.keys, end = pty.openpty()
        self._size(end, 30, 100)
        self.before = termios.tcgetattr(end)
        self.end = end
        what = wanted(*argv, terminal=True, TERM="dumb")
        script = "import os, sys; os.setsid(); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        argv = (sys.executable, "-c", script, "-m", "tests.backends.kubernetes.attached", kubelet.url)
        self.process = subprocess.Popen(
            (*argv, msgspec.json.encode(what).decode()),
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": os.environ["PATH"]},
            stdin=end,
            stdout=end,
            stderr=end,
        )
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for number in (self.keys, self.end):
            if number >= 0:
                os.close(number)

    def _size(self, end: int, rows: int, columns: int) -> None:
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        self._size(self.keys, rows, columns)
        # It is no leader of the terminal's session here, to whom the kernel would tell it.
        self.process.send_signal(signal.SIGWINCH)

    def until(self, text: bytes) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen:
            assert select.select([self.keys], [], [], deadline - time.monotonic())[0], self.seen
            self.seen += os.read(self.keys, 65536)

    def press(self, keys: bytes) -> None:
        os.write(self.keys, keys)

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.end) == self.before


def test_on_a_terminal_every_key_is_the_sessions(kubelet: Kubelet) -> None:
    script = (
        "trap 'echo interrupted; stty size' INT; tty; stty size; while read line; do echo got $line; done"
    )
    with Terminal(kubelet, "/bin/bash", "-c", script) as terminal:
        terminal.until(b"/dev/pts/")
        terminal.until(b"30 100\r\n")
        assert not terminal.is_as_before
        terminal.press(b"hello\r")
        terminal.until(b"got hello\r\n")
        # Echoed once: by the terminal in the pod.
        assert terminal.seen.count(b"hello") == 2
        terminal.resize(40, 132)
        terminal.press(b"\x03")
        terminal.until(b"interrupted\r\n40 132\r\n")
        terminal.press(b"\x04")
        assert terminal.process.wait(PATIENCE_SECONDS) == 0
        assert terminal.is_as_before


def test_however_it_ends_the_terminal_is_as_before(kubelet: Kubelet) -> None:
    with Terminal(kubelet, "/bin/sh", "-c", "echo up; sleep 600") as terminal:
        terminal.until(b"up\r\n")
        terminal.process.terminate()
        assert terminal.process.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
        assert terminal.is_as_before
    with (
        Kubelet(Faults(breaks_after=1000)) as broken,
        Terminal(broken, "/bin/sh", "-c", "echo up; sleep 1; head -c 9000 /dev/zero; sleep 600") as terminal,
    ):
        terminal.until(b"broke off")
        assert terminal.process.wait(PATIENCE_SECONDS) == 255
        assert terminal.is_as_before


def test_a_terminal_that_is_gone_ends_the_session(kubelet: Kubelet) -> None:
    with Terminal(kubelet, "/bin/bash", "--norc", "-i") as terminal:
        terminal.until(b"bash")
        os.close(terminal.end)
        os.close(terminal.keys)
        terminal.keys = terminal.end = -1
        assert terminal.process.wait(PATIENCE_SECONDS) == 128 + signal.SIGHUP
