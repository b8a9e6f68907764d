"""What runs a program for one who is elsewhere, over plain pipes."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.sandbox.launch import PERL
from openclaw_ocm.system import programs

from .boxed import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

TEXT = programs.text("run_remote.pl").encode()
BOOT = (PERL, "-e", programs.text("read_program.pl"), str(len(TEXT)))
END = struct.Struct(">BBQQ")


def frame(letter: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">cI", letter, len(content)) + content


def words(*argv: str) -> bytes:
    return b"".join(frame(b"a", word.encode()) for word in argv) + frame(b"g")


class Remote:
    """The program that runs another, and what it says."""

    def __init__(self, *frames: bytes) -> None:
        self.process = subprocess.Popen(
            BOOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self._begun = b""
        self.frames: list[tuple[bytes, bytes]] = []
        self.say(TEXT, *frames)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()

    def say(self, *parts: bytes) -> None:
        assert self.process.stdin
        data = memoryview(b"".join(parts))
        while data:
            data = data[self.process.stdin.write(data) or 0 :]

    def hear(self, seconds: float = 30.0) -> Iterator[tuple[bytes, bytes]]:
        """Yield frames as they come, until the last one."""
        assert self.process.stdout
        deadline = time.monotonic() + seconds
        while True:
            while len(self._begun) >= 5:
                letter, length = struct.unpack_from(">cI", self._begun)
                if len(self._begun) < 5 + length:
                    break
                content, self._begun = self._begun[5 : 5 + length], self._begun[5 + length :]
                self.frames.append((letter, content))
                yield letter, content
                if letter == b"x":
                    return
            assert select.select([self.process.stdout], [], [], deadline - time.monotonic())[0], self.frames
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, self.error()
            self._begun += data

    def until(self, text: bytes) -> None:
        """Wait for an output."""
        printed = b""
        for letter, content in self.hear():
            printed += content if letter == b"o" else b""
            if text in printed:
                return
        raise AssertionError(printed)

    def end(self) -> tuple[bytes, bytes, tuple[int, ...]]:
        """Return output, errors, and what is told of the end."""
        for _frame in self.hear():
            pass
        letters = {
            letter: b"".join(told for found, told in self.frames if found == letter)
            for letter in (b"o", b"r")
        }
        return letters[b"o"], letters[b"r"], END.unpack(self.frames[-1][1])

    def leave(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()

    def error(self) -> str:
        assert self.process.stderr
        return self.process.stderr.read().decode()


def test_a_program_gets_its_words_variables_and_directory(tmp_path: Path) -> None:
    script = 'printf "%s|" "$A" "$PWD" "$@"'
    given = (frame(b"d", str(tmp_path).encode()), frame(b"v", b"A=x=y\n\xc3\xa4"))
    with Remote(*given, words("/bin/sh", "-c", script, "sh", "a b", "", "\u00e4")) as remote:
        out, errors, end = remote.end()
    assert out == f"x=y\n\u00e4|{tmp_path}|a b||\u00e4|".encode()
    assert (errors, end) == (b"", (0, 1, len(out), 0))


def test_nothing_of_it_is_in_the_command_line() -> None:
    with Remote(frame(b"v", b"A=hidden"), words("/bin/sleep", "60")) as remote:
        line = Path(f"/proc/{remote.process.pid}/cmdline").read_bytes()
    assert b"hidden" not in line
    assert b"sleep" not in line
    assert len(line) < 600


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
def test_it_is_told_how_the_program_ended(script: str, status: int) -> None:
    with Remote(words("/bin/sh", "-c", script)) as remote:
        assert remote.end()[2] == (status, 1, 0, 0)
        remote.leave()
        assert remote.process.wait(10) == 0


@pytest.mark.parametrize(
    ("argv", "status", "said"), [("/nowhere", 127, "No such file"), ("/etc/passwd", 126, "Permission denied")]
)
def test_a_program_that_cannot_be_run_is_told_as_a_shell_tells_it(argv: str, status: int, said: str) -> None:
    with Remote(words(argv)) as remote:
        _out, errors, end = remote.end()
    assert (end[0], errors.decode().startswith(f"{argv}: {said}")) == (status, True)


def test_a_directory_that_is_not_there_is_told_and_nothing_is_run() -> None:
    with Remote(frame(b"d", b"/nowhere"), words("/bin/echo", "run")) as remote:
        out, errors, end = remote.end()
    assert (out, end[0], errors) == (b"", 126, b"/nowhere: No such file or directory\n")


def test_streams_of_any_length_go_both_ways_at_once() -> None:
    """Neither waits for the other, and no more is on its way than was agreed."""
    piece, pieces, window = os.urandom(32768), 2000, 2**21
    sent, taken, received = 1, 0, hashlib.sha256()
    with Remote(words("/bin/cat"), frame(b"i", piece)) as remote:
        for letter, content in remote.hear():
            if letter == b"o":
                received.update(content)
            elif letter == b"c":
                taken += struct.unpack(">I", content)[0]
                while sent < pieces and sent * len(piece) - taken < window:
                    remote.say(frame(b"i", piece))
                    sent += 1
                    if sent == pieces:
                        remote.say(frame(b"e"))
    assert remote.frames[-1] == (b"x", END.pack(0, 1, pieces * len(piece), 0))
    assert received.digest() == hashlib.sha256(piece * pieces).digest()


def test_input_that_nobody_reads_keeps_nobody_from_being_heard() -> None:
    """A window whose worth of input lies there, and the terminal's size is still heard; so is the end."""
    with Remote(frame(b"w", b"\0\x18\0\x50"), words("/bin/sh", "-c", SIZES)) as remote:
        remote.until(b"24 80")
        for _ in range(64):
            remote.say(frame(b"i", b"x" * 32768))
        remote.say(frame(b"w", b"\0\x1e\0\x64"))
        remote.until(b"30 100")
        assert remote.end()[2][0] == 5


