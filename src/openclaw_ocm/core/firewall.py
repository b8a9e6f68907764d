"""UFW as data: the rules that an instance is to have, those that there are, and the commands between them.

OCM's rules bear the comment `ocm:NAME` and come first in UFW's list: otherwise a rule that lets a whole
network in would open an instance that is meant to be closed. `ufw prepend` leaves a rule alone that says
something about the very same traffic, where a plain `ufw allow` or `ufw deny` would change it in place, and
`ufw delete` with a comment removes no rule with another one. So no command here can touch a rule of
somebody else's (src/ufw of UFW 0.36.2: UFWRule.match and set_rule).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

ANY = "any"
ALLOW = "allow"
DENY = "deny"

ABSENT = "UFW is not installed: no rule keeps other machines from a gateway that listens beyond the loopback"
INACTIVE = "UFW is inactive: the rules of instances take effect once it is enabled"

# The two ways in which `ufw show added` prints what OCM's rules are about (parser.py, get_command).
_ACTION = r"(?P<action>(?:allow|deny|reject|limit)(?: log(?:-all)?)?)"
_COMMENT = r"(?: comment '(?P<comment>.*)')?"
_FROM_ANY = re.compile(rf"ufw {_ACTION} (?P<port>[0-9]+)/tcp{_COMMENT}")
_FROM_NETWORK = re.compile(
    rf"ufw {_ACTION} from (?P<source>\S+) to any port (?P<port>[0-9]+) proto tcp{_COMMENT}"
)
_TAG = re.compile(r"ocm:(.+)")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a TCP connection to `port` from `source`, an IPv4 network in UFW's spelling, or any.

    `action` is a word of UFW's; OCM wants allow and deny and finds others too.
    """

    action: str
    source: str
    port: int

    def describe(self) -> str:
        """Return the rule as UFW spells it."""
        if self.source == ANY:
            return f"{self.action} {self.port}/tcp"
        return f"{self.action} from {self.source} to any port {self.port} proto tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """One line of `ufw show added`; `rule` is what it says, None where OCM has no such rules.

    `instance` is the one that the comment names, None for a rule that is not OCM's.
    """

    text: str
    rule: Rule | None
    instance: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """UFW as it was seen.

    `accepts` tells that it lets in what no rule is about. `rules` is None where they could not be read: this
    takes root. `problem` is what UFW said where that was not the reason.
    """

    installed: bool = True
    active: bool = False
    accepts: bool = False
    rules: tuple[Added, ...] | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The rules to delete, those to put in front in this order, and the lines that keep others from it."""

    remove: tuple[Rule, ...] = ()
    add: tuple[Rule, ...] = ()
    obstacles: tuple[str, ...] = ()


def parse_source(text: str) -> str:
    """Return an IPv4 network as the record keeps it, or `any`; raise `Invalid` for all else.

    OpenClaw 2026.9.6 listens beyond the loopback on IPv4 alone (docs/gateway/config-gateway, `bind`).
    """
    import ipaddress

    if text == ANY:
        return ANY
    try:
        network = ipaddress.ip_network(text, strict=False)
        address = ipaddress.ip_address(text.partition("/")[0])
    except ValueError:
        message = f"{text!r} is no network"
        raise Invalid(
            message, hint="write 192.168.1.0/24, 192.168.1.20 or any", code="cidr_invalid"
        ) from None
    if network.version != 4:  # noqa: PLR2004 - the version of IP
        message = f"{text} cannot reach a gateway: OpenClaw listens beyond the loopback on IPv4 alone"
        raise Invalid(message, hint="name an IPv4 network", code="cidr_invalid")
    if network.prefixlen == 0:
        raise Invalid(f"{text} is every machine", hint="write any", code="cidr_invalid")
    if address != network.network_address:
        message = f"{text} is an address within {network}, not a network"
        hint = f"write {network} for the network, {address} for the one machine"
        raise Invalid(message, hint=hint, code="cidr_invalid")
    return str(network)


def exposure(sources: Iterable[str]) -> tuple[str, ...]:
    """Return what a record keeps for these sources: each once, and nothing beside `any`."""
    found = tuple(dict.fromkeys(map(parse_source, sources)))
    return (ANY,) if ANY in found else found


