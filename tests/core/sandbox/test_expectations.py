from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from tests import samples

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.sandbox import expectations
from openclaw_ocm.core.sandbox.policy import RESOLVER, Mount, Named, Policy, instance_policy
from openclaw_ocm.core.sandbox.probe import CONNECT, READ, WRITE, Check
from openclaw_ocm.core.sandbox.shown import with_shown

RUNTIME = PurePosixPath("/run/user/1000")
OTHERS = (parse_name("worker2"), parse_name("worker3"))


def policy(*, docker: bool = False) -> Policy:
    return instance_policy(samples.paths(), samples.record(docker=docker))


def checks(*, docker: bool = False) -> tuple[Check, ...]:
    return expectations.checks(samples.paths(), policy(docker=docker), runtime=RUNTIME, others=OTHERS)


def paths(action: str, *, allowed: bool) -> set[str]:
    return {check.path for check in checks() if (check.action, check.allowed) == (action, allowed)}


def test_nothing_is_expected_to_be_both_possible_and_impossible() -> None:
    for docker in (False, True):
        answers: dict[tuple[str, str], bool] = {}
        for check in checks(docker=docker):
            assert answers.setdefault((check.action, check.path), check.allowed) is check.allowed


@pytest.mark.parametrize(
    "path",
    [
        "/home/ann/.openclaw/openclaw.json",
        "/home/ann/.openclaw/credentials",
        "/home/ann/.openclaw-worker2",
        "/home/ann/.openclaw-worker3",
        "/home/ann/.config/ocm",
        "/home/ann/.local/state/ocm",
        "/home/ann/.config/systemd/user",
        "/home/ann/.ssh",
        "/home/ann/backups",
        "/var/log",
    ],
)
def test_main_ocm_other_instances_and_the_rest_of_home_are_not_readable(path: str) -> None:
    assert path in paths(READ, allowed=False)


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/ssh", "/etc/ssl/private", "/sys/kernel/debug"])
def test_what_only_mode_bits_keep_from_others_is_not_readable_for_root_either(path: str) -> None:
    assert path in paths(READ, allowed=False)


@pytest.mark.parametrize("path", ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"])
def test_the_kernel_must_not_be_writable(path: str) -> None:
    assert path in paths(WRITE, allowed=False)


def test_no_bus_no_manager_no_journal_and_no_docker_can_be_reached() -> None:
    assert paths(CONNECT, allowed=False) == {
        "/run/user/1000/bus",
        "/run/user/1000/systemd/private",
        "/run/dbus/system_bus_socket",
        "/run/systemd/journal/socket",
        "/run/systemd/journal/stdout",
        "/run/docker.sock",
    }


def test_the_docker_socket_is_no_violation_where_the_record_allows_it() -> None:
    assert "/run/docker.sock" not in {check.path for check in checks(docker=True)}


def test_the_state_and_temporary_directories_must_be_writable_and_nothing_else() -> None:
    assert paths(WRITE, allowed=True) == {"/home/ann/.openclaw-worker1", "/tmp", "/var/tmp"}


def test_the_config_must_be_readable_at_both_of_its_places() -> None:
    config = {"/home/ann/.openclaw-worker1/openclaw.json", "/home/ann/.openclaw/openclaw-worker1.json"}
    assert config <= paths(READ, allowed=True)


def test_what_is_bound_read_only_must_be_readable_and_not_writable() -> None:
    bound = {samples.NODE, samples.OPENCLAW, "/home/ann/.openclaw"}
    assert bound <= paths(READ, allowed=True)
    assert bound <= paths(WRITE, allowed=False)


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/usr", "/run", "/home", "/home/ann", "/opt", "/sys/fs/cgroup"]
)
def test_the_system_and_the_home_must_not_be_writable(path: str) -> None:
    assert path in paths(WRITE, allowed=False)


def test_a_listing_names_what_a_directory_may_hold() -> None:
    listings = {listing.path: listing.names for listing in expectations.listings(samples.paths(), policy())}
    assert listings == {
        "/home/ann/.openclaw": {"openclaw-worker1.json"},
        "/home/ann": {".openclaw", ".openclaw-worker1", ".local", ".npm-global"},
        "/run/ocm/proc": frozenset(),
        "/run/user": frozenset(),
    }


