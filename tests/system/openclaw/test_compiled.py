"""What Node compiled: filled once by a gateway that reaches nothing, and read by all that is sealed."""

from __future__ import annotations

import json
import socket
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.core.record import Runtime
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.host import Host
from openclaw_ocm.system.openclaw import compiled
from openclaw_ocm.system.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Stands for Node with OpenClaw: keeps as compiled what it could reach, and answers that it is ready.
NODE = """#!/usr/bin/python3
import http.server, json, os, pathlib, socket, sys
def reached(what):
    try:
        what()
    except OSError:
        return False
    return True
found = {{
    "environment": sorted(os.environ),
    "host": reached(lambda: socket.create_connection(("127.0.0.1", {port}), 1)),
    "home": reached(lambda: open({home!r} + "/.bashrc")),
    "cache": reached(lambda: pathlib.Path({cache!r}, "planted").write_text("x")),
}}
kept = pathlib.Path(os.environ["NODE_COMPILE_CACHE"], "v24-x64")
kept.mkdir()
(kept / "found").write_text(json.dumps(found))
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{{"ready":true}}')
{then}
import signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Ready).serve_forever()
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    home = PurePosixPath(tmp_path, "home")
    Path(home).mkdir()
    Path(home, ".bashrc").write_text("")
    return Host(
        user="ann",
        uid=1000,
        paths=host_paths(home, {}),
        runtime=PurePosixPath(tmp_path, "run"),
        runner=Runner(environ={"PATH": "/usr/bin:/bin"}),
        search_path="/usr/bin",
    )


@pytest.fixture
def listening() -> Iterator[int]:
    """Give a port of the host's loopback on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def make(host: Host, tmp_path: Path, listening: int) -> Callable[..., Runtime]:
    def runtime(then: str = "", version: str = "2026.9.6") -> Runtime:
        node, package = tmp_path / "node", tmp_path / "openclaw"
        home = str(host.paths.home)
        node.write_text(NODE.format(port=listening, home=home, cache=str(host.paths.compiled), then=then))
        node.chmod(0o755)
        package.mkdir(exist_ok=True)
        (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": version}))
        return Runtime(node=str(node), openclaw=str(package))

    return runtime


def quiet(_words: str) -> None:
    """Say nothing."""


def test_it_is_filled_once_by_a_gateway_that_reaches_nothing(
    host: Host, make: Callable[..., Runtime]
) -> None:
    runtime, said = make(), list[str]()
    assert not compiled.is_kept(host.paths, runtime)
    for _ in range(2):
        compiled.keep(host, runtime, said.append)
    assert said == ["compile OpenClaw, once for all instances"]
    assert compiled.is_kept(host.paths, runtime)
    found = json.loads(Path(host.paths.compiled, "v24-x64", "found").read_text())
    assert (found["host"], found["home"], found["cache"]) == (False, False, False)
    assert "OPENCLAW_STATE_DIR" in found["environment"]
    assert not list(Path(host.paths.ocm_data).glob(".ocm-*"))


def test_another_version_is_compiled_anew(host: Host, make: Callable[..., Runtime]) -> None:
    compiled.keep(host, make(), quiet)
    assert not compiled.is_kept(host.paths, make(version="2026.9.7"))


def test_one_that_does_not_become_ready_leaves_nothing(host: Host, make: Callable[..., Runtime]) -> None:
    runtime = make(then="sys.exit('no such thing')")
    with pytest.raises(OcmError, match="could not be compiled") as caught:
        compiled.keep(host, runtime, quiet)
    assert "no such thing" in caught.value.details
    assert not compiled.is_kept(host.paths, runtime)
    assert not Path(host.paths.compiled).exists()
    assert not list(Path(host.paths.ocm_data).glob(".ocm-*"))


def test_links_are_not_taken(host: Host, make: Callable[..., Runtime]) -> None:
    compiled.keep(host, make(then="(kept / 'link').symlink_to('/etc/passwd')"), quiet)
    assert [path.name for path in Path(host.paths.compiled, "v24-x64").iterdir()] == ["found"]


def test_what_is_too_much_is_forgotten(
    host: Host, make: Callable[..., Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = make()
    compiled.keep(host, runtime, quiet)
    Path(host.paths.compiled, "v24-x64", "older").write_text("")
    monkeypatch.setattr(compiled, "_MOST_KEPT", 1)
    compiled.keep(host, make(version="2026.9.7"), quiet)
    assert [path.name for path in Path(host.paths.compiled, "v24-x64").iterdir()] == ["found"]
    make()
    assert not compiled.is_kept(host.paths, runtime)


def test_what_a_kill_left_goes_with_the_next_unless_one_is_at_work(
    host: Host, make: Callable[..., Runtime]
) -> None:
    runtime = make()
    compiled.keep(host, runtime, quiet)
    left = Path(host.paths.ocm_data, ".ocm-compiling-0123456789ab")
    left.mkdir()
    with files.lock(host.paths.locks / "@compiled.lock", "test"):
        compiled.keep(host, runtime, quiet)
        assert left.exists()
    compiled.keep(host, runtime, quiet)
    assert not left.exists()
