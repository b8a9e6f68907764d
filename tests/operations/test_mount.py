"""What an instance is shown of the host: listed, added, hidden; what is refused, and links that change."""

from __future__ import annotations

import os
import socket
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.sandbox.shown import parse_shown
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.backup import Request, backup
from openclaw_ocm.operations.mount import mount, mounted, unmount
from openclaw_ocm.operations.repository import check_repository
from openclaw_ocm.operations.schedule import Asked, set_schedule
from openclaw_ocm.system import files
from openclaw_ocm.system import mounted as system_mounts
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.ways import way_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Mount
    from openclaw_ocm.operations.planning.result import Outcome

AT = "/srv/data"


def show(  # noqa: PLR0913 - each has a default
    kept: Kept,
    path: Path | PurePosixPath | str,
    at: str | None = AT,
    *,
    name: InstanceName = NAME,
    writable: bool = False,
    restart: bool = False,
    dry_run: bool = False,
) -> Outcome:
    wanted = parse_shown(str(path), at, writable=writable)
    return mount(kept.context, name, wanted, kept.effort(), restart=restart, dry_run=dry_run)


def hide(kept: Kept, path: Path | str, *, restart: bool = False) -> Outcome:
    return unmount(kept.context, NAME, str(path), kept.effort(), restart=restart, dry_run=False)


def asked(kept: Kept, name: InstanceName = NAME) -> list[Mount]:
    return [one for one in open_instance(kept.context, name).policy.mounts if one.asked]


@pytest.fixture
def data(kept: Kept) -> Path:
    folder = kept.home.parent / "data"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("writable", [False, True])
def test_what_is_shown_stands_in_the_record_the_policy_and_the_list(
    kept: Kept, data: Path, *, writable: bool
) -> None:
    kept.create()
    said = show(kept, data, writable=writable).message
    right = "writable" if writable else "read-only"
    assert said == f"show {data} at {AT}, {right}: takes effect at the next start"
    (one,) = mounted(kept.context, NAME).mounts
    assert (one.path, one.at, one.writable) == (str(data), AT, writable)
    (found,) = asked(kept)
    assert (str(found.source), str(found.target), found.writable) == (str(data), AT, writable)
    assert kept.status().mounts == (f"{data} at {AT}, {right}",)
    assert show(kept, data, writable=writable).message == "nothing to change"


def test_a_running_one_sees_it_after_a_restart_and_no_more_once_it_is_hidden(kept: Kept, data: Path) -> None:
    kept.deploy()
    pid = kept.process(NAME).pid
    assert show(kept, data).message.endswith(f"takes effect with ocm restart {NAME}")
    assert kept.process(NAME).pid == pid
    assert hide(kept, AT, restart=True).message == f"hide {data}: ready and sealed"
    assert kept.process(NAME).pid != pid
    assert show(kept, data, restart=True).message.endswith(": ready and sealed")
    assert not kept.context.backends[kept.record(NAME).backend].observe([NAME])[NAME].changed_on_disk


def test_a_dry_run_changes_nothing(kept: Kept, data: Path) -> None:
    kept.create()
    before = kept.files()
    assert show(kept, data, dry_run=True).steps
    assert kept.files() == before


def test_a_start_that_fails_with_it_takes_it_back(kept: Kept, data: Path) -> None:
    kept.deploy()
    before = kept.record(NAME)
    kept.unproved[NAME] = ("a process inside can write /srv/data",)
    with pytest.raises(OcmError):
        show(kept, data, restart=True)
    assert kept.record(NAME) == before


PRIVATE = (
    *(".openclaw", ".openclaw/workspace", ".config/ocm", ".config", ".local/state/ocm", ".local", "backups"),
    *(".ssh", ".ssh/id_ed25519", ".gnupg", ".config/systemd/user", ""),
)


@pytest.mark.parametrize("place", PRIVATE)
def test_what_is_private_what_lies_in_it_and_what_holds_it_is_refused(kept: Kept, place: str) -> None:
    kept.create()
    (kept.home / place).mkdir(parents=True, exist_ok=True)
    with pytest.raises(OcmError) as refused:
        show(kept, kept.home / place)
    assert refused.value.code == "mount_refused"
    assert kept.record(NAME).mounts == ()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/proc",
        "/sys/kernel",
        "/dev/null",
        "/run",
        "/run/user",
        "/var/run",
        "/var",
        "/etc/shadow",
        "/etc",
    ],
)
def test_what_runs_devices_sockets_and_what_is_for_root_alone_is_refused(kept: Kept, path: str) -> None:
    kept.create()
    with pytest.raises(OcmError) as refused:
        show(kept, path)
    assert refused.value.code == "mount_refused"


