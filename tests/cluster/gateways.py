"""Real gateways in the cluster: the image that OCM builds, a model that answers, and the objects."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import samples
from tests.machine.instances import PROVIDER
from tests.machine.nspawn import MachineError, cache_dir, network_environment
from tests.machine.processes import kill_group, wait_for

from openclaw_ocm.backends.kubernetes.manifests import Contents, instance_objects
from openclaw_ocm.backends.kubernetes.places import GATEWAY, POD, namespace, pod_paths
from openclaw_ocm.backends.kubernetes.pod import Programs
from openclaw_ocm.core.names import InstanceName, parse_name
from openclaw_ocm.core.openclaw.settings import initial_config
from openclaw_ocm.core.placement import Placement
from openclaw_ocm.core.record import Limits, Record, Runtime
from openclaw_ocm.system.programs import text

from .cluster import CONTROL, REGISTRY, Cluster, is_true

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL_PORT = 18080
RUNTIME = Runtime(node="/usr/bin/node", openclaw="/app/node_modules/openclaw")
PROGRAMS = Programs(prepare=text("prepare_pod.mjs"), ask=text("ask_gateway.mjs"))


@dataclass(frozen=True)
class Gateway:
    """An instance in the cluster, and the token that its gateway takes."""

    record: Record
    token: str
    image: str

    @property
    def namespace(self) -> str:
        return namespace(self.record.name)

    def objects(self, *, started: bool = True) -> tuple[dict[str, Any], ...]:
        return instance_objects(
            self.record,
            Placement(
                kubeconfig="/run/kube/admin",
                context="default",
                image=self.image,
                owner=hashlib.sha256(b"tests").hexdigest()[:32],
                owned_by="tests",
                storage_gib=1,
            ),
            Contents(environment={"LAB_API_KEY": "sk-fake"}, config=json.dumps(self._config()).encode()),
            PROGRAMS,
            started=started,
        )

    def _config(self) -> dict[str, Any]:
        record = self.record
        own = initial_config(
            pod_paths(record.name),
            port=record.port,
            cdp_port=record.port + 11,
            token=self.token,
            model="fake/fake-1",
        )
        fake = {**PROVIDER, "baseUrl": f"http://{CONTROL}:{MODEL_PORT}/v1", "apiKey": "${LAB_API_KEY}"}
        return {**own, "models": {"mode": "replace", "providers": {"fake": fake}}}


def gateway(name: str, image: str, **changes: Any) -> Gateway:  # noqa: ANN401
    parsed: InstanceName = parse_name(name)
    record = samples.record(
        name=parsed, network="own", runtime=RUNTIME, limits=Limits(memory="2G"), **changes
    )
    return Gateway(record, secrets.token_hex(16), image)


@contextlib.contextmanager
def in_place(cluster: Cluster, *gateways: Gateway) -> Iterator[None]:
    """Have these gone from a cluster in the end, which goes on."""
    try:
        yield
    finally:
        names = [one.namespace for one in gateways]
        cluster.kubectl("delete", "namespace", *names, "--ignore-not-found", "--wait=false")


def deploy(cluster: Cluster, one: Gateway) -> None:
    """Make an instance and wait until its pod is ready."""
    cluster.apply(*one.objects())
    wait_for(lambda: is_ready(cluster, one), 180, f"the pod of {one.record.name}")


def is_ready(cluster: Cluster, one: Gateway) -> bool:
    pods = cluster.get("pods", f"--namespace={one.namespace}")["items"]
    own = (pod["status"] for pod in pods if pod["metadata"]["name"] == POD)
    return any(is_true(status.get("conditions", ()), "Ready") for status in own)


def inside(cluster: Cluster, one: Gateway, *argv: str) -> str:
    """Run a command in the container of a gateway."""
    words = ("exec", f"--namespace={one.namespace}", POD, f"--container={GATEWAY}", "--", *argv)
    return cluster.kubectl(*words)


def build_image() -> Path:
    """Build the image as a user of this machine does, and return the archive; what it is made of is kept."""
    archive = image_home() / "image.tar"
    run_ocm("image", "build", "--output", str(archive), environment=network_environment())
    return archive


def push_image(cluster: Cluster, archive: Path) -> str:
    """Push an image to the cluster's registry, as a user who reaches it does, and return its name there."""
    reference = f"{REGISTRY}/ocm/openclaw:2026.9.6"
    # No proxy of this machine's leads there.
    run_ocm("image", "push", reference, "--archive", str(archive), "--insecure", within=in_network(cluster))
    return reference


def image_home() -> Path:
    """Return the home of the user who builds images."""
    home = cache_dir() / "image-home"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


def run_ocm(*words: str, environment: Mapping[str, str] | None = None, within: Sequence[str] = ()) -> None:
    """Run an OCM of that user, by a command that leads to where it runs."""
    own = {"HOME": str(image_home()), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    done = subprocess.run(
        [*within, sys.executable, "-m", "openclaw_ocm", *words],
        cwd=image_home(),
        env={**own, **(environment or {}), "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise MachineError(f"ocm {' '.join(words)} failed:\n{done.stdout}{done.stderr}")


def in_network(cluster: Cluster) -> tuple[str, ...]:
    """Return the beginning of a command that runs on this machine, but in the cluster's network."""
    return ("nsenter", f"--target={cluster.control.leader}", "--net")


@contextlib.contextmanager
def model(cluster: Cluster) -> Iterator[None]:
    """Have the fake model answer in the cluster's network, as a provider outside of it would."""
    program = REPOSITORY / "tests" / "machine" / "fake_model.py"
    log = cluster.folder / "model.log"
    serving = [sys.executable, str(program), f"--host={CONTROL}", f"--port={MODEL_PORT}", f"--log={log}"]
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", *in_network(cluster), *serving],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(MODEL_PORT).encode()
        yield
    finally:
        kill_group(process)
