"""A Kubernetes cluster of two nodes on this machine: real parts, in namespaces, gone with their starter."""

from __future__ import annotations

import atexit
import json
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.machine.lifetime import try_lock
from tests.machine.nspawn import MachineError, cache_dir, remove_cgroup
from tests.machine.processes import wait_for

from . import oci
from .authority import PKI, Authority
from .image import ensure_file_system
from .place import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

NETWORK = "10.240.0"
CONTROL = f"{NETWORK}.1"
SERVER = f"https://{CONTROL}:6443"
REGISTRY = f"{CONTROL}:5000"
PODS, SERVICES, FIRST_SERVICE = "10.244.0.0/16", "10.96.0.0/16", "10.96.0.1"
NODES = ("node-1", "node-2")
PAUSE = "cluster.test/pause:1"
VOLUMES, VOLUME_SIZE = 40, "20Gi"
STORAGE_CLASS = "local"

SERVER_NAMES = f"IP:{CONTROL},IP:{FIRST_SERVICE},IP:127.0.0.1,DNS:kubernetes,DNS:kubernetes.default.svc"
ETCD = (
    *("etcd", "--data-dir=/run/etcd", "--listen-client-urls=http://127.0.0.1:2379"),
    *("--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380"),
)
# A node that is gone, and what ran there, is given up in seconds: a test waits for it.
API_SERVER = (
    *("kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={CONTROL}"),
    *(f"--tls-cert-file={PKI}/server.crt", f"--tls-private-key-file={PKI}/server.key"),
    *(f"--client-ca-file={PKI}/ca.crt", f"--service-account-key-file={PKI}/accounts.pub"),
    f"--service-account-signing-key-file={PKI}/accounts.key",
    "--service-account-issuer=https://kubernetes.default.svc",
    *(f"--service-cluster-ip-range={SERVICES}", "--allow-privileged", "--authorization-mode=Node,RBAC"),
    "--enable-admission-plugins=NodeRestriction,DefaultStorageClass",
    *(f"--kubelet-client-certificate={PKI}/api-server.crt", f"--kubelet-client-key={PKI}/api-server.key"),
    *("--kubelet-preferred-address-types=InternalIP", "--default-not-ready-toleration-seconds=10"),
    "--default-unreachable-toleration-seconds=10",
)
CONTROLLERS = (
    *("kube-controller-manager", "--kubeconfig=/run/kube/controllers", "--leader-elect=false"),
    *(f"--service-account-private-key-file={PKI}/accounts.key", f"--root-ca-file={PKI}/ca.crt"),
    *("--use-service-account-credentials", "--node-monitor-grace-period=16s", "--port=0"),
)
SCHEDULER = ("kube-scheduler", "--kubeconfig=/run/kube/scheduler", "--leader-elect=false", "--port=0")
REGISTRY_CONFIG = f"""
version: 0.1
storage: {{filesystem: {{rootdirectory: /var/lib/registry}}}}
http: {{addr: "{REGISTRY}"}}
"""
CONTAINERD_CONFIG = f"""
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."{REGISTRY}"]
  endpoint = ["http://{REGISTRY}"]
"""


