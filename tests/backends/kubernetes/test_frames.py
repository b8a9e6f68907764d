from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.backends.kubernetes.frames import (
    WINDOW,
    End,
    Garbled,
    Program,
    Refused,
    Talk,
    frame,
    opening,
    refusal,
    size,
)

PRINTED = st.lists(st.tuples(st.sampled_from([b"o", b"r"]), st.binary(max_size=40)), max_size=12)


def end(status: int, whole: int, out: int, errors: int) -> bytes:
    return frame(b"x", struct.pack(">BBQQ", status, whole, out, errors))


def said(printed: list[tuple[bytes, bytes]], status: int = 0, whole: int = 1, missing: int = 0) -> bytes:
    lengths = [sum(len(data) for letter, data in printed if letter == which) for which in (b"o", b"r")]
    frames = b"".join(frame(letter, data) for letter, data in printed)
    return frames + end(status, whole, lengths[0] + missing, lengths[1])


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return data in pieces, as what carries it may cut it."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[begin:stop] for begin, stop in zip([0, *places], [*places, len(data)], strict=True)]


@given(PRINTED, st.lists(st.integers(0, 10_000), max_size=10), st.integers(0, 255), st.booleans())
def test_what_was_printed_is_the_same_however_it_is_cut(
    printed: list[tuple[bytes, bytes]],
    cuts: list[int],
    status: int,
    whole: bool,  # noqa: FBT001 - made up
) -> None:
    talk, found = Talk(), []
    for piece in cut(said(printed, status, whole), cuts):
        assert talk.end is None or not piece
        found += list(talk.receive(b"\x01" + piece))
    assert found == [one for one in printed if one[1]]
    assert talk.end == End(status=status, whole=whole)


@given(PRINTED, st.integers(0, 10_000))
def test_what_is_cut_off_anywhere_has_no_end(printed: list[tuple[bytes, bytes]], where: int) -> None:
    talk, data = Talk(), said(printed)
    list(talk.receive(b"\x01" + data[: where % len(data)]))
    assert talk.end is None


@given(
    st.lists(st.tuples(st.just(b"o"), st.binary(min_size=1, max_size=40)), min_size=2, max_size=9), st.data()
)
def test_what_lost_a_frame_in_the_middle_is_not_taken_for_whole(
    printed: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    lost = data.draw(st.integers(0, len(printed) - 1))
    frames = b"".join(frame(*one) for index, one in enumerate(printed) if index != lost)
    with pytest.raises(Garbled, match="another length"):
        list(Talk().receive(b"\x01" + frames + end(0, 1, sum(len(one) for _, one in printed), 0)))


@given(st.binary(max_size=200))
def test_no_message_makes_it_fail_in_another_way(message: bytes) -> None:
    talk = Talk()
    try:
        list(talk.receive(message))
    except (Garbled, Refused):
        return
    assert talk.room <= WINDOW


@pytest.mark.parametrize(
    "message",
    [b"", b"\x00", b"\x04x", b"\xff\x01", b"\x01z\0\0\0\0", b"\x01o\xff\xff\xff\xff", b"\x01c\0\0\0\1x"],
)
def test_what_cannot_be_is_refused(message: bytes) -> None:
    with pytest.raises(Garbled):
        list(Talk().receive(message))


def test_nothing_comes_after_the_end() -> None:
    with pytest.raises(Garbled, match="after the last one"):
        list(Talk().receive(b"\x01" + said([]) + frame(b"o", b"x")))
    talk = Talk()
    list(talk.receive(b"\x01" + said([])))
    # What runs it ends afterwards, and that says nothing more.
    assert list(talk.receive(b"\x03" + json.dumps({"status": "Failure"}).encode())) == []


def test_room_is_what_was_taken_of_what_was_given() -> None:
    talk = Talk()
    assert talk.given(b"abc") == b"i\0\0\0\x03abc"
    assert talk.room == WINDOW - 3
    list(talk.receive(b"\x01" + frame(b"c", struct.pack(">I", 2))))
    assert talk.room == WINDOW - 1
    with pytest.raises(Garbled, match="more input taken"):
        list(talk.receive(b"\x01" + frame(b"c", struct.pack(">I", 2))))


def test_a_program_begins_with_its_directory_variables_and_words() -> None:
    program = Program(argv=("a", "b c"), token="t", environ={"K": "v=1"}, directory="/d", size=(24, 80))
    assert opening(program, "T") == (
        b"d\0\0\0\x02/dv\0\0\0\x05K=v=1v\0\0\0\x03T=ta\0\0\0\x01aa\0\0\0\x03b c"
        b"w\0\0\0\x04\0\x18\0\x50g\0\0\0\0"
    )
    assert "v=1" not in repr(program), "what it is given may be a secret"
    assert size(70_000, 1)[5:] == struct.pack(">HH", 70_000 % 65536, 1)


def status(**told: Any) -> bytes:  # noqa: ANN401
    return json.dumps({"kind": "Status", "apiVersion": "v1", **told}).encode()


def exit_status(message: object) -> bytes:
    causes = [{"reason": "Other"}, "odd", {"reason": "ExitCode", "message": message}]
    return status(status="Failure", reason="NonZeroExitCode", details={"causes": causes})


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (status(status="Success"), "what ran it ended too early"),
        (exit_status("137"), "what ran it ended with exit status 137"),
        (exit_status("9" * 100), f"what ran it ended with exit status {'9' * 10}"),
        (status(reason="NonZeroExitCode"), "what ran it ended with exit status unknown"),
        (
            status(reason="NonZeroExitCode", details={"causes": 3}),
            "what ran it ended with exit status unknown",
        ),
        (status(message="container not\nfound\x1b[2J"), "container not found"),
        (status(reason="InternalError"), "InternalError"),
        (status(), "no reason given"),
        (b"[]", "the cluster gives no reason that can be read"),
        (b"[" * 60_000, "the cluster gives no reason that can be read"),
        (b"{" * 2**16, "the cluster gives no reason that can be read"),
    ],
)
def test_a_status_is_told_in_words(told: bytes, words: str) -> None:
    assert refusal(told) == words


@given(st.integers(0, 10_000))
def test_a_status_that_has_not_come_as_a_whole_is_waited_for(where: int) -> None:
    data = exit_status("1")
    where %= len(data)
    talk = Talk()
    assert refusal(data[:where]) is None
    assert list(talk.receive(b"\x03" + data[:where])) == []
    with pytest.raises(Refused, match="exit status 1"):
        list(talk.receive(b"\x03" + data[where:]))


def test_what_runs_it_has_its_last_words_told() -> None:
    talk = Talk()
    complaint = b"".join(f"line {number}\n".encode() for number in range(9)) + b"\x1b[31mno perl\n\xff"
    list(talk.receive(b"\x02" + complaint))
    with pytest.raises(Refused) as refused:
        list(talk.receive(b"\x03" + exit_status("127")))
    assert str(refused.value) == "what ran it ended with exit status 127: line 6 line 7 line 8 no perl \ufffd"
    list(Talk().receive(b"\x02" + b"x" * 2**20))
