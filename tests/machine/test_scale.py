"""A hundred records: one call to systemd, and no process for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .instances import HOME, rows

if TYPE_CHECKING:
    from .checkout import Ocm
    from .machine import Machine

pytestmark = pytest.mark.both_releases

# /usr/local/sbin comes first on the path that OCM gives to what it runs.
COUNTING = '#!/bin/sh\necho "$$ {name} $*" >> /tmp/calls\nexec /usr/bin/{name} "$@"\n'
COUNTED = ("systemctl", "journalctl", "loginctl", "systemd-run", "ss", "ps")


def test_list_of_a_hundred_records_makes_one_call_to_systemctl(machine: Machine, ocm: Ocm) -> None:
    ocm("create", "w000")
    record = machine.read(f"{HOME}/.config/ocm/instances/w000.toml")
    unit = machine.read(f"{HOME}/.config/systemd/user/openclaw-gateway-w000.service")
    for number in range(1, 100):
        name = f"w{number:03}"
        text = record.replace("w000", name).replace("19001", str(19001 + 20 * number))
        machine.write(f"{HOME}/.config/ocm/instances/{name}.toml", text, mode=0o600)
        machine.write(f"{HOME}/.config/systemd/user/openclaw-gateway-{name}.service", unit)
    try:
        for name in COUNTED:
            machine.write(f"/usr/local/sbin/{name}", COUNTING.format(name=name), user="root", mode=0o755)
        found = rows(ocm)
        calls = machine.read("/tmp/calls").splitlines()
    finally:
        machine.run(["sh", "-c", "cd /usr/local/sbin; rm -f " + " ".join(COUNTED)], user="root")
        machine.run(["rm", "-f", "/tmp/calls"], user="root")
        remove = "rm $(ls -d ~/.config/ocm/instances/w* ~/.config/systemd/user/*-w* | grep -v w000)"
        machine.run(["bash", "-c", remove])
        ocm("delete", "w000", "--yes")
    assert len(found) == 100
    assert {row["state"] for row in found.values()} == {"stopped"}
    assert [call.split()[1] for call in calls] == ["systemctl"], calls
    assert rows(ocm) == {}