def test_files_are_planted_where_an_instance_could_leak_to_and_each_must_be_unreadable() -> None:
    places = set(map(str, expectations.canary_places(samples.paths(), runtime=RUNTIME)))
    assert places >= {"/home/ann", "/home/ann/.config/ocm", "/run/user/1000", "/tmp", "/var/tmp", "/dev/shm"}
    assert expectations.canary_checks(["/tmp/canary"]) == (
        Check(action=READ, path="/tmp/canary", allowed=False),
    )


def test_name_servers_and_certificates_must_be_readable_by_their_names_and_not_writable() -> None:
    source = PurePosixPath("/mnt/wsl/resolv.conf")
    named = (Named(name=RESOLVER, source=source, target=source),)
    shown = instance_policy(samples.paths(), samples.record(), named=named)
    found = expectations.checks(samples.paths(), shown, runtime=RUNTIME, others=OTHERS)
    assert {(one.action, one.allowed) for one in found if one.path == str(RESOLVER)} == {
        (READ, True),
        (WRITE, False),
    }
    # What the file lies in shows nothing else.
    assert not any(one.path == "/mnt" for one in found if one.action == READ)
    (mnt,) = (one for one in expectations.listings(samples.paths(), shown) if one.path == "/mnt")
    assert mnt.names == {"wsl"}


def test_where_a_mount_was_its_place_may_be_left_and_nothing_beside_it() -> None:
    left = {PurePosixPath("/var/lib"): frozenset({"vpn"})}
    found = expectations.checks(samples.paths(), policy(), runtime=RUNTIME, others=OTHERS, left=left)
    assert not any(one.path == "/var/lib" for one in found if one.action == READ)
    assert any(one.path == "/srv" for one in found if one.action == READ)
    (listing,) = (
        one for one in expectations.listings(samples.paths(), policy(), left) if one.path == "/var/lib"
    )
    assert listing.names == {"vpn"}


@pytest.mark.parametrize("top", ["/srv", "/var/lib", "/opt"])
def test_where_the_home_lies_nothing_is_seen_but_the_way_to_it(top: str) -> None:
    paths = samples.paths(home=PurePosixPath(top, "ann"))
    policy = instance_policy(paths, samples.record())
    listings = {listing.path: listing.names for listing in expectations.listings(paths, policy)}
    assert listings[top] == {"ann"}
    denied = {
        check.path
        for check in expectations.checks(paths, policy, runtime=RUNTIME, others=OTHERS)
        if (check.action, check.allowed) == (READ, False)
    }
    assert top not in denied
    assert {"/mnt", "/var/log", f"{top}/ann/.ssh"} <= denied


def with_mounts(**places: bool) -> tuple[Policy, dict[tuple[str, str], bool]]:
    """Return a policy that shows places, by whether they can be written, and what is asked of it."""
    shown = [
        Mount(
            source=PurePosixPath(path),
            target=PurePosixPath(path),
            writable=writable,
            optional=True,
            asked=True,
        )
        for path, writable in places.items()
    ]
    found = with_shown(policy(), shown)
    asked = expectations.checks(samples.paths(), found, runtime=RUNTIME, others=OTHERS)
    return found, {(check.action, check.path): check.allowed for check in asked}


def test_what_its_owner_shows_can_be_written_only_where_that_was_said_and_the_rest_stays_hidden() -> None:
    places = {"/srv": False, "/mnt/disk": True, "/home/ann/.bashrc": False}
    found, asked = with_mounts(**places)
    assert {path: asked[WRITE, path] for path in places} == places
    assert not {(READ, "/srv"), (READ, "/mnt"), (READ, "/home/ann/.bashrc")} & asked.keys()
    for path in ("/home/ann/.ssh", "/home/ann/.profile", "/home/ann/.openclaw-worker2", "/var/lib"):
        assert asked[READ, path] is False
    listings = {listing.path: listing.names for listing in expectations.listings(samples.paths(), found)}
    assert listings["/mnt"] == {"disk"}
    assert ".bashrc" in listings["/home/ann"]
    assert "/srv" not in listings


def test_a_box_sees_nothing_of_what_its_owner_shows() -> None:
    found, _ = with_mounts(**{"/srv/data": True})
    asked = expectations.box_checks(samples.paths(), found, runtime=RUNTIME)
    assert Check(action=READ, path="/srv/data", allowed=False) in asked
