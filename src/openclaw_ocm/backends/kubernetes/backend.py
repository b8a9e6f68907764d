"""Gateways as pods of clusters, which keep them running: a namespace each, and nothing else of OCM's.

What an instance is to be there its manifest says, a file on this machine; the cluster has it by `load` and
`start`. A state is in a volume of the cluster, and what is done in there is done by a program in a pod.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING, ClassVar

from openclaw_ocm.backends.definition import Definition
from openclaw_ocm.backends.kubernetes import (
    ending,
    manifest,
    manifests,
    places,
    pod_document,
    pod_proof,
    sessions,
    watched,
    within,
)
from openclaw_ocm.backends.kubernetes.answering import ask_all
from openclaw_ocm.backends.kubernetes.answers import FORBIDDEN, NOT_FOUND, ClusterRefuses
from openclaw_ocm.backends.kubernetes.cluster import Cluster
from openclaw_ocm.backends.kubernetes.credentials import not_installed
from openclaw_ocm.backends.kubernetes.log import read_log
from openclaw_ocm.backends.kubernetes.pod import Programs
from openclaw_ocm.backends.kubernetes.pod_places import near_places
from openclaw_ocm.backends.kubernetes.volume import PodVolume
from openclaw_ocm.backends.protocol import Session, is_ours
from openclaw_ocm.backends.registry import of_machine
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.status import Activity, Answer, Process
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files, programs
from openclaw_ocm.system.kept.names import names_in
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.kubernetes.manifest import Manifest
    from openclaw_ocm.backends.kubernetes.manifests import Object
    from openclaw_ocm.backends.protocol import Observed, Timers
    from openclaw_ocm.core.log import Entry
    from openclaw_ocm.core.names import BackendName, InstanceName
    from openclaw_ocm.core.needs import Need
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.placement import Access
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy
    from openclaw_ocm.core.status import Listener
    from openclaw_ocm.system.host import Host

_SUFFIX, _AUTOSTART = ".yaml", ".autostart"
_ABSENT = Process(activity=Activity.STOPPED, installed=False, autostart=False)


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """Has the clusters of the user of `host` keep gateways."""

    name: ClassVar[BackendName] = "kubernetes"
    needs: ClassVar[frozenset[Need]] = frozenset()
    host: Host

    def timers(self, purpose: Purpose = Purpose.BACKUP) -> Timers:
        """Return what this machine has done at its times: archives are to be here, and no key is there."""
        return of_machine(self.host).timers(purpose)

    def answers(self) -> bool:
        """Tell whether there is what talks to clusters."""
        from importlib.util import find_spec

        return find_spec("lightkube") is not None

    def check(self, *, sealed: bool) -> None:  # noqa: ARG002 - it always is
        """Raise `OcmError` where nothing here talks to clusters: a pod is always sealed."""
        if not self.answers():
            raise not_installed()

    def gaps(self, record: Record, process: Process) -> tuple[str, ...]:  # noqa: ARG002 - up or not
        """Return in words what the record asks for and a pod does not keep to."""
        return manifests.gaps(record)

    def notes(self) -> tuple[str, ...]:
        """Return nothing: what ends a gateway there starts another."""
        return ()

    # What is on this machine

    def definition(self, record: Record, policy: Policy) -> Definition:  # noqa: ARG002 - its pod is it
        """Return the manifest that the record asks for."""
        texts = Programs(prepare=programs.text("prepare_pod.mjs"), ask=programs.text("ask_gateway.mjs"))
        return Definition(path=self.definition_path(record.name), text=manifest.render(record, texts))

    def definition_path(self, name: InstanceName) -> PurePosixPath:
        """Return where the manifest of an instance is, or would be."""
        return self._directory / f"{name}{_SUFFIX}"

    def written(self, paths: InstancePaths) -> tuple[PurePosixPath, ...]:
        """Return the files that are written for an instance, each beside its place first."""
        own = (self.definition_path(paths.name), self._autostart(paths.name))
        return (*own, *of_machine(self.host).written(paths))

    def defined(self) -> tuple[InstanceName, ...]:
        """Return the instances of which there is a manifest that OCM made."""
        found = names_in(self._directory, suffix=_SUFFIX)
        return tuple(name for name in found if is_ours(self.definition_path(name)))

    def enable(self, names: Collection[InstanceName]) -> None:
        """Say that gateways are to be up: one that is started is started by its cluster after any end."""
        for name in names:
            files.write_file(self._autostart(name), b"")

    def disable(self, names: Collection[InstanceName]) -> None:
        """Say no more that gateways are to be up."""
        for name in names:
            files.remove_file(self._autostart(name))

    # What is in clusters

    def load(self, names: Collection[InstanceName]) -> None:
        """Have clusters have what the manifests say now; of one that is gone nothing is known.

        A pod goes on as it is until it is made anew.
        """
        for cluster, group in self._clusters(names):
            up = watched.observe(cluster, group, now=time.time())
            for name, one in group.items():
                self._apply(cluster, name, one, started=up[name].autostart)

    def start(self, names: Collection[InstanceName]) -> None:
        """Start gateways, as their manifests are now: a pod that does not come to run is made anew."""
        present = {name: self._present(name) for name in names}
        for cluster, group in self._grouped(present):
            seen = watched.observe(cluster, group, now=time.time())
            for name, one in group.items():
                # On their node they hold the volume.
                ending.end_beside(cluster, one)
                self._apply(cluster, name, one, started=True)
                if _comes_to_nothing(seen[name]):
                    ending.delete(cluster, one, "Pod", places.POD)

    def stop(self, names: Collection[InstanceName]) -> None:
        """Have gateways have no pod, and wait until they have none."""
        for cluster, group in self._clusters(names):
            for one in group.values():
                try:
                    cluster.scale(one.namespace, 0, one.labels)
                except ClusterRefuses as error:
                    if not (error.status == NOT_FOUND and error.of_object):
                        raise
            ending.await_end(cluster, group)

    def kill(self, names: Collection[InstanceName]) -> tuple[InstanceName, ...]:
        """Kill those gateways that are being stopped and take their time; return which."""
        killed = []
        for cluster, group in self._clusters(names):
            seen = watched.observe(cluster, group, now=time.time())
            for name, one in group.items():
                if seen[name].activity is Activity.STOPPING:
                    ending.delete(cluster, one, "Pod", places.POD, grace_seconds=0)
                    killed.append(name)
        return tuple(killed)

    def remove(self, names: Collection[InstanceName]) -> None:
        """Remove what clusters have of stopped gateways, but for their volumes, and the manifests."""
        for cluster, group in self._clusters(names):
            for one in group.values():
                ending.remove(cluster, one)
        for name in names:
            files.remove_file(self.definition_path(name))
        self.disable(names)

    def observe(self, names: Collection[InstanceName]) -> dict[InstanceName, Process]:
        """Return what is known of each gateway, by a number of questions that does not grow with theirs."""
        seen: dict[InstanceName, Process] = {}
        for cluster, group in self._clusters(names):
            seen |= watched.observe(cluster, group, now=time.time())
        enabled = set(names_in(self._directory, suffix=_AUTOSTART))
        return {
            name: replace(
                seen.get(name, _ABSENT),
                installed=name in seen,
                autostart=name in enabled,
                definition=str(self.definition_path(name)),
            )
            for name in names
        }

    def lives(self, process: Process) -> bool:
        """Tell whether its container ran when it was observed."""
        return process.elsewhere

    def use(self, process: Process) -> tuple[int | None, float | None]:
        """Return nothing: a cluster keeps no account unless something is installed there that does."""
        return process.memory_bytes, process.cpu_seconds

    def strangers(
        self,
        gateways: Collection[Observed],  # noqa: ARG002 - of none
    ) -> dict[InstanceName, Listener]:
        """Return nobody: in its pod no other can listen in the place of a gateway."""
        return {}

    def violations(self, name: InstanceName, process: Process) -> Iterator[str]:  # noqa: ARG002 - asked anew
        """Yield in words what makes a pod or its network policies another than the manifest says."""
        one = self._present(name)
        with self._opened(one) as cluster:
            pod = cluster.get("Pod", places.POD, namespace=one.namespace)
            policies = cluster.list("NetworkPolicy", namespace=one.namespace)
        if pod is not None:
            yield from pod_document.violations(pod, one.template)
        yield from pod_document.policy_violations(list(policies), _policies(one))

    def prove(self, gateway: Observed, policy: Policy) -> tuple[str, ...]:  # noqa: ARG002 - its pod is it
        """Return in words what is not as the manifest says, asked of the cluster and from within the pod."""
        one = self._present(gateway.record.name)
        with self._opened(one) as cluster:
            pod = cluster.get("Pod", places.POD, namespace=one.namespace)
            grounds = pod_proof.Grounds(
                pod=pod,
                policies=list(cluster.list("NetworkPolicy", namespace=one.namespace)),
                template=one.template,
                wanted=_policies(one),
                places=near_places(pod, pods=_pods_of(cluster, one), nodes=None, server=None),
            )
            found = pod_proof.prove(partial(within.printed, cluster, one), gateway, grounds)
        return found.violations

    def ask(self, gateways: Collection[Observed], *, deadline_seconds: float) -> dict[InstanceName, Answer]:
        """Ask gateways in their pods how they are."""
        records = {one.record.name: one.record for one in gateways}
        found = dict.fromkeys(records, Answer(problem="not listening yet"))
        running = [one.record.name for one in gateways if one.process.elsewhere]
        for cluster, group in self._clusters(running):
            asked = {name: (records[name], one) for name, one in group.items()}
            found |= ask_all(cluster, asked, deadline_seconds=deadline_seconds)
        return found

    def log(
        self, name: InstanceName, *, lines: int | None, follow: bool, since: float | None
    ) -> Iterator[Entry]:
        """Yield what a gateway printed that its cluster still has, and what that says of it."""
        one = self._manifest(name)
        if one is not None:
            with self._opened(one) as cluster:
                yield from read_log(cluster, one, lines=lines, follow=follow, since=since)

    def volume(self, name: InstanceName) -> PodVolume:
        """Return the volume in its cluster that holds the state of an instance, if there is one."""
        run, stream = partial(self._run, name), partial(self._started, name)
        return PodVolume(where=places.namespace(name), run=run, stream=stream)

    # Sessions

    def session(
        self,
        record: Record,
        policy: Policy,  # noqa: ARG002 - its pod is it
        program: tuple[str, ...],
        *,
        environ: Mapping[str, str],
        terminal: bool,
    ) -> Session:
        """Return the command that runs `program` in the gateway's pod, or in one like it where none runs."""
        one = self._present(record.name)
        with self._opened(one) as cluster:
            target = within.in_sandbox(cluster, one)
        wanted = sessions.Wanted(
            kubeconfig=one.access.kubeconfig,
            context=one.access.context,
            namespace=target.namespace,
            pod=target.pod,
            container=target.container,
            token=sessions.new_token(record.name),
            argv=sessions.with_nothing_but(
                (*environ, *read_secrets(self.host.instance(record.name))), program
            ),
            environ=dict(environ),
            directory=str(places.pod_paths(record.name).state),
            terminal=terminal,
        )
        return Session(argv=sessions.session_argv(wanted), token=wanted.token)

    def signal_session(self, token: str, number: int) -> None:
        """Send a signal to the program of a session."""
        one = self._present(sessions.instance_of(token))
        with self._opened(one) as cluster:
            for target in within.sandboxes(cluster, one):
                sessions.signal_session(cluster, target, token, number)

    def stop_sessions(self, names: Collection[InstanceName]) -> None:
        """Stop every session in the pods of `names`, with the pods that were made for them."""
        for cluster, group in self._clusters(names):
            for name, one in group.items():
                ending.end_beside(cluster, one, (places.SESSION,))
                for target in within.sandboxes(cluster, one):
                    sessions.stop_sessions(cluster, target, name)

    def in_session(self) -> tuple[InstanceName, ...]:
        """Return the instances in whose pods sessions are."""
        found = []
        for cluster, group in self._clusters(self.defined()):
            for name, one in group.items():
                targets = within.sandboxes(cluster, one)
                if any(sessions.sessions_in(cluster, target, name) for target in targets):
                    found.append(name)
        return tuple(found)

    def foreground_argv(self) -> tuple[str, ...] | None:
        """Return nothing: clusters are no programs of the user's."""
        return None

    def _apply(self, cluster: Cluster, name: InstanceName, one: Manifest, *, started: bool) -> None:
        environment = read_secrets(self.host.instance(name))
        cluster.apply(manifest.applied(one, environment, started=started))

    def _clusters(
        self, names: Collection[InstanceName]
    ) -> Iterator[tuple[Cluster, dict[InstanceName, Manifest]]]:
        """Yield the clusters in which instances are, open, with the manifests of those that have one."""
        read = {name: self._manifest(name) for name in names}
        yield from self._grouped({name: one for name, one in read.items() if one is not None})

    def _grouped(
        self, manifests: Mapping[InstanceName, Manifest]
    ) -> Iterator[tuple[Cluster, dict[InstanceName, Manifest]]]:
        groups: dict[tuple[Access, str], dict[InstanceName, Manifest]] = {}
        for name, one in manifests.items():
            groups.setdefault((one.access, one.whose.get(places.OWNER, "")), {})[name] = one
        for group in groups.values():
            with self._opened(next(iter(group.values()))) as cluster:
                yield cluster, group

    def _run(self, name: InstanceName, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        return within.Runner(host=self.host, manifest=self._present(name))(argv, given, limit)

    def _started(
        self, name: InstanceName, argv: tuple[str, ...]
    ) -> AbstractContextManager[tuple[IO[bytes], IO[bytes]]]:
        return within.Runner(host=self.host, manifest=self._present(name)).started(argv)

    def _opened(self, one: Manifest) -> Cluster:
        return Cluster(one.access, self.host)

    def _present(self, name: InstanceName) -> Manifest:
        """Return the manifest of an instance; raises `OcmError` where there is none."""
        one = self._manifest(name)
        if one is None:
            message = f"{name} has no manifest"
            raise OcmError(message, hint=f"ocm sync {name} writes it", code="not_installed")
        return one

    def _manifest(self, name: InstanceName) -> Manifest | None:
        path = self.definition_path(name)
        data = files.read_own(path)
        return None if data is None else manifest.parse(data, path)

    @property
    def _directory(self) -> PurePosixPath:
        return self.host.paths.ocm_config / self.name

    def _autostart(self, name: InstanceName) -> PurePosixPath:
        return self._directory / f"{name}{_AUTOSTART}"


def _comes_to_nothing(process: Process) -> bool:
    """Tell whether a pod is made anew by a start, as it would not come to run or is of a former manifest."""
    if process.activity is Activity.STARTING:
        return process.changed_on_disk
    return process.activity in (Activity.WAITING, Activity.FAILED)


def _pods_of(cluster: Cluster, one: Manifest) -> list[Object] | None:
    """Return the pods of all instances of an owner, None where they may not be listed."""
    try:
        return list(cluster.list("Pod", one.whose))
    except ClusterRefuses as error:
        if error.status != FORBIDDEN:
            raise
    return None


def _policies(one: Manifest) -> tuple[Object, ...]:
    return tuple(found for found in one.objects if found["kind"] == "NetworkPolicy")
