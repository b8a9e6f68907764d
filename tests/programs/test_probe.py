"""The probe, asked about a real sandbox that holds one of everything."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openclaw_ocm.core.sandbox.launch import BWRAP
from openclaw_ocm.system import programs

if TYPE_CHECKING:
    from collections.abc import Iterator

QUESTIONS = ("read", "write", "connect", "reach", "list", "identity")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory of which the sandbox sees `shown` alone, and can write `written` in that."""
    shown = tmp_path / "shown"
    for directory in (shown / "empty", shown / "written", tmp_path / "hidden"):
        directory.mkdir(parents=True)
    (shown / "file").write_text("x")
    (shown / "nothing").touch()
    (tmp_path / "hidden" / "file").write_text("x")
    return tmp_path


@pytest.fixture
def namespaces(place: Path) -> Iterator[list[str]]:
    """Run a program in a sandbox and return its namespaces."""
    shown = str(place / "shown")
    ends, info = os.pipe()
    argv = [BWRAP, "--unshare-user", "--unshare-ipc", "--ro-bind", "/usr", "/usr"]
    argv += [word for name in ("bin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
    argv += ["--ro-bind", shown, shown, "--bind", f"{shown}/written", f"{shown}/written"]
    argv += ["--info-fd", str(info), "--", "/bin/cat"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[info]) as process:
        os.close(info)
        with os.fdopen(ends) as told:
            pid = json.load(told)["child-pid"]
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"up\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"up\n"
        yield [f"/proc/{pid}/ns/{name}" for name in ("mnt", "ipc")]
        process.stdin.close()


def run(namespaces: list[str], **asked: list[str]) -> subprocess.CompletedProcess[str]:
    request = {**{kind: [] for kind in QUESTIONS}, **asked, "namespaces": namespaces}
    argv = [sys.executable, "-I", "-c", programs.text("probe.py")]
    return subprocess.run(argv, input=json.dumps(request), check=False, capture_output=True, text=True)


def ask(namespaces: list[str], **asked: list[str]) -> dict[str, dict[str, Any]]:
    done = run(namespaces, **asked)
    assert (done.returncode, done.stderr) == (0, "")
    answers: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return answers


def test_what_is_seen_and_what_can_be_written_is_told_as_it_is_inside(
    place: Path, namespaces: list[str]
) -> None:
    paths = [str(place / name) for name in ("shown", "shown/file", "hidden/file", "shown/nothing")]
    paths += [str(place / name) for name in ("shown/empty", "shown/written", "hidden")]
    shown, file, hidden, _nothing, _empty, written, outside = paths
    answers = ask(namespaces, read=paths, write=paths, list=[shown, outside], identity=[file, hidden])
    assert [path for path, can in answers["read"].items() if can] == [shown, file]
    assert {path for path, can in answers["write"].items() if can} == {written}
    assert sorted(answers["list"][shown]) == ["empty", "file", "nothing", "written"]
    assert answers["list"][outside] is None
    status = Path(file).stat()
    assert answers["identity"] == {file: [status.st_dev, status.st_ino], hidden: None}
    assert answers["read"].keys() == answers["write"].keys() == {*paths}
    assert list((place / "shown" / "written").iterdir()) == [], "it leaves nothing"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_socket_of_whatever_kind_is_reached_where_it_is_seen(
    place: Path, namespaces: list[str], kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(place / name / "socket") for name in ("shown", "hidden")]
    with socket.socket(socket.AF_UNIX, kind) as shown, socket.socket(socket.AF_UNIX, kind) as hidden:
        for end, path in zip((shown, hidden), paths, strict=True):
            monkeypatch.chdir(Path(path).parent)
            end.bind("socket")  # the whole path may be too long
            if kind != socket.SOCK_DGRAM:
                end.listen()
        answers = ask(namespaces, connect=paths)
    assert answers["connect"] == dict(zip(paths, (True, False), strict=True))


def test_namespaces_that_cannot_be_entered_end_it(namespaces: list[str]) -> None:
    done = run([*namespaces, "/proc/self/ns/user"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("setns: ")
