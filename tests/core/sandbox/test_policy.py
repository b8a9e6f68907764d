from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests import samples

from openclaw_ocm.core.record import Runtime
from openclaw_ocm.core.sandbox.policy import (
    DOCKER_SOCKET,
    HIDDEN,
    RESOLVER,
    TRUSTED,
    Named,
    Policy,
    instance_policy,
)

if TYPE_CHECKING:
    from openclaw_ocm.core.network import Kind


def policy(
    *,
    docker: bool = False,
    runtime: Runtime | None = None,
    named: tuple[Named, ...] = (),
    network: Kind = "shared",
) -> Policy:
    return instance_policy(
        samples.paths(), samples.record(docker=docker, runtime=runtime, network=network), named=named
    )


def resolver(source: str, target: str | None = None) -> tuple[Named, ...]:
    return (Named(name=RESOLVER, source=PurePosixPath(source), target=PurePosixPath(target or source)),)


def bound(named: tuple[Named, ...], network: Kind = "shared") -> set[tuple[str, str]]:
    """Return the mounts that there are for the sake of named files, as source and target."""
    more = set(policy(named=named, network=network).mounts) - set(policy(network=network).mounts)
    return {(str(mount.source), str(mount.target)) for mount in more}


def visible(policy: Policy) -> set[str]:
    return {str(mount.target) for mount in policy.mounts}


def test_an_instance_writes_its_state_and_temporary_directories_and_nothing_else() -> None:
    assert set(map(str, policy().writable)) == {"/home/ann/.openclaw-worker1", "/tmp", "/var/tmp"}


def test_its_temporary_directories_are_none_of_the_hosts() -> None:
    sources = {str(mount.target): mount.source for mount in policy().mounts}
    for target in ("/tmp", "/var/tmp"):
        assert sources[target].is_relative_to(samples.HOME / ".local/state/ocm/tmp/worker1")


def test_it_sees_of_the_home_its_state_its_commands_its_openclaw_and_one_directory_for_main() -> None:
    home = {path for path in visible(policy()) if path.startswith("/home/ann")}
    assert home == {
        "/home/ann/.openclaw-worker1",
        "/home/ann/.openclaw",
        "/home/ann/.local",
        "/home/ann/.local/share/ocm/instances/worker1/bin",
        samples.NODE,
        "/home/ann/.local/lib/node/lib/node_modules/npm",
        samples.OPENCLAW,
    }


def test_what_stands_for_main_is_not_main() -> None:
    (main,) = (mount for mount in policy().mounts if mount.target == samples.HOME / ".openclaw")
    assert main.source == samples.paths().link_directory
    assert not main.source.is_relative_to(samples.HOME / ".openclaw")
    assert not main.writable


def test_a_runtime_below_usr_needs_no_mount_of_its_own() -> None:
    runtime = Runtime(node="/usr/local/bin/node", openclaw="/usr/local/lib/node_modules/openclaw")
    assert not any("local" in path for path in visible(policy(runtime=runtime)) if path.startswith("/usr"))


def test_the_docker_socket_is_there_only_where_the_record_allows_it() -> None:
    assert str(DOCKER_SOCKET) not in visible(policy())
    assert DOCKER_SOCKET in policy(docker=True).writable


def test_of_run_it_sees_the_resolver_its_own_secrets_and_nothing_else() -> None:
    assert {path for path in visible(policy()) if path.startswith("/run")} == {"/run/ocm/secrets.env"}
    run = {
        path
        for path in visible(policy(named=resolver("/run/systemd/resolve/stub-resolv.conf")))
        if path.startswith("/run")
    }
    assert run == {"/run/ocm/secrets.env", "/run/systemd/resolve"}


def test_name_servers_are_seen_wherever_the_link_leads() -> None:
    assert bound(resolver("/etc/resolv.conf")) == set()
    assert bound(resolver("/usr/lib/systemd/resolv.conf")) == set()
    assert bound(resolver("/mnt/wsl/resolv.conf")) == {("/mnt/wsl/resolv.conf", "/mnt/wsl/resolv.conf")}
    # Not all of /run for a file in it, nor what has sockets beside it.
    assert bound(resolver("/run/resolv.conf")) == {("/run/resolv.conf", "/run/resolv.conf")}
    beside_sockets = "/run/systemd/resolv.conf"
    assert bound(resolver(beside_sockets)) == {(beside_sockets, beside_sockets)}
    through = resolver("/mnt/wsl/resolv.conf", "/var/lib/vpn/resolv.conf")
    assert bound(through) == {("/mnt/wsl/resolv.conf", "/var/lib/vpn/resolv.conf")}
    by_old_name = resolver("/run/NetworkManager/resolv.conf", "/var/run/NetworkManager/resolv.conf")
    assert bound(by_old_name) == {("/run/NetworkManager", "/var/run/NetworkManager")}
    assert PurePosixPath("/var/run/NetworkManager/system-connections") in policy(named=by_old_name).hidden
    assert policy(named=resolver("/run/systemd/resolve/resolv.conf")).hidden == HIDDEN


