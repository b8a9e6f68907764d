"""`system.health` against a real server on loopback that answers as gateways do, or as none should."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.status import Answer
from openclaw_ocm.system import health

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_SECONDS = 20.0
ONE, TWO = parse_name("one"), parse_name("two")
STARTED = {"status": "started", "version": "2026.9.6"}


class Server(socketserver.ThreadingTCPServer):
    """Sends fixed bytes for each path; `drip` sends the rest a byte at a time, as long as the test lasts."""

    daemon_threads = True
    block_on_close = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: dict[str, bytes] = {}
        self.drip = False
        self.over = threading.Event()

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port

    def says(
        self, path: str, body: object, *, status: str = "200 OK", kind: str = "application/json"
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
        self.replies[path] = head.encode() + data


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        reply = self.server.replies.get(path, b"")
        try:
            while self.server.drip and reply and not self.server.over.wait(0.02):
                self.wfile.write(reply[:1])
                reply = reply[1:]
            self.wfile.write(reply)
        except OSError:
            pass  # the other side has heard enough


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.over.set()
        found.shutdown()
        thread.join()


def ask(server: Server) -> Answer:
    return health.ask(server.port, DEADLINE_SECONDS)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_ready_gateway_is_ready_with_its_version(server: Server) -> None:
    server.says("/startupz", STARTED)
    server.says("/readyz", {"ready": True, "failing": []})
    assert ask(server) == Answer(ready=True, phase="started", version="2026.9.6")


def test_a_starting_gateway_tells_what_it_waits_for(server: Server) -> None:
    server.says("/startupz", {"status": "starting"}, status="503 Service Unavailable")
    server.says(
        "/readyz", {"ready": False, "failing": ["startup-sidecars"]}, status="503 Service Unavailable"
    )
    assert ask(server) == Answer(phase="starting", failing=("startup-sidecars",))


def test_a_draining_gateway_is_draining_and_not_ready(server: Server) -> None:
    server.says("/startupz", {"status": "draining", "version": "2026.9.6"})
    server.says("/readyz", {"ready": False}, status="503 Service Unavailable")
    assert ask(server) == Answer(phase="draining", version="2026.9.6")


def test_nobody_listening_is_told_as_such() -> None:
    assert health.ask(free_port(), DEADLINE_SECONDS) == Answer(problem="not listening yet")


HTML = b"<!doctype html><title>Control UI</title>"


def test_html_with_status_200_is_no_usable_answer(server: Server) -> None:
    for path in ("/startupz", "/readyz"):
        server.says(path, HTML, kind="text/html")
    assert ask(server) == Answer(problem="no usable answer: JSONDecodeError")


def test_a_start_without_usable_readiness_is_no_usable_answer(server: Server) -> None:
    server.says("/startupz", STARTED)
    server.says("/readyz", HTML, kind="text/html")
    assert ask(server).ready is False
    assert ask(server).problem


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"true",
        b"[]",
        b'"ready"',
        b'{"ready": true',
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"ready": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_json_object_is_no_usable_answer(server: Server, body: bytes) -> None:
    server.says("/startupz", STARTED)
    server.says("/readyz", body)
    answer = ask(server)
    assert answer.problem is not None
    assert answer.problem.startswith("no usable answer")
    assert not answer.ready


@pytest.mark.parametrize("ready", ["true", 1, [True], {"ready": True}, None])
def test_only_true_is_ready(server: Server, ready: object) -> None:
    server.says("/startupz", STARTED)
    server.says("/readyz", {"ready": ready})
    assert ask(server) == Answer(phase="started", version="2026.9.6")


def test_fields_of_other_types_are_taken_as_not_there(server: Server) -> None:
    server.says("/startupz", {"status": ["started"], "version": 5})
    server.says("/readyz", {"ready": True, "failing": [1, None, "x"]})
    assert ask(server) == Answer(ready=True, failing=("x",))
    server.says("/startupz", {"status": "sleeping"})
    server.says("/readyz", {"ready": True, "failing": "x"})
    assert ask(server) == Answer(ready=True)


def test_what_a_gateway_says_is_cut_and_cleaned_of_escapes(server: Server) -> None:
    server.says("/startupz", {"status": "started", "version": "\x1b[31m1\n" + "x" * 1000})
    server.says("/readyz", {"ready": False, "failing": ["\x1b]0;a\x07b"] * 100})
    answer = ask(server)
    assert answer.version is not None
    assert len(answer.version) <= 120
    assert answer.version.startswith("1 x")
    assert answer.failing == (" ]0;a b",) * 10


def test_a_huge_body_is_not_read_to_its_end(server: Server) -> None:
    server.says("/startupz", STARTED)
    server.says("/readyz", b'{"ready": true, "padding": "' + b"x" * 50_000_000 + b'"}')
    answer = ask(server)
    assert not answer.ready
    assert answer.problem


def test_an_answer_that_is_no_http_is_no_usable_answer(server: Server) -> None:
    server.replies["/startupz"] = b"SSH-2.0-OpenSSH_9.2\r\n"
    assert ask(server) == Answer(problem="no usable answer: BadStatusLine")


def test_a_connection_closed_without_an_answer_is_no_usable_answer(server: Server) -> None:
    assert ask(server) == Answer(problem="no usable answer: RemoteDisconnected")


def test_a_body_cut_short_is_no_usable_answer(server: Server) -> None:
    server.replies["/startupz"] = b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"status": "star'
    answer = ask(server)
    assert answer.problem is not None


def test_a_server_that_never_answers_is_given_up_at_the_time_limit() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        assert health.ask(silent.getsockname()[1], 0.2) == Answer(problem="no answer within 0.2 s")


def test_an_answer_that_drips_holds_up_neither_the_caller_nor_the_others(server: Server) -> None:
    server.says("/startupz", {"status": "started", "padding": "x" * 5000})
    server.drip = True
    with closing(socket.create_server(("127.0.0.1", 0))) as quick:
        quick_port: int = quick.getsockname()[1]
        thread = threading.Thread(target=answer_as_ready, args=(quick,))
        thread.start()
        began = time.monotonic()
        answers = health.ask_all({ONE: server.port, TWO: quick_port}, deadline_seconds=1.5)
        waited = time.monotonic() - began
        thread.join()
    assert answers[ONE] == Answer(problem="no answer within 1.5 s")
    assert answers[TWO].ready
    assert waited < 10  # the drip would take 100 s


def answer_as_ready(listening: socket.socket) -> None:
    for body in (b'{"status":"started"}', b'{"ready":true}'):
        connection, _address = listening.accept()
        with connection:
            while b"\r\n\r\n" not in connection.recv(4096):
                pass
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_many_gateways_are_asked_at_once(server: Server) -> None:
    server.says("/startupz", STARTED)
    server.says("/readyz", {"ready": True})
    names = {parse_name(f"w{number}"): server.port for number in range(50)}
    answers = health.ask_all(names, deadline_seconds=DEADLINE_SECONDS)
    assert set(answers) == set(names)
    assert all(answer.ready for answer in answers.values())


def test_nobody_asked_is_nobody_answered() -> None:
    assert health.ask_all({}, deadline_seconds=1) == {}


def test_a_thread_that_meets_hostile_json_still_answers(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    server.says("/startupz", b"[" * 60_000)
    answers = health.ask_all({ONE: server.port}, deadline_seconds=DEADLINE_SECONDS)
    assert answers[ONE] == Answer(problem="no usable answer: RecursionError")
    assert capfd.readouterr().err == ""
