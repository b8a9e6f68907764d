"""An instance as the objects of a cluster: plain data, for server-side apply as it is.

What is the same is the same text, whoever makes it: nothing here depends on a clock, a cluster or chance.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes import network_policy, places
from openclaw_ocm.backends.kubernetes.pod import Programs, pod_spec, restricted_namespace
from openclaw_ocm.core.environment import shown_files
from openclaw_ocm.core.network import parse_allowed
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.text import some_of
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.placement import Placement
    from openclaw_ocm.core.record import Record

Object = dict[str, Any]
# What the API server takes in one Secret (MaxSecretSize of k8s.io/api/core/v1).
_MAX_SECRET = 2**20
_MOST_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is secret of an instance, and goes into its Secrets and nowhere else.

    `environment` are its secrets by their names. `config` is its first config, which the pod takes where its
    state has none; None where the state is put there with its own. `registry` is the text of the Docker
    config by which the image is pulled, None where anybody may.
    """

    environment: Mapping[str, str] = field(repr=False, default_factory=dict)
    config: bytes | None = field(repr=False, default=None)
    registry: str | None = field(repr=False, default=None)


def instance_objects(
    record: Record, placement: Placement, contents: Contents, programs: Programs, *, started: bool
) -> tuple[Object, ...]:
    """Return the objects of an instance, in the order in which they are to be made.

    Without `started` its pod is gone and all else is there. Raises `Invalid` where the record asks for what
    no pod has, and `OcmError` for secrets that are more than a Secret holds.
    """
    check(record)
    template = {
        "metadata": {"labels": {**_labels(record, placement), places.COMPONENT: places.GATEWAY}},
        "spec": pod_spec(
            record,
            placement.image,
            programs,
            seeded=contents.config is not None,
            pulls=contents.registry is not None,
        ),
    }
    return (
        _namespace(record, placement),
        {
            **_object("v1", "ServiceAccount", places.GATEWAY, record, placement),
            "automountServiceAccountToken": False,
        },
        *_secrets(record, placement, contents),
        # Before there is a pod that they are about.
        *_network_policies(record, placement),
        _service(record, placement),
        _claim(record, placement),
        _stateful_set(record, placement, template, started=started),
    )


def check(record: Record) -> None:
    """Raise `Invalid` where a record asks for what there is on one machine and in no pod.

    Nothing of it is passed over: who reads the record would believe it.
    """
    found = tuple(_impossible(record))
    if found:
        told = tuple(f"also, {words}" for words, _ in found[1:])
        message, hint = found[0]
        raise Invalid(message, hint=hint, code="pod_impossible", details=told)


def gaps(record: Record) -> tuple[str, ...]:
    """Return in words what the record asks for and a pod does not keep to."""
    tasks = (
        f"a limit of {record.limits.tasks} processes: a cluster has one for each node alone (podPidsLimit)"
    )
    ports = " and ".join(map(str, network_policy.WEB_PORTS))
    return (
        tasks,
        *([f"of the internet the ports {ports} are reached alone"] if record.network == "own" else []),
        *(
            [f"autostart off: while {record.name} is started, the cluster starts it"]
            if not record.autostart
            else []
        ),
    )


def _impossible(record: Record) -> Iterator[tuple[str, str | None]]:
    """Yield what no pod has, each with what to type about it."""
    name = record.name
    if not record.sealed:
        yield f"{name} is to run without a sandbox, and a pod is one", None
    if record.docker:
        yield f"{name} is to reach Docker, and a pod reaches none", None
    if record.network == "shared":
        message = f"{name} shares the network of this machine, and a pod has one of its own"
        yield message, f"ocm network {name} own"
    here = [text for text in record.allow if parse_allowed(text).is_on_host]
    if here:
        message = f"{name} is to reach {some_of(here, _MOST_TOLD)}, which in a pod is the pod itself"
        yield message, "name the service by an address of its network"
    if record.mounts:
        shown = some_of([mount.path for mount in record.mounts], _MOST_TOLD)
        yield (
            f"{name} is to see {shown} of this machine, and a pod sees nothing of it",
            f"ocm unmount {name} PATH",
        )
    files = shown_files(record.environment)
    if files:
        message = f"{some_of(list(files), _MOST_TOLD)} of {name} is a file of this machine, which no pod sees"
        yield message, f"ocm env {name} unset {next(iter(files))}"


def _labels(record: Record, placement: Placement) -> dict[str, str]:
    return {
        places.MANAGED_BY: places.OCM,
        "app.kubernetes.io/name": "openclaw",
        places.INSTANCE: record.name,
        places.OWNER: places.owner_label(placement.owner),
    }


