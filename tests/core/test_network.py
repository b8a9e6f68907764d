"""What may be allowed in a network of one's own, and the rules that come of it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.network import (
    Rules,
    allowance,
    deaf,
    near_places,
    own_name_servers,
    parse_allowed,
    ruleset,
)
from openclaw_ocm.errors import Invalid

PORTS = st.integers(1, 65535)
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("127.0.0.1:11434", "127.0.0.1:11434"),
        ("127.1.2.3:1", "127.1.2.3:1"),
        ("192.168.1.20", "192.168.1.20"),
        ("192.168.1.0/24", "192.168.1.0/24"),
        ("192.168.1.0/24:443", "192.168.1.0/24:443"),
        ("192.168.1.20/32", "192.168.1.20"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("203.0.113.7:080", "203.0.113.7:80"),
    ],
)
def test_an_address_or_a_network_is_kept_in_one_spelling(text: str, kept: str) -> None:
    assert str(parse_allowed(text)) == kept
    assert str(parse_allowed(kept)) == kept


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "localhost",
            "localhost:80",
            "example.org",
            "1.2.3",
            "1.2.3.4:",
            "1.2.3.4:0",
            "1.2.3.4:65536",
        ),
        *(
            "1.2.3.4:+8",
            "1.2.3.4:\N{FULLWIDTH DIGIT EIGHT}",
            "1.2.3.4:99999999999999999999",
            "[1.2.3.4:80",
            "[fd00::1]",
            "[fd00::1]:",
        ),
        *(
            "192.168.1.1/24",
            "192.168.1.0/33",
            "fd00::1]:80",
            "fe80::1%eth0",
            "[fe80::1%x accept]:80",
            "1.2.3.4 ",
            "1.2.3.4\n",
            "*",
            "any",
        ),
    ],
)
def test_what_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_allowed(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.0.0.0/8", "127.0.0.0/31:80", "126.0.0.0/7", "0.0.0.0/0", "0.0.0.0/0:80"]
)
def test_of_this_machines_loopback_single_ports_alone_can_be_allowed(text: str) -> None:
    with pytest.raises(Invalid, match="loopback"):
        parse_allowed(text)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("192.168.1.5/24", "is an address within a network", "the network is 192.168.1.0/24"),
        ("fd00::1", "IPv4 alone", "for example 127.0.0.1:11434 or 192.168.1.0/24"),
        ("[::1]:80", "IPv4 alone", "for example 127.0.0.1:11434 or 192.168.1.0/24"),
        ("10.0.2.2:80", "leads nowhere", "for example 127.0.0.1:11434 or 192.168.1.0/24"),
        ("0.0.0.0:80", "leads nowhere", "for example 127.0.0.1:11434 or 192.168.1.0/24"),
    ],
)
def test_what_could_never_work_is_said_with_why(text: str, said: str, hint: str) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        parse_allowed(text)
    assert caught.value.hint == hint


@given(st.text(max_size=60))
def test_whatever_is_allowed_has_one_spelling_and_is_no_loopback_as_a_whole(text: str) -> None:
    try:
        allowed = parse_allowed(text)
    except Invalid:
        return
    assert parse_allowed(str(allowed)) == allowed
    if allowed.network.version == 4 and allowed.network.overlaps(LOOPBACK):
        assert (allowed.network.prefixlen, allowed.port is None) == (32, False)


def test_the_record_has_each_once_and_in_order() -> None:
    assert allowance(["192.168.1.20/32", "127.0.0.1:2", "192.168.1.20", "127.0.0.1:1"]) == (
        "127.0.0.1:1",
        "127.0.0.1:2",
        "192.168.1.20",
    )


@pytest.mark.parametrize(
    ("address", "places"),
    [
        ("http://127.0.0.1:11434/v1", ("127.0.0.1:11434",)),
        ("http://localhost:11434", ("127.0.0.1:11434",)),
        ("https://192.168.1.20/v1", ("192.168.1.20:443",)),
        ("http://10.0.0.1?x=1", ("10.0.0.1:80",)),
        ("https://[fd00::1]:8443/v1", ()),
        ("http://10.0.2.7/v1", ()),
        ("https://1.1.1.1/v1", ()),
        ("https://api.example.org/v1", ()),
        ("http://[::1]:80/", ()),
        ("http://10.0.0.1:99999/", ()),
        ("http://user:pass@10.0.0.1/", ("10.0.0.1:80",)),
        ("http://10.0.0.1@example.org/", ()),
        ("socks5h://10.0.0.1", ("10.0.0.1:1080",)),
        ("http://10.0.0.1evil/", ()),
        ("http://[/", ()),
        ("", ()),
    ],
)
def test_what_is_near_is_told_by_its_address(address: str, places: tuple[str, ...]) -> None:
    assert near_places([address]) == places


@given(st.text(max_size=60))
def test_no_address_of_a_provider_is_a_bug(text: str) -> None:
    for place in near_places([text, f"http://{text}", f"http://10.0.0.1:{text}"]):
        parse_allowed(place)


def rules_out(rules: Rules) -> list[str]:
    """Return the rules for what goes out, in their order."""
    text = ruleset(rules)
    inside = text[text.index("chain out {") :]
    return [line.strip() for line in inside[: inside.index("\n  }")].splitlines()[2:]]


@given(st.lists(PORTS, max_size=5), PORTS)
def test_the_hosts_loopback_is_closed_before_anything_wider_is_allowed(ports: list[int], served: int) -> None:
    allowed = (*(f"127.0.0.1:{port}" for port in ports), "10.0.0.0/8", "192.168.0.0/16")
    rules = Rules(served=served, allowed=tuple(map(parse_allowed, allowed)))
    out = rules_out(rules)
    closed = out.index("ip daddr { 10.0.2.2, 10.0.2.3 } goto no")
    assert closed < out.index("ip daddr 10.0.0.0/8 accept")
    assert {line for line in out[:closed] if "10.0.2.2" in line} == {
        f"ip daddr 10.0.2.2 tcp dport {port} accept" for port in ports
    }
    assert rules.reaches_host is bool(ports)
    text = ruleset(rules)
    for port in ports:
        assert f"ip daddr 127.0.0.1/32 tcp dport {port} dnat to 10.0.2.2" in text


def test_what_is_near_is_closed_after_what_is_allowed_of_it() -> None:
    out = rules_out(Rules(served=19001, allowed=(parse_allowed("192.168.1.20:443"),)))
    allowed = out.index("ip daddr 192.168.1.20/32 tcp dport 443 accept")
    assert allowed < out.index("ip daddr @here goto no") < out.index("ip daddr @own4 goto no")
    assert out[-1] == "meta nfproto ipv6 goto no"
    (near,) = (line for line in out if line.startswith("ip daddr { 0.0.0.0/8,"))
    assert allowed < out.index(near)
    for network in ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"):
        assert network in near
    assert near.endswith("goto no")


def test_a_wider_network_does_not_open_the_hosts_own_addresses() -> None:
    allowed = ("192.168.1.0/24", "192.168.1.20", "192.168.1.21:80")
    out = rules_out(Rules(served=19001, allowed=tuple(map(parse_allowed, allowed))))
    here = out.index("ip daddr @here goto no")
    assert out.index("ip daddr 192.168.1.20/32 accept") < here
    assert out.index("ip daddr 192.168.1.21/32 tcp dport 80 accept") < here
    assert here < out.index("ip daddr 192.168.1.0/24 accept")


def test_nothing_comes_in_that_was_not_asked_for() -> None:
    session, gateway = ruleset(Rules(served=None)), ruleset(Rules(served=19001))
    for text in (session, gateway):
        assert "type filter hook input priority 0; policy drop;" in text
        assert "type filter hook forward priority 0; policy drop;" in text
    own = 'iifname "eth0" ip saddr 10.0.2.2 tcp dport 19001 ct original proto-dst 19001'
    assert f"{own} accept" in gateway
    assert "dport 7" not in gateway
    assert "ip saddr" not in session


def test_who_calls_from_another_machine_is_never_taken_for_a_program_of_this_one() -> None:
    exposed = ruleset(Rules(served=19001, exposed=True))
    assert 'iifname "eth0" tcp dport 19001 ct original proto-dst 7 accept' in exposed
    assert 'iifname "eth0" tcp dport 7 redirect to :19001' in exposed
    translated = [line for line in exposed.splitlines() if "127.0.0.1" in line]
    assert len(translated) == 2
    assert all("ip saddr 10.0.2.2 tcp dport 19001 ct original proto-dst 19001" in line for line in translated)
    assert "dport 7" not in ruleset(Rules(served=None, exposed=True))


def test_where_no_name_can_be_looked_up_that_is_said() -> None:
    assert "/etc/resolv.conf leads to no file" in (deaf("w1", None, isolated=False) or "")
    far = "nameserver 2001:db8::1\n"
    assert (deaf("w1", far, isolated=True) or "").endswith(": ocm network w1 shared")
    for text, isolated in (
        (far, False),
        (f"{far}nameserver 192.0.2.1\n", True),
        ("", False),
        ("# none\n", False),
    ):
        assert deaf("w1", text, isolated=isolated) is None
    assert "names no name server" in (deaf("w1", "# none\n", isolated=True) or "")


def test_in_a_network_of_its_own_names_are_completed_as_on_the_host() -> None:
    text = "# a VPN\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch corp.example\noptions ndots:2\n"
    assert own_name_servers(text) == "nameserver 10.0.2.3\nsearch corp.example\noptions ndots:2\n"
    assert own_name_servers("") == "nameserver 10.0.2.3\n"


def test_a_resolver_that_is_near_is_the_one_of_its_own_unless_it_is_allowed() -> None:
    text = ruleset(Rules(served=None, allowed=(parse_allowed("192.168.1.1:53"),)))
    translated = text[text.index("table ip ocm_nat {\n") :]
    own = translated.index("th dport 53 dnat to 10.0.2.3")
    assert translated.index("ip daddr 192.168.1.1/32 tcp dport 53 accept") < own
    assert "dnat to 10.0.2.3" not in ruleset(Rules(served=None, out=False))


def test_without_a_way_out_nothing_but_what_is_allowed_is_reached() -> None:
    out = rules_out(Rules(served=19001, allowed=(parse_allowed("192.168.1.20"),), out=False))
    assert out[-1] == "goto no"
    assert not [line for line in out if "dport 53" in line]
    assert "ip daddr 192.168.1.20/32 accept" in out


def test_only_a_gateway_has_callers() -> None:
    assert "dnat to 127.0.0.1:19001" in ruleset(Rules(served=19001))
    assert "callers" not in ruleset(Rules(served=None, allowed=(parse_allowed("127.0.0.1:19001"),)))
    assert "nat hook" not in ruleset(Rules(served=None, out=False))
