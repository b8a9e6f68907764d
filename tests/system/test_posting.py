"""Messages by POST to a real server on the loopback, and to programs: what does not get there is told."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.hosts import context

from openclaw_ocm.core.notify.message import Message, trial_message
from openclaw_ocm.core.notify.ways import Command, Email, Ntfy, Webhook
from openclaw_ocm.system import posting
from openclaw_ocm.system.posting import NotSentError, post, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openclaw_ocm.core.notify.ways import Way

MESSAGE = trial_message("box", 1_700_000_000.0)
SECRET = "T0PSECRET"


@dataclass
class Server:
    """A server that answers as it is told, and keeps what it got."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    drip: bool = False
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    cut_off: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{SECRET}"


@pytest.fixture
def server() -> Iterator[Server]:
    told, over = Server(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            told.got.append((self.path, dict(self.headers), self.rfile.read(length)))
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                while told.drip and not over.is_set():
                    self.wfile.write(b"x")
                    over.wait(0.05)
                self.wfile.write(told.body)
            except OSError:
                told.cut_off.set()

        def log_message(self, *_arguments: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = running.server_address[1]
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield told
    over.set()
    running.shutdown()
    running.server_close()


def why(url: str, seconds: float = 5.0) -> str:
    with pytest.raises(NotSentError) as caught:
        post(url, b"{}", {}, seconds=seconds)
    assert SECRET not in str(caught.value), "an address is a secret"
    return str(caught.value)


def test_a_webhook_gets_json(server: Server, tmp_path: Path) -> None:
    send(context(tmp_path).host, Webhook(name="ops", url=server.url), MESSAGE)
    ((path, headers, body),) = server.got
    assert path == f"/{SECRET}"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["title"] == "A test of ocm notify"


def test_ntfy_gets_the_text_and_its_headers(server: Server, tmp_path: Path) -> None:
    url = server.url.replace("http://", "http://ann:pass%20word@")
    send(context(tmp_path).host, Ntfy(name="phone", url=url), MESSAGE)
    ((_path, headers, body),) = server.got
    assert body.decode() == MESSAGE.text
    assert (headers["Title"], headers["Priority"]) == (MESSAGE.title, "3")
    assert headers["Authorization"] == "Basic YW5uOnBhc3Mgd29yZA=="


@pytest.mark.parametrize("status", [200, 201, 204])
def test_what_answers_well_has_the_message(server: Server, status: int) -> None:
    server.status = status
    post(server.url, b"{}", {})
    assert len(server.got) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_what_answers_badly_is_told_by_its_number(server: Server, status: int) -> None:
    server.status = status
    assert why(server.url) == f"its server answered HTTP {status}"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://127.0.0.1:1/x", "the loopback of this machine"),
        ("http://localhost/x", "the loopback of this machine"),
        ("http://10.1.2.3/x", "a private address"),
        ("https://example.org/x", "another server"),
        ("/elsewhere", "another path of the same server"),
        ("", "somewhere else"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server: Server, status: int, location: str, words: str) -> None:
    server.status, server.headers = status, {"Location": location}
    assert why(server.url) == f"it leads to {words}, which is not followed (HTTP {status})"
    assert len(server.got) == 1, "it was asked once"


def test_a_redirect_to_itself_is_not_followed_either(server: Server) -> None:
    server.status, server.headers = 307, {"Location": server.url}
    assert "which is not followed" in why(server.url)
    assert len(server.got) == 1


def test_of_a_huge_answer_no_more_than_a_bit_is_read(server: Server) -> None:
    server.body = bytes(64 * 2**20)
    post(server.url, b"{}", {})
    assert server.cut_off.wait(30)


def test_what_a_server_says_after_that_it_took_a_message_has_it_sent_no_second_time(server: Server) -> None:
    server.drip = True
    post(server.url, b"{}", {}, seconds=5)
    for rest in (b"Transfer-Encoding: chunked\r\n\r\nnonsense", b"Content-Length: 9\r\n\r\nx"):
        port = talking(b"HTTP/1.1 200 OK\r\n" + rest)()
        post(f"http://127.0.0.1:{port}/{SECRET}", b"{}", {})


def test_an_answer_of_a_byte_a_moment_holds_nobody_up() -> None:
    port = talking(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 50, moment=0.05)()
    assert why(f"http://127.0.0.1:{port}/{SECRET}", seconds=0.5) == "there was no answer within 0.5 s"


def test_a_server_that_hangs_is_given_up() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/{SECRET}"
        assert why(url, seconds=0.5) == "there was no answer within 0.5 s"
        assert why(url.replace("http", "https"), seconds=0.5) == "there was no answer within 0.5 s"


def test_a_name_that_is_looked_up_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def look_up(*_given: object, **_more: object) -> None:
        over.wait()
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert why(f"http://x.example/{SECRET}", seconds=0.3) == "there was no answer within 0.3 s"
    over.set()


@pytest.mark.parametrize("host", ["a..b", "a" * 70 + ".example", "x-.example.", "[::]:1"])
def test_a_name_that_cannot_be_one_is_no_answer(host: str) -> None:
    assert "HTTP" not in why(f"https://{host}/{SECRET}")


def looked_up(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    asked: list[str] = []

    def look_up(host: str, port: int, *_given: object, **_more: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize("addresses", [("203.0.113.9",), ("127.0.0.1", "203.0.113.9")])
def test_no_address_goes_out_of_private_networks_in_the_clear(
    server: Server, monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    looked_up(monkeypatch, *addresses)
    said = why(f"http://ops.example:{server.port}/{SECRET}")
    assert said == "its address is http and leads out of your networks: only https goes there"
    assert server.got == []


def test_a_name_of_a_private_network_is_looked_up_once_and_is_called_by_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = looked_up(monkeypatch, "127.0.0.1")
    post(f"http://box.example:{server.port}/x", b"{}", {})
    assert [host for host in asked if host != "127.0.0.1"] == ["box.example"]
    ((_path, headers, _body),) = server.got
    assert headers["Host"] == f"box.example:{server.port}"


def test_an_address_of_ipv6_is_asked() -> None:
    with contextlib.closing(socket.create_server(("::1", 0), family=socket.AF_INET6)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=answer_once, args=(listener,), daemon=True).start()
        post(f"http://[::1]:{port}/x", b"{}", {})


def answer_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        head = connection.recv(65536)
        good = b"Host: [::1]:" in head
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" if good else b"HTTP/1.1 400 Bad\r\n\r\n")


def test_no_proxy_of_the_environment_gets_an_address(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    post(server.url, b"{}", {})
    assert len(server.got) == 1


def test_where_nobody_listens_that_is_told() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        assert why(f"http://127.0.0.1:{nobody.getsockname()[1]}/{SECRET}") == "the connection was refused"


def test_a_name_that_there_is_not_is_told() -> None:
    assert why(f"https://nowhere.invalid/{SECRET}") == "the name of its server cannot be looked up"


def talking(answer: bytes, moment: float = 0.0) -> Callable[[], int]:
    """Serve one connection with some bytes, one a `moment`, and return what tells the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener, contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for byte in answer if moment else ():
                    connection.sendall(bytes([byte]))
                    threading.Event().wait(moment)
                connection.sendall(b"" if moment else answer)

    threading.Thread(target=serve, daemon=True).start()
    return lambda: int(listener.getsockname()[1])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n",
    ],
)
def test_what_is_no_answer_is_told(answer: bytes) -> None:
    port = talking(answer)()
    assert why(f"http://127.0.0.1:{port}/{SECRET}") in (
        "what its server answers is no HTTP",
        "there is no connection: Connection reset by peer",
    )


def test_an_answer_that_goes_on_and_on_before_it_begins_is_given_up() -> None:
    """A hundred thousand times `continue`, by which some wait for ever."""
    port = talking(b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000)()
    why(f"http://127.0.0.1:{port}/{SECRET}", seconds=2)


def test_plain_http_where_tls_is_asked_for_is_told() -> None:
    port = talking(b"HTTP/1.1 400 Bad Request\r\n\r\n")()
    assert why(f"https://127.0.0.1:{port}/{SECRET}") == "its server does not speak TLS as it should"


def program(tmp_path: Path, text: str, name: str = "tell") -> Path:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def refused(tmp_path: Path, way: Way, message: Message = MESSAGE) -> str:
    with pytest.raises(NotSentError) as caught:
        send(context(tmp_path).host, way, message)
    return str(caught.value)


def test_a_command_reads_the_message_and_gets_its_arguments(tmp_path: Path) -> None:
    tell = program(tmp_path, f'echo "$@" > {tmp_path}/words; cat > {tmp_path}/read')
    send(context(tmp_path).host, Command(name="a", argv=(str(tell), "a b", "$HOME")), MESSAGE)
    assert (tmp_path / "words").read_text() == "a b $HOME\n", "no shell reads them"
    assert (tmp_path / "read").read_text().splitlines()[0] == "A test of ocm notify"


def test_a_command_has_nothing_of_the_callers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_KEY", SECRET)
    tell = program(tmp_path, f"env > {tmp_path}/seen")
    send(context(tmp_path).host, Command(name="a", argv=(str(tell),)), MESSAGE)
    seen = (tmp_path / "seen").read_text()
    assert SECRET not in seen
    assert f"HOME={tmp_path}" in seen


def test_a_command_that_does_not_read_is_none_the_worse(tmp_path: Path) -> None:
    send(context(tmp_path).host, Command(name="a", argv=("/bin/true",)), MESSAGE)


def test_a_command_that_fails_is_told_without_what_it_said(tmp_path: Path) -> None:
    tell = program(tmp_path, f"echo {SECRET} >&2; exit 3")
    assert refused(tmp_path, Command(name="a", argv=(str(tell),))) == "the program ended with exit 3"
    tell = program(tmp_path, "kill -9 $$")
    assert refused(tmp_path, Command(name="a", argv=(str(tell),))) == "the program ended with signal 9"


def test_a_command_that_is_gone_or_no_program_is_told(tmp_path: Path) -> None:
    way = Command(name="a", argv=(str(tmp_path / "gone"),))
    assert refused(tmp_path, way) == "the program is not there"
    (tmp_path / "text").write_text("no program")
    way = Command(name="a", argv=(str(tmp_path / "text"),))
    if os.getuid():
        assert refused(tmp_path, way) == "the program cannot be run: Permission denied"


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "_PROGRAM_SECONDS", 0.5)
    way = Command(name="a", argv=("/bin/sleep", "99"))
    assert refused(tmp_path, way) == "it did not end within 0.5 s"


def test_a_command_that_prints_without_an_end_takes_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_PROGRAM_SECONDS", 1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(tmp_path, Command(name="a", argv=("/usr/bin/yes",))) == "it did not end within 1 s"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


def test_a_command_that_leaves_something_behind_has_sent_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a program of mail that delivers later: it would be sent every few minutes."""
    monkeypatch.setattr(posting, "_PROGRAM_SECONDS", 5.0)
    tell = program(tmp_path, f"sleep 60 & echo $! > {tmp_path}/left")
    send(context(tmp_path).host, Command(name="a", argv=(str(tell),)), MESSAGE)
    left = int((tmp_path / "left").read_text())
    os.kill(left, signal.SIGKILL)


def test_of_a_command_that_hangs_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "_PROGRAM_SECONDS", 1.0)
    tell = program(tmp_path, f"sleep 600 & echo $! > {tmp_path}/left; wait; sleep 600")
    assert "did not end" in refused(tmp_path, Command(name="a", argv=(str(tell),)))
    left = Path("/proc", (tmp_path / "left").read_text().strip(), "stat")
    ended = time.monotonic() + 10
    while left.exists() and ") Z " not in left.read_text() and time.monotonic() < ended:
        os.sched_yield()
    assert not left.exists() or ") Z " in left.read_text()


def test_a_mail_goes_by_sendmail_with_its_headers_on_standard_input(tmp_path: Path) -> None:
    sendmail = program(tmp_path, f'echo "$@" > {tmp_path}/words; cat > {tmp_path}/mail', "sendmail")
    way = Email(name="a", to="ann@example.org", program=str(sendmail))
    send(context(tmp_path).host, way, MESSAGE)
    assert (tmp_path / "words").read_text() == "-t\n"
    assert (
        (tmp_path / "mail")
        .read_text()
        .startswith("To: ann@example.org\nSubject: A test of ocm notify (box)\n")
    )


def test_the_programs_start_in_the_home(tmp_path: Path) -> None:
    tell = program(tmp_path, f"pwd > {tmp_path}/where")
    send(context(tmp_path).host, Command(name="a", argv=(str(tell),)), MESSAGE)
    assert PurePosixPath((tmp_path / "where").read_text().strip()) == PurePosixPath(tmp_path)