def test_the_state_of_another_instance_and_its_own_are_refused(kept: Kept) -> None:
    kept.create()
    kept.create(OTHER)
    for name in (NAME, OTHER):
        with pytest.raises(OcmError, match="state of an OpenClaw"):
            show(kept, kept.paths(name).workspace)


def test_main_is_refused_wherever_the_settings_say_it_is(kept: Kept, data: Path) -> None:
    kept.create()
    files.write_file(kept.host.paths.settings, f'main = "{data}/claw"\n'.encode())
    (data / "claw").mkdir()
    with pytest.raises(OcmError, match="main's"):
        show(kept, data)


@pytest.mark.parametrize("kind", ["directory", "repository"])
def test_a_directory_of_scheduled_backups_is_refused(kept: Kept, data: Path, kind: str) -> None:
    kept.create()
    kept.create(OTHER)
    scheduled = {"every": "daily", kind: str(data / "kept")}
    record = msgspec.convert(
        {**msgspec.to_builtins(kept.record(OTHER)), "backups": scheduled}, type(kept.record(OTHER))
    )
    write(kept, record)
    with pytest.raises(OcmError, match="backups"):
        show(kept, data)


@pytest.mark.parametrize("writable", [False, True])
def test_no_backup_is_put_where_an_instance_is_shown_it(kept: Kept, data: Path, *, writable: bool) -> None:
    kept.create()
    kept.create(OTHER)
    (data / "kept").mkdir()
    show(kept, data, name=OTHER, writable=writable)
    place = PurePosixPath(data / "kept")
    told = f"lies in {data}, which {OTHER} is shown"
    with pytest.raises(Invalid, match=told):
        backup(kept.context, NAME, Request(output=place))
    asked = Asked(every="daily", keep={}, given={"directory": str(place)})
    with pytest.raises(Invalid, match=told):
        set_schedule(kept.context, NAME, asked, dry_run=False)
    with pytest.raises(Invalid, match=told):
        check_repository(kept.context, str(place))
    assert kept.record(NAME).backups is None
    assert not list((data / "kept").iterdir())


def test_a_link_is_judged_by_where_it_leads(kept: Kept, data: Path) -> None:
    kept.create()
    (kept.home / ".ssh").mkdir()
    (data / "harmless").symlink_to(kept.home / ".ssh")
    with pytest.raises(OcmError, match="where your keys lie"):
        show(kept, data / "harmless")


def test_a_link_that_is_led_elsewhere_later_is_refused_by_the_next_start_and_shows_nothing(
    kept: Kept, data: Path
) -> None:
    kept.create()
    (kept.home / ".ssh").mkdir()
    (data / "real").mkdir()
    link = data / "link"
    link.symlink_to(data / "real")
    show(kept, link)
    assert [str(one.source) for one in asked(kept)] == [str(data / "real")]
    link.unlink()
    link.symlink_to(kept.home / ".ssh")
    assert asked(kept) == []
    with pytest.raises(OcmError, match="where your keys lie") as refused:
        kept.start()
    assert refused.value.code == "mount_refused"
    assert any("where your keys lie" in problem.what for problem in kept.examine().problems)


def test_nothing_that_an_instance_could_swap_for_a_link_is_shown(kept: Kept, data: Path) -> None:
    kept.create()
    kept.create(OTHER)
    (data / "inner").mkdir()
    show(kept, data, writable=True)
    for name in (NAME, OTHER):
        with pytest.raises(OcmError, match=f"which {NAME} may write"):
            show(kept, data / "inner", "/srv/inner", name=name)
    elsewhere = kept.home.parent / "elsewhere"
    elsewhere.mkdir()
    (data / "inner" / "led").symlink_to(elsewhere)
    with pytest.raises(OcmError, match="could be led elsewhere"):
        show(kept, data / "inner" / "led", "/srv/inner", name=OTHER)


