"""What the pod of an instance may reach, and who reaches it, as NetworkPolicies.

Nothing both ways, and then what the record names. Whether a cluster keeps to that is its network plugin's:
there are some that take every policy and enforce none.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.firewall import ANY
from openclaw_ocm.core.network import NEAR, parse_allowed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.core.network import Allowed
    from openclaw_ocm.core.record import Record

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What a pod reaches of the internet; anything else has to be allowed by its address.
WEB_PORTS = (443, 80)
_NAMES_PORT = 53
# All of IPv4 but what is near and what is nobody's: what documents name, and former relays of 6to4.
_EVERYWHERE = ipaddress.IPv4Network("0.0.0.0/0")
_NOBODYS = tuple(
    map(ipaddress.IPv4Network, ("192.0.2.0/24", "192.88.99.0/24", "198.51.100.0/24", "203.0.113.0/24"))
)
# The one block of IPv6 with addresses for everybody: without ULA, link-local, multicast, the loopback and
# NAT64, behind which is all of IPv4. Not all of IPv6 but for these: of ::ffff:0:0/96 the API server says that
# it is no part of that, for to Go its addresses are of IPv4.
_EVERYWHERE_6 = ipaddress.IPv6Network("2000::/3")
# Teredo, benchmarks and ORCHID; documents; 6to4, which leads to any address of IPv4; documents again.
_NOBODYS_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


def ingress(record: Record) -> list[dict[str, Any]]:
    """Return the rules for who reaches the gateway: what the record exposes it to.

    A port-forward comes from within the pod, and the node's own probes are asked by no policy.
    """
    if not record.expose:
        return []
    ports = [_tcp(record.port)]
    if ANY in record.expose:
        return [{"ports": ports}]
    return [{"from": [_block(source) for source in record.expose], "ports": ports}]


def egress(record: Record) -> list[dict[str, Any]]:
    """Return the rules for what the pod reaches: what is allowed, and but for `none` names and the web."""
    allowed = [_allowed(parse_allowed(text)) for text in record.allow]
    return allowed if record.network == "none" else [_names(), _web(), *allowed]


def _names() -> dict[str, Any]:
    """Return the rule for the cluster's name servers, which bear this label whatever they are.

    The label of a namespace with its name is the cluster's own, since 1.21.
    """
    servers = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return {"to": [servers], "ports": [_port("UDP", _NAMES_PORT), _tcp(_NAMES_PORT)]}


def _web() -> dict[str, Any]:
    everywhere = _block(_EVERYWHERE, sorted((*NEAR, *_NOBODYS)))
    everywhere_6 = _block(_EVERYWHERE_6, _NOBODYS_6)
    return {"to": [everywhere, everywhere_6], "ports": [_tcp(port) for port in WEB_PORTS]}


def _allowed(one: Allowed) -> dict[str, Any]:
    rule: dict[str, Any] = {"to": [_block(one.network)]}
    return rule if one.port is None else {**rule, "ports": [_tcp(one.port)]}


def _block(network: Network | str, but: Iterable[Network] = ()) -> dict[str, Any]:
    exceptions = [str(one) for one in but]
    return {"ipBlock": {"cidr": str(network), **({"except": exceptions} if exceptions else {})}}


def _tcp(number: int) -> dict[str, Any]:
    return _port("TCP", number)


def _port(protocol: str, number: int) -> dict[str, Any]:
    # Server-side apply knows the one from the other by both: a protocol that is left out is an error to some.
    return {"protocol": protocol, "port": number}
