"""By which address of this machine others reach it: asked of the kernel's routes, nothing is sent."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

# One of those for documentation (RFC 5737): the way there is the way out.
_OUT = "192.0.2.1"


def address_towards(network: str | None) -> str | None:
    """Return this machine's address on the way to a network, for None to the internet; None without a way."""
    target = _OUT
    if network is not None:
        parsed = ipaddress.ip_network(network, strict=False)
        target = str(next(iter(parsed.hosts()), parsed.network_address))
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as end:
        # To connect a datagram socket chooses its address and sends nothing (udp(7)).
        end.connect((target, 9))
        return str(end.getsockname()[0])
    return None
