"""`openclaw_ocm.system.model_list` against real servers on loopback, honest ones and others."""

from __future__ import annotations

import base64
import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from tests import model_lists
from tests.list_server import Certificate, ListServer, Proxy, make_certificate

from openclaw_ocm.core.models.endpoint import Endpoint
from openclaw_ocm.core.models.listing import PROVIDERS, Page, read_models
from openclaw_ocm.errors import USAGE, OcmError
from openclaw_ocm.system import model_list as catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase

# Long enough for any machine: no honest test comes near it.
PLENTY = 60.0
ROWS = [{"id": "a"}, {"id": "b"}]
PASSED = base64.b64encode(b"ann:s3cret/").decode().lower()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[ListServer]:
    yield from serve(ListServer())


@pytest.fixture
def secure(certificate: Certificate) -> Iterator[ListServer]:
    yield from serve(ListServer(certificate))


@pytest.fixture
def trusted(secure: ListServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> ListServer:
    """Have this process trust the certificate of a server."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    return secure


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Run a proxy that the environment names, with a password."""
    found = Proxy()
    monkeypatch.setenv("https_proxy", f"http://ann:s3cret%2F@127.0.0.1:{found.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{found.port}")
    with found.serving():
        yield found


def serve(server: ListServer) -> Iterator[ListServer]:
    with server.serving():
        yield server
        server.over.set()


def download(url: str, *, seconds: float = PLENTY) -> Page:
    return catalog.download(url, lambda _phase: None, seconds=seconds)


def refused(url: str, *, seconds: float = PLENTY) -> OcmError:
    with pytest.raises(OcmError) as caught:
        download(url, seconds=seconds)
    error = caught.value
    assert error.hint
    assert error.message.isprintable()
    assert "s3cret" not in error.message
    return error


def test_a_list_is_read_without_a_key_and_without_compression(server: ListServer) -> None:
    assert download(server.page(ROWS)) == Page(rows=tuple(ROWS))
    (head,) = server.heads
    assert head.startswith("GET /v1/models HTTP/1.1\r\n")
    assert "Accept-Encoding: identity\r\n" in head
    assert "User-Agent: ocm/" in head
    assert "authorization" not in head.lower()


@pytest.mark.parametrize(
    ("provider", "rows"), [("ppq", model_lists.ppq(400)), ("openrouter", model_lists.openrouter(500))]
)
def test_hundreds_of_models_are_read(server: ListServer, provider: str, rows: list[dict[str, Any]]) -> None:
    told: list[str] = []
    page = catalog.download(server.page(rows), told.append)
    assert page.rows == tuple(rows)
    assert len(read_models(PROVIDERS[provider], page).models) >= len(rows) - 2
    assert told == [f"{len(rows)} models, {len(json.dumps({'data': rows})) // 1024} kB"]


def test_a_list_in_chunks_is_read(server: ListServer) -> None:
    body = json.dumps(ROWS).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[at : at + 1]) for at in range(len(body)))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert download(server.raw(head + chunks + b"0\r\n\r\n")).rows == tuple(ROWS)
    assert refused(server.raw(head + chunks)).message.endswith("broke off before the list was complete")


@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"data": [{"id": "a"}]}',
        b'HTTP/1.1 200 OK\r\n\r\n{"data": [{"id": "a"},',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n[]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 500 \x1b[31m\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html><title>Welcome</title>",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n[]",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n[]",
        b"\x1b[31m\xff\xfe nonsense",
        b"",
    ],
)
def test_an_answer_that_is_not_the_whole_list_is_refused_in_one_sentence(
    server: ListServer, answer: bytes
) -> None:
    codes = ("list_unreadable", "download_failed", "redirect_refused")
    assert refused(server.raw(answer)).code in codes


def test_a_body_of_ten_megabytes_is_refused_and_not_read_to_its_end(server: ListServer) -> None:
    error = refused(server.body(b"[" + b" " * 10_000_000 + b"]"))
    assert (error.code, "larger than 8 MB" in error.message) == ("list_too_large", True)


