"""By which address of this machine a network reaches it."""

from __future__ import annotations

import pytest

from openclaw_ocm.system.addresses import address_towards


@pytest.mark.parametrize("network", ["127.0.0.0/8", "127.0.0.2/32", "127.0.0.2/31", "127.0.0.2"])
def test_the_way_to_a_network_of_any_size_is_that_of_its_first_address(network: str) -> None:
    assert address_towards(network) == "127.0.0.1"


def test_where_no_way_leads_there_is_no_address() -> None:
    # A link-local address leads nowhere without the name of an interface (RFC 4007).
    assert address_towards("fe80::/64") is None