# A read(1) that a signal ends is not begun anew by dash.
SIZES = 'trap "stty size; exit 5" WINCH; stty raw -echo; stty size; while :; do sleep 0.1; done'


def test_a_program_that_reads_no_more_ends_and_the_rest_of_its_input_is_dropped() -> None:
    with Remote(words("/usr/bin/head", "-c", "3")) as remote:
        for _ in range(60):
            remote.say(frame(b"i", b"x" * 32768))
        out, _errors, end = remote.end()
        # It goes on to listen, so that nobody writes into a pipe that is closed.
        for _ in range(60):
            remote.say(frame(b"i", b"x" * 32768))
        remote.leave()
        assert remote.process.wait(10) == 0
    assert (out, end) == (b"xxx", (0, 1, 3, 0))


def test_the_end_of_the_input_comes_after_all_of_it() -> None:
    with Remote(words("/usr/bin/wc", "-c"), frame(b"i", b"x" * 100_000), frame(b"e")) as remote:
        assert remote.end()[0] == b"100000\n"


def test_without_an_end_the_program_is_told_that_nobody_is_there() -> None:
    """Half of an archive is no archive: its reader sees no end of file, but a signal."""
    script = "trap 'echo hup >&2; exit 1' HUP; echo up; cat; echo whole >&2"
    with Remote(words("/bin/bash", "-c", script), frame(b"i", b"half")) as remote:
        remote.until(b"half")
        child = children(remote.process.pid)
        remote.leave()
        assert remote.process.wait(10) == 0
        wait_for(lambda: not any(map(lives, child)), "the end of the program")
        assert "whole" not in remote.error()


def test_a_program_that_does_not_want_to_hear_that_is_killed() -> None:
    with Remote(words("/bin/sh", "-c", "trap '' HUP TERM; echo up; while :; do sleep 1; done")) as remote:
        remote.until(b"up")
        (child,) = children(remote.process.pid)
        began = time.monotonic()
        remote.leave()
        remote.process.wait(20)
        assert not lives(child)
        assert time.monotonic() - began > 4


