"""Where in a cluster programs are run for an instance: in its gateway's pod, or in one made for that."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from openclaw_ocm.backends.kubernetes import ending, places
from openclaw_ocm.backends.kubernetes.cluster import Cluster
from openclaw_ocm.backends.kubernetes.execution import Target, run
from openclaw_ocm.backends.kubernetes.session_pod import session_pod
from openclaw_ocm.backends.kubernetes.streams import started
from openclaw_ocm.backends.kubernetes.volume_pod import running_in, runs, stand_in
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.backends.kubernetes.manifest import Manifest
    from openclaw_ocm.backends.kubernetes.manifests import Object
    from openclaw_ocm.system.host import Host

# What a pod takes at most until it runs: an image may have to be pulled, a volume to be made.
_READY_SECONDS = 180.0
_POLL_SECONDS = 0.3
# How long one is kept that nobody removed: one that asks a little every few seconds finds it there.
_STAND_IN_SECONDS, _SESSION_SECONDS = 900, 24 * 3600
_RUN_SECONDS = 120.0
# Of a whole state: what an archive holds at most, and the time for that by a slow way.
_MOST_STREAMED, _STREAM_SECONDS = 2**45, 24 * 3600.0
_MAX_WORDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs programs where the state of one instance is, in a connection of its own."""

    host: Host
    manifest: Manifest

    @contextlib.contextmanager
    def started(self, argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Start a program, and yield what is read of it and what is written to it; as `streams.started`."""
        with Cluster(self.manifest.access, self.host) as cluster:
            target = in_state(cluster, self.manifest)
            with started(
                cluster, target, argv, limit=_MOST_STREAMED, deadline_seconds=_STREAM_SECONDS
            ) as both:
                yield both

    def __call__(self, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        """Return what a program printed, as `printed`."""
        with Cluster(self.manifest.access, self.host) as cluster:
            return printed(cluster, self.manifest, argv, given, limit)


def printed(cluster: Cluster, manifest: Manifest, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
    """Return what a program printed that ended well, at most `limit` bytes; raises `OcmError` else."""
    target = in_state(cluster, manifest)
    done = run(cluster, target, argv, given=(given,), limit=limit, deadline_seconds=_RUN_SECONDS)
    if done.status:
        last = printable(done.stderr.decode(errors="replace").strip()[-_MAX_WORDS:])
        message = f"what was run in {target} ended with exit {done.status}"
        raise OcmError(message, details=(last,) if last else (), code="pod_failed")
    return done.stdout


def gateway(manifest: Manifest) -> Target:
    """Return the container of a gateway."""
    return Target(namespace=manifest.namespace, pod=places.POD, container=places.GATEWAY)


def in_state(cluster: Cluster, manifest: Manifest) -> Target:
    """Return a container that has the state: of the gateway where it runs, else of a pod that is made."""
    pods = cluster.list("Pod", manifest.labels, namespace=manifest.namespace)
    found = running_in(pods)
    if found is not None:
        return Target(namespace=manifest.namespace, pod=found[0], container=found[1])
    _make(cluster, manifest, stand_in(manifest.stateful_set, seconds=_STAND_IN_SECONDS))
    return Target(namespace=manifest.namespace, pod=places.STAND_IN, container=places.STAND_IN)


def in_sandbox(cluster: Cluster, manifest: Manifest) -> Target:
    """Return a container in which sessions run: of the gateway where it runs, else of a pod that is made."""
    pods = cluster.list("Pod", manifest.labels, namespace=manifest.namespace)
    if _runs(pods, places.POD):
        return gateway(manifest)
    if not _runs(pods, places.SESSION):
        _make(cluster, manifest, session_pod(manifest.stateful_set, seconds=_SESSION_SECONDS))
    return Target(namespace=manifest.namespace, pod=places.SESSION, container=places.GATEWAY)


def sandboxes(cluster: Cluster, manifest: Manifest) -> tuple[Target, ...]:
    """Return the containers in which sessions may be."""
    pods = cluster.list("Pod", manifest.labels, namespace=manifest.namespace)
    return tuple(
        Target(namespace=manifest.namespace, pod=pod, container=places.GATEWAY)
        for pod in (places.POD, places.SESSION)
        if _runs(pods, pod)
    )


def _make(cluster: Cluster, manifest: Manifest, pod: Object) -> None:
    """Make a pod and wait until it runs; one of its name that has ended, or ends, goes first."""
    name = pod["metadata"]["name"]
    seen = cluster.get("Pod", name, namespace=manifest.namespace)
    if seen is not None and (_is_over(seen) or lookup(seen, "metadata.deletionTimestamp") is not None):
        ending.delete(cluster, manifest, "Pod", name)
        seen = None
    if seen is None:
        cluster.apply((pod,))
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        seen = cluster.get("Pod", name, namespace=manifest.namespace)
        if seen is not None and lookup(seen, "status.phase") == "Running":
            return
        if time.monotonic() > deadline or seen is None or _is_over(seen):
            with contextlib.suppress(OcmError):
                ending.delete(cluster, manifest, "Pod", name)
            raise OcmError(f"no pod has the volume of {manifest.namespace}: {_why(seen)}", code="pod_missing")
        time.sleep(_POLL_SECONDS)


def _is_over(pod: object) -> bool:
    return lookup(as_object(pod), "status.phase") in ("Succeeded", "Failed")


def _why(pod: object) -> str:
    told = as_object(pod)
    conditions = lookup(told, "status.conditions")
    messages = [
        as_object(one).get("message") for one in (conditions if isinstance(conditions, list) else [])[:20]
    ]
    words = next((one for one in messages if isinstance(one, str) and one), None)
    return printable(words, limit=_MAX_WORDS) if words else "it does not come to run"


def _runs(pods: Iterable[object], name: str) -> bool:
    told = map(as_object, pods)
    return any(lookup(one, "metadata.name") == name and runs(one, places.GATEWAY) for one in told)
