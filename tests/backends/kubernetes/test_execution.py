"""Programs in pods, by a peer that does what a kubelet does."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import threading
import time
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote

import pytest
from tests.backends.kubernetes.kubelet import V4, V5, Faults, Kubelet

from openclaw_ocm.backends.kubernetes import execution
from openclaw_ocm.backends.kubernetes.execution import Target, calling, run, stream_in, stream_out
from openclaw_ocm.backends.kubernetes.frames import PIECE, WINDOW, Program
from openclaw_ocm.backends.kubernetes.streams import started
from openclaw_ocm.errors import CommandFailed, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = Target(namespace="ocm-w1", pod="gateway-0", container="gateway")
SECONDS, LIMIT = 60.0, 2**20


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 10
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/bash", "-c", script)


@pytest.mark.parametrize("subprotocol", [V4, V5])
def test_a_program_gets_its_input_and_its_end_is_told(subprotocol: str) -> None:
    with Kubelet(Faults(subprotocol=subprotocol)) as kubelet:
        done = run(
            kubelet,
            TARGET,
            shell("wc -c; echo no >&2; exit 7"),
            given=[b"x" * 70_000, b"", b"y"],
            limit=LIMIT,
            deadline_seconds=SECONDS,
        )
    assert (done.status, done.stdout, done.stderr) == (7, b"70001\n", b"no\n")


def test_nothing_of_a_program_is_in_what_the_api_server_logs() -> None:
    with Kubelet() as kubelet:
        run(kubelet, TARGET, ("/bin/echo", "sk-hidden"), limit=LIMIT, deadline_seconds=SECONDS)
        (target,) = kubelet.seen.targets
    assert target.startswith("/api/v1/namespaces/ocm-w1/pods/gateway-0/exec?command=%2Fusr%2Fbin%2Fperl&")
    assert "hidden" not in unquote(target)
    assert len(target) < 1000


def test_more_goes_in_and_out_at_once_than_is_ever_kept() -> None:
    """As `tar` on either side: the whole of it passes by."""
    pieces, piece = 300, os.urandom(PIECE)
    length, found = 0, hashlib.sha256()
    program = Program(argv=("/bin/cat",), token="t")
    deadline = execution.Deadline(time.monotonic() + SECONDS, OcmError("late"))
    with Kubelet() as kubelet, calling(kubelet, TARGET, program) as call:
        for letter, data in execution.exchange(call, (piece for _ in range(pieces)), deadline):
            assert letter == b"o"
            length += len(data)
            found.update(data)
            assert call.room >= 0
    assert length == pieces * PIECE > 4 * WINDOW
    assert found.digest() == hashlib.sha256(piece * pieces).digest()


def test_a_slow_reader_keeps_a_program_waiting_and_loses_nothing() -> None:
    length = 0
    with Kubelet() as kubelet:
        argv = shell("head -c 8000000 /dev/zero")
        chunks = stream_out(kubelet, TARGET, argv, limit=2**30, deadline_seconds=SECONDS)
        length += len(next(chunks))
        time.sleep(1.5)
        length += sum(map(len, chunks))
    assert length == 8_000_000


def test_a_tree_goes_out_and_in_again(tmp_path: Path) -> None:
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    for number in range(50):
        (tmp_path / "from" / f"f{number}").write_bytes(os.urandom(number * 100))
    argv = ("/bin/tar", "--create", f"--directory={tmp_path}/from", ".")
    into = ("/bin/tar", "--extract", f"--directory={tmp_path}/to")
    with Kubelet() as kubelet:
        chunks = stream_out(kubelet, TARGET, argv, limit=2**30, deadline_seconds=SECONDS)
        stream_in(kubelet, TARGET, into, chunks, deadline_seconds=SECONDS)
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == sorted(f"f{n}" for n in range(50))
    assert all(
        (tmp_path / "to" / f"f{n}").read_bytes() == (tmp_path / "from" / f"f{n}").read_bytes()
        for n in range(50)
    )


# It ends where nobody reads it any more.
ENDLESS = shell("while head -c 100000 /dev/zero; do :; done")


@pytest.mark.parametrize(
    "faults",
    [Faults(breaks_after=500_000), Faults(ends_after=500_000), Faults(loses=1000), Faults(loses=5)],
    ids=["the connection breaks", "what runs it is killed", "a piece is lost", "five bytes are lost"],
)
def test_what_is_cut_off_is_never_taken_for_whole(faults: Faults) -> None:
    argv = ENDLESS if faults.loses == 0 else shell("head -c 1000000 /dev/zero | tr '\\0' x")
    with Kubelet(faults) as kubelet, pytest.raises(OcmError) as error:
        for _chunk in stream_out(kubelet, TARGET, argv, limit=2**30, deadline_seconds=SECONDS):
            pass
    assert error.value.code in ("pod_lost", "pod_refused"), error.value
    assert "pod gateway-0 of ocm-w1" in error.value.message


def test_a_program_that_loses_its_connection_is_ended_and_sees_no_end_of_its_input(tmp_path: Path) -> None:
    script = f"trap 'echo >{tmp_path}/hup; exit 1' HUP; cat >/dev/null; echo >{tmp_path}/whole"
    endless = (b"x" * PIECE for _ in iter(int, 1))
    with Kubelet(Faults(breaks_after_given=10_000_000)) as kubelet, pytest.raises(OcmError) as error:
        stream_in(kubelet, TARGET, shell(script), endless, deadline_seconds=SECONDS)
    assert error.value.code == "pod_lost"
    assert [path.name for path in tmp_path.iterdir()] in (["hup"], [])


def test_where_the_input_cannot_be_read_the_program_sees_no_end_of_it(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 100
        raise OcmError("the archive is broken")

    argv = shell(f"cat >/dev/null; echo >{tmp_path}/whole")
    with Kubelet() as kubelet, pytest.raises(OcmError, match="the archive is broken"):
        stream_in(kubelet, TARGET, argv, broken(), deadline_seconds=SECONDS)
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_fails_in_the_middle_of_its_input_says_why() -> None:
    endless = (b"x" * PIECE for _ in iter(int, 1))
    argv = shell("head -c 1000000 >/dev/null; echo 'no space left' >&2; exit 2")
    with Kubelet() as kubelet, pytest.raises(CommandFailed, match="exit status 2: no space left") as error:
        stream_in(kubelet, TARGET, argv, endless, deadline_seconds=SECONDS)
    assert error.value.returncode == 2


def test_a_stream_whose_program_failed_is_not_whole() -> None:
    argv = shell("head -c 1000000 /dev/zero; echo 'file changed' >&2; exit 1")
    with Kubelet() as kubelet:
        chunks = stream_out(kubelet, TARGET, argv, limit=2**30, deadline_seconds=SECONDS)
        with pytest.raises(CommandFailed, match="exit status 1: file changed"):
            assert sum(map(len, chunks)) == 0


def test_a_stream_that_something_left_behind_still_writes_to_is_not_whole() -> None:
    with Kubelet() as kubelet:
        chunks = stream_out(
            kubelet, TARGET, shell("echo begin; sleep 60 &"), limit=LIMIT, deadline_seconds=SECONDS
        )
        with pytest.raises(OcmError, match="left something behind"):
            assert list(chunks) == [b""]


def test_one_that_prints_too_much_or_takes_too_long_is_ended() -> None:
    with Kubelet() as kubelet:
        with pytest.raises(OcmError, match=r"/bin/bash in pod gateway-0 of ocm-w1 printed more than 1000000"):
            run(kubelet, TARGET, ENDLESS, limit=1_000_000, deadline_seconds=SECONDS)
        with pytest.raises(OcmError, match="printed more than 1000000"):
            for _chunk in stream_out(kubelet, TARGET, ENDLESS, limit=1_000_000, deadline_seconds=SECONDS):
                pass
        for argv in (("/bin/sleep", "60"), ENDLESS):
            with pytest.raises(OcmError, match=r"did not end within 1 s") as error:
                run(kubelet, TARGET, argv, limit=2**40, deadline_seconds=1)
            assert error.value.code == "timeout"


def test_a_reader_that_leaves_ends_the_program() -> None:
    with Kubelet() as kubelet:
        chunks = stream_out(kubelet, TARGET, ENDLESS, limit=2**30, deadline_seconds=SECONDS)
        next(chunks)
        chunks.close()  # type: ignore[attr-defined] # a generator
        # The peer waits for the end of what it started.


def test_a_pod_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_SILENCE_SECONDS", 1.0)
    with Kubelet() as kubelet, pytest.raises(OcmError, match="was silent for 1 s") as error:
        run(kubelet, TARGET, ("/bin/sleep", "60"), limit=LIMIT, deadline_seconds=SECONDS)
    assert error.value.code == "pod_lost"


NOT_FOUND = {
    "status": "Failure",
    "reason": "InternalError",
    "message": 'Internal error occurred: error executing command in container: container not found ("x")',
}
EXIT = {
    "status": "Failure",
    "reason": "NonZeroExitCode",
    "details": {"causes": [{"reason": "ExitCode", "message": "137"}]},
}


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (Faults(status=NOT_FOUND), 'error executing command in container: container not found ("x")'),
        (Faults(status=EXIT), "what ran it ended with exit status 137"),
        (Faults(status=EXIT, complaint=b"a\x1b[31mb\nout of \x07memory\n"), "status 137: ab out of  memory"),
        (Faults(status={"status": "Success"}), "what ran it ended too early"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_sentence(faults: Faults, said: str) -> None:
    with Kubelet(faults) as kubelet, pytest.raises(OcmError, match=re.escape(said)) as error:
        run(kubelet, TARGET, ("/bin/true",), limit=LIMIT, deadline_seconds=SECONDS)
    assert error.value.code == "pod_refused"


@pytest.mark.parametrize(
    "faults",
    [
        Faults(subprotocol=None),
        Faults(first=b""),
        Faults(first=b"\x09hello"),
        Faults(first=b"\x01hello, this is no frame"),
        Faults(first=b"\x01c\0\0\0\x04\0\0\0\x01"),
        Faults(first=b"\x01x\0\0\0\x01\0"),
    ],
)
def test_what_makes_no_sense_is_told(faults: Faults) -> None:
    with Kubelet(faults) as kubelet, pytest.raises(OcmError) as error:
        run(kubelet, TARGET, ("/bin/true",), limit=LIMIT, deadline_seconds=SECONDS)
    assert error.value.code == "pod_lost"


def test_a_tar_that_is_read_to_its_mark_alone_is_whole(tmp_path: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    given = (chunk for chunk in (made.getvalue(), *([b"\0" * PIECE] * 200)))
    argv = ("/bin/tar", "--extract", f"--directory={tmp_path}")
    with Kubelet() as kubelet:
        stream_in(kubelet, TARGET, argv, given, deadline_seconds=SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_program_is_written_to_and_read_in_turns() -> None:
    argv = shell("read line; echo got $line; wc -c")
    with (
        Kubelet() as kubelet,
        started(kubelet, TARGET, argv, limit=LIMIT, deadline_seconds=SECONDS) as (read, write),
    ):
        write.write(b"hello\n")
        assert read.readline() == b"got hello\n"
        assert write.write(b"x" * 3_000_000) == 3_000_000


def test_one_that_ended_is_read_to_its_end_and_not_written_to() -> None:
    argv = shell("echo no >&2; echo begin; exit 3")
    with (
        Kubelet() as kubelet,
        pytest.raises(CommandFailed, match="exit status 3: no"),
        started(kubelet, TARGET, argv, limit=LIMIT, deadline_seconds=SECONDS) as streams,
    ):
        read_to_its_end(*streams)


def read_to_its_end(read: IO[bytes], write: IO[bytes]) -> None:
    assert read.read() == b"begin\n"
    with pytest.raises(BrokenPipeError):
        write.write(b"x")


def test_one_that_is_left_early_is_ended() -> None:
    """The peer waits for the end of what it started."""
    with (
        Kubelet() as kubelet,
        pytest.raises(ZeroDivisionError),
        started(kubelet, TARGET, ENDLESS, limit=2**40, deadline_seconds=SECONDS) as (read, _write),
    ):
        1 / (100_000 - len(read.read(100_000)))


def test_one_that_is_cut_off_while_it_is_read_has_no_end() -> None:
    with (
        Kubelet(Faults(breaks_after=500_000)) as kubelet,
        pytest.raises(OcmError, match="broke off"),
        started(kubelet, TARGET, ENDLESS, limit=2**40, deadline_seconds=SECONDS) as (read, _write),
    ):
        read.read()


def test_one_that_prints_more_than_it_may_or_is_read_is_told() -> None:
    with (
        Kubelet() as kubelet,
        pytest.raises(OcmError, match="prints too much"),
        started(kubelet, TARGET, ENDLESS, limit=10**6, deadline_seconds=SECONDS) as (read, _write),
    ):
        read.read()
    with (
        Kubelet() as kubelet,
        pytest.raises(OcmError, match="prints more than is read"),
        started(kubelet, TARGET, ENDLESS, limit=2**40, deadline_seconds=SECONDS) as (_read, write),
    ):
        write.write(b"x" * (2 * WINDOW))
