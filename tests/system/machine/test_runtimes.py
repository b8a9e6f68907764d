"""OpenClaws of several versions, with real files and a stand-in for npm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import hosts, nodes

from openclaw_ocm.core.needs import InstallRuntime
from openclaw_ocm.core.releases import NODE_VERSION
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.machine.install import install
from openclaw_ocm.system.machine.runtimes import remove_runtime, resolve, resolve_later, size
from openclaw_ocm.system.openclaw.versions import installed

if TYPE_CHECKING:
    from openclaw_ocm.core.needs import Progress
    from openclaw_ocm.system.host import Host

# Answers as Node and as OpenClaw, and as npm with three releases, which have some of their files the same.
NODE = f"""#!/bin/sh
version() {{ sed -n 's/.*"version": "\\([^"]*\\)".*/\\1/p' "$1"; }}
case $1 in
    --version) echo v{NODE_VERSION} ;;
    --print) {nodes.identity(NODE_VERSION)} ;;
    */npm-cli.js)
        if [ -e "$HOME/fail" ]; then cat "$HOME/fail" >&2; exit 1; fi
        if [ "$2" = view ]; then
            case ${{3#openclaw@}} in
                latest|2026.9.6) found=2026.9.6 ;;
                beta|2026.10.1-beta.2) found=2026.10.1-beta.2 ;;
                2026.8.2) found=2026.8.2 ;;
                *) echo 'npm error code E404' >&2; exit 1 ;;
            esac
            stated='"engines.node": ">=24.16.0 <25 || >=26.1.0"'
            echo "{{\\"version\\": \\"$found\\", $stated}}"
            exit
        fi
        for last; do :; done
        mkdir -p "$5/lib/node_modules/openclaw/same" "$5/cache"
        cd "$5/lib/node_modules/openclaw"
        stated='"name": "openclaw", "engines": {{"node": ">=24.16.0 <25"}}'
        echo "{{$stated, \\"version\\": \\"${{last#openclaw@}}\\"}}" >package.json
        if [ -e "$HOME/damage" ]; then exit; fi
        echo "console.log('${{last#openclaw@}}')" >own.js
        head -c 10000 /dev/zero >same/file
        cp same/file same/program; chmod +x same/program
        touch openclaw.mjs; chmod +x openclaw.mjs ;;
    */openclaw.mjs)
        [ -e "$1" ] || exit 1
        echo "OpenClaw $(version "${{1%openclaw.mjs}}package.json") (test)" ;;
esac
"""


def quiet(_progress: Progress) -> None:
    """Take no notice of progress."""


def bring(host: Host, version: str) -> None:
    """Install an OpenClaw as a step of a setup does."""
    install(host, [InstallRuntime(version=version, target=str(host.paths.runtimes / version))], quiet)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    node = tmp_path / ".local/share/ocm/node-24.19.0/bin/node"
    node.parent.mkdir(parents=True)
    node.write_text(NODE)
    node.chmod(0o755)
    npm = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    npm.parent.mkdir(parents=True)
    npm.touch()
    return hosts.context(tmp_path).host


def test_versions_stand_beside_each_other_and_share_what_they_have_the_same(host: Host) -> None:
    assert installed(host.paths) == {}
    for version in ("2026.8.2", "2026.10.1-beta.2", "2026.9.6"):
        bring(host, version)
    have = installed(host.paths)
    assert list(have) == ["2026.10.1-beta.2", "2026.9.6", "2026.8.2"], "the newest first"
    for version, package in have.items():
        assert package == host.paths.runtimes / version / "lib/node_modules/openclaw"
        assert version in Path(package, "own.js").read_text()
        assert not os.access(Path(package, "own.js"), os.W_OK) or os.getuid() == 0
        assert Path(package, "own.js").stat().st_mode & 0o222 == 0
        assert Path(package, "same/file").stat().st_nlink == 3
        assert Path(package, "same/program").stat().st_nlink == 3
        assert os.access(Path(package, "same/program"), os.X_OK)
        assert not os.access(Path(package, "same/file"), os.X_OK)
    bring(host, "2026.8.2")
    before = size(have["2026.9.6"])
    remove_runtime(host, "2026.8.2", quiet)
    remove_runtime(host, "2026.10.1-beta.2", quiet)
    assert list(installed(host.paths)) == ["2026.9.6"]
    assert size(have["2026.9.6"]) > before + 10_000, "it alone has now what it shared"
    assert [entry.name for entry in Path(host.paths.runtimes).iterdir()] == ["2026.9.6"]


def test_a_channel_is_the_release_that_npm_has_by_its_name(host: Host) -> None:
    assert resolve(host, "latest").version == "2026.9.6"
    assert resolve(host, "beta").version == "2026.10.1-beta.2"
    assert not Path(host.paths.runtimes).exists(), "nothing is left of a question"


def test_what_is_there_is_not_asked_for(host: Host) -> None:
    bring(host, "2026.8.2")
    Path(host.paths.home, "fail").write_text("npm error code ENOTFOUND\n")
    assert resolve(host, "2026.8.2").version == "2026.8.2"
    with pytest.raises(OcmError) as caught:
        resolve(host, "2026.9.6")
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize(
    "wanted", ["", "1", "2026", "2026.9", "2026.9.6/..", "../x", "next", "^2026.9.6", "2026.9.6 "]
)
def test_what_is_no_version_is_refused_and_npm_is_not_asked(host: Host, wanted: str) -> None:
    Path(host.paths.home, "fail").write_text("asked\n")
    with pytest.raises(Invalid, match="is no version of OpenClaw"):
        resolve(host, wanted)


def test_a_version_that_does_not_exist_is_told(host: Host) -> None:
    with pytest.raises(OcmError, match=r"npm has no OpenClaw 2030\.1\.1") as caught:
        resolve(host, "2030.1.1")
    assert caught.value.code == "version_missing"


def test_a_version_that_ocm_cannot_run_is_not_fetched(host: Host) -> None:
    Path(host.paths.home, "fail").write_text("asked\n")
    with pytest.raises(OcmError, match=r"2026\.7\.35 is too old") as caught:
        resolve(host, "2026.7.35")
    assert caught.value.code == "openclaw_too_old"


@pytest.mark.parametrize("how", ["fail", "damage"])
def test_an_install_that_fails_leaves_nothing(host: Host, how: str) -> None:
    Path(host.paths.home, how).write_text("npm error code EBADENGINE\n")
    with pytest.raises(OcmError):
        bring(host, "2026.8.2")
    assert not Path(host.paths.runtimes).exists()


def test_what_a_killed_install_left_goes_with_the_next(host: Host) -> None:
    left = host.paths.runtimes / ".ocm-staging-0123456789ab" / "lib"
    files.make_directory(left)
    bring(host, "2026.8.2")
    assert [entry.name for entry in Path(host.paths.runtimes).iterdir()] == ["2026.8.2"]


def test_what_is_no_version_by_its_name_is_passed_over(host: Host) -> None:
    for name in ("x", "2026.9.6.old", ".hidden"):
        files.make_directory(host.paths.runtimes / name)
    Path(host.paths.runtimes, "2026.1.1").touch()
    Path(host.paths.runtimes, "2026.1.2").symlink_to("/")
    assert installed(host.paths) == {}


def test_where_there_is_no_npm_yet_the_version_is_asked_for_later(host: Host) -> None:
    Path(host.paths.ocm_data, f"node-{NODE_VERSION}").rename(Path(host.paths.home, "away"))
    assert resolve_later(host, "latest").version == "latest"
    with pytest.raises(OcmError, match="no Node here has its npm"):
        resolve(host, "latest")
    with pytest.raises(Invalid):
        resolve_later(host, "newest")
