"""The ports of other users' instances, as far as their records can be read."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

import pytest
from tests import hosts

from openclaw_ocm.system.neighbours import neighbours

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the records of another user, beside an account whose home is not there."""
    home = tmp_path / "bob"
    records = home / ".config/ocm/instances"
    records.mkdir(parents=True)
    person = ("bob", "x", 54321, 54321, "", str(home), "/bin/sh")
    away = ("eve", "x", 54322, 54322, "", "/nowhere", "/bin/sh")
    machine = ("daemon", "x", 1, 1, "", str(home), "/bin/sh")
    accounts = [pwd.struct_passwd(one) for one in (machine, away, person)]
    monkeypatch.setattr(pwd, "getpwall", lambda: accounts)
    return records


def found(tmp_path: Path) -> dict[int, str]:
    home = tmp_path / "ann"
    home.mkdir(exist_ok=True)
    return neighbours(hosts.context(home).host)


def test_the_ports_of_another_users_records_are_known(tmp_path: Path, bob: Path) -> None:
    (bob / "x.toml").write_text('name = "x"\nport = 19001\nof_a_newer_ocm = true\n')
    assert found(tmp_path) == {19001: "x of bob"}


@pytest.mark.parametrize("text", ["junk", "port = 'no'\n", "port = 0\n", "port = 99999999999\n", ""])
def test_a_record_that_says_no_port_is_passed_over(tmp_path: Path, bob: Path, text: str) -> None:
    (bob / "x.toml").write_text(text)
    assert found(tmp_path) == {}


def test_a_link_and_a_pipe_in_the_place_of_a_record_are_not_opened(tmp_path: Path, bob: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("port = 20001\n")
    (bob / "x.toml").symlink_to(secret)
    os.mkfifo(bob / "y.toml")
    assert found(tmp_path) == {}
