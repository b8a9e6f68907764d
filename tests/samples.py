"""Examples that several tests take: a user's directories, an instance and its record."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.paths import InstancePaths, host_paths
from openclaw_ocm.core.record import Limits, Record, Runtime

if TYPE_CHECKING:
    from openclaw_ocm.core.network import Kind

HOME = PurePosixPath("/home/ann")
NAME = parse_name("worker1")
NODE = "/home/ann/.local/lib/node/bin/node"
OPENCLAW = "/home/ann/.npm-global/lib/node_modules/openclaw"


def paths(name: InstanceName = NAME, home: PurePosixPath = HOME) -> InstancePaths:
    return host_paths(home, {}).instance(name)


def record(  # noqa: PLR0913 - each has a default
    *,
    name: InstanceName = NAME,
    port: int = 19001,
    docker: bool = False,
    network: Kind = "shared",
    sealed: bool = True,
    runtime: Runtime | None = None,
    limits: Limits | None = None,
) -> Record:
    return Record(
        name=name,
        port=port,
        docker=docker,
        network=network,
        sealed=sealed,
        runtime=runtime or Runtime(node=NODE, openclaw=OPENCLAW),
        limits=limits or Limits(),
    )