def test_it_is_told_that_the_program_goes_on_where_it_prints_nothing() -> None:
    with Remote(words("/bin/sleep", "60")) as remote:
        assert next(remote.hear(20)) == (b"o", b"")


def test_what_is_left_behind_ends_with_its_program_and_makes_it_half() -> None:
    mark = f"test.{os.getpid()}"
    script = "setsid sh -c 'echo late; exec sleep 60' & echo $!"
    with Remote(frame(b"v", f"OCM_SESSION={mark}".encode()), words("/bin/sh", "-c", script)) as remote:
        out, _errors, end = remote.end()
        remote.leave()
        remote.process.wait(10)
    assert end[:2] == (0, 0)
    pid = next(int(word) for word in out.split() if word.isdigit())
    wait_for(lambda: not lives(pid), "the end of what was left")


@pytest.mark.parametrize("left", ["cat /dev/zero", "while :; do echo more; sleep 0.2; done"])
def test_what_is_left_behind_and_prints_on_is_not_waited_for(left: str) -> None:
    mark = frame(b"v", f"OCM_SESSION=test.{os.getpid()}".encode())
    with Remote(mark, words("/bin/sh", "-c", f"echo own; ({left}) & exit 3")) as remote:
        out, _errors, end = remote.end()
        remote.leave()
        assert remote.process.wait(10) == 0
    assert end == (3, 0, len(out), 0)
    assert b"own\n" in out
    assert len(out) < 4_000_000


def test_what_a_program_prints_last_comes_however_late_it_is_taken() -> None:
    """It ended while the last of it lay in its pipe, longer than what is left behind would be waited for."""
    with Remote(words("/bin/sh", "-c", "head -c 380000 /dev/zero; echo last")) as remote:
        time.sleep(8)
        out, _errors, end = remote.end()
    assert (len(out), out[-5:], end[:2]) == (380_005, b"last\n", (0, 1))


def test_what_others_have_in_their_environment_is_left_alone() -> None:
    mark = f"test.{os.getpid()}"
    with subprocess.Popen(["/bin/sleep", "60"], env={"OCM_SESSION": f"{mark}0"}) as other:
        with Remote(frame(b"v", f"OCM_SESSION={mark}".encode()), words("/bin/true")) as remote:
            remote.end()
            remote.leave()
            remote.process.wait(10)
        assert other.poll() is None
        other.kill()


def test_a_terminal_is_one_and_its_keys_are_those_of_a_terminal() -> None:
    script = "tty; stty size; echo err >&2; cat"
    with Remote(frame(b"w", b"\0\x18\0\x50"), words("/bin/sh", "-c", script)) as remote:
        remote.until(b"err\r\n")
        remote.say(frame(b"i", b"hi\r"))
        remote.until(b"hi\r\nhi\r\n")
        remote.say(frame(b"i", b"\x03"))
        out, errors, end = remote.end()
    assert out.startswith(b"/dev/pts/")
    assert b"\r\n24 80\r\nerr\r\n" in out
    assert (errors, end) == (b"", (128 + signal.SIGINT, 1, len(out), 0))


def test_a_terminal_that_is_closed_ends_its_shell() -> None:
    with Remote(frame(b"w", b"\0\x18\0\x50"), words("/bin/bash", "--norc", "-i")) as remote:
        remote.until(b"bash-")
        child = children(remote.process.pid)
        remote.leave()
        remote.process.wait(10)
        assert not any(map(lives, child))


@pytest.mark.parametrize(
    "wrong",
    [frame(b"z"), struct.pack(">cI", b"i", 2**31), words("/bin/sleep", "9") + frame(b"a", b"more")],
)
def test_what_makes_no_sense_ends_it(wrong: bytes) -> None:
    with Remote(wrong) as remote:
        assert remote.process.wait(10) not in (0, None)
        assert remote.error()


def test_a_program_that_did_not_come_whole_is_not_run() -> None:
    done = subprocess.run(BOOT, input=TEXT[:-1], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (125, b"")


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert found
    return [int(child) for child in found]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
