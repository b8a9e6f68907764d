"""A peer on the loopback that runs programs as a kubelet does for `exec`, and fails as one may.

It speaks real websockets (wsproto) and runs what it is asked for on this machine.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import wsproto
from wsproto import events
from wsproto.utilities import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Self

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
# As io.Copy moves it.
CHUNK = 32768


@dataclass
class Faults:
    """What goes wrong: the connection breaks, or the pod ends, once so much was printed or given."""

    subprotocol: str | None = V4
    breaks_after: int | None = None
    breaks_after_given: int | None = None
    ends_after: int | None = None
    loses: int = 0
    status: dict[str, Any] | None = None
    complaint: bytes = b""
    first: bytes | None = None


@dataclass
class Seen:
    """What was asked."""

    targets: list[str] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)


class Client:
    """Opens websockets to one, as a `Cluster` does."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextlib.contextmanager
    def websocket(
        self, path: str, parameters: Sequence[tuple[str, str]], subprotocols: Sequence[str]
    ) -> Iterator[Any]:
        """Yield a websocket to it."""
        import httpx2

        with (
            httpx2.Client(base_url=self.url) as client,
            client.websocket(
                path,
                params=list(parameters),
                subprotocols=list(subprotocols),
                queue_size=64,
                keepalive_ping_interval_seconds=None,
            ) as opened,
        ):
            yield opened


class Kubelet(Client):
    """Serves one connection after the other, each in a thread."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.seen = Seen()
        self._server = socket.create_server(("127.0.0.1", 0))
        super().__init__(f"http://127.0.0.1:{self._server.getsockname()[1]}")
        self._threads: list[threading.Thread] = []
        self.connections: list[Served] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._server.accept()
                served = Served(self, connection)
                self.connections.append(served)
                thread = threading.Thread(target=served.serve, daemon=True)
                self._threads.append(thread)
                thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a connection goes on"


class Served:
    """One connection, and the program that runs for it."""

    def __init__(self, kubelet: Kubelet, connection: socket.socket) -> None:
        self._kubelet = kubelet
        self._faults = kubelet.faults
        self._connection = connection
        self._websocket = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self._lock = threading.Lock()
        self._printed = self._given = 0
        self._begun = b""
        self._copiers: list[threading.Thread] = []
        self.process: subprocess.Popen[bytes] | None = None

    def serve(self) -> None:
        with self._connection, contextlib.suppress(OSError, LocalProtocolError):
            while data := self._connection.recv(65536):
                self._websocket.receive_data(data)
                for event in self._websocket.events():
                    self._handle(event)
        # The pod goes on without its client, whose end is the end of the input.
        if self.process is not None:
            assert self.process.stdin
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            self.process.wait(30)
            for copier in self._copiers:
                copier.join(30)

    def _handle(self, event: events.Event) -> None:
        if isinstance(event, events.Request):
            self._begin(event)
        elif isinstance(event, events.BytesMessage):
            self._begun += event.data
            if event.message_finished:
                message, self._begun = self._begun, b""
                self._give(message)
        elif isinstance(event, events.CloseConnection):
            self._send(event.response())
            self._break()

    def _begin(self, request: events.Request) -> None:
        parts = urlsplit(request.target)
        self._kubelet.seen.targets.append(request.target)
        asked = parse_qsl(parts.query, keep_blank_values=True)
        assert {name: value for name, value in asked if name != "command"} == {
            "container": "gateway",
            "stdin": "true",
            "stdout": "true",
            "stderr": "true",
            "tty": "false",
        }
        assert request.subprotocols == [V5, V4]
        self._send(events.AcceptConnection(subprotocol=self._faults.subprotocol))
        # As the kubelet says that the streams are there.
        self._tell(1, b"")
        if self._faults.first is not None:
            self._send(events.BytesMessage(data=self._faults.first))
        if self._faults.status is not None:
            self._end(self._faults.status)
            return
        argv = [value for name, value in asked if name == "command"]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        for number in (1, 2):
            copier = threading.Thread(target=self._copy, args=(number, self.process), daemon=True)
            self._copiers.append(copier)
            copier.start()
        threading.Thread(target=self._follow, args=(self.process,), daemon=True).start()

    def _give(self, data: bytes) -> None:
        assert data[:1] == b"\0", data[:1]
        if self.process is None:
            return
        assert self.process.stdin
        rest = memoryview(data)[1:]
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[self.process.stdin.write(rest) or 0 :]
        self._given += len(data)
        if self._faults.breaks_after_given is not None and self._given > self._faults.breaks_after_given:
            self._break()

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        for copier in self._copiers:
            copier.join()
        code = process.wait()
        code = code if code >= 0 else 128 - code
        failed = {
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
        self._end(failed if code else {"metadata": {}, "status": "Success"})

    def _copy(self, number: int, process: subprocess.Popen[bytes]) -> None:
        pipe = process.stdout if number == 1 else process.stderr
        assert pipe
        with pipe:
            self._copy_all(number, pipe, process)

    def _copy_all(self, number: int, pipe: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        while data := pipe.read(CHUNK):
            if number == 1:
                self._printed += len(data)
                if self._faults.loses and self._printed > 2**17:
                    data, self._faults.loses = data[self._faults.loses :], 0
            self._tell(number, data)
            faults = self._faults
            if faults.breaks_after is not None and self._printed > faults.breaks_after:
                self._break()
            if faults.ends_after is not None and self._printed > faults.ends_after:
                process.kill()

    def _end(self, status: dict[str, Any]) -> None:
        if self._faults.complaint:
            self._tell(2, self._faults.complaint)
        self._tell(3, json.dumps({"kind": "Status", "apiVersion": "v1", **status}).encode())
        self._send(events.CloseConnection(code=1000))
        # What still comes is read: else the connection is reset, and what was just said is lost on the way.
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def _tell(self, number: int, data: bytes) -> None:
        self._send(events.BytesMessage(data=bytes([number]) + data))

    def _send(self, event: events.Event) -> None:
        with self._lock, contextlib.suppress(OSError, LocalProtocolError):
            self._connection.sendall(self._websocket.send(event))

    def _break(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