def test_a_body_without_end_is_refused(server: ListServer) -> None:
    def reply(to: BufferedIOBase) -> None:
        to.write(b"HTTP/1.1 200 OK\r\n\r\n[")
        while not server.over.is_set():
            to.write(b" " * 65536)

    server.replies["/v1/models"] = reply
    assert refused(server.url()).code == "list_too_large"


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n["])
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(server: ListServer, begin: bytes) -> None:
    def reply(to: BufferedIOBase) -> None:
        to.write(begin)
        while not server.over.wait(0.02):
            to.write(b"x")

    server.replies["/v1/models"] = reply
    error = refused(server.url(), seconds=0.5)
    assert (error.code, error.message) == ("timeout", "the list did not arrive within 0.5 s")


def test_a_server_that_is_not_there_is_told(server: ListServer) -> None:
    url = server.url()
    server.shutdown()
    server.server_close()
    assert refused(url).message == "127.0.0.1 is not reached"


# Trust


def test_a_certificate_that_nobody_vouches_for_is_refused(secure: ListServer) -> None:
    error = refused(secure.page(ROWS))
    assert error.message == "localhost is not trusted: self-signed certificate"
    assert secure.heads == [], "nothing was asked of it"


def test_the_same_server_is_read_once_its_certificate_is_trusted(trusted: ListServer) -> None:
    assert download(trusted.page(ROWS)).rows == tuple(ROWS)


def test_a_trusted_certificate_of_another_host_is_refused(trusted: ListServer) -> None:
    url = trusted.page(ROWS).replace("localhost", "127.0.0.1")
    assert "127.0.0.1 is not trusted: IP address mismatch" in refused(url).message


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://ppq.example/v1/models",
            "http://8.8.8.8/v1/models",
            "http://100.64.0.1/v1/models",
            "http://127.0.0.1.example/",
            "ftp://h/x",
        ),
        *(
            "file:///etc/passwd",
            "ppq.example/v1/models",
            "/etc/passwd",
            "https://",
            "https:///v1",
            "",
            "\x1b[31m",
        ),
        *(
            "http://localhost.example/",
            "https://ann:s3cret@h/",
            "http://ann@127.0.0.1/",
            "https://[::1",
            "x" * 9999,
        ),
        *(
            "http://0x7f.1/",
            "http://[::2]/",
            "https://h:99999/",
            "https://\ud800/",
            "data:,[]",
            "https://é é/",
        ),
    ],
)
def test_a_url_that_no_list_is_read_from_is_refused(url: str) -> None:
    error = refused(url)
    assert (error.code, error.exit_code) == ("url_invalid", USAGE)
    assert len(error.message) < 250


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_plain_http_is_for_this_machine_alone(server: ListServer, host: str) -> None:
    assert download(server.page(ROWS).replace("127.0.0.1", host)).rows == tuple(ROWS)


# Redirects and pages


def test_a_redirect_to_https_is_followed(server: ListServer, trusted: ListServer) -> None:
    trusted.page(ROWS, "/list")
    assert download(trusted.redirect("/list")).rows == tuple(ROWS)
    assert download(server.redirect(trusted.url())).rows == tuple(ROWS)


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://127.0.0.1:1/v1/models",
            "http://ppq.example/",
            "file:///etc/passwd",
            "ftp://h/",
            "HTTP://h/",
        ),
        *(
            "https://ann:s3cret@localhost/",
            "https://",
            "",
            "//",
            "http:\\\\h",
            "javascript:1",
            "https://[::1",
        ),
    ],
)
def test_a_redirect_to_anywhere_else_is_refused(trusted: ListServer, location: str) -> None:
    error = refused(trusted.redirect(location))
    assert error.code in ("redirect_refused", "list_unreadable")
    assert len(trusted.heads) <= 1 + catalog.MAX_REDIRECTS


def test_redirects_without_end_are_given_up(trusted: ListServer) -> None:
    assert refused(trusted.redirect("/v1/models")).message == "localhost redirects without end"
    assert len(trusted.heads) == catalog.MAX_REDIRECTS + 1


def test_the_pages_of_a_list_are_read_one_after_the_other(server: ListServer) -> None:
    server.page([{"id": "c"}], "/v1/more?page=3", links={"next": None}, total_count=3)
    server.page([{"id": "b"}], "/v1/models?page=2", links={"next": server.url("/v1/more?page=3")})
    page = download(server.page([{"id": "a"}], links={"next": "/v1/models?page=2"}))
    assert page == Page(rows=({"id": "a"}, {"id": "b"}, {"id": "c"}), total=3)


