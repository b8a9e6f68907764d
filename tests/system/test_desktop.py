"""A browser is led to a page by a file that its user alone reads; a stand-in says what it was given."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from tests import hosts

from openclaw_ocm.system import desktop, files, programs

if TYPE_CHECKING:
    from openclaw_ocm.system.host import Host

SECRET = "t0ken" * 8
DOCUMENT = f"<a href='http://127.0.0.1:19001/#token={SECRET}'>worker1</a>"
# Tells what it was called with, what it found there and how that lies, as a browser would read it.
OPENER = """#!{python}
import json, os, stat, sys, urllib.parse
path = urllib.parse.urlsplit(sys.argv[-1]).path
found = {{"argv": sys.argv[1:], "text": open(path).read(), "mode": stat.S_IMODE(os.stat(path).st_mode)}}
found["terminal"] = [os.readlink(f"/proc/self/fd/{{number}}") for number in range(3)]
with open({told!r}, "w") as file:
    json.dump(found, file)
sys.exit({status})
"""


class Desk:
    """A graphical session with programs on its PATH."""

    def __init__(self, home: Path) -> None:
        self.host: Host = hosts.context(home).host
        self.home = home
        self.bin = home / "bin"
        self.bin.mkdir()
        self.runtime = Path(self.host.runtime)
        self.runtime.mkdir(mode=0o700)
        self.environ = {"PATH": str(self.bin), "DISPLAY": ":0"}

    def add(self, name: str, *, status: int = 0) -> None:
        program = self.bin / name
        program.write_text(
            OPENER.format(python=sys.executable, told=str(self.home / f"{name}.json"), status=status)
        )
        program.chmod(0o755)

    def show(self, **environ: str) -> str | None:
        return desktop.show(self.host, {**self.environ, **environ}, DOCUMENT)

    def told(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / f"{name}.json").read_text())
        return found

    def pages(self) -> list[Path]:
        return sorted(self.runtime.glob("*"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    # What removes a page later outlives a test; here it goes at once, or is looked at by itself.
    monkeypatch.setattr(desktop, "_KEPT_SECONDS", 10)
    return Desk(tmp_path)


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ""}, False),
        ({"TERM": "xterm"}, False),
    ],
)
def test_a_graphical_session_has_a_display(*, environ: dict[str, str], found: bool) -> None:
    assert desktop.is_graphical(environ) is found


def test_a_browser_is_given_a_file_that_others_cannot_read(desk: Desk) -> None:
    desk.add("xdg-open")
    assert desk.show() is None
    told = desk.told("xdg-open")
    assert told["text"] == DOCUMENT
    assert told["mode"] == 0o600
    assert told["terminal"] == [os.devnull] * 3, "what it says disturbs nobody"
    (address,) = told["argv"]
    assert address.startswith(f"file://{desk.runtime}/ocm-open-")
    assert SECRET not in address


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("mine", ["{}"]),
        ("mine --new-window", ["--new-window", "{}"]),
        ("mine --url=%s --new", ["--url={}", "--new"]),
        ("gone:mine %s", ["{}"]),
        ("'un closed:mine", ["{}"]),
    ],
)
def test_the_browser_that_is_named_comes_first(desk: Desk, named: str, words: list[str]) -> None:
    desk.add("xdg-open")
    seen = desk.bin / "mine"
    seen.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$TOLD"\n')
    seen.chmod(0o755)
    told = desk.home / "mine.txt"
    assert desk.show(BROWSER=named, TOLD=str(told), PATH=f"{desk.bin}:/bin") is None
    (page,) = desk.pages()
    assert told.read_text().splitlines() == [word.format(f"file://{page}") for word in words]
    assert not (desk.home / "xdg-open.json").exists()


def test_where_nothing_opens_a_browser_it_is_said_and_nothing_lies_about(desk: Desk) -> None:
    said = desk.show()
    assert said is not None
    assert "xdg-utils" in said
    assert desk.pages() == []


def test_a_browser_that_does_not_come_up_is_told_and_the_page_is_gone(desk: Desk) -> None:
    desk.add("xdg-open", status=3)
    assert desk.show() == f"no browser came up: {desk.bin}/xdg-open ended with exit status 3"
    assert desk.pages() == []
    (desk.bin / "broken").write_text("#!/no/such/interpreter\n")
    (desk.bin / "broken").chmod(0o755)
    assert "No such file" in (desk.show(BROWSER="broken") or "")
    assert desk.pages() == []


def test_nothing_is_written_where_others_could_read_or_replace_it(desk: Desk) -> None:
    desk.add("xdg-open")
    desk.runtime.chmod(0o755)
    assert "no private place" in (desk.show() or "")
    assert desk.pages() == []
    desk.host = replace(desk.host, runtime=PurePosixPath(desk.home, "gone"))
    assert "no private place" in (desk.show() or "")


def test_what_is_run_is_told_to_who_asked(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.add("xdg-open")
    desk.host = replace(desk.host, runner=replace(desk.host.runner, verbose=True))
    assert desk.show() is None
    said = capfd.readouterr().err
    assert said.startswith(f"+ {desk.bin}/xdg-open file://")
    assert SECRET not in said


def test_a_page_goes_by_itself_and_one_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(DOCUMENT)
    argv = [sys.executable, "-I", "-S", "-c", programs.text("remove_later.py"), str(page), "0"]
    for _time in range(2):
        done = subprocess.run(argv, check=False, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert not page.exists()


def test_what_removes_a_page_is_there_before_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill at any moment leaves no page for longer than that."""
    began: list[list[str]] = []
    spawn = os.posix_spawn

    def full(*_given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def begin(path: str, argv: list[str], *rest: Any, **more: Any) -> int:  # noqa: ANN401 - as it takes them
        began.append(argv)
        return spawn(path, argv, *rest, **more)

    monkeypatch.setattr(os, "posix_spawn", begin)
    monkeypatch.setattr(files, "write_new", full)
    desk.add("xdg-open")
    assert "could not be written: No space" in (desk.show() or "")
    ((*_words, page, seconds),) = began
    assert page.startswith(f"{desk.runtime}/ocm-open-")
    assert seconds == "10"
