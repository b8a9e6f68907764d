"""Examples that several tests take: a user's directories, an instance and its record."""

from __future__ import annotations

from pathlib import PurePosixPath

from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.paths import InstancePaths, host_paths
from openclaw_ocm.core.record import Limits, Record, Runtime

HOME = PurePosixPath("/home/ann")
NAME = parse_name("worker1")
NODE = "/home/ann/.local/lib/node/bin/node"
OPENCLAW = "/home/ann/.npm-global/lib/node_modules/openclaw"


def paths(name: InstanceName = NAME, home: PurePosixPath = HOME) -> InstancePaths:
    return host_paths(home, {}).instance(name)


def record(
    *,
    name: InstanceName = NAME,
    port: int = 19001,
    docker: bool = False,
    runtime: Runtime | None = None,
    limits: Limits | None = None,
) -> Record:
    return Record(
        name=name,
        port=port,
        docker=docker,
        runtime=runtime or Runtime(node=NODE, openclaw=OPENCLAW),
        limits=limits or Limits(),
    )
