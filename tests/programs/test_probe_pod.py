"""The probe of a pod, run in what is like one, in what is almost like one, and in none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.backends.kubernetes.pods import template
from tests.programs.pods import LikePod

from openclaw_ocm.backends.kubernetes.pod_answers import (
    Answer,
    answer_violations,
    asking_for,
    parse_answer,
    question,
    reach_violations,
)
from openclaw_ocm.backends.kubernetes.pod_places import Place
from openclaw_ocm.core.sandbox.launch import PYTHON
from openclaw_ocm.system import programs

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = programs.text("probe_pod.py")
# Of the root alone that is another here: an image has all in one.
OF_THE_STAND_IN = "is mounted at /usr, which the pod is not given"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory that everybody can enter, which a test's own is not."""
    with tempfile.TemporaryDirectory(prefix="ocm-pod-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def ask(pod: LikePod, *asked: Place) -> Answer:
    done = pod.run([PYTHON, "-ISc", PROBE, question(template(), asked)])
    assert (done.returncode, done.stderr) == (0, b"")
    return parse_answer(done.stdout)


def judged(answer: Answer) -> list[str]:
    found = [*answer_violations(answer, template()), *reach_violations(answer, ())]
    return [one for one in found if OF_THE_STAND_IN not in one]


def test_what_is_like_a_pod_has_no_violation(place: Path) -> None:
    answer = ask(LikePod(place=place))
    assert judged(answer) == []
    assert answer.server == "127.0.0.1 1"
    assert answer.reach == {"127.0.0.1 1": "ECONNREFUSED"}
    # The terminals, and what is no hardware.
    assert {tuple(one[1:3]) for one in answer.devices or ()} <= {("c", 1), ("c", 5)}
    assert answer.devices
    left = [path for volume in place.iterdir() if volume.is_dir() for path in volume.iterdir()]
    assert left == [], "it leaves nothing"


def test_without_a_sandbox_it_finds_that_there_is_none() -> None:
    argv = [sys.executable, "-ISc", PROBE, question(template(), ())]
    done = subprocess.run(argv, check=True, capture_output=True)
    found = "\n".join(judged(parse_answer(done.stdout)))
    for words in (
        "may gain new privileges",
        "has no system call filter",
        "bounding capabilities",
        "has another user than 1000" if os.getuid() != 1000 else "",
        "the root inside is not mounted read-only",
        "nothing is mounted at /home/node/.openclaw inside",
        "/sys inside can be written",
        "did not tell where the API server is",
    ):
        assert words in found


def test_without_a_filter_of_system_calls_that_is_found(place: Path) -> None:
    assert judged(ask(LikePod(place=place, filtered=False))) == [
        "a process inside has no system call filter (Seccomp is not 2)"
    ]


def test_a_root_that_can_be_written_is_found(place: Path) -> None:
    found = judged(ask(LikePod(place=place, closed=False)))
    assert "a process inside can write /etc" in found
    assert "the root inside is not mounted read-only" in found


def test_another_user_is_found(place: Path) -> None:
    assert judged(ask(LikePod(place=place, user=0)))[:2] == [
        f"a process inside has another {what} than 1000: {' '.join('0000')}" for what in ("user", "group")
    ]


def test_a_capability_is_found(place: Path) -> None:
    found = judged(ask(LikePod(place=place, user=0, options=("--cap-add", "CAP_SYS_ADMIN"))))
    assert "a process inside has effective capabilities (0000000000200000)" in found
    assert "a process inside has bounding capabilities (0000000000200000)" in found


@pytest.mark.parametrize("where", ["/run/secrets/kubernetes.io/serviceaccount", "/somewhere"])
def test_a_token_is_found_wherever_it_is(place: Path, where: str) -> None:
    (place / "account").mkdir()
    (place / "account" / "token").write_text("x")
    found = judged(ask(LikePod(place=place, options=("--ro-bind", str(place / "account"), where))))
    assert f"a process inside has a token for the API server at {where}/token" in found
    assert any(f"is mounted at {where}," in one for one in found)


def test_a_directory_of_the_node_is_found(place: Path) -> None:
    (found,) = judged(ask(LikePod(place=place, options=("--ro-bind", "/etc", "/host"))))
    assert found.endswith("is mounted at /host, which the pod is not given")


def test_settings_of_the_kernel_that_can_be_written_are_found(place: Path) -> None:
    found = judged(ask(LikePod(place=place, options=("--unshare-net", "--proc", "/proc"))))
    assert any("can write settings of the kernel, such as /proc/sys/" in one for one in found)


def test_what_can_be_reached_is_told_and_what_is_silent_or_refused_too(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as open_, socket.socket() as closed, socket.socket() as full:
        closed.bind(("127.0.0.1", 0))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # Whoever comes once two wait is not answered.
        waiting = [socket.create_connection(full.getsockname()) for _ in range(1)]
        ends = [open_, closed, full]
        asked = [Place(address="127.0.0.1", port=end.getsockname()[1], what="a test") for end in ends]
        answer = ask(LikePod(place=place), *asked, Place(address="nowhere", port=1, what="no address"))
        for end in waiting:
            end.close()
    told = [answer.reach[str(one)] for one in asked]
    assert told == ["reached", "ECONNREFUSED", "silence"]
    assert answer.reach["nowhere 1"] == "EINVAL"


def test_it_listens_where_it_is_told_and_takes_whoever_comes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [PYTHON, "-ISc", programs.text("listen.py"), str(port)]
    place = Place(address="127.0.0.1", port=port, what="the listener")
    with subprocess.Popen(argv) as listener:
        try:
            for _ in range(100):
                done = subprocess.run(
                    [PYTHON, "-ISc", PROBE, asking_for(place)], check=True, capture_output=True
                )
                if (told := parse_answer(done.stdout).reach[str(place)]) == "reached":
                    break
            assert told == "reached"
            assert listener.poll() is None
        finally:
            listener.kill()
