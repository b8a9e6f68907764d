"""The proof of a sandbox: what is asked from within, and what each answer must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

READ, WRITE, CONNECT, REACH, LIST = "read", "write", "connect", "reach", "list"
# Namespaces in which the sandbox must not be with the rest of the user's processes.
NAMESPACES = ("user", "mnt", "ipc", "pid")
NETWORK = "net"
# The process that waits for the gateway, by the name that the tool host gives it.
WAITER = "ocm-gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that a process inside must or must not be able to do.

    What is to be reached is `ADDRESS PORT`, or `@NAME` for an abstract socket.
    """

    action: str
    path: str
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A directory that holds, seen from inside, nothing but `names`, or cannot be seen at all."""

    path: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the kernel says of the gateway's process, read from outside."""

    no_new_privileges: bool
    filters: int
    capabilities: int
    bounding_set: int
    own_namespaces: frozenset[str]


def questions(checks: Iterable[Check], listings: Iterable[Listing]) -> dict[str, list[str]]:
    """Return what the probe reads from its standard input."""
    asked: dict[str, list[str]] = {READ: [], WRITE: [], CONNECT: [], REACH: [], LIST: []}
    for check in checks:
        asked[check.action].append(check.path)
    asked[LIST] = [listing.path for listing in listings]
    return asked


def answer_violations(
    answers: Mapping[str, Any], *, checks: Iterable[Check], listings: Iterable[Listing]
) -> tuple[str, ...]:
    """Return in words which answers from inside are not as the policy says."""
    return (*_check_violations(answers, checks), *_listing_violations(answers, listings))


def kernel_violations(kernel: Kernel, host: Kernel, *, isolated: bool) -> Iterator[str]:
    """Yield in words what the kernel says of the gateway's process that is not as the policy says.

    `host` is what it says of the tool host: the gateway is below more filters, those that forbid namespaces.
    One that is `isolated` has a network of its own.
    """
    if not kernel.no_new_privileges:
        yield "the gateway may gain new privileges (NoNewPrivileges is off)"
    if not host.filters:
        yield "the sandbox has no system call filter"
    if kernel.filters <= host.filters:
        yield "the gateway has no system call filter of its own: it may make namespaces"
    if kernel.capabilities or kernel.bounding_set:
        yield "the gateway has capabilities"
    for name in (*NAMESPACES, *([NETWORK] if isolated else [])):
        if name not in kernel.own_namespaces:
            yield f"the gateway shares the {name} namespace of the user's other processes"


def _check_violations(answers: Mapping[str, Any], checks: Iterable[Check]) -> Iterator[str]:
    for check in checks:
        answer = answers.get(check.action, {}).get(check.path)
        if answer is not check.allowed:
            yield f"a process inside {'can' if answer else 'cannot'} {check.action} {check.path}"


def _listing_violations(answers: Mapping[str, Any], listings: Iterable[Listing]) -> Iterator[str]:
    for listing in listings:
        if listing.path not in answers.get(LIST, {}):
            yield f"a process inside did not tell what is in {listing.path}"
        seen = answers.get(LIST, {}).get(listing.path)
        names = set(map(str, seen)) if isinstance(seen, list) else set()
        if extra := sorted(names - listing.names):
            yield f"a process inside sees {', '.join(extra[:5])} in {listing.path}"
