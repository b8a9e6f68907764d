"""The line that leads from another machine to gateways here: one `ssh` for all of them."""

from __future__ import annotations

import ipaddress
import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_USUAL = 22
# SSH_CONNECTION: address and port of the client, then those of the server (ssh(1)).
_FIELDS = 4


class Server(NamedTuple):
    """Where an sshd is reached."""

    host: str
    port: int = _USUAL


def parse_connection(text: str) -> Server | None:
    """Return where the sshd of a connection was reached, by its SSH_CONNECTION.

    None where that names no address by which others reach it: one that came by way of another program here,
    or one that holds for a single link.
    """
    fields = text.split()
    if len(fields) != _FIELDS or not fields[3].isdecimal():
        return None
    try:
        address = ipaddress.ip_address(fields[2])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback or address.is_link_local or address.is_unspecified:
        return None
    return Server(str(address), int(fields[3]))


def line(ports: Iterable[int], user: str, server: Server) -> str:
    """Return what is typed on another machine to have these ports there lead to the same ones here.

    It ends where one of the ports is taken there: a link would hand its token to whoever has it.
    """
    forwards = [word for port in ports for word in ("-L", f"{port}:127.0.0.1:{port}")]
    at = () if server.port == _USUAL else ("-p", str(server.port))
    safely = ("-o", "ExitOnForwardFailure=yes")
    return shlex.join(("ssh", "-N", *forwards, *safely, *at, f"{user}@{server.host}"))
