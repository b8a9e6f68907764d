"""Says in one sentence why no answer came. The words of httpx2 are not shown: they may hold a token."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openclaw_ocm.backends.kubernetes.answers import Told
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import ClusterUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_WORDS = 200
_DEPTH = 10
_IS_IT_UP = "is it up, and does kubectl reach it?"
_ANEW = "fetch its kubeconfig anew, as you did for kubectl"


@contextlib.contextmanager
def unreached(cluster: str) -> Iterator[None]:
    """Raise `ClusterUnreachable` for what httpx2 raises in the block; `cluster` is who is asked, in words."""
    from httpx2 import HTTPError, InvalidURL
    from httpx2.websockets import WebSocketUpgradeError

    try:
        yield
    except (HTTPError, InvalidURL, WebSocketUpgradeError) as error:
        told = explain(error)
        raise ClusterUnreachable(f"{cluster} {told.message}", hint=told.hint, code=told.code) from None


def explain(error: BaseException) -> Told:
    """Return why no answer came."""
    import httpx2

    unasked = httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError
    causes = list(_causes(error))
    if (why := _distrust(causes)) is not None:
        return Told(why, hint=_ANEW, code="cluster_untrusted")
    if isinstance(error, unasked):
        why = "cannot be asked: its address or its credential is none"
        return Told(why, hint=_ANEW, code="kubeconfig_invalid")
    why, hint = _silent(error, causes)
    return Told(why, hint=hint, code="cluster_unreachable")


def _silent(error: BaseException, causes: list[BaseException]) -> tuple[str, str]:
    import httpx2
    from httpx2.websockets import WebSocketUpgradeError

    if isinstance(error, httpx2.ProxyError):
        return (
            "is not reached through the proxy",
            "check https_proxy, no_proxy and the kubeconfig's proxy-url",
        )
    if isinstance(error, httpx2.ConnectError):
        return _unconnected(causes), _IS_IT_UP
    if isinstance(error, httpx2.TimeoutException):
        return "does not answer", _IS_IT_UP
    if isinstance(error, WebSocketUpgradeError):
        return "opens no websocket", "does a proxy before it allow them?"
    return "broke off before it had answered", "try again"


def _unconnected(causes: list[BaseException]) -> str:
    import socket

    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "is not reached: its name is not known here"
        if isinstance(cause, ConnectionRefusedError):
            return "is not reached: nothing listens there"
        if isinstance(cause, OSError) and cause.strerror:
            return f"is not reached: {printable(cause.strerror, limit=_MAX_WORDS)}"
    return "is not reached"


def _distrust(causes: list[BaseException]) -> str | None:
    """Return what TLS found wrong, None where it was not TLS."""
    import ssl

    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"is not trusted: {printable(cause.verify_message, limit=_MAX_WORDS)}"
        if isinstance(cause, ssl.SSLError):
            why = printable((cause.reason or "").replace("_", " ").lower(), limit=_MAX_WORDS)
            return f"does not speak TLS with us: {why or 'it ended it'}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_DEPTH):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
