"""Where backends have what they write: for each instance its own, and out of every instance's reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from tests import samples

from openclaw_ocm.backends.supervisord import places as of_supervisord
from openclaw_ocm.backends.systemd import places as of_systemd
from openclaw_ocm.core.names import MAX_LENGTH, parse_name
from openclaw_ocm.core.purpose import Purpose

if TYPE_CHECKING:
    from pathlib import PurePosixPath

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", fullmatch=True).filter(
    lambda name: len(name) <= MAX_LENGTH and name not in ("main", "default")
)


def written(name: str) -> tuple[PurePosixPath, ...]:
    paths = samples.paths(parse_name(name))
    output = of_supervisord.output(paths)
    return (*paths.written, *of_systemd.written(paths), *of_supervisord.written(paths), output)


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_no_two_instances_share_a_file(names: list[str]) -> None:
    one, other = map(written, names)
    assert len({*one, *other}) == len(one) + len(other)


@given(NAMES)
def test_nothing_but_the_config_lies_where_an_instance_can_write(name: str) -> None:
    paths = samples.paths(parse_name(name))
    for path in written(name):
        assert path == paths.config or not any(
            path.is_relative_to(place) for place in (paths.state, paths.scratch, paths.shell)
        )


def test_what_is_supervisords_own_lies_in_directories_of_ocm() -> None:
    host = samples.paths().host
    found = [getattr(of_supervisord, place)(host) for place in ("config", "programs")]
    found += [of_supervisord.schedules(host, purpose) for purpose in Purpose]
    assert all(path.is_relative_to(host.ocm_config) for path in found)
    found = [getattr(of_supervisord, place)(host) for place in ("socket", "log", "pid", "outputs")]
    found += [of_supervisord.timers(host, purpose) for purpose in Purpose]
    assert all(path.is_relative_to(host.ocm_state) for path in found)
    assert str(of_supervisord.filters(host)) == "/home/ann/.local/share/ocm/filters"
