"""What a machine lacks, each thing looked for on one that lacks it."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import keep

from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import capacity, files, programs
from openclaw_ocm.system import host as hosts
from openclaw_ocm.system.machine import lacking
from openclaw_ocm.system.runner import Completed, Runner

if TYPE_CHECKING:
    from openclaw_ocm.core.needs import Lacking
    from openclaw_ocm.system.host import Host


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    runtime = tmp_path / "run"
    runtime.mkdir()
    return replace(keep(tmp_path, monkeypatch).host, runtime=PurePosixPath(runtime))


def there(found: Lacking | None) -> Lacking:
    assert found is not None
    return found


def test_a_program_that_is_not_there_is_told_with_its_package_by_setup_and_by_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lacking, "_PROGRAMS", {"/bin/sh": "dash"})
    assert lacking.no_programs() is None
    lacking.check_programs()
    monkeypatch.setitem(lacking._PROGRAMS, "/nowhere/perl", "perl-base")
    found = there(lacking.no_programs())
    assert (found.why, found.packages) == ("there is no /nowhere/perl", ("perl-base",))
    with pytest.raises(OcmError, match="lacks programs of the system: there is no /nowhere/perl") as caught:
        lacking.check_programs()
    assert caught.value.code == "programs_missing"
    assert "perl" in (caught.value.hint or "")


def test_a_bus_is_one_that_listens_and_not_a_name_that_is_left(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lacking, "_BUS_UNITS", (str(tmp_path / "dbus.socket"),))
    with pytest.raises(OcmError, match="lacks user bus: nothing listens on") as caught:
        lacking.check_bus(host)
    assert caught.value.code == "no_user_bus"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(host.runtime / "bus"))
        server.listen()
        assert lacking.no_bus(host) is None
        lacking.check_bus(host)
    assert Path(host.runtime, "bus").exists()
    assert there(lacking.no_bus(host)).packages == ("dbus-user-session",)
    (tmp_path / "dbus.socket").touch()
    found = there(lacking.no_bus(host))
    assert (found.packages, found.mend) == ((), "systemctl --user start dbus.socket")


def test_namespaces_are_tried_and_a_setting_explains_why_there_are_none(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow = "kernel.unprivileged_userns_clone=1"
    monkeypatch.setattr(lacking, "namespaces_forbidden", lambda: allow)

    def answer(text: str) -> None:
        monkeypatch.setattr(programs, "text", lambda _name: f"print({text!r})")

    answer('{"refused": null, "bounded": true}')
    assert lacking.no_namespaces(host) == (None, True)
    lacking.check_namespaces(host)  # what can be made is not forbidden, whatever a setting says
    monkeypatch.setattr(lacking, "namespaces_forbidden", lambda: "user.max_user_namespaces=15000")
    assert there(lacking.no_namespaces(host)[0]).why == "forbidden by user.max_user_namespaces"
    monkeypatch.setattr(lacking, "namespaces_forbidden", lambda: allow)
    said = "a user namespace within another: No space left on device"
    answer(f'{{"refused": "{said}", "bounded": true}}')
    found = there(lacking.no_namespaces(host)[0])
    assert found.why == "forbidden by kernel.unprivileged_userns_clone"
    assert f"sysctl -w {allow}" in (found.mend or "")
    with pytest.raises(OcmError, match="lacks user namespaces: forbidden by") as caught:
        lacking.check_namespaces(host)
    assert caught.value.code == "namespaces_forbidden"
    assert "--unsealed" in (caught.value.hint or "")
    monkeypatch.setattr(lacking, "namespaces_forbidden", lambda: None)
    assert said in there(lacking.no_namespaces(host)[0]).why
    answer("no JSON")
    assert there(lacking.no_namespaces(host)[0])


def test_the_trial_of_namespaces_says_what_the_kernel_refused(host: Host) -> None:
    found, bounded = lacking.no_namespaces(host)
    assert found is None or "a user namespace" in found.why or "forbidden by" in found.why
    assert isinstance(bounded, bool)


def test_few_inotify_instances_are_told_by_their_limit_and_by_what_is_left(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    found = there(lacking.few_watchers(host, most))
    assert f"{most} inotify instances are few for {most + 1} gateways" in found.why
    assert "fs.inotify.max_user_instances=" in (found.mend or "")
    monkeypatch.setattr(lacking, "_WATCHERS_SPARE", 0)
    monkeypatch.setattr(capacity, "watchers_left", lambda few: few - 1)
    assert "all but used up" in there(lacking.few_watchers(host, 0)).why
    monkeypatch.setattr(capacity, "watchers_left", lambda few: few)
    assert lacking.few_watchers(host, 0) is None


@pytest.mark.parametrize(
    ("free", "names", "bringing", "said"),
    [
        (10**12, 10**7, True, None),
        (10**12, 0, True, None),
        (500 * 2**20, 10**7, False, None),
        (500 * 2**20, 10**7, True, "500 MB are free in"),
        (0, 10**7, False, "0 MB are free in"),
        (10**12, 7, False, "7 more files can be made in"),
    ],
)
def test_a_disk_is_full_by_its_room_or_by_its_names(  # noqa: PLR0913 - what a disk has
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    *,
    free: int,
    names: int,
    bringing: bool,
    said: str | None,
) -> None:
    disk = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_files=names, f_favail=names)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    found = lacking.no_room(host, bringing=bringing)
    if said is None:
        assert found is None
    else:
        assert said in there(found).why
        assert there(found).mend == "make room there"


def test_linger_is_found_under_the_name_that_systemd_gives_it() -> None:
    assert hosts._escaped("corp\\jane") == "corp\\\\jane"
    assert hosts._escaped("zoë") == "zo\\303\\253"
    assert hosts._escaped("zoe@corp.example") == "zoe@corp.example"


@pytest.mark.parametrize(
    ("done", "files_are_there", "may_read"),
    [
        (Completed(returncode=0, stdout="a line\n", stderr=""), False, True),
        (Completed(returncode=0, stdout="", stderr=""), True, True),
        (Completed(returncode=0, stdout="", stderr=""), False, False),
        (Completed(returncode=1, stdout="", stderr="insufficient permissions"), True, False),
    ],
    ids=["something", "nothing yet", "kept nowhere", "not for users"],
)
def test_a_journal_that_a_user_may_not_read_is_told_with_what_changes_that(
    host: Host, monkeypatch: pytest.MonkeyPatch, *, done: Completed, files_are_there: bool, may_read: bool
) -> None:
    monkeypatch.setattr(Runner, "run", lambda _self, _command, **_more: done)
    monkeypatch.setattr(lacking, "_has_journals", lambda _directory: files_are_there)
    found = lacking.no_journal(replace(host, user="corp\\jane"))
    assert (found is None) is may_read
    if found is not None:
        assert "Storage=persistent" in (found.mend or "")
        assert (found.mend or "").endswith("sudo usermod -aG systemd-journal 'corp\\jane'")


@pytest.mark.parametrize(
    ("mount", "kind"),
    [
        ("/home/ann rw - fuse.gocryptfs /home/.ann.cipher rw", "fuse.gocryptfs"),
        ("/home/ann rw shared:3 - ecryptfs /home/.ecryptfs/ann/.Private rw", "ecryptfs"),
        ("/home/ann rw - btrfs /dev/mapper/home-ann rw", "systemd-homed"),
        ("/home/ann rw - ext4 /dev/mapper/vg-home rw", None),
        ("/home/annabel rw - fuse.gocryptfs /x rw", None),
        ("/home/ann/vault rw - fuse.gocryptfs /x rw", None),
    ],
)
def test_a_home_that_is_decrypted_by_the_login_is_known_by_its_mount(mount: str, kind: str | None) -> None:
    mounts = f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / {mount}\n"
    assert lacking._kind_at_login(mounts, "/home/ann") == kind


def test_a_home_in_the_clear_is_there_at_boot(host: Host) -> None:
    assert not files.is_encrypted(host.paths.home / "nowhere")
    assert lacking.opened_at_login(host) is None
