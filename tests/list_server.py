"""Servers of model lists on loopback, over http or https, that do as told; and a proxy that takes notes."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedIOBase
    from pathlib import Path

    Reply = Callable[[BufferedIOBase], None]


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for localhost, and its key."""

    certificate: Path
    key: Path


def make_certificate(directory: Path) -> Certificate:
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", str(made.key), "-out", str(made.certificate), "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return made


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()
            thread.join()


class ListServer(_Server):
    """Answers each path as `replies` says; keeps the head of every request. `over` ends what would wait."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _ListHandler)
        self.replies: dict[str, Reply] = {}
        self.heads: list[str] = []
        self.over = threading.Event()
        self.tls: ssl.SSLContext | None = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(certificate.certificate, certificate.key)

    def url(self, path: str = "/v1/models") -> str:
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}{path}"

    def raw(self, data: bytes, path: str = "/v1/models") -> str:
        """Have a path answered with these very bytes; return its URL."""

        def reply(to: BufferedIOBase) -> None:
            to.write(data)

        self.replies[path] = reply
        return self.url(path)

    def body(self, data: bytes, path: str = "/v1/models", *, status: str = "200 OK", head: str = "") -> str:
        """Have a path answered with a body; return its URL."""
        lines = f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{head}\r\n"
        return self.raw(lines.encode() + data, path)

    def page(self, rows: list[Any], path: str = "/v1/models", **about: object) -> str:
        return self.body(json.dumps({"data": rows, **about}).encode(), path)

    def redirect(self, location: str, path: str = "/v1/models") -> str:
        return self.body(b"", path, status="302 Found", head=f"Location: {location}\r\n")


class _ListHandler(socketserver.StreamRequestHandler):
    server: ListServer

    def setup(self) -> None:
        if self.server.tls:
            self.request = self.server.tls.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
        super().setup()

    def handle(self) -> None:
        # A client that does not trust the certificate, or has heard enough, goes away in the middle.
        with contextlib.suppress(OSError):
            head = b"".join(iter(self.rfile.readline, b"\r\n")).decode()
            self.server.heads.append(head)
            self.server.replies[head.split()[1]](self.wfile)

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()


class Proxy(_Server):
    """An HTTP proxy for CONNECT; keeps the head of every request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.heads: list[str] = []


class _ProxyHandler(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        head = b"".join(iter(self.rfile.readline, b"\r\n")).decode()
        self.server.heads.append(head)
        host, _colon, port = head.split()[1].rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as target:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(target, self.connection))
            back.start()
            _copy(self.connection, target)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
