"""A newcomer's Debian with systemd: the tutorial is all, no step needs root, nothing has to stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.releases import NODE_VERSION, OPENCLAW_VERSION

from .checkout import Ocm, push_checkout
from .instances import fake_model, home_files, refuse_tools, rows
from .reading import Reader, push_repository

if TYPE_CHECKING:
    from .machine import Machine

pytestmark = pytest.mark.first_release
KEY = "sk-of-the-reader"


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
def test_uninstalled_nothing_is_left(fresh: Machine, ocm: Ocm, before: set[str]) -> None:
    Reader(fresh, ocm.folder, words={"USER": "debian"}).play("docs/how-to/uninstall-everything.md")
    fresh.run(["rm", "-r", f"{fresh.home}/backups"])
    assert home_files(fresh) == before
    left = fresh.run(["sh", "-c", "ls -d ~/ocm ~/.npm-global/lib/node_modules/* ~/.openclaw*"], check=False)
    assert left.stdout == ""
    assert fresh.run(["test", "-e", "/var/lib/systemd/linger/debian"], check=False).returncode == 1
