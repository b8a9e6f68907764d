"""Where the pod of a gateway is to reach nobody: the cluster's own services, its nodes, other instances."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.core.openclaw.document import as_object, lookup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

SERVER = "the API server"
KUBELET_PORT = 10250
# So many are asked for of each kind: one that is open tells as much as all of them.
_MOST_NODES, _MOST_PODS = 4, 16
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_MOST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An address and a TCP port, and `what` is there in words.

    What is `on_node`, the node that the pod runs on, some network plugins let through whatever a policy says.
    """

    address: str
    port: int
    what: str
    on_node: bool = False

    def __str__(self) -> str:
        """Return it as the probe takes it and gives it back."""
        return f"{self.address} {self.port}"

    @property
    def in_words(self) -> str:
        """What it is, and where."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.what} at {host}:{self.port}"


METADATA = Place(address="169.254.169.254", port=80, what="the cloud's service for its machines")


def near_places(pod: object, *, pods: object, nodes: object, server: Place | None) -> tuple[Place, ...]:
    """Return what a pod is asked whether it reaches it.

    `pods` are those of all instances and `nodes` those of the cluster, as lists of the API server's have
    them, None where they may not be listed; `server` is where the user's kubeconfig has the API server.
    """
    own = as_object(pod)
    return (
        METADATA,
        *([server] if server is not None else []),
        *list(_kubelets(nodes, lookup(own, "spec.nodeName")))[:_MOST_NODES],
        *list(_gateways(pods, lookup(own, "metadata.namespace")))[:_MOST_PODS],
    )


def server_place(text: str | None) -> Place | None:
    """Return the API server at `ADDRESS PORT`, None where that is no numeric address and no port."""
    address, _, port = (text or "").partition(" ")
    if _address(address) is None or not _PORT.fullmatch(port) or int(port) > _MOST_PORT:
        return None
    return Place(address=address, port=int(port), what=SERVER)


def is_open(rules: Iterable[Mapping[str, Any]], place: Place) -> bool:
    """Tell whether rules for what goes out, those of `network_policy.egress`, allow a connection."""
    address, port = ipaddress.ip_address(place.address), {"protocol": "TCP", "port": place.port}
    return any(
        _covers(one["ipBlock"], address)
        for rule in rules
        if "ports" not in rule or port in rule["ports"]
        for one in rule["to"]
        if "ipBlock" in one
    )


def _covers(block: Mapping[str, Any], address: Address) -> bool:
    within = address in ipaddress.ip_network(block["cidr"])
    return within and not any(address in ipaddress.ip_network(one) for one in block.get("except", ()))


def _kubelets(nodes: object, own: object) -> Iterator[Place]:
    """Yield the kubelets of nodes, that of a pod's own first."""
    listed = [as_object(node) for node in nodes] if isinstance(nodes, list) else []
    for node in sorted(listed, key=lambda node: lookup(node, "metadata.name") != own):
        addresses = lookup(node, "status.addresses")
        found = [as_object(one) for one in addresses] if isinstance(addresses, list) else []
        internal = (_address(one.get("address")) for one in found if one.get("type") == "InternalIP")
        address = next((one for one in internal if one is not None), None)
        if address is not None:
            mine = lookup(node, "metadata.name") == own
            what = "the kubelet of its node" if mine else "the kubelet of another node"
            yield Place(address=address, port=KUBELET_PORT, what=what, on_node=mine)


def _gateways(pods: object, own: object) -> Iterator[Place]:
    """Yield the gateways in other namespaces than a pod's own."""
    for pod in map(as_object, pods if isinstance(pods, list) else []):
        address, port = _address(lookup(pod, "status.podIP")), _port(pod)
        if address is not None and port is not None and lookup(pod, "metadata.namespace") != own:
            yield Place(address=address, port=port, what="another instance")


def _port(pod: dict[str, Any]) -> int | None:
    containers = lookup(pod, "spec.containers")
    for container in map(as_object, containers if isinstance(containers, list) else []):
        ports = container.get("ports")
        for port in map(as_object, ports if isinstance(ports, list) else []):
            number = port.get("containerPort")
            if port.get("name") == places.GATEWAY and isinstance(number, int) and 0 < number <= _MOST_PORT:
                return number
    return None


def _address(value: object) -> str | None:
    """Return an address as the probe spells it, None where it is none."""
    try:
        return value if isinstance(value, str) and str(ipaddress.ip_address(value)) == value else None
    except ValueError:
        return None
