"""What main and the machine have around them, and a new instance might want: offered, never given unasked."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.environment import holds_secret, is_proxy
from openclaw_ocm.core.names import MAIN, parse_name
from openclaw_ocm.core.offers import offer_notes, profiles_in, wanted_of_machine, wanted_of_main
from openclaw_ocm.core.openclaw.main_place import variables_of
from openclaw_ocm.core.openclaw.service import parse_environment_file
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.inheritance import given_variables
from openclaw_ocm.system.host import machine_zone
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw.source import read_surroundings
from openclaw_ocm.system.openclaw.texts import read_text
from openclaw_ocm.system.variables import settled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.core.openclaw.main_place import Variable
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.host import Host

_SYSTEMS = Path("/etc/environment")


def find_offers(host: Host, main: Mapping[str, Variable], *, known: Collection[str]) -> tuple[Variable, ...]:
    """Return the variables that an instance might want and that are not `known` to it, each once.

    `main` are those that main has, where it inherits from that. What is set in several places is that of
    main, then of the shell.
    """
    found: dict[str, Variable] = {}
    for one in (*_of_main(host, main), *_of_machine(host)):
        # Programs that look for the other spelling find this one: OpenClaw does.
        if not (one.name in known or (is_proxy(one.name) and one.name.upper() in known)):
            found.setdefault(one.name, one)
    zone = machine_zone()
    return tuple(one for one in found.values() if (one.name, one.value) != ("TZ", zone))


def offers_told(worker: Instance) -> tuple[str, ...]:
    """Return what of the machine's an instance that is there might want, with the command that gives it."""
    known = set(worker.record.environment)
    with contextlib.suppress(OcmError):
        known |= read_secrets(worker.paths).keys()
    return tuple(offer_notes(worker.name, find_offers(worker.host, {}, known=known)))


def ready_offers(host: Host, offers: tuple[Variable, ...]) -> dict[str, str]:
    """Return what of offers can be given as it is: no secret, and no file or zone that is none here."""
    given: dict[str, str] = {}
    for one in offers:
        if not holds_secret(one.name, one.value):
            with contextlib.suppress(Invalid):
                given |= settled(host.paths, {one.name: one.value})
    return given


def read_around(host: Host, package: PurePosixPath, source: str | None) -> Mapping[str, Variable]:
    """Return the variables of main, of an instance those that it was given.

    What cannot be read has none: whoever inherits from it says so.
    """
    with contextlib.suppress(OcmError):
        if source == MAIN:
            return read_surroundings(host, package).variables
        if source is not None:
            return given_variables(read_record(host.paths, parse_name(source)))
    return {}


def _of_main(host: Host, main: Mapping[str, Variable]) -> Iterator[Variable]:
    yield from wanted_of_main(main.values())
    folder = f"{host.paths.home}/.aws"
    files = {name: path for name, path in profiles_in(folder, main.keys()).items() if Path(path).is_file()}
    yield from wanted_of_main(variables_of(files, folder).values())


def _of_machine(host: Host) -> Iterator[Variable]:
    around = {**host.network, **({"TZ": host.zone} if host.zone else {})}
    yield from wanted_of_machine(variables_of(around, "your shell").values())
    with contextlib.suppress(OcmError):
        values, _exported = parse_environment_file(read_text(str(_SYSTEMS)))
        yield from wanted_of_machine(variables_of(values, str(_SYSTEMS)).values())
