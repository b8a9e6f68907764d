"""One loop over several: at once, printed in order, interrupted as one alone would be."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from openclaw_ocm.cli.answers import Answers
from openclaw_ocm.cli.frame import conclude
from openclaw_ocm.cli.main import ocm as group
from openclaw_ocm.errors import BUG, OcmError, UndoIncomplete, bug

Run = Callable[..., subprocess.CompletedProcess[str]]
AddRecord = Callable[..., Path]
LONG = 30.0
SOURCE = Path(__file__).parents[2] / "src"


@contextmanager
def locked(home: Path, name: str) -> Iterator[IO[str]]:
    """Hold the lock of an instance, as another ocm would that changes it."""
    path = home / ".local/state/ocm/locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def begin(home: Path, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start ocm as a shell does a job: in a process group of its own."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "no-runtime"),
        "PYTHONPATH": str(SOURCE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": "xterm",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "openclaw_ocm", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=home,
        env=environ,
        start_new_session=True,
    )


def read_until(stream: IO[str], pattern: str) -> str:
    """Return what a stream has said once a pattern is in it."""
    deadline, text = time.monotonic() + LONG, ""
    while not re.search(pattern, text):
        left = deadline - time.monotonic()
        assert left > 0, text
        if select.select([stream], [], [], left)[0]:
            piece = os.read(stream.fileno(), 65536).decode()
            assert piece, text
            text += piece
    return text


@pytest.fixture
def three(add_record: AddRecord) -> tuple[str, ...]:
    names = ("worker1", "worker2", "worker3")
    for number, name in enumerate(names):
        add_record(name, port=19001 + 20 * number)
    return names


def test_answers_are_printed_in_the_order_of_the_names_whichever_comes_first(
    home: Path, three: tuple[str, ...]
) -> None:
    with locked(home, "worker1") as lock:
        ocm = begin(home, "stop", *three, "--jobs", "3")
        assert ocm.stderr
        told = read_until(ocm.stderr, "2 of 3")
        assert "ocm: worker1:" not in told
        fcntl.flock(lock, fcntl.LOCK_UN)
        rest = ocm.communicate(timeout=LONG)[1]
    assert ocm.returncode == 1
    answers = re.findall(r"^ocm: (worker\d): no|^ocm: (worker\d): systemctl", told + rest, re.MULTILINE)
    assert ["".join(names) for names in answers] == list(three)
    assert sorted(re.findall(r"^ocm: (worker\d) failed after", told + rest, re.MULTILINE)) == list(three)


@pytest.mark.parametrize("jobs", ["1", "2", "3"])
def test_json_is_the_same_at_once_and_in_turn(process: Run, three: tuple[str, ...], jobs: str) -> None:
    done = process("stop", "--all", "--jobs", jobs, "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"], answer["results"]) == (1, False, [])
    assert [error["name"] for error in answer["errors"]] == list(three)
    assert "no systemd user manager answers" in done.stdout or "systemctl is not installed" in done.stdout


def test_at_once_they_are_worked_on_at_once(home: Path, three: tuple[str, ...]) -> None:
    with locked(home, "worker1"), locked(home, "worker2"):
        ocm = begin(home, "stop", *three, "--jobs", "3")
        assert ocm.stderr
        read_until(ocm.stderr, "worker3 failed after .*, 1 of 3")
        ocm.send_signal(signal.SIGTERM)
        ocm.communicate(timeout=LONG)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_ends_all_in_order(
    home: Path, three: tuple[str, ...], number: signal.Signals
) -> None:
    with locked(home, "worker1"), locked(home, "worker2"):
        ocm = begin(home, "stop", *three, "--jobs", "3")
        assert ocm.stderr
        told = read_until(ocm.stderr, "worker3 failed after .*, 1 of 3")
        os.killpg(ocm.pid, number)
        out, rest = ocm.communicate(timeout=LONG)
    assert ocm.returncode == 130
    assert out == ""
    assert (told + rest).endswith("ocm: interrupted\n")
    assert "Traceback" not in told + rest
    # What had come to an end is told, though the ones before it never did.
    assert "ocm: worker3: " in rest


def test_each_has_a_line_on_a_terminal_and_the_answers_come_after(home: Path, three: tuple[str, ...]) -> None:
    ours, theirs = pty.openpty()
    with locked(home, "worker1") as lock, os.fdopen(ours, closefd=True) as screen:
        ocm = begin(home, "stop", *three, "--jobs", "3", stderr=theirs)
        os.close(theirs)
        told = read_until(screen, "2 of 3 done")
        assert "worker1" in told
        assert "worker2: failed" in told
        fcntl.flock(lock, fcntl.LOCK_UN)
        rest = read_until(screen, "ocm: worker3: ")
        ocm.communicate(timeout=LONG)
    assert ocm.returncode == 1
    answers = re.findall(r"ocm: (worker\d): ", told + rest)
    assert answers == list(three)


def test_one_alone_needs_no_other_process_and_says_nothing_of_how_far_it_is(
    ocm: Run, three: tuple[str, ...]
) -> None:
    done = ocm("stop", three[0], "--jobs", "5")
    assert "after" not in done.stderr


def outcome(*errors: OcmError, results: int = 0) -> int:
    named = [(str(number), error) for number, error in enumerate(errors)]
    context = group.make_context("ocm", ["stop", "--help"], resilient_parsing=True)
    return conclude(context, (list(range(results)), named), as_json=False)


def test_the_exit_code_tells_the_worst() -> None:
    failed, undone = OcmError("no"), UndoIncomplete("no")
    usage = OcmError("no", exit_code=2)
    assert outcome(results=2) == 0
    assert outcome(failed) == 1
    assert outcome(failed, results=1) == 3
    assert outcome(usage, failed) == 2
    assert outcome(failed, undone) == outcome(undone, failed, results=5) == 4
    assert outcome(failed, bug(ValueError("x")), results=1) == BUG
    assert outcome(undone, bug(ValueError("x"))) == 4


def test_a_drill_and_a_verification_give_the_same_exit_codes(ocm: Run, home: Path) -> None:
    """They had a loop of their own."""
    for name in ("a.tar.gz", "b.tar.gz"):
        (home / name).write_text("no archive")
    done = ocm("backups", "verify", "./a.tar.gz", "./b.tar.gz")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_answers_wait_for_the_ones_before_them() -> None:
    printed: list[str] = []
    answers = Answers(items=("a", "b", "c"), silent=False, show=printed.append)
    answers.succeeded("c", "C")
    answers.print_ready()
    assert printed == []
    answers.succeeded("a", "A")
    answers.print_ready()
    assert printed == ["A"]
    answers.print_ready(skipping=True)
    assert printed == ["A", "C"]
    answers.succeeded("b", "B")
    answers.print_ready()
    assert printed == ["A", "C", "B"]
    assert answers.results == ["A", "B", "C"]


@pytest.mark.parametrize("value", ["0", "-1", "1001", "many", "1.5"])
def test_a_bound_that_cannot_be_is_refused(ocm: Run, home: Path, value: str) -> None:
    done = ocm("stop", "--all", "--jobs", value)
    assert done.returncode == 2
    assert "--jobs" in done.stderr
    assert list(home.iterdir()) == []
