"""What `ocm open` prints: links with tokens for a person at a terminal, without for anybody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.operations.kept import NAME, OTHER, Kept, keep

from openclaw_ocm.cli import frame, main
from openclaw_ocm.cli import open as opening
from openclaw_ocm.operations import open as operation

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    Run = Callable[..., subprocess.CompletedProcess[str]]

SSH = {"SSH_CONNECTION": "198.51.100.7 50514 203.0.113.5 22"}
DESK = {"DISPLAY": ":0"}
NOTHING: Mapping[str, str] = {}
LINE = "ssh -N -L 19001:127.0.0.1:19001 -L 19021:127.0.0.1:19021 -o ExitOnForwardFailure=yes ann@203.0.113.5"
# Of whoever runs the tests.
OTHERS = ("SSH_CONNECTION", "SUDO_USER", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
OPENER = '#!/bin/sh\ncat "${1#file://}" >"$0.page"; exit 0\n'


class Person:
    """Somebody with two agents, who types `ocm open`."""

    def __init__(self, kept: Kept, patch: pytest.MonkeyPatch) -> None:
        self.kept, self.patch = kept, patch
        self.bin = kept.home / "bin"
        self.bin.mkdir()
        Path(kept.host.runtime).mkdir(mode=0o700)

    def token(self, name: str = NAME) -> str:
        config = json.loads((self.kept.home / f".openclaw-{name}" / "openclaw.json").read_text())
        found: str = config["gateway"]["auth"]["token"]
        return found

    def open(
        self, *words: str, terminal: bool = True, environ: Mapping[str, str] = NOTHING
    ) -> tuple[int, str, str]:
        self.patch.setattr(opening, "_is_terminal", lambda: terminal)
        obj = {"verbose": False, "debug": False}
        env = {**dict.fromkeys(OTHERS), "PATH": f"{self.bin}:/usr/bin:/bin", **environ}
        # As below `ocm`, which makes an exit status of what a command returns.
        done = CliRunner().invoke(
            opening.open_command, words, env=env, obj=obj, standalone_mode=False, **main.ocm.context_settings
        )
        assert done.exception is None, done.exception
        return done.return_value, done.stdout, done.stderr

    def answer(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.open(*words, "--json", environ=SSH)[1])
        return found


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Person:
    kept = keep(tmp_path, monkeypatch)
    kept.deploy()
    kept.deploy(OTHER)
    monkeypatch.setattr(frame, "this_host", lambda _ctx: kept.host)
    monkeypatch.setattr(operation, "is_booted", lambda: True)
    return Person(kept, monkeypatch)


def links(person: Person) -> list[str]:
    width = len(OTHER)
    return [
        f"{name.ljust(width)}  http://127.0.0.1:{port}/#token={person.token(name)}"
        for name, port in ((NAME, 19001), (OTHER, 19021))
    ]


@pytest.mark.parametrize("words", [(NAME, OTHER), (NAME, OTHER, NAME)], ids=len)
def test_over_ssh_the_one_line_and_the_links_are_printed(person: Person, words: tuple[str, ...]) -> None:
    code, out, err = person.open(*words, environ=SSH)
    assert (code, out.splitlines()) == (0, [LINE, *links(person)])
    assert err.splitlines() == [
        "ocm: on the machine where your browser is, type this and leave it running:",
        "ocm: then open there:",
    ]


def test_where_nobody_knows_the_line_is_a_hint(person: Person) -> None:
    code, out, err = person.open(NAME, OTHER)
    assert (code, out.splitlines()) == (0, links(person))
    assert "these are addresses of this machine alone; from another one, first: ssh -N -L 19001:" in err


def test_in_a_container_nobody_is_sent_to_ssh(person: Person) -> None:
    person.patch.setattr(operation, "is_booted", lambda: False)
    code, out, err = person.open(NAME, OTHER)
    assert (code, out.splitlines()) == (0, links(person))
    assert "addresses of this machine or container alone; ocm expose opens an instance to others\n" in err
    assert "ssh" not in err


@pytest.mark.parametrize("environ", [{}, SSH, DESK], ids=str)
def test_no_token_goes_where_no_person_reads_it(person: Person, environ: dict[str, str]) -> None:
    """In a graphical session the browser has it, and what is printed has not."""
    (person.bin / "xdg-open").write_text(OPENER)
    (person.bin / "xdg-open").chmod(0o755)
    for words in ((NAME, OTHER), ("--all", "--print"), (NAME, "--json"), (NAME, "--json", "--print")):
        code, out, err = person.open(*words, terminal=False, environ=environ)
        assert code == 0
        assert "http://127.0.0.1:19001/" in out
        assert person.token() not in out + err
        assert "#token" not in out
        if "--json" not in words and ("--print" in words or not environ.get("DISPLAY")):
            assert "--show-token adds them" in err


@pytest.mark.parametrize("terminal", [True, False])
def test_who_asks_for_the_token_has_it_printed(person: Person, *, terminal: bool) -> None:
    for environ in ({}, SSH, DESK):
        code, out, err = person.open(NAME, "--show-token", terminal=terminal, environ=environ)
        assert code == 0
        assert f"http://127.0.0.1:19001/#token={person.token()}\n" in out
        assert "no browser" not in err
        assert "--show-token" not in err


def test_json_has_no_token_unless_it_is_asked_for(person: Person) -> None:
    plain = person.answer(NAME, OTHER)
    assert plain["ok"] is True
    assert [(one["link"], one["token"]) for one in plain["results"]] == [
        ("http://127.0.0.1:19001/", "hidden"),
        ("http://127.0.0.1:19021/", "hidden"),
    ]
    assert {one["ssh"] for one in plain["results"]} == {LINE}
    asked = person.answer(NAME, "--show-token")
    assert [(one["link"], one["token"]) for one in asked["results"]] == [
        (f"http://127.0.0.1:19001/#token={person.token()}", "shown")
    ]


def test_in_a_graphical_session_the_browser_opens_it(person: Person) -> None:
    opener = person.bin / "xdg-open"
    opener.write_text(OPENER)
    opener.chmod(0o755)
    code, out, err = person.open(NAME, environ=DESK)
    assert (code, out) == (0, f"{NAME}: http://127.0.0.1:19001/ is in the browser\n")
    assert person.token() not in out + err
    page = opener.with_name("xdg-open.page").read_text()
    assert f"0; url=http://127.0.0.1:19001/#token={person.token()}" in page
    code, out, _err = person.open(NAME, OTHER, environ={"WAYLAND_DISPLAY": "wayland-0"})
    assert (code, len(out.splitlines())) == (0, 2)
    assert "is on the page in the browser" in out
    page = opener.with_name("xdg-open.page").read_text()
    assert "refresh" not in page
    assert all(person.token(name) in page for name in (NAME, OTHER))


@pytest.mark.parametrize("words", [("--print",), ("--json",), ("--show-token",)], ids=str)
def test_no_browser_is_started_where_something_is_to_be_printed(
    person: Person, words: tuple[str, ...]
) -> None:
    opener = person.bin / "xdg-open"
    opener.write_text(OPENER)
    opener.chmod(0o755)
    assert person.open(NAME, *words, environ=DESK)[0] == 0
    assert not opener.with_name("xdg-open.page").exists()


def test_where_no_browser_comes_up_the_link_is_printed(person: Person) -> None:
    opener = person.bin / "mine"
    opener.write_text("#!/bin/sh\nexit 4\n")
    opener.chmod(0o755)
    code, out, err = person.open(NAME, environ={"DISPLAY": ":0", "BROWSER": "mine"})
    assert (code, out.splitlines()) == (
        0,
        [links(person)[0].replace(OTHER[len(NAME) :], "").replace("    ", "  ")],
    )
    assert f"no browser came up: {opener} ended with exit status 4" in err


def test_one_that_is_stopped_is_an_error_where_it_was_named(person: Person) -> None:
    person.kept.stop(OTHER)
    code, out, err = person.open(NAME, OTHER, environ=SSH)
    assert code == 3
    assert "19021" not in out
    assert f"ocm: {OTHER} is stopped\nocm: ocm start {OTHER}\n" in err
    code, out, err = person.open(OTHER, environ=SSH)
    assert (code, out) == (1, "")
    answer = person.answer(NAME, OTHER)
    assert (answer["ok"], [one["name"] for one in answer["results"]]) == (False, [NAME])
    assert [(one["name"], one["code"], one["hint"]) for one in answer["errors"]] == [
        (OTHER, "not_running", f"ocm start {OTHER}")
    ]


def test_among_all_one_that_is_stopped_is_a_sentence(person: Person) -> None:
    person.kept.stop(OTHER)
    code, out, err = person.open("--all", environ=SSH)
    assert code == 0
    assert "19021" not in out
    assert err.endswith(f"ocm: {OTHER} is stopped: ocm start {OTHER}\n")
    answer = person.answer("--all")
    assert (answer["ok"], answer["warnings"]) == (True, [f"{OTHER} is stopped: ocm start {OTHER}"])


def test_why_a_link_has_no_token_is_said(person: Person) -> None:
    path = person.kept.home / f".openclaw-{NAME}" / "openclaw.json"
    config = json.loads(path.read_text())
    config["gateway"]["auth"] = {"mode": "password", "password": "p4ss"}
    path.write_text(json.dumps(config))
    code, out, err = person.open(NAME, environ=SSH)
    assert (code, out.splitlines()[-1]) == (0, f"{NAME}  http://127.0.0.1:19001/")
    assert f"ocm: the page of {NAME} asks for its password, which no link carries\n" in err
    assert "--show-token" not in err
    assert "p4ss" not in out + err


def test_bad_input_is_one_sentence(ocm: Run) -> None:
    for words, code, said in (
        (("open",), 2, "name one or more instances, or say --all"),
        (("open", "a", "--all"), 2, "name one or more instances, or say --all"),
        (("open", "nobody"), 1, "there is no instance nobody"),
        (("open", "../x"), 2, "../x"),
    ):
        done = ocm(*words)
        assert (done.returncode, done.stdout) == (code, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_without_instances_it_says_how_to_make_one(ocm: Run) -> None:
    done = ocm("open", "--all")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no instances: ocm deploy worker1 makes one" in done.stderr
    assert json.loads(ocm("open", "--all", "--json").stdout)["results"] == []
