"""The network of an instance as data: where it may go, and the nftables rules that see to that.

It has the internet, and none of what is near: the host and its own public addresses, other instances, the
local network, the addresses at which a cloud tells a machine its secrets. What is near and wanted is allowed
one by one, in the record, which the instance cannot write.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

Network = ipaddress.IPv4Network
# `own` is a network namespace of its own, `none` one without a way out, `shared` that of the host.
Kind = Literal["own", "none", "shared"]

# As slirp4netns has them without further words (slirp4netns(1)): the host's loopback, and its resolver.
GATEWAY, RESOLVER = "10.0.2.2", "10.0.2.3"
# The port inside to which those of other machines are led: never taken for the host's loopback, whatever
# address they have (a guest of VirtualBox is called by 10.0.2.2).
OUTER_PORT = 7
INTERFACE = "eth0"
LOOPBACK = Network("127.0.0.0/8")
# Inside these are slirp4netns itself, or nobody.
_NOWHERE = tuple(map(Network, ("0.0.0.0/8", "10.0.2.0/24")))
# Not for everybody by IANA's registries of special addresses, and multicast.
NEAR = tuple(
    map(
        Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
_EXAMPLE = "for example 127.0.0.1:11434 or 192.168.1.0/24"
_URL = re.compile(
    r"(?P<scheme>https?|wss?|socks[45]?[ah]?)://([^/?#@]*@)?(?P<host>[^/:?#@]+)(?::(?P<port>[0-9]{1,5}))?(?=[/?#]|\Z)"
)
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SOCKS_PORT = 1080
_MOST_PORT = 65535
_ADDRESS = re.compile(r"[0-9.]+")
# How names are completed and asked for.
_COMPLETED = (["search"], ["domain"], ["options"])


@dataclass(frozen=True, slots=True, order=True)
class Allowed:
    """A network that an instance may reach, on one TCP port or, for None, by all ports and protocols."""

    network: Network
    port: int | None

    def __str__(self) -> str:
        """Return it as it stands in the record."""
        host = str(self.network.network_address if self.is_single else self.network)
        return host if self.port is None else f"{host}:{self.port}"

    def covers(self, other: Allowed) -> bool:
        """Tell whether all that `other` names may be reached by this."""
        return self.port in (None, other.port) and other.network.subnet_of(self.network)

    @property
    def is_single(self) -> bool:
        """Whether it is one address."""
        return self.network.prefixlen == self.network.max_prefixlen

    @property
    def is_on_host(self) -> bool:
        """Whether it is a service on the host's loopback, which takes another way."""
        return self.network.subnet_of(LOOPBACK)


def parse_allowed(text: str) -> Allowed:
    """Return what `ADDRESS`, `NETWORK/LENGTH`, either with `:PORT`, names; raise `Invalid` for anything else.

    The host's loopback is allowed by single ports alone: all of it would be every service of the machine.
    """
    host, port = _parts(text)
    try:
        network = Network(host)
    except ValueError:
        message, hint = _refusal(text, host)
        raise Invalid(message, hint=hint, code="network_invalid") from None
    allowed = Allowed(network, port)
    if any(network.subnet_of(one) for one in _NOWHERE):
        message = f"{text!r} leads nowhere from a network of one's own"
        raise Invalid(message, hint=_EXAMPLE, code="network_invalid")
    if network.overlaps(LOOPBACK) and not (allowed.is_single and port is not None):
        message = f"{text!r}: of this machine's loopback single ports can be allowed"
        raise Invalid(message, hint="for example 127.0.0.1:11434", code="network_invalid")
    return allowed


def _refusal(text: str, host: str) -> tuple[str, str]:
    """Return why a text names nothing that can be allowed, and a hint."""
    with contextlib.suppress(ValueError):
        return f"{text!r} is an address within a network", f"the network is {Network(host, strict=False)}"
    if text.count(":") > 1:
        return f"{text!r}: in a network of one's own there is IPv4 alone", _EXAMPLE
    return f"{text!r} is no address or network with an optional port", _EXAMPLE