class Cluster:
    """The control plane, two nodes with volumes of their own, and a registry of images."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or f"cluster-{secrets.token_hex(3)}"
        lower = ensure_file_system()
        self._pause = pause_image(lower)
        sweep()
        lock = try_lock(self.name)
        if lock is None:
            raise MachineError(f"a cluster {self.name!r} is running already")
        self._lock = lock
        self.folder = clusters_dir() / self.name
        shutil.rmtree(self.folder, ignore_errors=True)
        self._places: list[Place] = []
        self._ended = False
        atexit.register(self.end)
        try:
            self.control = self._place("control", lower)
            self.nodes = {node: self._place(node, lower) for node in NODES}
            self._connect()
            self._start_control()
            for number, node in enumerate(NODES, start=1):
                self._start_node(number, self.nodes[node])
            self._add_volumes()
            self._wait("both nodes", 120, self._is_ready)
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _place(self, name: str, lower: tuple[Path, ...]) -> Place:
        place = Place(name, lower, self.folder / name)
        self._places.append(place)
        return place

    def _wait(self, what: str, seconds: float, condition: Callable[[], bool]) -> None:
        def unless_dead() -> bool:
            for place in self._places:
                place.refuse_dead()
            return condition()

        wait_for(unless_dead, seconds, what)

    # The network

    def _connect(self) -> None:
        # With an address of its own, which would else be another once a node leaves.
        self.control.run(["ip", "link", "add", "nodes", "address", "02:00:00:00:00:01", "type", "bridge"])
        self.control.run(["ip", "address", "add", f"{CONTROL}/24", "dev", "nodes"])
        self.control.run(["ip", "link", "set", "nodes", "up"])
        for number, node in enumerate(NODES, start=1):
            self.link(self.nodes[node].leader, f"{NETWORK}.{10 + number}", node)
            self.control.run(["ip", "route", "add", pods_of(number), "via", f"{NETWORK}.{10 + number}"])
            self.nodes[node].run(["ip", "route", "add", "default", "via", CONTROL])

    def link(self, pid: int, address: str, name: str) -> None:
        """Connect the network of a process of this machine: it reaches the API server, nodes and pods.

        `name` is that of the link at the cluster's end, at most 15 letters.
        """
        inside = ("nsenter", f"--target={pid}", "--net", "--")
        here = ("nsenter", f"--target={self.control.leader}", "--net", "--")
        peer = ("type", "veth", "peer", "name", "cluster0", "netns", str(pid))
        for argv in (
            (*here, "ip", "link", "add", name, *peer),
            (*here, "ip", "link", "set", name, "master", "nodes", "up"),
            (*inside, "ip", "address", "add", f"{address}/24", "dev", "cluster0"),
            (*inside, "ip", "link", "set", "cluster0", "up"),
            *((*inside, "ip", "route", "add", net, "via", CONTROL) for net in (PODS, SERVICES)),
        ):
            subprocess.run(argv, check=True)

    # Its programs

    def _start_control(self) -> None:
        control = self.control
        self.authority = Authority(control, SERVER)
        self.authority.sign("server", "/CN=kube-apiserver", names=SERVER_NAMES)
        for name, subject in (
            ("admin", "/O=system:masters/CN=admin"),
            ("api-server", "/O=system:masters/CN=api-server"),
            ("controllers", "/CN=system:kube-controller-manager"),
            ("scheduler", "/CN=system:kube-scheduler"),
            ("proxy", "/CN=system:kube-proxy"),
            *((node, f"/O=system:nodes/CN=system:node:{node}") for node in NODES),
        ):
            self.authority.sign(name, subject)
        for name in ("admin", "controllers", "scheduler"):
            control.write(f"/run/kube/{name}", self.authority.kubeconfig(name))
        control.write("/run/registry.yml", REGISTRY_CONFIG)
        control.start("registry", ["docker-registry", "serve", "/run/registry.yml"])
        control.start("etcd", ETCD)
        control.start("api-server", API_SERVER)
        self._wait("the API server", 90, self._answers)
        control.start("controllers", CONTROLLERS)
        control.start("scheduler", SCHEDULER)

    def _answers(self) -> bool:
        try:
            return self.kubectl("get", "--raw=/readyz") == "ok"
        except MachineError:
            return False

    def _start_node(self, number: int, node: Place) -> None:
        make_cgroups(f"ocm-test/{self.name}/{node.name}")
        node.write("/run/kube/config", self.authority.kubeconfig(node.name))
        node.write("/run/kube/proxy", self.authority.kubeconfig("proxy"))
        node.write("/run/kube/ca.crt", self.authority.read("ca.crt"))
        node.write("/run/kube/kubelet", json.dumps(self._kubelet_config(number, node)))
        node.write("/etc/cni/net.d/10-pods.conflist", json.dumps(pod_network(number)))
        node.write("/etc/containerd/config.toml", CONTAINERD_CONFIG)
        node.write("/run/kube/resolv.conf", f"nameserver {CONTROL}\n", 0o644)
        node.start("containerd", ["containerd"])
        self._wait("containerd", 30, lambda: runs(node, ["ctr", "version"]))
        self.import_image(node, self._pause)
        address = f"{NETWORK}.{10 + number}"
        node.start(
            "kubelet",
            [
                *("kubelet", "--kubeconfig=/run/kube/config", "--config=/run/kube/kubelet"),
                *("--container-runtime=remote", f"--node-ip={address}", f"--hostname-override={node.name}"),
                "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
            ],
        )
        node.start(
            "proxy",
            [
                *("kube-proxy", "--kubeconfig=/run/kube/proxy", f"--cluster-cidr={PODS}"),
                *("--proxy-mode=iptables", f"--hostname-override={node.name}", "--conntrack-max-per-core=0"),
                *("--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
            ],
        )

    def _kubelet_config(self, number: int, node: Place) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": "/run/kube/ca.crt"}},
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/ocm-test/{self.name}/{node.name}",
            "podCIDR": pods_of(number),
            "resolvConf": "/run/kube/resolv.conf",
            "failSwapOn": False,
            # The disk is the host's, and full of others' files.
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            # A lower one needs a right that root has not in every container.
            "oomScoreAdj": 0,
            "nodeStatusUpdateFrequency": "4s",
        }

    def import_image(self, node: Place, image: bytes) -> None:
        """Give a node an image, as `docker save` or an OCI archive has it."""
        node.run(["ctr", "--namespace=k8s.io", "images", "import", "-"], given=image, timeout=300)

    def _is_ready(self) -> bool:
        """Tell whether both nodes are."""
        listed = self.get("nodes")["items"]
        ready = [is_true(node["status"].get("conditions", ()), "Ready") for node in listed]
        return len(ready) == len(NODES) and all(ready)

    def _add_volumes(self) -> None:
        """Add what a provisioner would make when asked: volumes on each node, for pods of that node alone."""
        annotation = {"storageclass.kubernetes.io/is-default-class": "true"}
        storage: dict[str, Any] = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": STORAGE_CLASS, "annotations": annotation},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
        volumes = [volume(node, number) for node in NODES for number in range(VOLUMES)]
        for node in self.nodes.values():
            node.run(["sh", "-euc", f"cd /var/lib/local; seq 0 {VOLUMES - 1} | xargs mkdir -p"])
        self.apply(storage, *volumes)

    # How tests use it

    def kubectl(self, *words: str, given: str | None = None, timeout: float = 120) -> str:
        """Run kubectl as the cluster's administrator and return what it printed."""
        argv = ["kubectl", "--kubeconfig=/run/kube/admin", *words]
        return self.control.run(argv, given=given, timeout=timeout)

    def get(self, *words: str) -> dict[str, Any]:
        """Return an object, or a list of those of a kind, as kubectl gets it."""
        found = json.loads(self.kubectl("get", *words, "--output=json"))
        assert isinstance(found, dict)
        return found

    def apply(self, *documents: Mapping[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl("apply", "--server-side", "--filename=-", given=json.dumps(listed))

    def log(self) -> str:
        """Return the ends of all logs."""
        paths = sorted(self.folder.glob("*/log/*"))
        return "\n".join(f"=== {path}\n{path.read_text(errors='replace')[-1500:]}" for path in paths)

    def end(self) -> None:
        """Take all of it away."""
        if self._ended:
            return
        self._ended = True
        for place in reversed(self._places):
            place.end()
        remove_cgroups(f"ocm-test/{self.name}")
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()


def clusters_dir() -> Path:
    return cache_dir() / "clusters"


def sweep() -> None:
    """Remove what clusters of dead owners left."""
    for folder in sorted(clusters_dir().glob("*")):
        lock = try_lock(folder.name)
        if lock is not None:
            with lock:
                remove_cgroups(f"ocm-test/{folder.name}")
                shutil.rmtree(folder, ignore_errors=True)


def pods_of(number: int) -> str:
    return f"10.244.{number}.0/24"


def pod_network(number: int) -> dict[str, Any]:
    """Return the network of a node's pods: they reach all others, whatever a NetworkPolicy says."""
    addresses = {"type": "host-local", "subnet": pods_of(number), "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def volume(node: str, number: int) -> dict[str, Any]:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{node}-{number}"},
        "spec": {
            "capacity": {"storage": VOLUME_SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": f"/var/lib/local/{number}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }


def is_true(conditions: list[dict[str, str]], kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def runs(place: Place, argv: list[str]) -> bool:
    try:
        place.run(argv)
    except MachineError:
        return False
    return True


def pause_image(lower: tuple[Path, ...]) -> bytes:
    """Return the image of the first container of each pod, which does nothing until it is stopped."""
    program = lower[0] / "usr" / "bin" / "busybox"
    script = "trap exit TERM; while :; do sleep 3600 & wait $!; done"
    links = {f"bin/{name}": "busybox" for name in ("sh", "sleep", "cat", "wget", "nc", "id", "ls")}
    return oci.archive(PAUSE, {"bin/busybox": program.read_bytes()}, ["sh", "-c", script], links)


def cgroup_trees(name: str) -> list[Path]:
    """Return a cgroup of this name in each hierarchy that the host has."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(fields[1]) / name for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def make_cgroups(name: str) -> None:
    for tree in cgroup_trees(name):
        tree.mkdir(parents=True, exist_ok=True)
        if tree.is_relative_to("/sys/fs/cgroup/cpuset"):
            copy_cpuset(tree)


def copy_cpuset(tree: Path) -> None:
    """Give a new cpuset what the one above has: without that nothing runs there."""
    root = Path("/sys/fs/cgroup/cpuset")
    levels = [root / part for part in [*reversed(tree.relative_to(root).parents), tree.relative_to(root)]][1:]
    for level in levels:
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not (level / name).read_text().strip():
                (level / name).write_text((level.parent / name).read_text())


def remove_cgroups(name: str) -> None:
    for tree in cgroup_trees(name):
        remove_cgroup(tree)
