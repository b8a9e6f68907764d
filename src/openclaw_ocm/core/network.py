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
    from collections.abc import Iterable, Iterator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# `own` is a network namespace of its own, `none` one without a way out, `shared` that of the host.
Kind = Literal["own", "none", "shared"]

# As slirp4netns has them without further words (slirp4netns(1)): the host's loopback, and its resolver.
GATEWAY, RESOLVER = "10.0.2.2", "10.0.2.3"
INTERFACE = "eth0"
LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")
# Not for everybody by IANA's registries of special addresses, and multicast.
NEAR = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
            *("::/127", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7"),
            *("fe80::/10", "fec0::/10", "ff00::/8"),
        ),
    )
)
_IPV4 = 4
_URL = re.compile(
    r"(?P<scheme>https?|wss?)://(?P<host>\[[^\]]*\]|[^/:?#@]*)(?::(?P<port>[0-9]{1,5}))?(?=[/?#]|\Z)"
)
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# What an IPv6 address of the loopback looks like, IPv4 mapped into it included.
_MAPPED = tuple(map(ipaddress.IPv6Network, ("::1/128", "::ffff:127.0.0.0/104")))
_MOST_PORT = 65535


@dataclass(frozen=True, slots=True, order=True)
class Allowed:
    """A network that an instance may reach, on one TCP port or, for None, by all ports and protocols."""

    network: Network
    port: int | None

    def __str__(self) -> str:
        """Return it as it stands in the record."""
        single = self.network.prefixlen == self.network.max_prefixlen
        host = str(self.network.network_address if single else self.network)
        if self.port is None:
            return host
        return f"{host}:{self.port}" if self.network.version == _IPV4 else f"[{host}]:{self.port}"

    @property
    def is_on_host(self) -> bool:
        """Whether it is a service on the host's loopback, which takes another way."""
        return isinstance(self.network, ipaddress.IPv4Network) and self.network.subnet_of(LOOPBACK)


def parse_allowed(text: str) -> Allowed:
    """Return what `ADDRESS`, `NETWORK/LENGTH`, either with `:PORT`, names; raise `Invalid` for anything else.

    The host's loopback is allowed by single ports alone: all of it would be every service of the machine.
    """
    host, port = _parts(text)
    try:
        # A zone (RFC 6874), which would be part of it, may hold anything.
        network = ipaddress.ip_network("" if "%" in host else host)
    except ValueError:
        message = f"{text!r} is no address or network with an optional port"
        hint = "for example 127.0.0.1:11434 or 192.168.1.0/24"
        raise Invalid(message, hint=hint, code="network_invalid") from None
    allowed = Allowed(network, port)
    single = network.prefixlen == network.max_prefixlen
    if _holds_loopback(network) and not (allowed.is_on_host and single and port is not None):
        message = f"{text!r}: of this machine's loopback, single ports of an IPv4 address can be allowed"
        raise Invalid(message, hint="for example 127.0.0.1:11434", code="network_invalid")
    return allowed