@pytest.mark.parametrize(
    "following", ["https://ppq.example/v1/models", "http://127.0.0.1:1/", "file:///etc/passwd"]
)
def test_a_next_page_of_another_server_is_refused(server: ListServer, following: str) -> None:
    assert refused(server.page(ROWS, links={"next": following})).code == "redirect_refused"
    assert len(server.heads) == 1


def test_pages_without_end_are_given_up(server: ListServer) -> None:
    assert "do not end" in refused(server.page(ROWS, links={"next": "/v1/models"})).message
    assert len(server.heads) == 1
    for number in range(catalog.MAX_PAGES + 5):
        server.page([], f"/{number}", links={"next": f"/{number + 1}"})
    assert "do not end" in refused(server.url("/0")).message
    assert len(server.heads) == 1 + catalog.MAX_PAGES


def test_the_pages_together_are_bounded(server: ListServer) -> None:
    blank = " " * (3 * 2**20)
    for number in range(3):
        server.page([blank], f"/{number}", links={"next": f"/{number + 1}"})
    assert refused(server.url("/0")).code == "list_too_large"
    assert len(server.heads) == 3


# Proxies


def test_https_goes_through_the_proxy_of_the_environment_and_is_verified(
    trusted: ListServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert download(trusted.page(ROWS)).rows == tuple(ROWS)
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT localhost:{trusted.port} HTTP/1.")
    assert f"proxy-authorization: basic {PASSED}\r\n" in head.lower()
    assert "proxy-authorization" not in trusted.heads[0].lower()
    monkeypatch.delenv("SSL_CERT_FILE")
    assert "localhost is not trusted" in refused(trusted.url()).message


def test_what_the_environment_excepts_and_plain_http_do_not_go_through_the_proxy(
    server: ListServer, trusted: ListServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert download(server.page(ROWS)).rows == tuple(ROWS)
    monkeypatch.setenv("no_proxy", "example.org,localhost")
    assert download(trusted.page(ROWS)).rows == tuple(ROWS)
    assert proxy.heads == []


@pytest.mark.parametrize(
    "named",
    ["http://ann:s3cret@127.0.0.1:1", "127.0.0.1:1", "socks5://ann:s3cret@127.0.0.1:1", "http://[", "::"],
)
def test_a_proxy_that_does_not_work_is_told_without_its_password(
    trusted: ListServer, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("https_proxy", named)
    error = refused(trusted.page(ROWS))
    assert error.code in ("download_failed", "proxy_unsupported")
    assert "proxy" in error.message
    assert trusted.heads == []


# In the clear


def looked_up(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def answer(_host: str, port: int, *_args: object, **_named: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_a_name_in_a_private_network_is_asked_at_the_address_that_was_looked_at(
    server: ListServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up(monkeypatch, "127.0.0.1")
    server.page(ROWS)
    assert download(f"http://litellm.local:{server.port}/v1/models").rows == tuple(ROWS)
    (head,) = server.heads
    assert f"Host: litellm.local:{server.port}\r\n" in head


def test_a_name_one_of_whose_addresses_is_public_is_refused(
    server: ListServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up(monkeypatch, "192.168.1.20", "8.8.8.8")
    assert refused("http://litellm.local/v1/models").code == "url_invalid"
    looked_up(monkeypatch)
    assert refused("http://litellm.local/v1/models").code == "url_invalid"
    assert server.heads == []


def test_who_else_is_in_a_private_network_is_warned_of(
    server: ListServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.page(ROWS)
    headers = {"Authorization": "Bearer sk-lab"}
    asked = Endpoint(name="lab", base_url=server.url("/v1"), urls=(server.url(),), headers=headers)
    page, notes = catalog.download_from(asked, lambda _phase: None)
    assert (page.rows, notes) == (tuple(ROWS), ()), "nobody is between this machine and itself"
    monkeypatch.setattr(catalog, "is_loopback", lambda _address: False)
    _page, (note,) = catalog.download_from(asked, lambda _phase: None)
    assert note.startswith(f"127.0.0.1:{server.port} is asked by plain http: its key and its list")
