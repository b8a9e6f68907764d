"""The page by which people use a gateway, its Control UI: where it is, and what lets them in.

As of OpenClaw 2026.9.6 (docs/web/urls, docs/web/dashboard): the page takes a token from the fragment of its
address, which no browser sends to anybody, and removes it there.
"""

from __future__ import annotations

import html
import ipaddress
import json
import shlex
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import INCLUDE, as_object, lookup
from openclaw_ocm.core.openclaw.secret_places import expanded, is_secret_reference, referred
from openclaw_ocm.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HERE = "127.0.0.1"
_AUTH = "gateway.auth"
_ORIGINS = "gateway.controlUi.allowedOrigins"
_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
    )
)
# The config is the instance's to write; OpenClaw's own tokens have 48 characters, OCM's 64.
_LONGEST = 4096
_MOST_ORIGINS = 20
_LONGEST_PATH = 200
# What stands for itself in an address wherever it is (RFC 3986, unreserved).
_PLAIN = frozenset((string.ascii_letters + string.digits + "-._~").encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How a gateway lets people in: by a `token` that a link can carry, else `why` there is none."""

    token: str | None = field(default=None, repr=False)
    why: str | None = None


def is_served(config: Mapping[str, Any]) -> bool:
    """Tell whether a gateway with this config serves the page at all."""
    return lookup(config, "gateway.controlUi.enabled") is not False


def address(config: Mapping[str, Any], *, port: int, host: str = HERE) -> str:
    """Return the address of the page of a gateway that is reached at `host`, without any token."""
    scheme = "https" if lookup(config, "gateway.tls.enabled") is True else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{_base(config)}/"


def _base(config: Mapping[str, Any]) -> str:
    """Return the path below which the page is, without a slash at its end."""
    path = lookup(config, "gateway.controlUi.basePath")
    words = path.strip().strip("/") if isinstance(path, str) else ""
    return "/" + "/".join(map(_encoded, words[:_LONGEST_PATH].split("/"))) if words else ""


def lets_in_pages_of(name: str, config: Mapping[str, Any], page: str) -> str | None:
    """Return what is typed to have a gateway let in the page that it serves there, None where it does.

    From private addresses it does by itself (docs/web/index).
    """
    scheme, _, rest = page.partition("://")
    place = rest.partition("/")[0]
    given = lookup(config, _ORIGINS)
    known = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
    origin = f"{scheme}://{place}"
    if _is_private(place.rpartition(":")[0]) or not {origin, "*"}.isdisjoint(known):
        return None
    wanted = json.dumps([*known[:_MOST_ORIGINS], origin])
    return printable(f"ocm edit {name} {_ORIGINS} {shlex.quote(wanted)}")


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _PRIVATE)


def with_token(page: str, token: str | None) -> str:
    """Return the address of a page that takes a token from it; the same without one."""
    return page if token is None else f"{page}#token={_encoded(token)}"


def _encoded(text: str) -> str:
    """Return a text as it is written in an address."""
    written = text.encode(errors="replace")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in written)


def without_token(link: str) -> str:
    """Return a link as everybody may see it."""
    return link.partition("#")[0]


def admission(name: str, config: Mapping[str, Any], variables: Mapping[str, str]) -> Admission:
    """Return how the gateway of an instance lets people in.

    `variables` are those that a config may refer to as `${NAME}`, secrets too.
    """
    mode = _mode(config)
    if mode == "token":
        return _by_token(name, config, variables)
    if mode == "none":
        return Admission(why=f"{name} lets in whoever reaches it, without a token")
    if mode == "password":
        return Admission(why=f"the page of {name} asks for its password, which no link carries")
    shown = printable(str(mode), limit=60)
    return Admission(why=f"no link lets anybody into {name}: its gateway.auth.mode is {shown}")


def _mode(config: Mapping[str, Any]) -> object:
    mode = lookup(config, f"{_AUTH}.mode")
    if mode is not None:
        return mode
    return "password" if lookup(config, f"{_AUTH}.password") else "token"


def _by_token(name: str, config: Mapping[str, Any], variables: Mapping[str, str]) -> Admission:
    value = lookup(config, f"{_AUTH}.token")
    shows = f"ocm use {name} gateway auth-token --show"
    why = f"the token of {name} is no text that a link could carry"
    if isinstance(value, dict) and is_secret_reference(value):
        why = f"the token of {name} is a reference, which OpenClaw alone resolves: {shows}"
    elif value is None and _includes(config):
        why = f"the token of {name} is in a file that its config includes: {shows}"
    elif value is None or value == "":
        why = f"the config of {name} has no token: ocm token rotate {name} gives it one"
    elif isinstance(value, str):
        token = expanded(value, variables).strip()
        if referred(token) is not None:
            why = f"the token of {name} is a reference that OCM cannot resolve: {shows}"
        elif 0 < len(token) <= _LONGEST and _is_encodable(token):
            return Admission(token=token)
    return Admission(why=why)


def _includes(config: Mapping[str, Any]) -> bool:
    """Tell whether a token may come from another file."""
    return any(INCLUDE in as_object(one) for one in (config, config.get("gateway"), lookup(config, _AUTH)))


def _is_encodable(text: str) -> bool:
    """Tell whether a text is one: JSON can spell half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def document(template: str, links: Iterable[tuple[str, str]]) -> str:
    """Return the document for a browser that leads to each of these links, by name; to a single one at once.

    `template` has `$forward` in its head and `$links` in its body.
    """
    written = [(html.escape(name), html.escape(link)) for name, link in links]
    forward = ""
    if len(written) == 1:
        forward = f'<meta http-equiv="refresh" content="0; url={written[0][1]}">'
    listed = "\n".join(f'<li><a href="{link}" rel="noreferrer">{name}</a></li>' for name, link in written)
    return string.Template(template).substitute(forward=forward, links=listed)
