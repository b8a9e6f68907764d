"""A user's home with small programs in the gateways' place, in a cluster: for the contract of backends."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import msgspec
from tests.backends import home as homes
from tests.backends.home import SERVE, Home
from tests.backends.supervisord import supervised

from openclaw_ocm.backends import registry
from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.backend import Kubernetes
from openclaw_ocm.backends.kubernetes.cluster import Cluster
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.placement import Placement
from openclaw_ocm.core.record import Runtime

if TYPE_CHECKING:
    from pathlib import Path

    from openclaw_ocm.core.record import Record

NAME = "kubernetes"
REGISTERED = "openclaw_ocm.backends.kubernetes.backend:Kubernetes"
# What stands in the place of Node: the real one for programs of OCM's, the instance's script for the gateway.
STAND_IN = "/usr/bin/gateway"
PROGRAM = b"""#!/bin/sh
for word in "$@"; do
    [ "$word" != --eval ] || exec /usr/bin/node "$@"
done
. "$OPENCLAW_STATE_DIR/script"
"""
# By which the process that keeps the contract is told of the cluster.
VARIABLE = "OCM_TEST_CLUSTER"


@dataclass(frozen=True, kw_only=True)
class PodHome(Home[Kubernetes]):
    """A home whose instances are in a cluster."""

    kubeconfig: str
    image: str
    # The cluster tries again what its config ends, and keeps a log for as long as its pod.
    gives_up: ClassVar[bool] = False
    keeps_log: ClassVar[bool] = False
    always_seals: ClassVar[bool] = True
    rounds: ClassVar[int] = 2

    def record(self, name: InstanceName, *, sealed: bool = True) -> Record:
        placement = Placement(
            kubeconfig=self.kubeconfig,
            context="test",
            image=self.image,
            owner="0123456789abcdef" * 2,
            owned_by="tests",
            storage_gib=1,
        )
        runtime = Runtime(node=STAND_IN, openclaw="/app/node_modules/openclaw")
        own = super().record(name, sealed=sealed)
        return msgspec.structs.replace(own, network="own", runtime=runtime, placement=placement)

    def make(self, text: str, script: str = SERVE, *, sealed: bool = True) -> InstanceName:
        name = parse_name(text)
        self.starts_at_once(100)
        self.define(name, sealed=sealed)
        self.backend.load([name])
        place = str(places.VOLUME_ROOT / places.STATE_DIRECTORY)
        self.backend._run(name, ("/bin/mkdir", "--mode=700", place), b"", 2**10)
        self.backend.volume(name).write("openclaw.json", b"{}")
        self.script(name, script)
        return name

    def script(self, name: InstanceName, script: str) -> None:
        self.backend.volume(name).write("script", script.encode())

    def state(self, name: InstanceName) -> str:
        return str(places.pod_paths(name).state)


def make_home(parent: Path) -> PodHome:
    """Make a home of a process that was told of a cluster."""
    registry.BACKENDS[NAME] = REGISTERED
    told = json.loads(os.environ[VARIABLE])
    made = homes.make_home(NAME, parent)
    assert isinstance(made.backend, Kubernetes)
    return PodHome(backend=made.backend, host=made.host, kubeconfig=told["kubeconfig"], image=told["image"])


def destroy(home: PodHome, names: list[InstanceName]) -> None:
    """Remove the home, and have its gateways in the cluster stop."""
    manifests = [one for one in map(home.backend._manifest, names) if one is not None]
    for one in manifests:
        with Cluster(one.access, home.host) as cluster:
            # Their volumes end with the cluster.
            if cluster.get("StatefulSet", places.GATEWAY, namespace=one.namespace) is not None:
                cluster.scale(one.namespace, 0, one.labels)
    supervised.destroy(home)
