"""Who may be asked in the clear: servers of this machine and of private networks."""

from __future__ import annotations

import socket

from openclaw_ocm.core.models.endpoint import is_name, is_private


def private_address(host: str, port: int) -> str | None:
    """Return the address of a host all of whose addresses are private ones, None for any other host.

    What is asked there is not looked up again, so that the name cannot lead elsewhere in the next moment.
    Raises `OSError`, or `UnicodeError`, where it cannot be looked up.
    """
    if is_private(host):
        return host
    if not is_name(host):
        return None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(one[4][0]) for one in found]
    return addresses[0] if addresses and all(map(is_private, addresses)) else None
