"""Listens on this machine wherever one can, for others to show that they do not get there."""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import TYPE_CHECKING

from openclaw_ocm.system.processes import addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_ADDRESSES = 64


@contextlib.contextmanager
def beacons(*, loopback_as: str) -> Iterator[tuple[str, ...]]:
    """Listen on each IPv4 address of this machine and on an abstract socket, and yield where.

    What is yielded is `ADDRESS PORT`, or `@NAME` for the abstract socket (unix(7)). Under its own address
    everybody finds their own loopback: `loopback_as` is the address by which this one would be reached.
    """
    name = f"ocm-proof-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as opened:
        places = [f"@{name}"]
        abstract = opened.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{name}")
        abstract.listen()
        for address in addresses()[:_MOST_ADDRESSES]:
            # One that is going away.
            with contextlib.suppress(OSError):
                end = opened.enter_context(socket.create_server((address, 0)))
                reached = loopback_as if address.startswith("127.") else address
                places.append(f"{reached} {end.getsockname()[1]}")
        yield tuple(places)
