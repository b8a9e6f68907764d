"""The way to one API server: who is asked, as whom, and what is told where no answer comes.

lightkube makes the connection of what the kubeconfig says. What is asked and answered is JSON, and bounded
here before it is read: lightkube's own calls read all that comes, into models that know no other fields.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from openclaw_ocm.backends.kubernetes import credentials, kubeconfig
from openclaw_ocm.backends.kubernetes.answers import BUSY, UNAUTHORIZED, Asked, refused
from openclaw_ocm.backends.kubernetes.unreached import unreached
from openclaw_ocm.errors import ClusterUnreachable, OcmError
from openclaw_ocm.system.in_time import within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager, ExitStack

    from httpx2 import Client, Response
    from httpx2.websockets import WebSocketSession

    from openclaw_ocm.backends.kubernetes.kinds import Place
    from openclaw_ocm.core.placement import Access
    from openclaw_ocm.system.host import Host

CONNECT_SECONDS, READ_SECONDS = 5.0, 10.0
_MAX_REFUSAL = 2**16
# Of what came by a websocket and is not taken yet: how large a message may be, and how many may wait.
_LONGEST_MESSAGE, _MOST_WAITING = 2**16, 64
_REDIRECTED = 300
# An API server that has lost its etcd or is being started says so with one of these.
_PASSING = (500, 503, 504)
_PAUSES, _MOST_PAUSE = (0.5, 1.5), 5.0
JSON = "application/json"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked, and about which object or objects.

    It is given up where nothing is heard for `silence_seconds` (None: nobody gives up), where the answer is
    not there after `seconds`, and where it is more than `limit` bytes.
    """

    method: str
    path: str
    place: Place | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(repr=False, default=None)
    content_type: str = JSON
    silence_seconds: float | None = READ_SECONDS
    seconds: float = 60.0
    limit: int = 2**24


class _Failure(Exception):
    """An API server, or what is before it, answered with an HTTP status of failure."""

    def __init__(self, status: int, body: bytes, pause_seconds: float) -> None:
        super().__init__(status)
        self.status, self.body, self.pause_seconds = status, body, pause_seconds


class Connection:
    """Asks one API server, of which nothing is known before the first question."""

    def __init__(self, access: Access, host: Host) -> None:
        self._access = access
        self.named = f"the cluster of context {kubeconfig.shown(access.context)}"
        self._host = host
        self._opening = threading.Lock()
        self._client: Client | None = None
        self._renewable = False

    def ask(self, request: Request) -> bytes:
        """Return what is answered to what may be asked twice, or was not heard the first time.

        Raises `ClusterRefuses` where that is a failure, `ClusterUnreachable` where nothing comes, and
        `OcmError` where the kubeconfig leads nowhere or more comes than should.
        """
        pauses, renewals = iter(_PAUSES), iter((0.0,))
        while True:
            try:
                return self._read(request)
            except _Failure as failure:
                pause = None
                if failure.status == UNAUTHORIZED and self._renewable:
                    # By what we ask has ended meanwhile. It is given anew, once.
                    self.close()
                    pause = next(renewals, None)
                elif failure.status == BUSY or (failure.status in _PASSING and request.method == "GET"):
                    pause = next(pauses, None)
                if pause is None:
                    raise self._refused(failure, request.place) from None
                time.sleep(min(max(pause, failure.pause_seconds), _MOST_PAUSE))

    def _read(self, request: Request) -> bytes:
        deadline = time.monotonic() + request.seconds
        data = bytearray()
        with self._answer(request) as chunks:
            for chunk in chunks:
                data += chunk
                if len(data) > request.limit:
                    message = f"{self.named} answers with more than {request.limit // 2**20} MB"
                    raise OcmError(message, hint="is it an API server?", code="cluster_answer")
                if time.monotonic() > deadline:
                    message = f"{self.named} did not answer in full within {request.seconds:g} s"
                    raise ClusterUnreachable(message, hint="try again")
        return bytes(data)

    @contextlib.contextmanager
    def stream(self, request: Request) -> Iterator[Iterator[bytes]]:
        """Yield what is answered as it comes, without a limit. Raises as `ask` does, which asks again."""
        try:
            with self._answer(request) as chunks:
                yield chunks
        except _Failure as failure:
            raise self._refused(failure, request.place) from None

    @contextlib.contextmanager
    def _answer(self, request: Request) -> Iterator[Iterator[bytes]]:
        import httpx2

        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, read=request.silence_seconds)
        headers = {"Accept": f"{JSON}, */*", "Accept-Encoding": "identity"}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        answering = self._opened().stream(
            request.method,
            request.path,
            params=dict(request.parameters),
            content=request.body,
            headers=headers,
            timeout=timeout,
        )
        with contextlib.ExitStack() as stack, unreached(self.named):
            response = self._begun(stack, answering, request.silence_seconds)
            yield response.iter_raw()

    @contextlib.contextmanager
    def websocket(
        self,
        path: str,
        parameters: Sequence[tuple[str, str]],
        subprotocols: Sequence[str],
    ) -> Iterator[WebSocketSession]:
        """Yield an open websocket; which of the subprotocols the server took is its `subprotocol`.

        Raises as `ask` does; what fails once it is open is as httpx2 raises it.
        """
        opening = self._opened().websocket(
            path,
            params=list(parameters),
            subprotocols=list(subprotocols),
            max_message_size_bytes=_LONGEST_MESSAGE,
            queue_size=_MOST_WAITING,
            # An answer lies behind all that is not taken yet: that it is late is no sign of an end.
            keepalive_ping_interval_seconds=None,
        )
        with contextlib.ExitStack() as stack:
            try:
                with unreached(self.named):
                    session = self._begun(stack, opening, READ_SECONDS)
            except _Failure as failure:
                raise self._refused(failure) from None
            yield session

    def _begun(
        self, stack: ExitStack, answering: AbstractContextManager[_T], silence_seconds: float | None
    ) -> _T:
        """Return what begins with an answer. Names are looked up for longer than any limit of a socket."""
        seconds = CONNECT_SECONDS + (silence_seconds or READ_SECONDS)
        message = f"{self.named} did not answer within {seconds:g} s"
        late = ClusterUnreachable(message, hint="is it up, and does kubectl reach it?")
        return within(seconds, lambda: stack.enter_context(answering), late=late)

    def _refused(self, failure: _Failure, about: Place | None = None) -> OcmError:
        return refused(failure.status, failure.body, Asked(cluster=self.named, place=about))

    def close(self) -> None:
        """End what is open; the next question opens it anew."""
        with self._opening:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _opened(self) -> Client:
        with self._opening:
            if self._client is None:
                self._client = self._open()
            return self._client

    def _open(self) -> Client:
        import httpx2

        path = PurePosixPath(self._access.kubeconfig)
        chosen = kubeconfig.choose(credentials.read_kubeconfig(path), self._access.context, path)
        self._renewable = bool(chosen.user.exec or chosen.user.token_file)
        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        client = credentials.client(chosen, path, self._host, timeout)
        client.event_hooks = {"response": [_refuse]}
        return client


def _refuse(response: Response) -> None:
    """Raise where this is a failure: for a websocket too, whose answer nobody reads later."""
    if response.status_code < _REDIRECTED:
        return
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _MAX_REFUSAL:
            break
    after = response.headers.get("Retry-After", "")
    seconds = float(after) if after.isascii() and after.isdigit() and len(after) < len("1000") else 0.0
    raise _Failure(response.status_code, bytes(body[:_MAX_REFUSAL]), seconds)
