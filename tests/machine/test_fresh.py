"""A newcomer's Debian with systemd: the tutorial is all, no step needs root, nothing has to stay."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.releases import NODE_VERSION, OPENCLAW_VERSION

from .checkout import Ocm, push_checkout
from .instances import answer, fake_model, home_files, refuse_tools, rows
from .reading import Reader, push_repository

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.first_release
KEY = "sk-of-the-reader"
NPM = ("install", "--global", "--prefix", ".npm-global", "--no-audit", "--no-fund")


@pytest.fixture(scope="module")
def ocm(fresh: Machine) -> Ocm:
    """Return what the reader of the tutorial has once he has cloned it."""
    return Ocm(fresh, f"{fresh.home}/ocm")


@pytest.fixture(scope="module")
def before(fresh: Machine) -> set[str]:
    return home_files(fresh)


@pytest.fixture(scope="module")
def said(fresh: Machine, before: set[str]) -> list[str]:
    """Follow the tutorial word by word, with the fake model for a provider; give what each step printed."""
    refuse_tools(fresh, "node", "npm", "openclaw", "bwrap")
    assert before == home_files(fresh)
    with fake_model(fresh, "--bearer", KEY) as provider:
        words = {"URL": push_repository(fresh), "ADDRESS": provider["baseUrl"], "MODEL": "fake-1"}
        return Reader(fresh, fresh.home, words=words, typed=KEY).each("docs/tutorial/first-agent.md")


def test_what_is_missing_is_told_before_anything_is_installed(said: list[str]) -> None:
    _clone, planned, *_ = said
    assert [line.split(" into ")[0].strip() for line in planned.splitlines()[1:3]] == [
        f"install Node {NODE_VERSION}",
        f"install OpenClaw {OPENCLAW_VERSION}",
    ]


@pytest.mark.usefixtures("said")
def test_no_install_refuses_where_something_is_missing(fresh: Machine, ocm: Ocm) -> None:
    checkout = push_checkout(fresh, f"{fresh.home}/other")
    hidden = {"XDG_DATA_HOME": f"{fresh.home}/other/data", "HOME": f"{fresh.home}/other"}
    refused = checkout("deploy", "worker9", "--no-install", check=False, env=hidden)
    fresh.run(["rm", "-r", checkout.folder])
    assert "this machine lacks Node, OpenClaw" in refused.stderr
    assert list(rows(ocm)) == ["worker1"]


def test_the_tutorial_ends_ready_and_sealed(ocm: Ocm, said: list[str]) -> None:
    assert "worker1: ready and sealed\n" in "".join(said)
    row = rows(ocm)["worker1"]
    assert (row["state"], row["backend"], row["isolation"]) == ("ready", "systemd", "sealed")
    assert row["autostart"]


def test_the_reader_gets_the_models_answer(said: list[str]) -> None:
    assert "PONG from fake model" in "".join(said)


@pytest.mark.usefixtures("said")
def test_instances_run_versions_of_their_own_and_npm_does_not_touch_them(fresh: Machine, ocm: Ocm) -> None:
    played = Reader(fresh, ocm.folder).each("docs/how-to/versions.md")
    installed, deployed, outdated, upgraded, scheduled, back, pruned = played
    names = [line.split()[0] for line in installed.splitlines() if " MB " in line]
    assert names == [OPENCLAW_VERSION, "2026.9.5"]
    assert re.search(r"version: +2026\.9\.5\n", deployed)
    assert "worker3: ready and sealed\n" in deployed
    assert re.search(r"worker3 +2026\.9\.5 +20[\d.]+ +latest\n", outdated)
    assert re.search(r"newest: +20[\d.]+, as npm's registry said at 20.*: ocm upgrade worker3\n", outdated)
    tried = f"OpenClaw {OPENCLAW_VERSION} becomes ready with a copy of it; it runs 2026.9.5 as before"
    assert tried in upgraded
    assert f"worker3: runs OpenClaw {OPENCLAW_VERSION}, ready and sealed\n" in upgraded
    assert "worker3: upgrades scheduled: newer ones of its month, at 04:30, next " in scheduled
    assert "worker3: no more scheduled upgrades\n" in scheduled
    assert "worker3: runs OpenClaw 2026.9.5, as it was at " in back
    gone = f"OpenClaw {OPENCLAW_VERSION}: "
    assert pruned.splitlines() == [f"{gone}would be removed", f"{gone}removed"]
    runtimes = f"{fresh.home}/.local/share/ocm/runtimes"
    sums = f"cd {runtimes} && find . -type f -exec sha256sum {{}} + | sort | sha256sum"
    whole = fresh.run(["sh", "-c", sums]).stdout
    node = f"{fresh.home}/.local/share/ocm/node-{NODE_VERSION}"
    npm = f"{node}/lib/node_modules/npm/bin/npm-cli.js"
    path = {"PATH": f"{node}/bin:/usr/bin:/bin"}
    fresh.run([f"{node}/bin/node", npm, *NPM, "openclaw@2026.9.5"], cwd=fresh.home, env=path, timeout=600)
    found = {one["name"]: one for one in answer(ocm, "runtime", "list")["results"]}
    assert (found["system"]["version"], found["system"]["used_by"]) == ("2026.9.5", ["worker1"])
    assert fresh.run(["sh", "-c", sums]).stdout == whole
    ocm("restart", "worker3")
    row = rows(ocm)["worker3"]
    assert (row["state"], row["version"], row["isolation"]) == ("ready", "2026.9.5", "sealed")
    assert "is there already" in ocm("runtime", "install", "2026.9.5", "--dry-run").stdout
    ocm("delete", "worker3", "--yes", "--force")


@pytest.mark.usefixtures("said")
def test_uninstalled_nothing_is_left(fresh: Machine, ocm: Ocm, before: set[str]) -> None:
    Reader(fresh, ocm.folder, words={"USER": "debian"}).play("docs/how-to/uninstall-everything.md")
    fresh.run(["rm", "-r", f"{fresh.home}/backups"])
    assert home_files(fresh) == before
    left = fresh.run(["sh", "-c", "ls -d ~/ocm ~/.npm-global/lib/node_modules/* ~/.openclaw*"], check=False)
    assert left.stdout == ""
    assert fresh.run(["test", "-e", "/var/lib/systemd/linger/debian"], check=False).returncode == 1