def test_where_the_sandbox_has_its_own_no_name_servers_are_bound() -> None:
    for place in ("/run/user/1000/resolv.conf", "/dev/resolv.conf", "/proc/1/resolv.conf"):
        assert bound(resolver(place)) == set()


def test_in_a_network_of_its_own_the_name_servers_are_its_own_at_the_place_of_the_hosts() -> None:
    own = str(samples.paths().network / "resolv.conf")
    for source, target in (("/etc/resolv.conf", None), ("/mnt/wsl/resolv.conf", "/var/lib/vpn/resolv.conf")):
        named = resolver(source, target)
        assert bound(named, "own") == {(own, target or source)}
        (shown,) = policy(named=named, network="own").named
        assert (str(shown.source), shown.target) == (own, RESOLVER)


def test_certificates_that_lie_elsewhere_are_seen_and_those_of_the_system_are_so_anyway() -> None:
    pem = PurePosixPath("/var/lib/ca-certificates/pem")
    directory, bundle = TRUSTED[0], PurePosixPath("/etc/ssl/certs/ca-certificates.crt")
    here = Named(name=bundle, source=bundle, target=bundle)
    assert bound((Named(name=directory, source=pem, target=pem), here)) == {(str(pem), str(pem))}
    found = policy(named=(here,)).named
    assert [(mount.source, mount.target) for mount in found] == [(bundle, bundle)]


def test_it_sees_its_own_secrets_read_only_and_nothing_else_of_ocms_directory() -> None:
    own = [m for m in policy().mounts if m.source.is_relative_to(samples.HOME / ".config/ocm")]
    assert [(m.source, m.writable, m.optional) for m in own] == [(samples.paths().secrets, False, False)]


def test_only_what_may_be_missing_on_a_host_is_optional() -> None:
    optional = {str(mount.target) for mount in policy().mounts if mount.optional}
    system = {"/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt"}
    assert optional == {*system, "/home/ann/.local/lib/node/lib/node_modules/npm"}


def test_opt_is_seen_as_usr_is_and_a_runtime_there_needs_no_mount_of_its_own() -> None:
    runtime = Runtime(node="/opt/node/bin/node", openclaw="/opt/npm/lib/node_modules/openclaw")
    (opt,) = (mount for mount in policy(runtime=runtime).mounts if mount.target.is_relative_to("/opt"))
    assert (str(opt.source), opt.writable, opt.optional) == ("/opt", False, True)


@pytest.mark.parametrize(
    ("home", "private"), [("/opt/ann", ()), ("/home/ann", ("/opt/claw/main",)), ("/home/ann", ("/opt",))]
)
def test_where_something_private_lies_below_opt_nothing_there_is_seen_but_what_is_named(
    home: str, private: tuple[str, ...]
) -> None:
    runtime = Runtime(node="/opt/node/bin/node", openclaw="/opt/npm/lib/node_modules/openclaw")
    paths = samples.paths(home=PurePosixPath(home))
    found = instance_policy(paths, samples.record(runtime=runtime), private=map(PurePosixPath, private))
    assert "/opt" not in visible(found)
    assert {runtime.node, runtime.openclaw} <= visible(found)


def test_what_stands_for_dot_local_is_ocms_and_read_only() -> None:
    (local,) = (mount for mount in policy().mounts if str(mount.target) == "/home/ann/.local")
    assert (local.source, local.writable) == (samples.paths().local, False)


def test_what_is_mains_and_lies_in_the_system_is_hidden_there() -> None:
    private = tuple(
        map(PurePosixPath, ("/etc/openclaw/main.env", "/home/ann/claw", "/usr/claw", "/srv/claw"))
    )
    found = instance_policy(samples.paths(), samples.record(), private=private)
    assert found.hidden == (*policy().hidden, *private[:1], *private[2:3])
