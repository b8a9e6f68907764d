from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import samples

from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.errors import Invalid

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,8}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name not in ("main", "default")
)


def test_everything_is_where_the_design_says() -> None:
    paths = samples.paths()
    assert {key: str(getattr(paths, key)) for key in ("state", "config", "config_link")} == {
        "state": "/home/ann/.openclaw-worker1",
        "config": "/home/ann/.openclaw-worker1/openclaw.json",
        "config_link": "/home/ann/.openclaw/openclaw-worker1.json",
    }
    assert str(paths.record) == "/home/ann/.config/ocm/instances/worker1.toml"
    assert str(paths.secrets) == "/home/ann/.config/ocm/secrets/worker1.env"
    assert str(paths.host.transactions) == "/home/ann/.local/state/ocm/transactions"
    assert str(paths.host.locks) == "/home/ann/.local/state/ocm/locks"


def test_xdg_variables_are_honoured() -> None:
    host = host_paths(samples.HOME, {"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_DATA_HOME": "/d"})
    paths = host.instance(samples.NAME)
    assert str(paths.record) == "/c/ocm/instances/worker1.toml"
    assert str(paths.host.units) == "/c/systemd/user"
    assert str(paths.scratch) == "/s/ocm/tmp/worker1"
    assert str(paths.shell) == "/d/ocm/instances/worker1"
    assert paths.state == samples.HOME / ".openclaw-worker1"


@pytest.mark.parametrize("value", ["", "relative", "./x"])
def test_an_xdg_variable_that_is_empty_or_relative_is_ignored(value: str) -> None:
    host = host_paths(
        samples.HOME, dict.fromkeys(("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"), value)
    )
    assert host == host_paths(samples.HOME, {})


@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"])
@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x1b"])
def test_a_directory_that_no_unit_file_can_name_is_refused(variable: str, character: str) -> None:
    home = samples.HOME / f"a{character}b" if variable == "HOME" else samples.HOME
    with pytest.raises(Invalid, match="control character") as caught:
        host_paths(home, {variable: f"/x{character}y"})
    assert character not in caught.value.message


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_no_two_instances_share_a_path_or_lie_within_each_other(names: list[str]) -> None:
    one, other = (owned(parse_name(name)) for name in names)
    for path in one:
        assert not any(path == foreign or path.is_relative_to(foreign) for foreign in other)


@given(NAMES)
def test_nothing_that_an_instance_writes_lies_within_main_or_what_ocm_trusts(name: str) -> None:
    paths = samples.paths(parse_name(name))
    host = paths.host
    for path in (
        paths.state,
        paths.temporary(PurePosixPath("/tmp")),
        paths.temporary(PurePosixPath("/var/tmp")),
    ):
        assert not any(
            path.is_relative_to(trusted) for trusted in (host.main_state, host.ocm_config, host.units)
        )
        assert not path.is_relative_to(host.transactions)
        assert not path.is_relative_to(host.locks)
        assert not path.is_relative_to(paths.shell)


def test_the_two_temporary_directories_are_different_ones() -> None:
    paths = samples.paths()
    assert paths.temporary(PurePosixPath("/tmp")) != paths.temporary(PurePosixPath("/var/tmp"))


def owned(name: InstanceName) -> tuple[PurePosixPath, ...]:
    paths = samples.paths(name)
    return (
        *(paths.state, paths.config_link, paths.shell, paths.scratch),
        *paths.written,
    )
