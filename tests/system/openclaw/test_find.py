"""Which Node and OpenClaw are found behind shims and wrappers, and what is passed over."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests import hosts, nodes, samples

from openclaw_ocm.core.record import Shown
from openclaw_ocm.core.releases import is_node_version
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.openclaw.asking import is_in_state
from openclaw_ocm.system.openclaw.find import find_node, find_openclaw
from openclaw_ocm.system.openclaw.package import default_range

if TYPE_CHECKING:
    from openclaw_ocm.system.host import Host


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir()
    return made


def host_of(home: Path, *directories: Path) -> Host:
    return replace(hosts.context(home).host, search_path=os.pathsep.join(map(str, directories)))


def node_of(home: Path, *directories: Path) -> str:
    return find_node(host_of(home, *directories), default_range()).path


def refusal(home: Path, *directories: Path) -> OcmError:
    with pytest.raises(OcmError) as caught:
        node_of(home, *directories)
    return caught.value


def put_package(directory: Path, version: str = "2026.9.6") -> Path:
    directory.mkdir(parents=True)
    (directory / "package.json").write_text(json.dumps({"name": "openclaw", "version": version}))
    nodes.put_script(directory / "openclaw.mjs", "exit 9")
    return directory


def put_mise(home: Path, real: Path) -> Path:
    """Make shims as mise does: links to one program, which does what it is called."""
    mise = nodes.put_script(
        home / "mise/bin/mise",
        f'[ "${{0##*/}}" != mise ] && exec "{real}/${{0##*/}}" "$@"\n'
        '[ "$1" = --version ] && exec echo "2026.5.3 linux-x64"\necho "mise ERROR" >&2; exit 2',
    )
    shims = home / "mise/shims"
    shims.mkdir()
    for name in ("node", "openclaw"):
        (shims / name).symlink_to(mise)
    return shims


def put_asdf(home: Path, real: Path) -> Path:
    """Make a shim as asdf does: a script that asks the manager, which is found on the PATH."""
    nodes.put_script(home / "asdf/bin/asdf", f'shift; name=$1; shift; exec "{real}/$name" "$@"')
    nodes.put_script(home / "asdf/shims/node", 'exec asdf exec node "$@"')
    return home / "asdf/shims"


def test_the_node_behind_a_shim_of_mise_is_found(home: Path) -> None:
    real = nodes.put(home / "real/node", "24.20.0")
    assert node_of(home, put_mise(home, real.parent)) == str(real)


def test_the_node_behind_a_shim_is_found_where_the_manager_is_on_the_path(home: Path) -> None:
    real = nodes.put(home / "real/node", "24.20.0")
    assert node_of(home, put_asdf(home, real.parent), home / "asdf/bin") == str(real)


def test_a_shim_whose_manager_is_gone_is_passed_over_and_told_where_nothing_is_found(home: Path) -> None:
    shims, other = put_asdf(home, home / "gone"), nodes.put(home / "other/node", "24.20.0")
    assert node_of(home, shims, other.parent) == str(other)
    error = refusal(home, shims)
    assert error.code == "node_unusable"
    assert error.message.startswith(f"{shims}/node does not answer as Node: exit status 127, ")


def test_what_no_node_can_be_is_passed_over(home: Path) -> None:
    odd = nodes.put(home / "odd/node", "2026.5.3")
    mute = nodes.put_script(home / "mute/node", "echo v24.20.0")
    bun = nodes.put_script(home / "bun/node", """echo '{"node": false, "version": "24.3.0", "path": "/b"}'""")
    broken = home / "broken/node"
    broken.parent.mkdir()
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    good = nodes.put(home / "good/node", "24.20.0")
    directories = [each.parent for each in (odd, mute, bun, broken)]
    assert node_of(home, *directories, good.parent) == str(good)
    told = refusal(home, *directories).message
    assert "there is no Node 2026.5.3" in told
    assert "and 1 more" in told


def test_a_node_that_gives_itself_out_for_another_is_passed_over(home: Path) -> None:
    liar = nodes.put(home / "liar/node", "24.20.0", says=str(home / "old/node"))
    nodes.put(home / "old/node", "20.1.0")
    assert "which says otherwise" in refusal(home, liar.parent).message


def test_an_old_node_is_told_with_its_version_and_nothing_of_it_is_kept(home: Path) -> None:
    old, new = nodes.put(home / "old/node", "20.1.0"), nodes.put(home / "new/node", "24.20.0")
    before = hosts.contents(home)
    error = refusal(home, old.parent)
    assert (error.code, error.message) == ("node_too_old", f"Node 20.1.0 ({old}) cannot run OpenClaw")
    assert hosts.contents(home) == before
    assert node_of(home, new.parent) == str(new)


@pytest.mark.parametrize("state", [".openclaw/tools", ".openclaw-t1/bin", ".local/state/ocm/tmp/t1/tmp"])
def test_what_lies_in_a_state_is_not_even_asked(home: Path, state: str) -> None:
    planted = nodes.put_script(home / state / "node", f"touch {home}/ran")
    nodes.put_script(home / state / "openclaw", f"touch {home}/ran")
    link = home / "bin/node"
    link.parent.mkdir()
    link.symlink_to(planted)
    assert "lies in the state of main or of an instance" in refusal(home, planted.parent, link.parent).message
    with pytest.raises(OcmError, match="lies in the state"):
        find_openclaw(host_of(home, planted.parent))
    assert not (home / "ran").exists()


def test_what_an_instance_may_write_in_a_folder_of_the_machine_is_not_even_asked(home: Path) -> None:
    planted = nodes.put_script(home / "project/bin/node", f"touch {home}/ran")
    nodes.put_script(home / "project/bin/openclaw", f"touch {home}/ran")
    named = home / "named"
    named.symlink_to("project")
    for writable in (True, False):
        shown = (Shown(path=str(named), at="/srv/project", writable=writable),)
        record = msgspec.structs.replace(samples.record(), mounts=shown)
        path = Path(host_of(home).instance(record.name).record)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(encode_record(record))
        path.chmod(0o600)
        said = refusal(home, planted.parent).message
        with pytest.raises(OcmError):
            find_openclaw(host_of(home, planted.parent))
        assert ("or where one may write" in said, (home / "ran").exists()) == (writable, not writable)


def test_a_shim_calls_nothing_in_a_state(home: Path) -> None:
    planted = nodes.put(home / ".openclaw-t1/bin/asdf", "24.20.0")
    nodes.put_script(home / "shims/node", 'exec asdf "$@"')
    assert refusal(home, home / "shims", planted.parent).code == "node_unusable"


def test_a_state_is_known_by_the_home_that_a_link_leads_to(tmp_path: Path, home: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(home)
    paths = hosts.context(link).host.paths
    assert is_in_state(paths, PurePosixPath(home, ".openclaw/bin/node"))
    assert not is_in_state(paths, PurePosixPath(home, ".openclawed/bin/node"))


def test_the_package_is_above_the_entry_that_a_link_leads_to(home: Path) -> None:
    package = put_package(home / "lib/node_modules/openclaw")
    (home / "bin").mkdir()
    (home / "bin/openclaw").symlink_to(package / "openclaw.mjs")
    assert find_openclaw(host_of(home, home / "bin")).path == str(package)


def test_the_package_behind_a_shim_is_that_which_node_would_run(home: Path) -> None:
    package = put_package(home / "lib/openclaw")
    # As a Node does that was told to import `where_is_entry.mjs` first.
    script = (
        f"""case $NODE_OPTIONS in *where_is_entry.mjs) echo '{{"entry": "{package}/openclaw.mjs"}}' ;; esac"""
    )
    nodes.put_script(home / "real/openclaw", script)
    assert find_openclaw(host_of(home, put_mise(home, home / "real"))).path == str(package)


def test_a_program_that_is_no_openclaw_is_passed_over_and_told(home: Path) -> None:
    wrapper = nodes.put_script(home / "wrapper/openclaw", "echo hello")
    old = put_package(home / "old/lib/openclaw", "2026.1.1")
    (home / "old/openclaw").symlink_to(old / "openclaw.mjs")
    new = put_package(home / "new/lib/openclaw")
    (home / "new/openclaw").symlink_to(new / "openclaw.mjs")
    first = (wrapper.parent, home / "old")
    assert find_openclaw(host_of(home, *first, home / "new")).path == str(new)
    with pytest.raises(
        OcmError, match=r"is no OpenClaw package: exit status 0, hello; OpenClaw 2026\.1\.1"
    ) as caught:
        find_openclaw(host_of(home, *first))
    assert caught.value.code == "openclaw_unusable"


@pytest.mark.parametrize("version", ["2026.5.3", "24.19", "24.1.0-nightly", ""])
def test_no_node_has_such_a_version(version: str) -> None:
    assert is_node_version("24.19.0")
    assert not is_node_version(version)
