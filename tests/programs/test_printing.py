from __future__ import annotations

import fcntl
import os
import re
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.programs.tool_host import printing
from openclaw_ocm.programs.tool_host.printing import Printed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pipes:
    """A pipe that is printed into and one that is read; between them time goes as it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("openclaw_ocm.programs.tool_host.printing.time.monotonic", lambda: self.now)
        source, self.print = os.pipe()
        self.read, target = os.pipe()
        fcntl.fcntl(self.read, fcntl.F_SETPIPE_SZ, 2**20)
        self.printed = Printed(source, target)
        self.ends = (source, self.print, self.read, target)

    def passed(self, text: bytes) -> bytes:
        """Return what comes of a text that is printed."""
        for begin in range(0, len(text), 2**15):
            os.write(self.print, text[begin : begin + 2**15])
            assert self.printed.pass_on()
        return self.said()

    def said(self) -> bytes:
        os.set_blocking(self.read, False)
        try:
            return os.read(self.read, 2**20)
        except BlockingIOError:
            return b""


@pytest.fixture
def pipes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipes]:
    made = Pipes(monkeypatch)
    yield made
    for end in made.ends:
        os.close(end)


def test_lines_pass_as_they_are_once_they_are_whole(pipes: Pipes) -> None:
    assert pipes.passed(b"one\n\ntw") == b"one\n\n"
    assert pipes.passed(b"o\n\xff\x00\n") == b"two\n\xff\x00\n"
    assert not pipes.printed.has_deadline()


def test_a_line_without_an_end_is_passed_on_in_pieces(pipes: Pipes) -> None:
    longest = printing._LONGEST
    assert pipes.passed(b"x" * (longest + 5)) == b"x" * longest + b"\n"
    assert pipes.passed(b"\n") == b"x" * 5 + b"\n"


def test_who_prints_without_an_end_is_cut_off_and_heard_again_later(pipes: Pipes) -> None:
    said = pipes.passed(b"flood\n" * 10_000)
    most = printing._MOST // (len("flood") + printing._LINE_COST)
    assert said == b"flood\n" * most
    pipes.now += printing._AGAIN / printing._EACH_SECOND / 2
    assert pipes.passed(b"flood\n" * 10) == b"", "one that goes on has no line let through now and then"
    assert pipes.printed.has_deadline()
    pipes.now += printing._AGAIN / printing._EACH_SECOND
    left_out = 10_010 - most
    assert pipes.passed(b"later\n") == (
        b"tool host: %d lines were left out: it prints too much\nlater\n" % left_out
    )
    assert not pipes.printed.has_deadline()


def test_what_was_left_out_is_told_though_nothing_more_is_printed(pipes: Pipes) -> None:
    pipes.passed(b"flood\n" * 10_000)
    pipes.printed.expire()
    assert pipes.said() == b""
    pipes.now += 60
    pipes.printed.expire()
    assert re.fullmatch(rb"tool host: \d+ lines were left out: it prints too much\n", pipes.said())


def test_a_log_that_takes_nothing_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    pipes = Pipes(monkeypatch)
    fcntl.fcntl(pipes.read, fcntl.F_SETPIPE_SZ, 4096)
    line = b"x" * 1000 + b"\n"
    for _ in range(400):
        os.write(pipes.print, line)
        assert pipes.printed.pass_on()
    assert pipes.printed.has_deadline()
    got = b""
    for _ in range(400):
        got += pipes.said()
        pipes.now += 1
        pipes.printed.expire()
    told = re.search(rb"tool host: (\d+) lines were left out", got)
    assert told is not None
    assert got.count(line) + int(told[1]) == 400
    for end in pipes.ends:
        os.close(end)


def test_what_nobody_reads_any_more_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pipes = Pipes(monkeypatch)
    source, into, read, target = pipes.ends
    os.close(read)
    os.write(into, b"one\n")
    assert pipes.printed.pass_on()
    os.close(into)
    assert not pipes.printed.pass_on(), "its end"
    pipes.printed.close()
    os.close(source)
    os.close(target)
