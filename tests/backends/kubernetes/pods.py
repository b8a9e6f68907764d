"""Pods as an API server has them once they run: with its defaults, and what the usual admission adds."""

from __future__ import annotations

import copy
from typing import Any

from tests.backends.kubernetes.golden import CASES

from openclaw_ocm.backends.kubernetes import places

# As the kubelet and containerd 1.6 make it for a pod of OCM's.
MOUNTS = """\
594 444 0:163 / / ro,relatime - overlay overlay rw,lowerdir=/var/lib/containerd/s/1/fs,upperdir=/u,workdir=/w
595 594 0:165 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
596 594 0:166 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
597 596 0:167 / /dev/pts rw,nosuid,noexec,relatime - devpts devpts rw,gid=5,mode=620,ptmxmode=666
598 596 0:155 / /dev/mqueue rw,nosuid,nodev,noexec,relatime - mqueue mqueue rw
599 594 0:160 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro
600 599 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw
601 594 254:1 /kubelet/pods/7/etc-hosts /etc/hosts rw,relatime - ext4 /dev/vda rw
602 596 254:1 /kubelet/pods/7/containers/gateway/a1 /dev/termination-log rw,relatime - ext4 /dev/vda rw
603 594 254:1 /containerd/sandboxes/9/hostname /etc/hostname ro,relatime - ext4 /dev/vda rw
604 594 254:1 /containerd/sandboxes/9/resolv.conf /etc/resolv.conf ro,relatime - ext4 /dev/vda rw
605 596 0:154 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k
606 594 254:1 /local/3/state /home/node/.openclaw rw,relatime - ext4 /dev/vda rw
607 594 254:1 /kubelet/pods/7/volumes/scratch/tmp /tmp rw,relatime - ext4 /dev/vda rw
608 594 254:1 /kubelet/pods/7/volumes/scratch/var-tmp /var/tmp rw,relatime - ext4 /dev/vda rw
609 594 254:1 /kubelet/pods/7/volumes/scratch/cache /home/node/.cache rw,relatime - ext4 /dev/vda rw
445 595 0:165 /bus /proc/bus ro,nosuid,nodev,noexec,relatime - proc proc rw
446 595 0:165 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw
447 595 0:165 /sysrq-trigger /proc/sysrq-trigger ro,nosuid,nodev,noexec,relatime - proc proc rw
448 595 0:168 / /proc/acpi ro,relatime - tmpfs tmpfs ro
449 595 0:166 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755
450 599 0:169 / /sys/firmware ro,relatime - tmpfs tmpfs ro
"""
# What an API server says of each container (pkg/apis/core/v1/defaults.go).
_CONTAINER = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE = {"successThreshold": 1, "periodSeconds": 10, "failureThreshold": 3}


def template(case: str = "plain") -> dict[str, Any]:
    """Return what the pod of a case is made from."""
    made: dict[str, Any] = copy.deepcopy(CASES[case].objects()[-1]["spec"]["template"])
    made["metadata"].setdefault("annotations", {})
    return made


def policies(case: str = "plain") -> tuple[dict[str, Any], ...]:
    """Return the network policies of a case as OCM makes them."""
    return tuple(one for one in CASES[case].objects() if one["kind"] == "NetworkPolicy")


def pod(case: str = "plain") -> dict[str, Any]:
    """Return the pod of a case as the API server has it."""
    made = template(case)
    spec, metadata = made["spec"], made["metadata"]
    for container in (*spec["initContainers"], *spec["containers"]):
        container.update(_CONTAINER)
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if kind in container:
                container[kind] = {**_PROBE, **container[kind]}
        # In its own spelling, and as the admission of a cluster may want it.
        container["resources"]["limits"]["ephemeral-storage"] = "3Gi"
        container["imagePullPolicy"] = "Always"
    for volume in spec["volumes"]:
        if "emptyDir" in volume:
            volume["emptyDir"]["sizeLimit"] = "2Gi"
    spec |= {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "serviceAccount": places.GATEWAY,
        "nodeName": "node-1",
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": f"node.kubernetes.io/{word}", "operator": "Exists", "effect": "NoExecute"}
            for word in ("not-ready", "unreachable")
        ],
        "priority": 0,
        "preemptionPolicy": "PreemptLowerPriority",
        "hostname": places.POD,
        "subdomain": places.GATEWAY,
    }
    metadata["labels"] |= {
        "controller-revision-hash": "gateway-5d8f",
        "statefulset.kubernetes.io/pod-name": places.POD,
    }
    metadata |= {"name": places.POD, "namespace": "ocm-worker1", "uid": "7", "resourceVersion": "812"}
    status = {"phase": "Running", "podIP": "10.244.1.7", "hostIP": "10.240.0.11"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def answer() -> dict[str, Any]:
    """Return what the probe says in a pod that is as it should be."""
    closed = ("/", "/etc", "/usr", "/usr/bin", "/opt", "/home", "/home/node", "/run", "/var")
    refused = (
        *("/dev", "/sys", "/sys/fs/cgroup", "/sys/kernel", "/proc/sys/kernel/core_pattern"),
        *("/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/etc/hosts", "/etc/hostname"),
        "/etc/resolv.conf",
    )
    own = ("/home/node/.openclaw", "/tmp", "/var/tmp", "/home/node/.cache")
    none = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
    same = "\t".join(["1000"] * 4)
    return {
        "status": {**none, "NoNewPrivs": "1", "Seccomp": "2", "Uid": same, "Gid": same, "Groups": "1000"},
        "mounts": MOUNTS,
        "write": {
            "/app": "ENOENT",
            **dict.fromkeys(closed, "EROFS"),
            **dict.fromkeys(refused, "EACCES"),
            **dict.fromkeys(own, "done"),
        },
        "tokens": [],
        "devices": [["/dev/null", "c", 1, 3], ["/dev/ptmx", "c", 5, 2], ["/dev/tty", "c", 5, 0]],
        "settings": [],
        "server": "10.96.0.1 443",
        "reach": {"10.96.0.1 443": "silence"},
    }
