"""Sends messages: by POST to where a user said, to a program, by a sendmail. Trusts nothing of an answer."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import unquote

from openclaw_ocm import __version__
from openclaw_ocm.core.notify.message import as_json, as_mail, as_text, ntfy_headers
from openclaw_ocm.core.notify.ways import Command, Email, Webhook, redirect_in_words, split_url
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.in_the_clear import private_address
from openclaw_ocm.system.in_time import within
from openclaw_ocm.system.runner import SAFE_PATH
from openclaw_ocm.system.runner import Command as Program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.notify.message import Message
    from openclaw_ocm.core.notify.ways import Way
    from openclaw_ocm.system.host import Host

_HTTP_SECONDS, _PROGRAM_SECONDS = 10.0, 30.0
# The more special ones first.
_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "the name of its server cannot be looked up"),
    (ConnectionRefusedError, "the connection was refused"),
    (ssl.SSLCertVerificationError, "the certificate of its server is not one that this machine trusts"),
    (ssl.SSLError, "its server does not speak TLS as it should"),
    (UnicodeError, "the name of its server cannot be looked up"),
    (http.client.HTTPException, "what its server answers is no HTTP"),
    (ValueError, "what its server answers is no HTTP"),
)
_REDIRECTS, _GOOD = range(300, 400), range(200, 300)


class NotSentError(Exception):
    """Why a message was not sent, in words that hold nothing of the address."""


def send(host: Host, way: Way, message: Message) -> None:
    """Send a message by a way; raises `NotSentError` where it did not get there."""
    if isinstance(way, Command):
        _run(host, way.argv, as_text(message))
    elif isinstance(way, Email):
        _run(host, (way.program, "-t"), as_mail(message, way.to))
    elif isinstance(way, Webhook):
        post(way.url, as_json(message), {"Content-Type": "application/json"})
    else:
        headers = {"Content-Type": "text/plain; charset=utf-8", **ntfy_headers(message)}
        post(way.url, message.text.encode(), headers)


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float = _HTTP_SECONDS) -> None:
    """Post to an address and return once that answered well; no redirect is followed.

    Of the answer nothing but the status is read. All has `seconds`: an answer of a byte a second holds nobody
    up, nor does a name that is looked up for ever. Raises `NotSentError`.
    """
    late = NotSentError(_late(seconds))
    why = within(seconds, lambda: _posted(url, body, headers, seconds), late=late)
    if why is not None:
        raise NotSentError(why)


def _posted(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> str | None:
    """Return why a message was not taken, None where it was."""
    try:
        return _answered(url, body, headers, seconds)
    except TimeoutError:
        return _late(seconds)
    except (OSError, http.client.HTTPException, ValueError) as error:
        for kind, words in _FAILURES:
            if isinstance(error, kind):
                return words
        return f"there is no connection: {getattr(error, 'strerror', None) or type(error).__name__}"


def _answered(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> str | None:
    parts = split_url(url)
    # Whoever is on the way could read the address, and post.
    address = parts.host if parts.secure else private_address(parts.host, parts.port)
    if address is None:
        return "its address is http and leads out of your networks: only https goes there"
    kind = http.client.HTTPSConnection if parts.secure else http.client.HTTPConnection
    connection = kind(address, parts.port, timeout=seconds)
    given = {"Host": parts.server, "User-Agent": f"ocm/{__version__}", "Connection": "close", **headers}
    if parts.user is not None:
        given["Authorization"] = f"Basic {_in_base64(unquote(parts.user))}"
    try:
        connection.request("POST", parts.path, body, given)
        # What it says by its status is all: who waited for the rest would send again what was taken.
        answer = connection.getresponse()
        if answer.status in _REDIRECTS:
            where = redirect_in_words(url, answer.getheader("Location") or "")
            return f"it leads to {where}, which is not followed (HTTP {answer.status})"
        return None if answer.status in _GOOD else f"its server answered HTTP {answer.status}"
    finally:
        connection.close()


def _in_base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def _late(seconds: float) -> str:
    return f"there was no answer within {seconds:g} s"


def _run(host: Host, argv: tuple[str, ...], text: str) -> None:
    """Run a program with `text` on its standard input; what it prints nobody reads."""
    program = Program(
        argv=argv,
        timeout_seconds=_PROGRAM_SECONDS,
        stdin=text.encode(),
        env={"PATH": SAFE_PATH},
        directory=str(host.paths.home),
    )
    try:
        status = host.runner.feed(program)
    except OcmError:
        why = f"it did not end within {_PROGRAM_SECONDS:g} s"
        raise NotSentError(why) from None
    except FileNotFoundError:
        # Of its interpreter and of the home that it starts in as well.
        why = "the program is not there"
        raise NotSentError(why) from None
    except OSError as error:
        why = f"the program cannot be run: {error.strerror or type(error).__name__}"
        raise NotSentError(why) from None
    if status:
        how = f"exit {status}" if status > 0 else f"signal {-status}"
        raise NotSentError(f"the program ended with {how}")