def _selector(record: Record) -> dict[str, str]:
    """Return the labels by which the gateway's pod is found, and no other that may run in the namespace."""
    return {places.INSTANCE: record.name, places.COMPONENT: places.GATEWAY}


def _object(version: str, kind: str, name: str, record: Record, placement: Placement) -> Object:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": places.namespace(record.name),
            "labels": _labels(record, placement),
        },
    }


def _namespace(record: Record, placement: Placement) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": places.namespace(record.name),
            "labels": {**_labels(record, placement), **restricted_namespace()},
            "annotations": {places.OWNED_BY: placement.owned_by},
        },
    }


def _secrets(record: Record, placement: Placement, contents: Contents) -> Iterator[Object]:
    environment = {name: contents.environment[name].encode() for name in sorted(contents.environment)}
    yield _secret(places.ENVIRONMENT, "Opaque", environment, record, placement)
    if contents.config is not None:
        config = {CONFIG_NAME: contents.config}
        yield _secret(places.FIRST_CONFIG, "Opaque", config, record, placement)
    if contents.registry is not None:
        registry = {".dockerconfigjson": contents.registry.encode()}
        yield _secret(places.PULL, "kubernetes.io/dockerconfigjson", registry, record, placement)


def _secret(
    name: str, kind: str, values: Mapping[str, bytes], record: Record, placement: Placement
) -> Object:
    if sum(map(len, values.values())) > _MAX_SECRET:
        message = (
            f"the secrets of {record.name} are larger than the {_MAX_SECRET // 2**20} MB that a cluster takes"
        )
        raise OcmError(message, hint="nothing was changed", code="secrets_too_large")
    # Not stringData: what server-side apply takes from that stays in the Secret when it is there no more.
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    return {**_object("v1", "Secret", name, record, placement), "type": kind, "data": data}


def _network_policies(record: Record, placement: Placement) -> tuple[Object, Object]:
    both = ["Ingress", "Egress"]
    deny = _object("networking.k8s.io/v1", "NetworkPolicy", places.DEFAULT_DENY, record, placement)
    allow = _object("networking.k8s.io/v1", "NetworkPolicy", places.GATEWAY, record, placement)
    rules = {"ingress": network_policy.ingress(record), "egress": network_policy.egress(record)}
    components = {"key": places.COMPONENT, "operator": "In", "values": [places.GATEWAY, places.SESSION]}
    pods = {"matchLabels": {places.INSTANCE: record.name}, "matchExpressions": [components]}
    selected = {"podSelector": pods, "policyTypes": both}
    return (
        {**deny, "spec": {"podSelector": {}, "policyTypes": both}},
        {**allow, "spec": {**selected, **{way: found for way, found in rules.items() if found}}},
    )


def _service(record: Record, placement: Placement) -> Object:
    port = {
        "name": places.GATEWAY,
        # Server-side apply knows a port by both: without this one an API server of 1.20 refuses it.
        "protocol": "TCP",
        "port": record.port,
        "targetPort": places.GATEWAY,
    }
    spec = {"clusterIP": "None", "selector": _selector(record), "ports": [port]}
    return {**_object("v1", "Service", places.GATEWAY, record, placement), "spec": spec}


def _claim(record: Record, placement: Placement) -> Object:
    """Return the claim of the volume.

    It is no template of the StatefulSet's: of that the controllers of 1.20 take over the field, and nobody
    may apply it a second time.
    """
    spec = {
        # That of one pod alone is for drivers of CSI: with others no volume would be found.
        "accessModes": ["ReadWriteOnce"],
        **({} if placement.storage_class is None else {"storageClassName": placement.storage_class}),
        "resources": {"requests": {"storage": f"{placement.storage_gib}Gi"}},
    }
    return {**_object("v1", "PersistentVolumeClaim", places.STATE, record, placement), "spec": spec}


def _stateful_set(record: Record, placement: Placement, template: Object, *, started: bool) -> Object:
    spec = {
        "replicas": 1 if started else 0,
        "serviceName": places.GATEWAY,
        # A pod that never gets ready is no reason to wait with another.
        "podManagementPolicy": "Parallel",
        # A gateway that runs goes on as it is until it is started again.
        "updateStrategy": {"type": "OnDelete"},
        "selector": {"matchLabels": _selector(record)},
        "template": template,
    }
    return {**_object("apps/v1", "StatefulSet", places.GATEWAY, record, placement), "spec": spec}