def near_places(addresses: Iterable[str], allow: Iterable[str] = ()) -> tuple[str, ...]:
    """Return what of these URLs is near and not in `allow`, as the record has it.

    Near are this machine's loopback and private networks. Names other than localhost are nowhere: they are
    not looked up.
    """
    allowed = tuple(map(parse_allowed, allow))
    found = []
    for address in addresses:
        place = host_and_port(address)
        if place is not None:
            with contextlib.suppress(Invalid):
                found.append(parse_allowed(f"{place[0]}:{place[1]}"))
    near = (place for place in found if any(place.network.subnet_of(one) for one in NEAR))
    return allowance(str(place) for place in near if not any(one.covers(place) for one in allowed))


def host_and_port(address: str) -> tuple[str, int] | None:
    """Return the host that a URL names, localhost by its address, and the port, None for another text."""
    url = _URL.match(address)
    if url is None:
        return None
    host = "127.0.0.1" if url["host"] == "localhost" else url["host"]
    return host, int(url["port"] or _PORTS.get(url["scheme"], _SOCKS_PORT))


def allowance(texts: Iterable[str]) -> tuple[str, ...]:
    """Return what is allowed as the record has it: sorted, nothing twice; raises `Invalid` as above."""
    return tuple(sorted({str(parse_allowed(text)) for text in texts}))


