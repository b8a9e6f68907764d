"""What the sandbox shows of OCM: its root, the commands on its PATH, the config link, /tmp and /var/tmp."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.network import own_name_servers, ruleset
from openclaw_ocm.core.openclaw.run import COLLECT_NAME, SHELL_NAME, openclaw_script, shell_script
from openclaw_ocm.core.sandbox.launch import (
    DOCKER_NAME,
    GATEWAY_RULES,
    INIT_NAME,
    SECRETS_NAME,
    SESSION_RULES,
    TOOL_HOST_NAME,
    UPLINK_NAME,
    UPLINK_OPTIONS,
    filter_paths,
    network_rules,
    uplink_options,
)
from openclaw_ocm.core.sandbox.policy import (
    ADDRESS_FAMILIES,
    RESOLVER_NAME,
    SYSTEM,
    TEMPORARY,
    npm_beside,
)
from openclaw_ocm.core.secrets import format_file
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files, programs
from openclaw_ocm.system.local_directory import is_local_current, make_local
from openclaw_ocm.system.mount_points import are_current, keep_mount_points
from openclaw_ocm.system.named import name_servers

if TYPE_CHECKING:
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record

_STICKY = 0o1777


def make_shell(paths: InstancePaths, record: Record) -> None:
    """Make what is missing of an instance's shell, and bring what is there in step with its record."""
    own = (paths.root, paths.link_directory, paths.bin, paths.network, paths.scratch, paths.uplink)
    for directory in own:
        files.make_directory(directory)
    for path in map(paths.temporary, TEMPORARY):
        files.make_directory(path)
        Path(path).chmod(_STICKY)
    make_local(paths, record)
    keep_mount_points(paths, record)
    for link, target in _links(paths, record).items():
        if files.link_target(link) != target:
            files.remove_file(link)
            Path(link).symlink_to(target)
    wanted = _programs(paths, record)
    for path, content in wanted.items():
        files.write_file(path, content, mode=0o755)
    _write_network(paths, record)
    if record.sealed:
        from openclaw_ocm.system.seccomp import make_filters

        make_filters(paths.bin, ADDRESS_FAMILIES)
    docker = paths.bin / DOCKER_NAME
    if docker not in wanted:
        files.remove_file(docker)
    if not files.read_own(paths.secrets, limit=1):
        files.write_file(paths.secrets, format_file({}))


def is_current(paths: InstancePaths, record: Record) -> bool:
    """Tell whether the shell of an instance is whole and as its record and this OCM want it."""
    return (
        all(Path(path).is_dir() for path in (paths.root, *map(paths.temporary, TEMPORARY)))
        and bool(files.read_own(paths.secrets, limit=1))
        and all(files.link_target(link) == target for link, target in _links(paths, record).items())
        and all(files.read_own(path) == content for path, content in _programs(paths, record).items())
        and all(files.read_own(path) == content for path, content in _network(paths, record).items())
        and is_local_current(paths, record)
        and (not record.isolated or _has_name_servers(paths))
        and are_current(paths, record)
        and (not record.sealed or all(Path(path).exists() for path in filter_paths(paths)))
        and Path(paths.bin / DOCKER_NAME).exists() == record.makes_boxes
    )


def _links(paths: InstancePaths, record: Record) -> dict[PurePosixPath, str]:
    """Return the links of the shell: the config, the instance's Node, and the npm that came with it."""
    node = PurePosixPath(record.runtime.node)
    npm = npm_beside(node) / "bin"
    links = {
        paths.link_directory / paths.config_link.name: f"../{paths.state.name}/{paths.config.name}",
        paths.bin / "node": str(node),
        # A session cannot see whose socket the gateway's is. OpenClaw 2026.9.6 allows for that where no tool
        # tells (as with lsof missing), but takes a row of `ss` without a process for a foreign listener.
        paths.bin / "ss": "/usr/bin/false",
    }
    if not any(npm.is_relative_to(directory) for directory in SYSTEM) and Path(npm).is_dir():
        links |= {paths.bin / "npm": str(npm / "npm-cli.js"), paths.bin / "npx": str(npm / "npx-cli.js")}
    return links


def _write_network(paths: InstancePaths, record: Record) -> None:
    # Where names are looked for may change at any time, as with a VPN: that alone is no reason to begin anew.
    own = own_name_servers(name_servers() or "").encode()
    resolver = {paths.network / RESOLVER_NAME: own} if record.isolated else {}
    for path, content in (*_network(paths, record).items(), *resolver.items()):
        # The sandbox of one that runs has the file itself.
        if files.read_own(path) != content:
            files.write_file(path, content)


def _has_name_servers(paths: InstancePaths) -> bool:
    try:
        return (files.read_own(paths.network / RESOLVER_NAME) or b"").startswith(b"nameserver ")
    except OcmError:
        return False


def _network(paths: InstancePaths, record: Record) -> dict[PurePosixPath, bytes]:
    """Return what the network of an isolated instance is made by."""
    if not record.isolated:
        return {}
    rules = {GATEWAY_RULES: True, SESSION_RULES: False}
    options = " ".join(uplink_options(record, gateway=True))
    return {
        paths.network / UPLINK_OPTIONS: f"OPTIONS={options}\n".encode(),
        paths.network / UPLINK_NAME: programs.archive("uplink"),
        **{
            paths.network / name: ruleset(network_rules(record, gateway=gateway)).encode()
            for name, gateway in rules.items()
        },
    }


def _programs(paths: InstancePaths, record: Record) -> dict[PurePosixPath, bytes]:
    """Return the scripts of the shell: `openclaw`, always this instance, and what runs before a program."""
    package = PurePosixPath(record.runtime.openclaw)
    wrapper = openclaw_script(record.runtime.node, package, "--profile", record.name)
    names = [INIT_NAME, SECRETS_NAME, COLLECT_NAME]
    names += [TOOL_HOST_NAME] if record.sealed else []
    names += [DOCKER_NAME] if record.makes_boxes else []
    return {
        paths.bin / "openclaw": wrapper.encode(),
        paths.bin / SHELL_NAME: shell_script(paths.state).encode(),
        **{paths.bin / name: programs.beside_gateway(name) for name in names},
    }