def wanted_rules(port: int, expose: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules of an instance, the first that fits counts; `expose` is that of its record."""
    if ANY in expose:
        return (Rule(action=ALLOW, source=ANY, port=port),)
    # UFW spells a network of one address without its length.
    allowed = (Rule(action=ALLOW, source=source.removesuffix("/32"), port=port) for source in expose)
    return (*allowed, Rule(action=DENY, source=ANY, port=port))


def parse_added(text: str) -> tuple[Added, ...]:
    """Return the rules that `ufw show added` printed, in its order. Its heading may be in any language."""
    return tuple(map(_parse_line, (line for line in text.splitlines() if line.startswith("ufw "))))


def _parse_line(line: str) -> Added:
    text = line.removeprefix("ufw ")
    match = _FROM_ANY.fullmatch(line) or _FROM_NETWORK.fullmatch(line)
    if match is None:
        return Added(text=text, rule=None, instance=None)
    found = match.groupdict()
    tag = _TAG.fullmatch(found["comment"] or "")
    return Added(
        text=text,
        rule=Rule(action=found["action"], source=found.get("source", ANY), port=int(found["port"])),
        instance=tag.group(1) if tag else None,
    )


def parse_setting(text: str, key: str) -> str | None:
    """Return the value of a `KEY=value` line of UFW's own files (ufw.conf, default/ufw), None without one."""
    values = re.findall(rf"^\s*{re.escape(key)}=(.*)$", text, re.MULTILINE)
    return values[-1].strip().strip("\"'").lower() if values else None


def own_rules(added: Iterable[Added], name: str, port: int) -> tuple[Rule, ...]:
    """Return the rules of an instance: its name may be that of another user's too, its port is not."""
    return tuple(line.rule for line in added if line.rule is not None and _is_own(line, name, port))


def _is_own(line: Added, name: str, port: int) -> bool:
    return line.rule is not None and line.rule.port == port and line.instance == name


def difference(
    firewall: Firewall, name: str, port: int, *, have: tuple[Rule, ...], want: tuple[Rule, ...]
) -> Change:
    """Return what leads from the rules of an instance to `want`.

    Where UFW's rules could not be read, `have` is what the instance may have: to add a rule that is there is
    no mistake.
    """
    if firewall.rules is None:
        gone = tuple(rule for rule in have if rule not in want)
        return Change(remove=gone, add=() if have == want else want[::-1])
    others = [line for line in firewall.rules if line.rule is not None and not _is_own(line, name, port)]
    obstacles = {rule: [line.text for line in others if _is_about(line, rule)] for rule in want}
    left = [rule for rule in want if not obstacles[rule]]
    remove: list[Rule] = []
    for rule in reversed(own_rules(firewall.rules, name, port)):
        # New rules go in front: what may stay is what the wanted ones end with.
        if left and rule == left[-1]:
            left.pop()
        else:
            remove.insert(0, rule)
    return Change(
        remove=tuple(remove),
        add=tuple(reversed(left)),
        obstacles=tuple(text for texts in obstacles.values() for text in texts),
    )


def _is_about(line: Added, rule: Rule) -> bool:
    """Tell whether a line is about the very traffic of a rule: UFW keeps one rule for it."""
    return line.rule is not None and (line.rule.source, line.rule.port) == (rule.source, rule.port)


def commands(name: str, change: Change) -> tuple[tuple[str, ...], ...]:
    """Return the argument vectors of ufw that carry a change out, in order."""
    return (
        *(_command("delete", rule, name) for rule in change.remove),
        *(_command("prepend", rule, name) for rule in change.add),
    )


def _command(verb: str, rule: Rule, name: str) -> tuple[str, ...]:
    return ("ufw", verb, *rule.describe().split(), "comment", f"ocm:{name}")


def by_hand(name: str, change: Change) -> str:
    """Return what a person types to carry a change out; empty where there is nothing to do."""
    return " && ".join(shlex.join(("sudo", *argv)) for argv in commands(name, change))


def notes(firewall: Firewall, name: str, change: Change, *, want: tuple[Rule, ...]) -> tuple[str, ...]:
    """Return what a user should know of the rules that an instance is to have, or to have no more."""
    if not firewall.installed:
        return (ABSENT,) if want else ()
    typed = by_hand(name, change)
    said = [INACTIVE] if want and not firewall.active else []
    if typed and firewall.problem is not None:
        said.append(f"UFW does not tell its rules ({firewall.problem}); for {name} type: {typed}")
    elif typed and (want or firewall.rules is not None):
        said.append(f"firewall rules of {name} are pending, for they take root: {typed}")
    elif typed:
        said.append(f"firewall rules of {name}, if there are any, stay, for they take root: {typed}")
    said += [f"UFW has a rule that is not OCM's, and it stays: {text}" for text in change.obstacles]
    return tuple(said)


def standing(firewall: Firewall, name: str, change: Change, *, want: tuple[Rule, ...]) -> str:
    """Return in one line how the rules of an instance stand; `change` is what is missing."""
    if not firewall.installed:
        return "UFW is not installed"
    typed = by_hand(name, change)
    if firewall.rules is None:
        reason = f"UFW says: {firewall.problem}" if firewall.problem else "not permitted to look"
        said = f"unknown, {reason}; wanted: {typed}"
    elif typed:
        said = f"pending: {typed}"
    else:
        said = ", ".join(rule.describe() for rule in want)
    said += "".join(f"; not OCM's and in its place: {text}" for text in change.obstacles)
    return said if firewall.active else f"{said}; UFW is inactive"


def unlimited(firewall: Firewall, change: Change) -> str | None:
    """Return why UFW would not keep others from an exposed instance, None where it would.

    `change` is the one to the rules of that instance.
    """
    if not firewall.installed:
        return "UFW is not installed"
    if not firewall.active:
        return "UFW is inactive"
    if firewall.rules is None and firewall.accepts:
        return "UFW lets in what no rule is about, and to add a rule takes root"
    if change.obstacles:
        return f"UFW has a rule that is not OCM's: {change.obstacles[0]}"
    return None
