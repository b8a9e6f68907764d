"""What main and the machine have around them, and a new instance might want: offered, never given unasked."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.offers import Offer, wanted_of_machine, wanted_of_main
from openclaw_ocm.core.openclaw.service import parse_environment_file
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.system.host import machine_zone
from openclaw_ocm.system.openclaw.texts import read_text
from openclaw_ocm.system.variables import settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from openclaw_ocm.core.openclaw.main_place import Variable
    from openclaw_ocm.system.host import Host

_SYSTEMS = Path("/etc/environment")


def find_offers(host: Host, around: Iterable[Variable], *, known: Collection[str]) -> tuple[Offer, ...]:
    """Return the variables that a new instance might want and that are not `known` to it, each once.

    `around` are those of main for one that inherits from it. What is set in several places is that of
    main, then of the shell.
    """
    found: dict[str, Offer] = {}
    for one in (*_of_main(around), *_of_machine(host)):
        if one.name not in known:
            found.setdefault(one.name, one)
    zone = machine_zone()
    return tuple(one for one in found.values() if (one.name, one.value) != ("TZ", zone))


def ready_offers(host: Host, offers: tuple[Offer, ...]) -> dict[str, str]:
    """Return what of offers can be given as it is: no secret, and no file or zone that is none here."""
    given: dict[str, str] = {}
    for one in offers:
        if not one.is_secret:
            with contextlib.suppress(Invalid):
                given |= settled(host.paths, {one.name: one.value})
    return given


def _of_main(around: Iterable[Variable]) -> Iterator[Offer]:
    yield from wanted_of_main(Offer(name=one.name, value=one.value, origin=one.origin) for one in around)


def _of_machine(host: Host) -> Iterator[Offer]:
    around = {**host.network, **({"TZ": host.zone} if host.zone else {})}
    shell = (Offer(name=name, value=value, origin="your shell") for name, value in around.items())
    yield from wanted_of_machine(shell)
    with contextlib.suppress(OcmError):
        variables, _exported = parse_environment_file(read_text(str(_SYSTEMS)))
        origin = str(_SYSTEMS)
        yield from wanted_of_machine(
            Offer(name=name, value=value, origin=origin) for name, value in variables.items()
        )
