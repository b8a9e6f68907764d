"""Mount points in a sandbox's root: those of the past go, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import msgspec
from tests import samples

from openclaw_ocm.core.record import Record, Shown
from openclaw_ocm.system.mount_points import are_current, keep_mount_points


def showing(*places: str) -> Record:
    mounts = tuple(Shown(path=place, at=place) for place in places)
    return msgspec.structs.replace(samples.record(), mounts=mounts)


def test_a_mount_point_of_the_past_is_removed_with_the_empty_directories_above_it(tmp_path: Path) -> None:
    paths = samples.paths(home=PurePosixPath(tmp_path))
    root = Path(paths.root)
    for made in ("usr", "srv/one/deep", "srv/two", "var/tmp"):
        (root / made).mkdir(parents=True)
    (root / "srv/file").touch()
    assert are_current(paths, showing())
    before = showing("/srv/one/deep", "/srv/two", "/srv/file", "/usr")
    assert not are_current(paths, before)
    keep_mount_points(paths, before)
    assert are_current(paths, before)
    keep_mount_points(paths, showing("/srv/two", "/usr"))
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert found == {"usr", "srv", "srv/two", "var", "var/tmp"}


def test_what_is_not_empty_stays(tmp_path: Path) -> None:
    paths = samples.paths(home=PurePosixPath(tmp_path))
    held = Path(paths.root, "srv/one")
    held.mkdir(parents=True)
    (held / "file").write_text("of somebody")
    keep_mount_points(paths, showing("/srv/one"))
    keep_mount_points(paths, showing())
    assert (held / "file").read_text() == "of somebody"


def test_where_a_gateway_that_runs_has_something_mounted_nothing_is_removed(tmp_path: Path) -> None:
    """To remove such a place would unmount what is there: the home with the state, for one."""
    paths = samples.paths()
    root = tmp_path / "root"
    made = ("home", "root", "var/tmp", "tmp", "run", "usr")
    for place in made:
        (root / place).mkdir(parents=True)
    moved = replace(paths, shell=PurePosixPath(tmp_path))
    for at in ("/home/ann/.aws/credentials", "/root/x", "/var/tmp/x", "/usr/x", "/run/x", "/tmp"):
        keep_mount_points(moved, showing(at))
        keep_mount_points(moved, showing())
    assert all((root / place).is_dir() for place in made)
