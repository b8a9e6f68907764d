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
def beacons() -> Iterator[tuple[str, ...]]:
    """Listen on each address of this machine and on an abstract socket, and yield where.

    What is yielded is `ADDRESS PORT`, or `@NAME` for the abstract socket (unix(7)).
    """
    name = f"ocm-proof-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as opened:
        places = [f"@{name}"]
        abstract = opened.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{name}")
        abstract.listen()
        for address in ("127.0.0.1", "::1", *addresses()[:_MOST_ADDRESSES]):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            # One that is going away, or of a family that is switched off.
            with contextlib.suppress(OSError):
                end = opened.enter_context(socket.create_server((address, 0), family=family))
                places.append(f"{address} {end.getsockname()[1]}")
        yield tuple(places)