def _parts(text: str) -> tuple[str, int | None]:
    """Return the host and the port of `HOST` and `HOST:PORT`; no host for what is neither."""
    host, colon, digits = text.rpartition(":")
    if not colon:
        return text, None
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MOST_PORT))):
        return "", None
    return (host, int(digits)) if 0 < int(digits) <= _MOST_PORT else ("", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the network of one sandbox is to be.

    `served` is the port of a gateway inside, which is reached from the host, None for a session, and from
    other machines where it is `exposed`; `allowed` is what is near and may be reached; without `out` nothing
    else is.
    """

    served: int | None
    exposed: bool = False
    allowed: tuple[Allowed, ...] = ()
    out: bool = True

    @property
    def reaches_host(self) -> bool:
        """Whether any service on the host's loopback may be reached."""
        return any(one.is_on_host for one in self.allowed)


def own_name_servers(text: str) -> str:
    """Return what resolv.conf(5) is to say in a network of its own, by what the host's says.

    slirp4netns asks the host's name servers, and names that are no whole ones are completed as on the host.
    """
    kept = (line for line in text.splitlines() if line.split(maxsplit=1)[:1] in _COMPLETED)
    return "".join(f"{line}\n" for line in (f"nameserver {RESOLVER}", *kept))


def deaf(name: str, text: str | None, *, isolated: bool) -> str | None:
    """Return in words why the instance `name` can look up no name, by what the host's resolv.conf(5) says.

    None where it can; `text` is None where that cannot be read. In a network of its own slirp4netns asks the
    first name server that has an address of IPv4.
    """
    if text is None:
        return "this machine names no name servers, so no name is found: /etc/resolv.conf leads to no file"
    words = [line.split() for line in text.splitlines()]
    servers = [line[1] for line in words if line[:1] == ["nameserver"] and len(line) > 1]
    if not isolated or any(_ADDRESS.fullmatch(server) for server in servers):
        return None
    why = "the name servers of this machine have addresses of IPv6 alone, which its network does not reach"
    none = "/etc/resolv.conf names no name server, which its network needs"
    return f"{why if servers else none}: ocm network {name} shared"


def ruleset(rules: Rules) -> str:
    """Return what nft(8) is to load into a network namespace, before it has a way out.

    The sets are empty in it: `here` takes the host's own addresses, which no wider network that is allowed is
    to open, and `own4` these with their networks. Else a public address of the machine itself would be
    reached as a neighbour. IPv6 has no way out of there.
    """
    wanted = sorted(set(rules.allowed), key=str)
    hosts = [one for one in wanted if one.is_on_host]
    others = [one for one in wanted if one not in hosts]
    resolver = f"ip daddr {RESOLVER} meta l4proto {{ tcp, udp }} th dport 53 accept"
    near = f"ip daddr {{ {', '.join(map(str, NEAR))} }} goto no"
    out = (
        *('oif "lo" accept', "ct state established,related accept"),
        *([resolver] if rules.out else []),
        *(f"ip daddr {GATEWAY} tcp dport {one.port} accept" for one in hosts),
        # Whatever else is allowed: behind these two is the host.
        f"ip daddr {{ {GATEWAY}, {RESOLVER} }} goto no",
        *(_accepted(one) for one in others if one.is_single),
        "ip daddr @here goto no",
        *(_accepted(one) for one in others if not one.is_single),
        *((near, "ip daddr @own4 goto no", "meta nfproto ipv6 goto no") if rules.out else ("goto no",)),
    )
    come = [
        *('iif "lo" accept', "ct state related accept", "ct state established ct direction reply accept"),
        *([f"{_callers(rules.served)} accept"] if rules.served is not None else []),
        *([f"{_outer(rules.served)} accept"] if rules.served is not None and rules.exposed else []),
    ]
    chains = [
        "set here { type ipv4_addr; }",
        "set own4 { type ipv4_addr; flags interval; auto-merge; }",
        "chain no { meta l4proto tcp reject with tcp reset; reject with icmpx admin-prohibited; }",
        _chain("out", "filter hook output priority 0; policy accept", out),
        # What slirp4netns lets in besides: datagrams of whoever finds one of its ports on the host.
        _chain("in", "filter hook input priority 0; policy drop", come),
        _chain("through", "filter hook forward priority 0; policy drop", ()),
    ]
    return _anew("inet ocm", chains) + _anew("ip ocm_nat", _translations(rules, hosts, others))


def _callers(served: int) -> str:
    """Match who calls from the host's loopback, wherever else that was led to."""
    called = f"ct original proto-dst {served}"
    return f'iifname "{INTERFACE}" ip saddr {GATEWAY} tcp dport {served} {called}'


def _outer(served: int) -> str:
    """Match who calls from another machine, once it was led to the gateway."""
    return f'iifname "{INTERFACE}" tcp dport {served} ct original proto-dst {OUTER_PORT}'


def _anew(table: str, blocks: list[str]) -> str:
    """Return what makes a table, in the place of one that may be there."""
    return f"table {table} {{}}\ndelete table {table}\ntable {table} {{\n{_indented(blocks)}}}\n"


def _accepted(one: Allowed) -> str:
    return f"ip daddr {one.network}{'' if one.port is None else f' tcp dport {one.port}'} accept"


def _translations(rules: Rules, hosts: list[Allowed], others: list[Allowed]) -> list[str]:
    """Return the chains by which callers and the host's loopback are met at their usual addresses.

    slirp4netns has those who call from the host's loopback come from `GATEWAY`: inside, and to the gateway
    who takes these for its owner's own programs, they come from the loopback as they do without a namespace.
    A resolver that is near, as the host may name one at any time, is that of slirp4netns.
    """
    served = rules.served
    names = f"ip daddr {{ {', '.join(map(str, NEAR))} }} meta l4proto {{ tcp, udp }} th dport 53"
    out = [
        *(f"ip daddr {one.network} tcp dport {one.port} dnat to {GATEWAY}" for one in hosts),
        *(_accepted(one) for one in others if one.port in (None, 53)),
        *([f"ip daddr != {RESOLVER} {names} dnat to {RESOLVER}"] if rules.out else []),
    ]
    chains = []
    if served is not None:
        callers, to, come = _callers(served), f"dnat to 127.0.0.1:{served}", "snat to 127.0.0.1"
        outer = (f'iifname "{INTERFACE}" tcp dport {OUTER_PORT} redirect to :{served}',)
        led = (f"{callers} {to}", *(outer if rules.exposed else ()))
        chains.append(_chain("callers", "nat hook prerouting priority -100", led))
        chains.append(_chain("called", "nat hook input priority 100", (f"{callers} {come}",)))
    if out:
        back = (f"ip daddr {{ {GATEWAY}, {RESOLVER} }} masquerade",)
        chains.append(_chain("out", "nat hook output priority -100", out))
        chains.append(_chain("back", "nat hook postrouting priority 100", back))
    return chains


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    lines = "".join(f"  {rule}\n" for rule in rules)
    return f"chain {name} {{\n  type {hook};\n{lines}}}"


def _indented(blocks: Iterable[str]) -> str:
    return "".join(f"  {line}\n" for block in blocks for line in block.splitlines())
