"""What su, sudo and docker leave in the environment of another user's is not believed."""

from __future__ import annotations

import os
import pwd
from pathlib import Path, PurePosixPath

import pytest

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import whose
from openclaw_ocm.system.host import current_host

# Nobody's on any machine where this runs.
UID, OTHER = 54321, 54322
ROOT = pytest.mark.skipif(os.getuid() != 0, reason="gives directories to other users")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the home of a user without an account, who this process pretends to be."""
    monkeypatch.setattr(os, "getuid", lambda: UID)
    return owned(tmp_path / "home", UID)


def owned(path: Path, uid: int) -> Path:
    path.mkdir()
    os.chown(path, uid, 0)
    return path


@ROOT
def test_the_runtime_directory_of_another_user_is_ignored(tmp_path: Path) -> None:
    theirs, own = owned(tmp_path / "theirs", OTHER), owned(tmp_path / "own", UID)
    bus = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={theirs},guid=1"}
    usual = (PurePosixPath(f"/run/user/{UID}"), f"unix:path=/run/user/{UID}/bus")
    assert whose.runtime_of({"XDG_RUNTIME_DIR": str(theirs), **bus}, UID) == usual
    assert whose.runtime_of({}, UID) == usual
    found = whose.runtime_of({"XDG_RUNTIME_DIR": str(own), **bus}, UID)
    assert found == (PurePosixPath(own), f"unix:path={own}/bus")


def test_a_runtime_directory_that_is_not_there_and_an_abstract_bus_are_taken_as_said() -> None:
    said = {"XDG_RUNTIME_DIR": "/run/nowhere", "DBUS_SESSION_BUS_ADDRESS": "unix:abstract=/x"}
    assert whose.runtime_of(said, UID) == (PurePosixPath("/run/nowhere"), "unix:abstract=/x")


@ROOT
def test_directories_of_another_user_or_within_are_ignored(tmp_path: Path) -> None:
    theirs, own = owned(tmp_path / "theirs", OTHER), owned(tmp_path / "own", UID)
    said = {"XDG_CONFIG_HOME": f"{theirs}/.config", "XDG_STATE_HOME": f"{own}/state", "XDG_DATA_HOME": "data"}
    assert whose.without_foreign(said, UID) == {key: said[key] for key in ("XDG_STATE_HOME", "XDG_DATA_HOME")}
    assert not whose.is_foreign(str(tmp_path / "of-root"), UID)


@ROOT
def test_an_account_is_not_needed_where_home_is_set_and_its_own(home: Path) -> None:
    host = current_host({"HOME": str(home)})
    assert (host.user, host.uid, host.paths.home) == (f"uid{UID}", UID, PurePosixPath(home))


@ROOT
@pytest.mark.parametrize("given", [{}, {"HOME": "/nowhere"}, {"HOME": "relative"}])
def test_without_a_home_to_write_to_one_sentence_says_what_to_set(home: Path, given: dict[str, str]) -> None:
    with pytest.raises(OcmError, match=f"uid {UID} has no account on this machine, and HOME is ") as caught:
        current_host(given)
    assert caught.value.code == "no_account"
    assert "set HOME" in (caught.value.hint or "")
    assert list(home.iterdir()) == []


@ROOT
def test_a_home_of_another_user_is_refused_for_one_without_an_account(home: Path, tmp_path: Path) -> None:
    theirs = owned(tmp_path / "theirs", OTHER)
    with pytest.raises(OcmError, match=f"belongs to uid {OTHER}, and you are uid {UID}"):
        current_host({"HOME": str(theirs)})
    assert home.exists()


def test_the_home_of_root_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    jane = pwd.struct_passwd(("jane", "x", UID, UID, "", "/home/jane", "/bin/sh"))
    root = pwd.getpwuid(0)
    monkeypatch.setattr(os, "getuid", lambda: UID)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: jane if uid == UID else root)
    with pytest.raises(
        OcmError, match=f"HOME is {root.pw_dir}, which belongs to root, and you are jane"
    ) as caught:
        current_host({"HOME": root.pw_dir})
    assert caught.value.hint == "HOME=/home/jane is yours"
