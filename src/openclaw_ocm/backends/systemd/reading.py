"""What gateways said: from the journal, or where its user may read none, from OpenClaw's own log."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from openclaw_ocm.backends.systemd import places
from openclaw_ocm.backends.systemd.journal import parse_entry
from openclaw_ocm.core.log import Entry
from openclaw_ocm.errors import CommandFailed, OcmError
from openclaw_ocm.system.openclaw.own_log import PLACE, own_log
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.needs import Lacking
    from openclaw_ocm.system.host import Host


def read_log(
    host: Host, name: InstanceName, *, lines: int | None, follow: bool, since: float | None
) -> Iterator[Entry]:
    """Yield the entries of a gateway, oldest first; with `follow` without an end, where there is a journal.

    Raises `OcmError` where neither can be read.
    """
    from openclaw_ocm.system.machine.lacking import no_journal

    # One that is followed does not end where it has nothing to tell.
    lacking, told = no_journal(host) if follow else None, False
    try:
        for entry in _journal(host, name, lines=lines, follow=follow, since=since) if not lacking else ():
            told = True
            yield entry
    except CommandFailed:
        lacking = no_journal(host)
        if told or lacking is None:
            raise
    if not told and lines != 0 and (lacking := lacking or no_journal(host)) is not None:
        yield from _own(host, name, lacking, lines=lines, since=since)


def _journal(
    host: Host, name: InstanceName, *, lines: int | None, follow: bool, since: float | None
) -> Iterator[Entry]:
    # Without --user: a journal that is kept in memory is one for all users, and some may read it.
    argv = (
        *("journalctl", "--output=json", "--all", "--no-pager", "--quiet"),
        f"--user-unit={places.unit_name(name)}",
        # What keeps it from having a network is told there.
        f"--user-unit={places.uplink_name(name)}",
        *([f"--lines={lines}"] if lines is not None else []),
        *(["--follow"] if follow else []),
        *([f"--since=@{since:.6f}"] if since is not None else []),
    )
    for line in host.runner.lines(argv):
        entry = parse_entry(line)
        if entry is not None:
            yield entry


def _own(
    host: Host, name: InstanceName, lacking: Lacking, *, lines: int | None, since: float | None
) -> Iterator[Entry]:
    found = own_log(Directory(host.instance(name).state), lines=lines, since=since)
    if found is None:
        raise OcmError(lacking.why, hint=lacking.mend, code="no_journal")
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    why = f"{lacking.why}; so this is what OpenClaw itself wrote into {PLACE}, as far as there is something"
    yield Entry(time=found[0].time if found else now, source="ocm", message=why)
    yield from found
