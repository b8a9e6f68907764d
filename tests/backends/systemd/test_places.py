from __future__ import annotations

from tests import samples

from openclaw_ocm.backends.systemd import places
from openclaw_ocm.backends.systemd.places import unit_name
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.core.purpose import Purpose


def test_the_unit_has_openclaws_own_name_for_a_profile() -> None:
    assert unit_name(parse_name("worker1")) == "openclaw-gateway-worker1.service"


def test_its_files_lie_where_the_user_manager_looks() -> None:
    assert {path.parent for path in places.written(samples.paths())} == {samples.paths().host.units}
    assert str(places.unit(samples.paths())) == (
        "/home/ann/.config/systemd/user/openclaw-gateway-worker1.service"
    )
    elsewhere = host_paths(samples.HOME, {"XDG_CONFIG_HOME": "/c"}).instance(samples.NAME)
    assert str(places.timer(elsewhere, Purpose.BACKUP)) == "/c/systemd/user/ocm-backup-worker1.timer"
    assert str(places.timed(elsewhere, Purpose.BACKUP)) == "/c/systemd/user/ocm-backup-worker1.service"
