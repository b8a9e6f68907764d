"""What stands for an API server: it answers on loopback, over TLS, as a real one does, and takes notes."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.hosts import context
from tests.list_server import Certificate, make_certificate

from openclaw_ocm.backends.kubernetes.cluster import Cluster
from openclaw_ocm.core.placement import Access

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openclaw_ocm.system.host import Host


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Answer(NamedTuple):
    body: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class ApiServer(ThreadingHTTPServer):
    """Answers a method and a path with the answers to it in turn, and with the last one from then on."""

    daemon_threads = True

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.certificate = certificate
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.asked: list[Asked] = []
        self.over = threading.Event()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate.certificate, certificate.key)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_address[1]}"

    def answer(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)

    def paths(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ApiServer

    def setup(self) -> None:
        self.request = self.server.tls.wrap_socket(
            self.request, server_side=True, do_handshake_on_connect=False
        )
        super().setup()

    def handle(self) -> None:
        # A client that does not trust the certificate, or has heard enough, goes away in the middle.
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        self.request.close()

    def reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        asked = Asked(
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            json.loads(body) if body else None,
        )
        self.server.asked.append(asked)
        answers = self.server.answers.get((self.command, self.path))
        if answers is None:
            # As one that hangs.
            self.server.over.wait(60)
            return
        one = answers.pop(0) if len(answers) > 1 else answers[0]
        data = one.body if isinstance(one.body, bytes) else json.dumps(one.body).encode()
        self.send_response(one.status)
        for name, value in (*one.headers, ("Content-Length", str(len(data)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = reply  # noqa: N815 - as its parent looks for them

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its parent has it
        """Say nothing."""


@contextlib.contextmanager
def api_server(directory: Path) -> Iterator[ApiServer]:
    with ApiServer(make_certificate(directory)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def kubeconfig(api: ApiServer, user: dict[str, Any] | None = None, **cluster: object) -> dict[str, Any]:
    authority = base64.b64encode(api.certificate.certificate.read_bytes()).decode()
    named = {"server": api.url, "certificate-authority-data": authority, **cluster}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "there", "cluster": named}],
        "users": [{"name": "ann", "user": {"token": "sk-secret"} if user is None else user}],
        "contexts": [{"name": "lab", "context": {"cluster": "there", "user": "ann"}}],
        "current-context": "another",
    }


def access(directory: Path, config: dict[str, Any]) -> Access:
    path = directory / "config"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    return Access(kubeconfig=str(path), context="lab")


def host(directory: Path) -> Host:
    return context(directory).host


def cluster(directory: Path, server: ApiServer, user: dict[str, Any] | None = None) -> Cluster:
    return Cluster(access(directory, kubeconfig(server, user)), host(directory))


def status(code: int, reason: str, message: str, **details: object) -> Answer:
    """Return a failure as an API server tells it."""
    said = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        **({"details": details} if details else {}),
        "code": code,
    }
    return Answer(said, code)
