"""Which kind of network a new instance gets, and what is said where it is another than it could be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.system.uplinks import impossible, no_uplink

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.network import Kind
    from openclaw_ocm.system.host import Host


def choose_network(
    host: Host, name: InstanceName, wanted: Kind | None, *, sealed: bool
) -> tuple[Kind, tuple[str, ...]]:
    """Return the kind of network of a new instance, and a note where it shares this machine's unasked.

    `wanted` is None where nobody says: then it is its own, where there can be one. Raises `OcmError` where
    one of its own is wanted and cannot be made.
    """
    if not sealed or wanted == "shared":
        return "shared", ()
    lacking = no_uplink(host)
    if lacking is None:
        return wanted or "own", ()
    if wanted is not None:
        raise impossible(lacking, "--network shared")
    mend = f"{lacking.mend}, then " if lacking.mend is not None else ""
    note = f"{name} shares the network of this machine: {lacking.why}; {mend}ocm network {name} own"
    return "shared", (note,)