def test_nothing_becomes_writable_in_which_something_is_shown(kept: Kept, data: Path) -> None:
    kept.create()
    kept.create(OTHER)
    (data / "inner").mkdir()
    show(kept, data / "inner", name=OTHER)
    with pytest.raises(OcmError, match=f"{OTHER} is shown"):
        show(kept, data, writable=True)
    show(kept, data)


@pytest.mark.parametrize(
    "path", [".bashrc", ".config/environment.d", ".gitconfig", ".bash_aliases", ".local/bin", ".local/lib"]
)
def test_what_the_owners_login_reads_is_shown_to_read_and_never_to_write(kept: Kept, path: str) -> None:
    kept.create()
    (kept.home / path).mkdir(parents=True)
    with pytest.raises(OcmError, match="your login reads"):
        show(kept, kept.home / path, writable=True)
    show(kept, kept.home / path)


def test_what_is_on_the_owners_path_is_never_to_be_written(kept: Kept, data: Path) -> None:
    kept.create()
    object.__setattr__(kept.host, "search_path", f"{data}:/usr/bin")
    with pytest.raises(OcmError, match="on your PATH"):
        show(kept, data, writable=True)


def test_what_a_link_on_the_owners_path_or_mains_service_runs_is_never_to_be_written(
    kept: Kept, data: Path
) -> None:
    kept.create()
    (data / "tool").write_text("#!/bin/sh\n")
    show(kept, data, writable=True)
    hide(kept, data)
    programs = kept.home.parent / "programs"
    programs.mkdir()
    (programs / "tool").symlink_to(data / "tool")
    object.__setattr__(kept.host, "search_path", f"{programs}:/usr/bin")
    with pytest.raises(OcmError, match="on your PATH"):
        show(kept, data, writable=True)
    (programs / "tool").unlink()
    unit = kept.host.paths.units / "openclaw-gateway.service"
    files.write_file(unit, f"[Service]\nExecStart=/usr/bin/node {data}/openclaw.mjs gateway\n".encode())
    with pytest.raises(OcmError, match="what main runs"):
        show(kept, data, writable=True)


@pytest.mark.parametrize(
    "at",
    ["/usr/share/x", "/opt/x", "/etc", "/tmp/x", "/proc/x", "/run/x", "/", "/home", "/var", "/workspace"],
)
def test_a_place_that_the_sandbox_has_for_itself_is_refused(kept: Kept, data: Path, at: str) -> None:
    kept.create()
    with pytest.raises(OcmError, match="cannot be shown") as refused:
        show(kept, data, at)
    assert refused.value.hint == "--at /srv/NAME shows it elsewhere"


def test_two_mounts_lie_not_in_one_another(kept: Kept, data: Path) -> None:
    kept.create()
    (data / "one").mkdir()
    (data / "two").mkdir()
    show(kept, data / "one")
    with pytest.raises(OcmError, match="in one another"):
        show(kept, data / "two", f"{AT}/two")


def test_a_socket_a_pipe_and_what_holds_a_socket_that_is_listened_on_are_refused(
    kept: Kept, data: Path
) -> None:
    kept.create()
    os.mkfifo(data / "pipe")
    with pytest.raises(OcmError, match="neither file nor folder"):
        show(kept, data / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(data / "docker.sock"))
        listening.listen()
        with pytest.raises(OcmError, match=r"docker\.sock"):
            show(kept, data)
    show(kept, data)


def test_while_a_record_cannot_be_read_nothing_is_shown_anew(kept: Kept, data: Path) -> None:
    kept.create()
    record = kept.home / kept.paths(OTHER).record
    record.write_text("this is no record")
    with pytest.raises(OcmError, match="is corrupt"):
        show(kept, data)
    record.unlink()
    show(kept, data)


def test_a_socket_that_was_named_by_a_link_is_found(kept: Kept, data: Path) -> None:
    kept.create()
    (kept.home / "link").symlink_to(data)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(kept.home / "link" / "s"))
        listening.listen()
        with pytest.raises(OcmError, match="listens on"):
            show(kept, data)


