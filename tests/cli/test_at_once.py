"""Gateways started at once by a real supervisord, and an interruption that reaches each of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[2] / "src"
NAMES = ("worker1", "worker2", "worker3")
LONG = 60.0
# In the place of Node: a gateway that says that it is there, and is ready once it may be.
GATEWAY = """#!/usr/bin/python3 -I
import http.server, json, os, pathlib, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
home = pathlib.Path(__file__).parent
(home / f"began-{port}").touch()

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = (home / "go").exists()
        status = "started" if ready else "starting"
        said = {"status": status, "version": "2026.9.6", "ready": ready, "failing": []}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""
RECORD = """name = "{name}"
backend = "supervisord"
sealed = false
port = {port}

[runtime]
node = "{home}/node"
openclaw = "{home}/openclaw"
"""


class Home:
    """The home of a user with three instances, in a short path for the socket of supervisord."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "node").write_text(GATEWAY)
        (path / "node").chmod(0o755)
        (path / "openclaw").mkdir()
        (path / "openclaw" / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
        (path / "openclaw" / "openclaw.mjs").touch()
        self.ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        records = path / ".config/ocm/instances"
        records.mkdir(parents=True)
        for name, port in self.ports.items():
            (records / f"{name}.toml").write_text(RECORD.format(name=name, port=port, home=path))
            state = path / f".openclaw-{name}"
            state.mkdir()
            config = {"gateway": {"port": port, "mode": "local", "bind": "loopback"}}
            (state / "openclaw.json").write_text(json.dumps(config))

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ocm in a process group of its own, as a shell does."""
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "openclaw_ocm", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.path,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.path),
                "XDG_RUNTIME_DIR": str(self.path / "none"),
                "PYTHONPATH": str(SOURCE),
            },
            start_new_session=True,
        )

    def ocm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=LONG)
        assert "Traceback" not in err
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def states(self) -> dict[str, str]:
        rows = json.loads(self.ocm("list", "--json").stdout)["results"]
        return {row["name"]: row["state"] for row in rows}

    def endings(self) -> list[tuple[str, str]]:
        """Return of each change in the history which instance it was and how it ended, sorted."""
        changes = json.loads(self.ocm("history", "--json").stdout)["results"]
        return sorted((change["instance"], change["ended"]) for change in changes)

    def wait_until(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONG
        while not met():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def all_began(self) -> bool:
        return all((self.path / f"began-{port}").exists() for port in self.ports.values())


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def home() -> Iterator[Home]:
    path = Path(tempfile.mkdtemp(prefix="ocm-", dir="/tmp"))
    made = Home(path)
    yield made
    made.ocm("delete", "--all", "--force", "--yes", "--jobs", "1")
    shutil.rmtree(path)


def test_all_are_started_at_once_and_stopped_at_once(home: Home) -> None:
    start = home.begin("start", "--all", "--jobs", "3")
    # None is ready before all have begun: one after the other they would wait for ever.
    home.wait_until(home.all_began)
    assert set(home.states().values()) == {"starting"}
    (home.path / "go").touch()
    out, err = start.communicate(timeout=LONG)
    assert start.returncode == 0, err
    assert out.splitlines() == [f"{name}: ready, not sealed" for name in NAMES]
    assert set(home.states().values()) == {"ready"}
    assert home.ocm("stop", "--all").stdout.splitlines() == [f"{name}: stopped" for name in NAMES]
    assert home.endings() == sorted([(name, "done") for name in NAMES] * 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_undoes_each_change(home: Home, number: signal.Signals) -> None:
    start = home.begin("start", "--all", "--jobs", "3")
    home.wait_until(home.all_began)
    os.killpg(start.pid, number)
    out, err = start.communicate(timeout=LONG)
    assert (start.returncode, out) == (130, "")
    assert err.endswith("ocm: interrupted\n")
    assert set(home.states().values()) <= {"stopped", "failed"}
    assert home.endings() == [(name, "interrupted, undone") for name in NAMES]
    assert list((home.path / ".local/state/ocm/transactions").iterdir()) == []


def test_what_is_stopped_needs_no_record_that_can_be_read(home: Home) -> None:
    (home.path / "go").touch()
    assert home.ocm("start", "worker1", "worker2").returncode == 0
    (home.path / ".config/ocm/instances/worker1.toml").write_text("junk")
    assert home.states()["worker2"] == "ready"
    stopped = home.ocm("stop", "worker1")
    assert (stopped.returncode, stopped.stdout) == (0, "worker1: stopped\n")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", home.ports["worker1"])).close()
