"""The pod of an instance: its gateway, what runs before that, its volumes, its rights, and how it is asked.

The gateway is run as on a host (core/openclaw/run.py), by the Node and the OpenClaw of its image: those that
the record names. What a sandbox does there the pod does here: no user but its own, no capability, a root that
nobody writes, and the container runtime's filter of system calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.core import prefix
from openclaw_ocm.core.image.contents import HOME, PROGRAMS, UID
from openclaw_ocm.core.openclaw.run import SYSTEM_PATH, environment, heap_flags, node_argv, openclaw_argv
from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.record import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePosixPath

    from openclaw_ocm.core.record import Limits, Record

# What a gateway is sure to get, as far as its limits go: an idle one has some 0.54 GB (OpenClaw 2026.9.6).
_MEMORY_MIB, _MILLICPUS = 512, 100
# Files that are gone with the pod: /tmp and ~/.cache, and of the container its log besides.
_SCRATCH_MIB, _EPHEMERAL_MIB, _EPHEMERAL_SURE_MIB = 2048, 3072, 256
# OpenClaw's own budget for a start is five minutes (docs/install/kubernetes.md, 2026.9.6).
_START_SECONDS, _START_PERIOD_SECONDS = 300, 5
_READY_PERIOD_SECONDS, _LIVE_PERIOD_SECONDS = 10, 30
# A Node is started for each question: on a busy machine that alone takes seconds.
_PROBE_SECONDS = 10
# A gateway that does not answer for three minutes will not any more.
_LIVE_FAILURES = 6
# Beyond what OpenClaw takes to stop: its end is to be its own.
_SPARE_SECONDS = 5
_OWN_FILES_ONLY = 0o400


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The texts of the programs that a pod is given: `prepare_pod.mjs` and `ask_gateway.mjs`."""

    prepare: str
    ask: str


def pod_spec(record: Record, image: str, programs: Programs, *, seeded: bool, pulls: bool) -> dict[str, Any]:
    """Return the spec of the pod.

    `seeded` where there is a Secret with a first config, `pulls` where there is one for the image's registry.
    """
    config = [_secret_volume(places.CONFIG, places.FIRST_CONFIG)] if seeded else []
    return {
        "serviceAccountName": places.GATEWAY,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The first process of a container buries no orphan and hears no signal that it does not handle. With
        # this it is the pause container's, which buries them.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": STOP_TIMEOUT_SECONDS + _SPARE_SECONDS,
        "securityContext": restricted_pod(),
        **({"imagePullSecrets": [{"name": places.PULL}]} if pulls else {}),
        "initContainers": [_preparation(record, image, programs, seeded=seeded)],
        "containers": [_gateway(record, image, programs)],
        "volumes": [
            {"name": places.STATE, "persistentVolumeClaim": {"claimName": places.STATE}},
            {"name": places.SCRATCH, "emptyDir": {"sizeLimit": _mebibytes(_SCRATCH_MIB)}},
            *config,
        ],
    }


def restricted_namespace() -> dict[str, str]:
    """Return the labels by which a namespace takes no pod with more rights (Pod Security)."""
    return {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}