def _holds_loopback(network: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return network.overlaps(LOOPBACK)
    return any(network.overlaps(one) for one in _MAPPED)


def near_places(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return what of these URLs is near, as the record has it: this machine's loopback, a private network.

    Names other than localhost are nowhere: they are not looked up.
    """
    found = []
    for address in addresses:
        url = _URL.match(address)
        with contextlib.suppress(ValueError):
            if url is not None and any(_host(url["host"]) in network for network in NEAR):
                found.append(
                    f"{url['host'].replace('localhost', '127.0.0.1')}:{url['port'] or _PORTS[url['scheme']]}"
                )
    return allowance(each for each in found if _is_allowable(each))


def _host(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address("127.0.0.1" if text == "localhost" else text.strip("[]"))


def _is_allowable(text: str) -> bool:
    with contextlib.suppress(Invalid):
        return bool(parse_allowed(text))
    return False


def allowance(texts: Iterable[str]) -> tuple[str, ...]:
    """Return what is allowed as the record has it: sorted, nothing twice; raises `Invalid` as above."""
    return tuple(sorted({str(parse_allowed(text)) for text in texts}))


def _parts(text: str) -> tuple[str, int | None]:
    """Return the host and the port of `HOST`, `HOST:PORT` and `[HOST]:PORT`; no host for what is none."""
    host, colon, digits = text.rpartition(":")
    if text.startswith("["):
        host = host.removeprefix("[").removesuffix("]") if host.endswith("]") else ""
    elif not colon or ":" in host:
        return text, None
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MOST_PORT))):
        return "", None
    return (host, int(digits)) if 0 < int(digits) <= _MOST_PORT else ("", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the network of one sandbox is to be.

    `served` is the port of a gateway inside, which is reached from outside, None for a session; `allowed` is
    what is near and may be reached; without `out` nothing else is.
    """

    served: int | None
    allowed: tuple[Allowed, ...] = ()
    out: bool = True

    @property
    def reaches_host(self) -> bool:
        """Whether any service on the host's loopback may be reached."""
        return any(one.is_on_host for one in self.allowed)


def ruleset(rules: Rules) -> str:
    """Return what nft(8) is to load into a network namespace, before it has a way out.

    The sets `own4` and `own6` are empty in it: they take the host's own addresses with their networks. Else
    a public address of the machine itself would be reached as a neighbour.
    """
    wanted = sorted(set(rules.allowed), key=str)
    here = [one for one in wanted if one.is_on_host]
    out = (
        *(f"ip daddr {GATEWAY} tcp dport {one.port} accept" for one in here),
        # Whatever else is allowed: behind these two is the host.
        f"ip daddr {{ {GATEWAY}, {RESOLVER} }} goto no",
        *(_accepted(one) for one in wanted if one not in here),
        *(("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept",)),
        *(_near() if rules.out else ("goto no",)),
    )
    resolver = f"ip daddr {RESOLVER} meta l4proto {{ tcp, udp }} th dport 53 accept"
    chains = [
        *("set own4 { type ipv4_addr; flags interval; auto-merge; }",),
        *("set own6 { type ipv6_addr; flags interval; auto-merge; }",),
        "chain no { meta l4proto tcp reject with tcp reset; reject with icmpx admin-prohibited; }",
        _chain(
            "out",
            "filter hook output priority 0; policy accept",
            ('oif "lo" accept', "ct state established,related accept", *([resolver] * rules.out), *out),
        ),
    ]
    return _anew("inet ocm", chains) + _anew("ip ocm_nat", _translations(rules.served, here))


def _anew(table: str, blocks: list[str]) -> str:
    """Return what makes a table, in the place of one that may be there."""
    return f"table {table} {{}}\ndelete table {table}\ntable {table} {{\n{_indented(blocks)}}}\n"


def _near() -> Iterator[str]:
    for family, version in (("ip", 4), ("ip6", 6)):
        chosen = ", ".join(str(one) for one in NEAR if one.version == version)
        yield f"{family} daddr {{ {chosen} }} goto no"
        yield f"{family} daddr @own{version} goto no"


def _accepted(one: Allowed) -> str:
    family = "ip" if one.network.version == _IPV4 else "ip6"
    return f"{family} daddr {one.network}{'' if one.port is None else f' tcp dport {one.port}'} accept"


def _translations(served: int | None, here: list[Allowed]) -> list[str]:
    """Return the chains by which callers and the host's loopback are met at their usual addresses.

    slirp4netns has those who call from the host's loopback come from `GATEWAY`: inside, and to the gateway
    who takes these for its owner's own programs, they come from the loopback as they do without a namespace.
    """
    callers = f'iifname "{INTERFACE}" ip saddr {GATEWAY} tcp dport {served}'
    hosts = [f"ip daddr {one.network.network_address} tcp dport {one.port}" for one in here]
    chains = []
    if served is not None:
        to, come = f"dnat to 127.0.0.1:{served}", "snat to 127.0.0.1"
        chains.append(_chain("callers", "nat hook prerouting priority -100", (f"{callers} {to}",)))
        chains.append(_chain("called", "nat hook input priority 100", (f"{callers} {come}",)))
    if here:
        to_host = (f"{which} dnat to {GATEWAY}" for which in hosts)
        chains.append(_chain("host", "nat hook output priority -100", to_host))
        chains.append(
            _chain("back", "nat hook postrouting priority 100", (f"ip daddr {GATEWAY} masquerade",))
        )
    return chains


def _chain(name: str, hook: str, rules: Iterable[str]) -> str:
    lines = "".join(f"  {rule}\n" for rule in rules)
    return f"chain {name} {{\n  type {hook};\n{lines}}}"


def _indented(blocks: Iterable[str]) -> str:
    return "".join(f"  {line}\n" for block in blocks for line in block.splitlines())
