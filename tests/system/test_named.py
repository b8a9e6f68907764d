from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from openclaw_ocm.core.sandbox.policy import RESOLVER
from openclaw_ocm.system import named
from openclaw_ocm.system.named import place_inside


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a directory that stands for /etc: a sandbox sees it and what is in it, and nothing else here."""
    directory = tmp_path / "etc"
    directory.mkdir()
    monkeypatch.setattr(named, "SYSTEM", (PurePosixPath(directory),))
    return directory


def lead(link: Path, target: str) -> Path:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    return link


def inside(name: Path) -> Path:
    return Path(place_inside(PurePosixPath(name)))


def test_a_file_of_the_system_is_found_where_it_is(etc: Path) -> None:
    (etc / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    assert inside(etc / "resolv.conf") == etc / "resolv.conf"


@pytest.mark.parametrize("target", ["{}/mnt/wsl/resolv.conf", "../mnt/wsl/resolv.conf"])
def test_a_link_is_followed_to_the_first_place_that_a_sandbox_does_not_see(etc: Path, target: str) -> None:
    lead(etc / "resolv.conf", target.format(etc.parent))
    assert inside(etc / "resolv.conf") == etc.parent / "mnt/wsl/resolv.conf"


def test_of_links_in_a_row_those_outside_are_not_there_for_a_sandbox(etc: Path) -> None:
    lead(etc / "resolv.conf", str(etc / "second"))
    lead(etc / "second", str(etc.parent / "var/third"))
    lead(etc.parent / "var/third", str(etc.parent / "mnt/resolv.conf"))
    assert inside(etc / "resolv.conf") == etc.parent / "var/third"


def test_a_directory_on_the_way_may_be_a_link(etc: Path) -> None:
    lead(etc / "resolv.conf", "resolvconf/run/resolv.conf")
    lead(etc / "resolvconf/run", str(etc.parent / "run/resolvconf"))
    assert inside(etc / "resolv.conf") == etc.parent / "run/resolvconf/resolv.conf"


def test_links_in_a_circle_come_to_an_end(etc: Path) -> None:
    lead(etc / "resolv.conf", str(etc / "resolv.conf"))
    assert inside(etc / "resolv.conf").is_relative_to(etc)


def test_what_this_machine_has_is_found_and_read_in_the_same_way_from_a_process() -> None:
    text = named.name_servers()
    assert named.name_servers_inside(os.getpid()) == text
    assert (text is None) == (RESOLVER not in {one.name for one in named.named_files()})


def test_what_can_be_read_by_nobody_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("nowhere", "directory"):
        monkeypatch.setattr(named, "RESOLVER", PurePosixPath(tmp_path, name))
        assert named.name_servers() is None
        (tmp_path / "directory").mkdir(exist_ok=True)
    monkeypatch.setattr(named, "LOOKED_UP", ())
    monkeypatch.setattr(named, "TRUSTED", (PurePosixPath(tmp_path, "nowhere"),))
    assert named.named_files() == ()
