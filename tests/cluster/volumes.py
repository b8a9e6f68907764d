"""States in the cluster, asked in the pods that have them: by kubectl, in the place of OCM's own exec."""

from __future__ import annotations

import contextlib
from typing import IO, TYPE_CHECKING, Any

from tests.backends.pods import streams_of
from tests.machine.nspawn import MachineError

from openclaw_ocm.backends.kubernetes.places import STAND_IN
from openclaw_ocm.backends.kubernetes.volume import PodVolume
from openclaw_ocm.backends.kubernetes.volume_pod import running_in, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cluster import Cluster
    from .gateways import Gateway


class Held:
    """The state of an instance in the cluster."""

    def __init__(self, cluster: Cluster, one: Gateway) -> None:
        self.cluster, self.one = cluster, one
        self.where = one.namespace
        self.volume = PodVolume(where=self.where, run=self.run, stream=self.started)

    def pod(self) -> tuple[str, str] | None:
        return running_in(self.cluster.get("pods", f"--namespace={self.where}")["items"])

    def run(self, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        with self.started(argv) as (read, write):
            write.write(given)
            write.flush()
            return read.read(limit)

    @contextlib.contextmanager
    def started(self, argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Start a program in the pod that has the state, and yield its streams."""
        found = self.pod()
        assert found, "no pod has the state"
        pod, container = found
        words = ("kubectl", "--kubeconfig=/run/kube/admin", "exec", "--stdin", f"--namespace={self.where}")
        command = self.cluster.control.entering((*words, pod, f"--container={container}", "--", *argv))
        with streams_of(command, lambda told: MachineError(f"{pod}: {argv[0]}: {told}")) as both:
            yield both

    def stand_in(self, seconds: int = 300) -> dict[str, Any]:
        """Make the pod that has the volume without a gateway, and return it."""
        stateful_set = self.one.objects(started=False)[-1]
        self.cluster.apply(stand_in(stateful_set, seconds=seconds))
        return self.cluster.get("pod", STAND_IN, f"--namespace={self.where}")

    def remove_stand_in(self) -> None:
        """Have it be gone, as it is before the gateway is started."""
        self.cluster.kubectl("delete", "pod", STAND_IN, f"--namespace={self.where}", "--ignore-not-found")
