"""What stands for ~/.local in a sandbox: made on real files, in a home of its own."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests import samples

from openclaw_ocm.core.record import Runtime
from openclaw_ocm.system.local_directory import is_local_current, make_local

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import InstancePaths


@pytest.fixture
def paths(tmp_path: Path) -> InstancePaths:
    return samples.paths(home=PurePosixPath(tmp_path))


def test_its_bin_leads_to_the_instances_own_programs_wherever_they_are(paths: InstancePaths) -> None:
    record = samples.record()
    assert not is_local_current(paths, record)
    make_local(paths, record)
    assert is_local_current(paths, record)
    assert Path(paths.local, "bin").readlink() == Path("../.openclaw-worker1/programs/bin")


def test_what_is_shown_below_it_has_its_mount_point_of_its_own_kind(
    paths: InstancePaths, tmp_path: Path
) -> None:
    node, package = tmp_path / ".local/lib/node/bin/node", tmp_path / ".local/lib/openclaw"
    node.parent.mkdir(parents=True)
    node.write_text("node")
    package.mkdir()
    record = samples.record(runtime=Runtime(node=str(node), openclaw=str(package)))
    make_local(paths, record)
    local = Path(paths.local)
    assert (local / "lib/node/bin/node").read_bytes() == b""
    assert (local / "lib/openclaw").is_dir()
    assert is_local_current(paths, record)


def test_where_a_program_of_the_host_is_shown_in_it_its_bin_is_a_directory_and_a_link_again_without(
    paths: InstancePaths, tmp_path: Path
) -> None:
    node = tmp_path / ".local/bin/node"
    node.parent.mkdir(parents=True)
    node.write_text("node")
    elsewhere = samples.record()
    with_node = msgspec.structs.replace(elsewhere, runtime=Runtime(node=str(node), openclaw=samples.OPENCLAW))
    for record, is_link in ((elsewhere, True), (with_node, False), (elsewhere, True)):
        make_local(paths, record)
        assert Path(paths.local, "bin").is_symlink() is is_link
        assert is_local_current(paths, record)