def restricted_pod() -> dict[str, Any]:
    """Return who runs in a pod of OCM's, and which system calls there are."""
    return {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": UID,
        "fsGroup": UID,
        # With thousands of files the other takes minutes at each start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def restricted_container() -> dict[str, Any]:
    """Return what a container of OCM's may not."""
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def literal(value: str) -> str:
    """Return a value or an argument in which the kubelet is to see no `$(VARIABLE)`."""
    return value.replace("$", "$$")


def pod_environment(record: Record) -> dict[str, str]:
    """Return the variables of the gateway that are no secrets, as on a host but for places of OCM's own."""
    paths = places.pod_paths(record.name)
    return {
        **environment(paths, record),
        "PATH": ":".join(map(str, (PROGRAMS, *SYSTEM_PATH, *prefix.search_path(paths.state)))),
        "SHELL": places.SHELL,
    }


def resources(limits: Limits) -> dict[str, dict[str, str]]:
    """Return what a container is sure to get and gets at most.

    A record's `2G` are the powers of two that Kubernetes calls `2Gi`.
    """
    cpus = None if limits.cpus is None else round(limits.cpus * 1000)
    memory = None if limits.memory is None else memory_bytes(limits.memory) // 2**20
    return {
        "requests": {
            "cpu": f"{min(_MILLICPUS, cpus or _MILLICPUS)}m",
            "memory": _mebibytes(_MEMORY_MIB),
            "ephemeral-storage": _mebibytes(_EPHEMERAL_SURE_MIB),
        },
        "limits": {
            **({} if cpus is None else {"cpu": f"{cpus}m"}),
            **({} if memory is None else {"memory": _mebibytes(memory)}),
            "ephemeral-storage": _mebibytes(_EPHEMERAL_MIB),
        },
    }


def _gateway(record: Record, image: str, programs: Programs) -> dict[str, Any]:
    paths = places.pod_paths(record.name)
    argv = openclaw_argv(record, ("gateway", "--port", str(record.port)), *heap_flags(record))
    return {
        **_container(places.GATEWAY, record, image, argv),
        "workingDir": str(paths.state),
        "env": [{"name": name, "value": literal(value)} for name, value in pod_environment(record).items()],
        # What is set above goes before what is in here.
        "envFrom": [{"secretRef": {"name": places.ENVIRONMENT}}],
        "ports": [{"name": places.GATEWAY, "containerPort": record.port, "protocol": "TCP"}],
        "volumeMounts": [
            _mount(places.STATE, paths.state, places.STATE_DIRECTORY),
            _mount(places.SCRATCH, "/tmp", places.TEMPORARY),  # noqa: S108 - the pod's own
            _mount(places.SCRATCH, "/var/tmp", places.VAR_TEMPORARY),  # noqa: S108 - the pod's own
            # Without /tmp as it wants it OpenClaw looks here, and ends with 78 where it finds neither.
            _mount(places.SCRATCH, HOME / ".cache", places.CACHE),
        ],
        **_probes(record, programs),
    }


def _probes(record: Record, programs: Programs) -> dict[str, Any]:
    """Return how the cluster asks whether the gateway has started, answers and lives.

    By a program within: its gateway listens on the loopback alone, and asserts the JSON. A channel that fails
    takes it out of no Service (`/startupz`, since OpenClaw 2026.8.1).
    """
    started = ("/startupz", "status", "started")
    return {
        "startupProbe": {
            **_ask(record, programs, *started),
            "periodSeconds": _START_PERIOD_SECONDS,
            "failureThreshold": _START_SECONDS // _START_PERIOD_SECONDS,
        },
        "readinessProbe": {**_ask(record, programs, *started), "periodSeconds": _READY_PERIOD_SECONDS},
        "livenessProbe": {
            **_ask(record, programs, "/healthz", "status", "live"),
            "periodSeconds": _LIVE_PERIOD_SECONDS,
            "failureThreshold": _LIVE_FAILURES,
        },
    }


def _ask(record: Record, programs: Programs, *words: str) -> dict[str, Any]:
    argv = (*node_argv(record, programs.ask), "--", str(record.port), *words)
    return {"exec": {"command": [literal(word) for word in argv]}, "timeoutSeconds": _PROBE_SECONDS}


def _preparation(record: Record, image: str, programs: Programs, *, seeded: bool) -> dict[str, Any]:
    """Return the container that runs before the gateway: of the same image, so that there is one to pull."""
    config = (str(places.CONFIG_ROOT / CONFIG_NAME),) if seeded else ()
    roots = (str(places.SCRATCH_ROOT), str(places.VOLUME_ROOT))
    argv = (*node_argv(record, programs.prepare), "--", *roots, *config)
    mounts = [_mount(places.STATE, places.VOLUME_ROOT), _mount(places.SCRATCH, places.SCRATCH_ROOT)]
    if seeded:
        mounts.append({**_mount(places.CONFIG, places.CONFIG_ROOT), "readOnly": True})
    return {**_container(places.PREPARATION, record, image, argv), "volumeMounts": mounts}


def _container(name: str, record: Record, image: str, argv: Iterable[str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        # It names one image for good: see `parse_image`.
        "imagePullPolicy": "IfNotPresent",
        "command": [literal(word) for word in argv],
        "resources": resources(record.limits),
        "securityContext": restricted_container(),
    }


def _mount(volume: str, path: PurePosixPath | str, directory: str | None = None) -> dict[str, Any]:
    return {"name": volume, "mountPath": str(path), **({} if directory is None else {"subPath": directory})}


def _secret_volume(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": _OWN_FILES_ONLY}}


def _mebibytes(count: int) -> str:
    return f"{count}Mi"