@pytest.mark.parametrize(
    ("root", "point"),
    [
        ("/disk/jane", "data/h"),
        ("/disk/jane/.ssh/old", "data/h"),
        ("/disk", "data"),
        ("/disk/jane/.ssh", "data"),
    ],
)
def test_what_is_private_is_refused_where_it_is_mounted_by_another_name(
    kept: Kept, data: Path, monkeypatch: pytest.MonkeyPatch, root: str, point: str
) -> None:
    kept.create()
    lines = (
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw",
        f"21 20 8:17 /disk/jane {kept.home} rw - ext4 /dev/sdb1 rw",
        f"22 20 8:17 {root} {kept.home.parent / point} rw - ext4 /dev/sdb1 rw",
    )
    listed = kept.home.parent / "mountinfo"
    monkeypatch.setattr(system_mounts, "_MOUNTS", str(listed))
    listed.write_text("\n".join(lines[:2]))
    show(kept, data)
    hide(kept, data)
    listed.write_text("\n".join(lines))
    with pytest.raises(OcmError, match="by another name"):
        show(kept, data)


def test_what_cannot_be_looked_at_keeps_nobody_from_the_rest(kept: Kept) -> None:
    kept.create()
    # As a file system that has lost its server, a name that is too long is neither there nor gone.
    gone = {"path": "/srv/" + "a" * 300, "at": AT, "writable": False}
    record = msgspec.convert(
        {**msgspec.to_builtins(kept.record(NAME)), "mounts": [gone]}, type(kept.record(NAME))
    )
    write(kept, record)
    assert "cannot be looked at" in mounted(kept.context, NAME).problems[0]
    assert kept.status().mounts
    with pytest.raises(OcmError, match="cannot be looked at"):
        kept.start()
    hide(kept, AT)


def test_what_is_gone_is_told_with_the_command_and_can_be_hidden(kept: Kept, data: Path) -> None:
    kept.create()
    show(kept, data)
    data.rmdir()
    with pytest.raises(OcmError) as gone:
        kept.start()
    assert gone.value.message == f"{NAME} is to be shown {data}, which is not there"
    assert gone.value.hint == f"put it back, or ocm unmount {NAME} {data}"
    assert [one.optional for one in asked(kept)] == [True]
    assert mounted(kept.context, NAME).problems == (gone.value.message,)
    hide(kept, data)
    assert kept.start().message == "ready and sealed"


def test_what_is_not_shown_cannot_be_hidden(kept: Kept, data: Path) -> None:
    kept.create()
    with pytest.raises(OcmError) as unknown:
        hide(kept, data)
    assert unknown.value.code == "mount_unknown"


@pytest.mark.parametrize("path", ["data", "", "/srv/a\nb", "/srv/\udcff"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        parse_shown(path, None, writable=False)


def test_an_unsealed_one_needs_none(kept: Kept, data: Path) -> None:
    kept.create(sealed=False)
    with pytest.raises(OcmError, match="no sandbox"):
        show(kept, data)


def test_a_copy_is_not_shown_it_and_says_so_and_no_backup_has_it(kept: Kept, data: Path) -> None:
    kept.deploy()
    show(kept, data)
    (data / "file").write_text("of the host")
    (data.parent / "two words").mkdir()
    show(kept, data.parent / "two words", "/srv/words", writable=True)
    said = kept.backup().notes
    assert said[-1] == f"not part of it is what {NAME} is shown: {data}, {data.parent}/two words"
    notes = kept.clone(started=False).notes
    told = f"{OTHER} is not shown {data} at {AT}, read-only: ocm mount {OTHER} {data} --at {AT}"
    assert told in notes
    assert any(note.endswith(f"'{data.parent}/two words' --at /srv/words --rw") for note in notes)
    assert kept.record(OTHER).mounts == ()


def write(kept: Kept, record: Record) -> None:
    path: PurePosixPath = kept.paths(record.name).record
    files.write_file(path, encode_record(record).encode())


def test_the_way_of_a_path_goes_through_each_directory_of_each_link(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "c/link").symlink_to("../a")
    way = way_to(f"{tmp_path}/c/link/b")
    assert str(way.real) == f"{tmp_path}/a/b"
    assert {f"{tmp_path}/c", f"{tmp_path}/a"} <= set(map(str, way.through))
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OcmError, match="circle"):
        way_to(f"{tmp_path}/round")
