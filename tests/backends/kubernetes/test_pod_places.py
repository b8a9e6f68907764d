from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.kubernetes.golden import CASES, PLAIN, changed
from tests.backends.kubernetes.pods import pod

from openclaw_ocm.backends.kubernetes.network_policy import egress
from openclaw_ocm.backends.kubernetes.pod_places import (
    METADATA,
    SERVER,
    Place,
    is_open,
    near_places,
    server_place,
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)


def node(name: str, *addresses: tuple[str, str]) -> dict[str, Any]:
    listed = [{"type": kind, "address": address} for kind, address in addresses]
    return {"metadata": {"name": name}, "status": {"addresses": listed}}


def other(namespace: str, address: object) -> dict[str, Any]:
    found = pod()
    found["metadata"]["namespace"] = namespace
    found["status"]["podIP"] = address
    return found


def test_nodes_and_instances_are_asked_for_and_what_is_its_own_not() -> None:
    nodes = [
        node("node-2", ("Hostname", "node-2"), ("InternalIP", "10.240.0.12")),
        node("node-1", ("InternalIP", "10.240.0.11"), ("ExternalIP", "203.0.113.1")),
        node("node-3", ("Hostname", "node-3")),
    ]
    pods = [pod(), other("ocm-ben", "10.244.2.9"), other("ocm-cy", None), other("ocm-di", "evil")]
    server = server_place("10.240.0.1 6443")
    found = near_places(pod(), pods=pods, nodes=nodes, server=server)
    assert [place.in_words for place in found] == [
        "the cloud's service for its machines at 169.254.169.254:80",
        "the API server at 10.240.0.1:6443",
        "the kubelet of its node at 10.240.0.11:10250",
        "the kubelet of another node at 10.240.0.12:10250",
        "another instance at 10.244.2.9:19001",
    ]
    assert [place.on_node for place in found] == [False, False, True, False, False]


def test_however_many_there_are_some_are_asked_for() -> None:
    nodes = [node(f"node-{number}", ("InternalIP", f"10.240.1.{number}")) for number in range(1, 200)]
    pods = [other(f"ocm-{number}", f"10.244.1.{number}") for number in range(1, 200)]
    assert len(near_places(pod(), pods=pods, nodes=nodes, server=None)) == 1 + 4 + 16


@pytest.mark.parametrize(
    ("port", "known"),
    [
        ({"name": "gateway", "containerPort": 19021}, [19021]),
        ({"name": "other", "containerPort": 19021}, []),
        ({"name": "gateway", "containerPort": "19021"}, []),
        ({"name": "gateway", "containerPort": 0}, []),
        ({"name": "gateway", "containerPort": 65536}, []),
    ],
)
def test_an_instance_is_asked_for_by_its_port(port: dict[str, Any], known: list[int]) -> None:
    found = other("ocm-ben", "10.244.2.9")
    found["spec"]["containers"] = [{"ports": [port]}]
    places = near_places(pod(), pods=[found], nodes=None, server=None)
    assert [place.port for place in places[1:]] == known


def test_what_may_not_be_listed_is_left_out() -> None:
    assert near_places(pod(), pods=None, nodes=None, server=None) == (METADATA,)


@given(JSON, JSON, JSON)
def test_whatever_is_listed_is_asked_for_or_left_out(first: object, pods: object, nodes: object) -> None:
    assert near_places(first, pods=pods, nodes=nodes, server=None)[0] == METADATA


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("10.96.0.1 443", Place(address="10.96.0.1", port=443, what=SERVER)),
        ("fd00::1 6443", Place(address="fd00::1", port=6443, what=SERVER)),
        *((text, None) for text in (None, "", "10.96.0.1", "kubernetes 443", "10.96.0.1 0", "10.96.0.1 x")),
        *((text, None) for text in ("10.96.0.1 65536", "10.96.0.1 443 1", "10.96.0.01 443", "1 443")),
    ],
)
def test_the_server_is_an_address_and_a_port(text: str | None, place: Place | None) -> None:
    assert server_place(text) == place


def at(address: str, port: int) -> Place:
    return Place(address=address, port=port, what="there")


@pytest.mark.parametrize(
    ("place", "is_so"),
    [
        (at("93.184.216.34", 443), True),
        (at("93.184.216.34", 22), False),
        (at("10.96.0.1", 443), False),
        (at("169.254.169.254", 80), False),
        (at("2606:2800::1", 443), True),
        (at("fd00::1", 443), False),
        (at("2001:db8::1", 443), False),
    ],
)
def test_the_web_is_open_and_what_is_near_is_not(place: Place, *, is_so: bool) -> None:
    assert is_open(egress(PLAIN), place) is is_so
    assert not is_open(egress(changed(network="none")), place)


def test_what_is_allowed_is_open() -> None:
    rules = egress(CASES["wide"].record)
    assert is_open(rules, at("192.168.1.20", 11434))
    assert not is_open(rules, at("192.168.1.20", 80))
    assert is_open(rules, at("192.168.3.77", 22))
