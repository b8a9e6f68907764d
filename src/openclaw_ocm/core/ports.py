"""Which port an instance takes: a window of ports for each, that none shares."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.traits import LAST_PORT
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAIN_PORT = 18789
FIRST_PORT = 19001
# Users of a machine whose stopped gateways nobody else sees begin apart, below the ports that Linux gives to
# whoever connects (ip_local_port_range): fifty instances for each of thirteen people.
_FIRST_PERSON, _BLOCK, _BLOCKS = 1000, 1000, 13
DEFAULT_STEP = 20
WINDOW = 20
CDP_OFFSET = 11
_LOWEST_PORT = 1024  # below it only root may listen


def window(base: int) -> range:
    """Return the ports that belong to the instance on `base`."""
    return range(base, base + WINDOW)


def parse_port(port: int) -> int:
    """Return `port` if an instance may have it as its base, otherwise raise `Invalid`."""
    if not _LOWEST_PORT <= port <= LAST_PORT:
        message = f"port {port} is out of range: an instance takes a port from {_LOWEST_PORT} to {LAST_PORT}"
        raise Invalid(message, hint="leave --port out and OCM takes the first free one", code="port_invalid")
    return port


def overlap(base: int, others: Iterable[int]) -> int | None:
    """Return the base of `others` whose window meets that of `base`, or None."""
    return next((other for other in others if abs(other - base) < WINDOW), None)


def overlaps(owners: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str]]:
    """Yield each two owners of base ports whose windows meet."""
    for (name, base), (other, its_base) in combinations(owners, 2):
        if abs(base - its_base) < WINDOW:
            yield name, other


def first_port(uid: int) -> int:
    """Return the port with which a user's instances begin: each of a machine's people has another one."""
    return FIRST_PORT + (_BLOCK * ((uid - _FIRST_PERSON) % _BLOCKS) if uid >= _FIRST_PERSON else 0)


def candidates(step: int, first: int = FIRST_PORT) -> Iterator[int]:
    """Yield the base ports in the order in which they are tried, from `first` on and then those before."""
    yield from range(first, LAST_PORT + 1, step)
    yield from range(FIRST_PORT, first, step)


def allocate_port(
    taken: Iterable[int], *, step: int, is_free: Callable[[int], bool], first: int = FIRST_PORT
) -> int:
    """Return the first base port whose whole window is free, beginning with `first`.

    `taken` are the base ports of main, of every instance and of neighbours; `is_free` tells of one port
    whether it can be bound now.
    """
    bases = tuple(taken)
    for base in candidates(step, first):
        if overlap(base, bases) is None and all(is_free(port) for port in window(base)):
            return base
    message = f"no free window of {WINDOW} ports between {FIRST_PORT} and {LAST_PORT}"
    raise OcmError(message, hint="ocm list shows the ports in use", code="no_free_port")
