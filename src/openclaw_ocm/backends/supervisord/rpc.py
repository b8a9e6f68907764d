"""Talks to supervisord: XML-RPC over its unix socket, each call with a time limit."""

from __future__ import annotations

import functools
import http.client
import socket
import xmlrpc.client
from typing import TYPE_CHECKING
from xml.parsers.expat import ExpatError

from openclaw_ocm.errors import NotRunning, OcmError

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_CALL_SECONDS = 30.0


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: PurePosixPath) -> None:
        super().__init__("localhost", timeout=_CALL_SECONDS)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_CALL_SECONDS)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: PurePosixPath) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # noqa: ARG002 - there is but one
        connection = _Connection(self._path)
        # So that close() finds it.
        self._connection = (None, connection)
        return connection


def call(path: PurePosixPath, method: str, *arguments: str) -> object:
    """Call a method of the supervisord whose socket is `path` and return what it answers.

    Raises `NotRunning` where none listens or it goes while it is asked, and `OcmError` where it refuses or
    does not answer in time.
    """
    with xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(path)) as server:
        function = functools.reduce(getattr, method.split("."), server)
        try:
            return function(*arguments)
        except xmlrpc.client.Fault as fault:
            message = f"supervisord refused {' '.join((method, *arguments))}: {fault.faultString}"
            raise OcmError(message, code="supervisord_refused") from None
        except TimeoutError:
            message = f"supervisord did not answer {method} within {_CALL_SECONDS:g} s"
            raise OcmError(message, code="timeout") from None
        except (OSError, http.client.HTTPException):
            raise NotRunning("supervisord does not run", code="supervisord_missing") from None
        except (xmlrpc.client.Error, ExpatError) as error:
            message = f"supervisord gave no usable answer to {method}: {error}"
            raise OcmError(message, code="supervisord_refused") from None
