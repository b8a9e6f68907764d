"""What an uplink does of itself; namespaces, rules and slirp4netns are in the machine tests."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core import network as core
from openclaw_ocm.programs.uplink import network
from openclaw_ocm.programs.uplink.host import Failed
from openclaw_ocm.programs.uplink.main import options
from openclaw_ocm.programs.uplink.network import Uplink
from openclaw_ocm.system import uplinks

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY = ["--rules", "/r", "--state", "/s", "--serve", "127.0.0.1:19001"]


def test_a_gateway_has_a_port_and_a_unit_or_what_makes_its_sandbox() -> None:
    chosen = options([*GATEWAY, "--reach-host", "--of-unit", "g.service"])
    assert (chosen.rules, chosen.state, chosen.serve) == ("/r", "/s", ("127.0.0.1", 19001))
    assert (chosen.reaches_host, chosen.unit, chosen.argv) == (True, "g.service", [])
    assert not chosen.expose
    assert options([*GATEWAY, "--expose", "--of-unit", "g.service"]).expose
    chosen = options([*GATEWAY, "--", "/usr/bin/bwrap", "--rules", "x"])
    assert (chosen.reaches_host, chosen.unit, chosen.argv) == (
        False,
        None,
        ["/usr/bin/bwrap", "--rules", "x"],
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--rules", "/r"],
        ["--rules", "/r", "--"],
        ["--rules", "/r", "--state", "/s", "--", "x"],
        ["--rules", "/r", "--serve", "127.0.0.1:1", "--", "x"],
        ["--of-unit", "u"],
        [*GATEWAY, "--wings", "--", "x"],
        [*GATEWAY[:-1], "127.0.0.1:many", "--", "x"],
    ],
)
def test_a_command_line_that_says_too_little_is_told(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        options(words)
    assert caught.value.code == 64
    assert "usage: uplink" in capfd.readouterr().err


def test_what_is_tried_beforehand_is_what_it_does() -> None:
    assert uplinks._TRY[-1] == network.LOAD
    assert core.OUTER_PORT == network.OUTER_PORT


def test_nobody_else_gets_the_port_of_the_other_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as end:
        port = end.getsockname()[1]
        held = network.hold(port)
        if held is None:
            pytest.fail("this machine has no IPv6 loopback to try it on")
        with pytest.raises(Failed, match=f"port {port} on ::1 cannot be had"):
            network.hold(port)
        with socket.socket(socket.AF_INET6) as other, pytest.raises(ConnectionRefusedError):
            other.connect(("::1", port))
        held.close()


@pytest.mark.parametrize("kept", [False, True])
def test_it_removes_its_own_files_and_none_where_its_caller_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    state, cwd = tmp_path / "state", tmp_path / "cwd"
    for directory in (state, cwd):
        directory.mkdir()
        for name in ("api", "slirp.pid"):
            (directory / name).touch()
    monkeypatch.chdir(cwd)
    words = ["--state", str(state), "--serve", "127.0.0.1:1"] if kept else []
    made = Uplink(options(["--rules", "/r", *words, "--", "x"]), os.getpid())
    made.stop()
    made.addresses.close()
    os.close(made.handle)
    assert sorted(path.name for path in cwd.iterdir()) == ["api", "slirp.pid"]
    assert sorted(path.name for path in state.iterdir()) == ([] if kept else ["api", "slirp.pid"])


def test_whoever_hears_it_listen_finds_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the port is served until there is no process any more that serves it."""
    file, found = tmp_path / "slirp.pid", []

    def stand_in(_chosen: object, _pid: int, tell: int, _said: int) -> None:
        os.write(tell, b"1")
        signal.pause()

    def served(*_place: object, **_more: object) -> None:
        found.append(int(file.read_text()))

    def ended(pid: int, _how: int) -> tuple[int, int]:
        found.append(int(file.read_text()))
        return wait(pid, 0)

    wait = os.waitpid
    monkeypatch.setattr(network, "_become_slirp", stand_in)
    monkeypatch.setattr(network, "serve", served)
    monkeypatch.setattr(os, "waitpid", ended)
    words = ["--rules", "/r", "--state", str(tmp_path), "--serve", "127.0.0.1:1", "--", "x"]
    made = Uplink(options(words), os.getpid())
    made.start()
    pid = made.slirp
    made.stop()
    made.addresses.close()
    os.close(made.handle)
    assert found == [pid, pid]
    assert not file.exists()
