"""After a reboot enabled instances are back, disabled ones are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .instances import rows, wait_until_healthy

if TYPE_CHECKING:
    from .checkout import Ocm
    from .machine import Machine

pytestmark = pytest.mark.both_releases


def test_enabled_instance_is_back_after_a_reboot_and_a_disabled_one_is_not(
    machine: Machine, ocm: Ocm
) -> None:
    ocm("create", "stays-down", "comes-back")
    ocm("enable", "comes-back")
    ocm("enable", "stays-down")
    ocm("disable", "stays-down")
    try:
        machine.reboot()
        wait_until_healthy(ocm, "comes-back")
        found = rows(ocm)
        assert found["comes-back"]["autostart"] is True
        assert found["stays-down"]["state"] == "stopped"
        assert found["stays-down"]["autostart"] is False
        assert ocm("start", "comes-back").stdout == "comes-back: already ready and sealed\n"
    finally:
        ocm("delete", "--all", "--force", "--yes", check=False)
