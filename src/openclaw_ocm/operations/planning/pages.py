"""Where the page of a gateway is: for this machine, and for those networks that it is exposed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.firewall import ANY
from openclaw_ocm.core.openclaw.control_ui import address
from openclaw_ocm.system.addresses import address_towards

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from openclaw_ocm.core.record import Record


def page_here(config: Mapping[str, Any], record: Record) -> str:
    """Return the address of an instance's page on this machine."""
    return address(config, port=record.port)


def pages_elsewhere(config: Mapping[str, Any], record: Record) -> dict[str, str]:
    """Return the address of an instance's page by the network that it is exposed to, where there is a way."""
    hosts = {source: address_towards(None if source == ANY else source) for source in record.expose}
    return {
        source: address(config, port=record.port, host=host)
        for source, host in hosts.items()
        if host is not None
    }
