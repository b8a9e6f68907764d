from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.kubernetes.golden import PLAIN, changed

from openclaw_ocm.backends.kubernetes.network_policy import egress, ingress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.record import Record

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def blocks(rules: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[tuple[str, int]] | None]]:
    for rule in rules:
        ports = [(port["protocol"], port["port"]) for port in rule["ports"]] if "ports" in rule else None
        for peer in (*rule.get("to", ()), *rule.get("from", ())):
            if "ipBlock" in peer:
                yield peer["ipBlock"], ports


def reaches(record: Record, address: Address, port: tuple[str, int]) -> bool:
    """Tell what a policy says of a connection to an address that is no pod's (networkpolicy, ipBlock)."""

    def is_in(network: str) -> bool:
        return address in ipaddress.ip_network(network)

    return any(
        is_in(block["cidr"])
        and not any(map(is_in, block.get("except", ())))
        and (ports is None or port in ports)
        for block, ports in blocks(egress(record))
    )


def is_for_everybody(address: Address) -> bool:
    held = (
        (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
        if isinstance(address, ipaddress.IPv6Address)
        else ()
    )
    return address.is_global and not address.is_multicast and not any(held)


EDGES = [
    *("0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.168.1.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1"),
    *("2001::1", "2001:2::1", "2001:db8::1", "2002:a00:1::1", "3fff::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fec0::1", "ff02::1"),
]
ADDRESSES = st.one_of(
    st.ip_addresses(), st.sampled_from(EDGES).map(ipaddress.ip_address), st.ip_addresses(network="2000::/3")
)


@given(ADDRESSES)
def test_of_the_internet_the_web_is_reached_and_nothing_near(address: Address) -> None:
    reached = reaches(PLAIN, address, ("TCP", 443))
    assert not reached or is_for_everybody(address)
    assert reaches(PLAIN, address, ("TCP", 80)) is reached
    assert not any(reaches(PLAIN, address, port) for port in (("UDP", 443), ("TCP", 22), ("UDP", 53)))


@pytest.mark.parametrize("text", EDGES)
def test_what_is_near_is_not_reached(text: str) -> None:
    assert not reaches(PLAIN, ipaddress.ip_address(text), ("TCP", 443))


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2a00::1"]
)
def test_what_is_far_is(text: str) -> None:
    assert reaches(PLAIN, ipaddress.ip_address(text), ("TCP", 443))


def test_names_are_asked_of_the_clusters_own_servers_alone() -> None:
    names, *_ = egress(PLAIN)
    assert names["to"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ]
    assert [(port["protocol"], port["port"]) for port in names["ports"]] == [("UDP", 53), ("TCP", 53)]


def test_what_is_near_is_allowed_one_by_one() -> None:
    record = changed(allow=["192.168.1.20:11434", "192.168.3.0/24"])
    near, net = map(ipaddress.ip_address, ("192.168.1.20", "192.168.3.9"))
    assert reaches(record, near, ("TCP", 11434))
    assert not reaches(record, near, ("TCP", 443))
    assert not reaches(record, near, ("UDP", 11434))
    assert reaches(record, net, ("UDP", 5))
    assert not reaches(record, ipaddress.ip_address("192.168.1.21"), ("TCP", 11434))


def test_without_a_way_out_there_is_what_is_allowed_and_no_name() -> None:
    assert egress(changed(network="none")) == []
    (rule,) = egress(changed(network="none", allow=["192.168.1.20:11434"]))
    assert rule["to"] == [{"ipBlock": {"cidr": "192.168.1.20/32"}}]


@pytest.mark.parametrize(
    ("expose", "peers"),
    [
        ([], None),
        (["any"], []),
        (["192.168.1.0/24", "10.1.2.3/32"], ["192.168.1.0/24", "10.1.2.3/32"]),
    ],
)
def test_who_is_exposed_to_reaches_the_gateways_port(expose: list[str], peers: list[str] | None) -> None:
    rules = ingress(changed(expose=expose))
    if peers is None:
        assert rules == []
        return
    (rule,) = rules
    assert rule["ports"] == [{"protocol": "TCP", "port": 19001}]
    # A rule without peers is for all.
    assert ("from" in rule) == bool(peers)
    assert [peer["ipBlock"]["cidr"] for peer in rule.get("from", ())] == peers


@pytest.mark.parametrize(
    "record", [PLAIN, changed(allow=["10.9.8.7", "192.168.0.0/16"], expose=["10.0.0.0/8"])]
)
def test_the_api_server_takes_the_blocks(record: Record) -> None:
    """As it checks them: validateIPBlock of k8s.io/kubernetes/pkg/apis/networking/validation."""
    found = [*blocks(egress(record)), *blocks(ingress(record))]
    assert found
    for block, _ in found:
        network = ipaddress.ip_network(block["cidr"])
        for text in block.get("except", ()):
            but = ipaddress.ip_network(text)
            assert but.version == network.version
            assert but.prefixlen > network.prefixlen
            assert but.network_address in network
            mapped = ipaddress.ip_network("::ffff:0:0/96")
            assert but.version == 4 or not but.overlaps(mapped)
