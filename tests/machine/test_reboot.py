"""After a reboot enabled instances are back, in turns, and disabled ones are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .instances import HOME, rows, wait_until_healthy

if TYPE_CHECKING:
    from .checkout import Ocm
    from .machine import Machine

pytestmark = pytest.mark.both_releases

BACK = ("comes-back", "comes-too")
BEGAN, ENDED = "ExecMainStartTimestampMonotonic", "InactiveEnterTimestampMonotonic"


def test_enabled_instance_is_back_after_a_reboot_and_a_disabled_one_is_not(
    machine: Machine, ocm: Ocm
) -> None:
    ocm("create", "stays-down", *BACK)
    # As on a small machine.
    machine.write(f"{HOME}/.config/ocm/settings.toml", "jobs = 1\n")
    ocm("enable", *BACK)
    ocm("enable", "stays-down")
    ocm("disable", "stays-down")
    try:
        machine.reboot()
        for name in BACK:
            wait_until_healthy(ocm, name)
        found = rows(ocm)
        for name in BACK:
            assert found[name]["autostart"] is True
        first, second = sorted(BACK, key=lambda name: moment(machine, gateway(name), BEGAN))
        assert moment(machine, gateway(second), BEGAN) >= moment(machine, turn(first), ENDED)
        assert ocm("start", *BACK).stdout.count("already ready and sealed\n") == len(BACK)
        look = f"systemctl --user start --no-block {gateway('stays-down')} && {ocm.folder}/ocm.py list"
        listed = machine.run(
            ["sh", "-c", 'flock "$XDG_RUNTIME_DIR/ocm-turns/slot-0" sh -c "$0"', look]
        ).stdout
        assert "waits for its turn" in listed
        ocm("stop", "stays-down")
        assert rows(ocm)["stays-down"]["state"] == "stopped"
        assert found["stays-down"]["state"] == "stopped"
        assert found["stays-down"]["autostart"] is False
    finally:
        ocm("delete", "--all", "--force", "--yes", check=False)
        machine.run(["rm", f"{HOME}/.config/ocm/settings.toml"])
    left = machine.run(["sh", "-c", "ls ~/.config/systemd/user ~/.local/share/ocm"]).stdout.split()
    assert not {"ocm-turn@.service", "take-turn"} & set(left)


def gateway(name: str) -> str:
    return f"openclaw-gateway-{name}.service"


def turn(name: str) -> str:
    return f"ocm-turn@{name}.service"


def moment(machine: Machine, unit: str, kind: str) -> int:
    """Return when that was of a unit, in microseconds."""
    return int(machine.run(["systemctl", "--user", "show", "--value", f"--property={kind}", unit]).stdout)
