from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from tests import samples

from openclaw_ocm.core.sandbox.mounts import (
    Mounted,
    identity_violations,
    mount_violations,
    parse_mountinfo,
    terminal_violations,
)
from openclaw_ocm.core.sandbox.policy import Mount, instance_policy
from openclaw_ocm.core.sandbox.shown import with_shown

POLICY = instance_policy(samples.paths(), samples.record())
STATE = str(samples.paths().state)
# As systemd 257 made them in a booted Debian 13 machine, shortened.
INSIDE = """\
618 555 0:55 /home/ann/root / ro,nosuid master:1 - overlay overlay rw
619 618 0:61 / /dev ro,nosuid - tmpfs tmpfs rw
620 619 0:5 /null /dev/null rw - devtmpfs dev rw
621 618 0:62 / /proc rw - proc proc rw
622 621 0:24 /deleted /proc/sys/kernel/random/boot_id ro - tmpfs tmpfs rw
623 618 0:63 / /home ro - tmpfs tmpfs rw
624 618 8:1 /usr /usr ro - ext4 /dev/sda1 rw
625 618 8:1 /zone /etc/localtime ro - ext4 /dev/sda1 rw
626 618 0:64 / /run/user ro - tmpfs tmpfs rw
"""
HOST = (Mounted(PurePosixPath("/"), "ext4"), Mounted(PurePosixPath("/etc/localtime"), "ext4"))


def test_what_systemd_and_the_policy_mount_is_no_violation() -> None:
    assert len(parse_mountinfo(INSIDE)) == 9
    assert mount_violations(parse_mountinfo(INSIDE), HOST, POLICY) == ()


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ("/opt/h", "ext4"),
        ("/usr/local/games", "ext4"),
        ("/run/bus", "ext4"),
        ("/home", "ext4"),
        ("/proc/x", "ext4"),
        ("/dev/pts", "ext4"),
        ("/dev/x", "ext4"),
        ("/tmp/x", "ext4"),
        (f"{STATE}/workspace", "ext4"),
        ("/srv", "tmpfs"),
    ],
)
def test_anything_else_that_is_mounted_is_a_violation(point: str, kind: str) -> None:
    found = mount_violations([Mounted(PurePosixPath(point), kind)], HOST, POLICY)
    assert found == (f"{kind} is mounted at {point}, which the policy does not grant",)


@pytest.mark.parametrize(("point", "kind"), [("/etc/shadow", "devtmpfs"), ("/etc/ssh", "tmpfs")])
def test_what_covers_a_hidden_path_is_no_violation(point: str, kind: str) -> None:
    assert not mount_violations([Mounted(PurePosixPath(point), kind)], HOST, POLICY)


@pytest.mark.parametrize(("point", "kind"), [("/etc/shadow", "ext4"), ("/etc/passwd", "devtmpfs")])
def test_what_covers_nothing_hidden_or_could_hold_a_file_of_the_hosts_is_a_violation(
    point: str, kind: str
) -> None:
    assert mount_violations([Mounted(PurePosixPath(point), kind)], HOST, POLICY)


def test_a_mount_of_the_host_comes_along_only_where_the_host_has_it() -> None:
    point = PurePosixPath("/lib/modules")
    inside = [Mounted(point, "ext4")]
    assert mount_violations(inside, HOST, POLICY)
    assert not mount_violations(inside, (Mounted(PurePosixPath("/usr/lib/modules"), "ext4"),), POLICY)


def test_escaped_mount_points_are_read_and_broken_lines_passed_over() -> None:
    lines = "1 2 3:4 / /a\\040b rw shared:1 - ext4 x rw\nbroken\n\n1 2 3\n"
    assert parse_mountinfo(lines) == (Mounted(PurePosixPath("/a b"), "ext4", writable=True),)


def test_another_file_at_a_granted_path_is_a_violation() -> None:
    expected = {"/tmp": [1, 2], "/usr": [1, 3]}
    assert not list(identity_violations({"identity": expected}, expected))
    for wrong in ({"/tmp": [1, 9], "/usr": [1, 3]}, {"/usr": [1, 3]}, {"/tmp": None, "/usr": [1, 3]}):
        assert list(identity_violations({"identity": wrong}, expected)) == [
            "/tmp inside is not what the policy binds there"
        ]


def test_the_terminals_inside_must_be_others_than_the_hosts() -> None:
    def found(seen: object) -> list[str]:
        return list(terminal_violations({"identity": {"/dev/pts": seen}}, "/dev/pts", 24))

    assert found([99, 1]) == []
    for wrong in ([24, 1], None, "no"):
        assert found(wrong) == ["/dev/pts inside is not the gateway's own"]


def test_terminals_and_a_proc_of_the_gateways_own_are_none_of_the_policys() -> None:
    own = [("/dev/pts", "devpts"), ("/proc", "proc"), ("/proc/sys", "proc"), ("/run/ocm/proc", "tmpfs")]
    assert mount_violations([Mounted(PurePosixPath(point), kind) for point, kind in own], HOST, POLICY) == ()


@pytest.mark.parametrize(
    ("point", "granted", "violated"),
    [
        ("/srv/data", False, True),
        ("/srv/data/below", False, True),
        ("/srv/data", True, False),
        ("/usr", False, False),
    ],
)
def test_what_its_owner_shows_is_written_only_where_that_was_said(
    point: str,
    *,
    granted: bool,
    violated: bool,
) -> None:
    shown = Mount(
        source=PurePosixPath("/srv/data"), target=PurePosixPath("/srv/data"), writable=granted, asked=True
    )
    host = (*HOST, Mounted(PurePosixPath("/srv/data/below"), "ext4"))
    inside = [Mounted(PurePosixPath(point), "ext4", writable=True)]
    found = mount_violations(inside, host, with_shown(POLICY, [shown]))
    assert found == ((f"{point} can be written, which the policy does not grant",) if violated else ())
    assert mount_violations([inside[0]._replace(writable=False)], host, with_shown(POLICY, [shown])) == ()


def test_whether_a_mount_can_be_written_is_read_of_the_mount_and_not_of_its_file_system() -> None:
    by_point = {str(mounted.point): mounted.writable for mounted in parse_mountinfo(INSIDE)}
    assert (by_point["/usr"], by_point["/dev/null"]) == (False, True)
