"""The contract of backends, in a cluster: small programs stand for gateways, in the image that OCM builds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.backends.contract import CHECKS
from tests.cluster import home, oci
from tests.cluster.gateways import build_image, image_home, in_network, push_image

from .processes import kill_group

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

REPOSITORY = Path(__file__).resolve().parents[2]
# Pods are waited for most of the time.
AT_ONCE = 4
MOST_SECONDS = 900


@pytest.fixture(scope="module")
def verdicts(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Run every check once, in the cluster's network, some at the same time."""
    image = image_home() / "contract.tar"
    oci.with_programs(build_image(), image, {home.STAND_IN.removeprefix("/"): home.PROGRAM})
    config = tmp_path_factory.mktemp("kube") / "config"
    config.write_text(cluster.authority.kubeconfig("admin"))
    config.chmod(0o600)
    told = json.dumps({"kubeconfig": str(config), "image": push_image(cluster, image)})
    environ = {**os.environ, home.VARIABLE: told, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"}
    keep = [*in_network(cluster), sys.executable, "-m", "tests.cluster.keep_contract"]
    names = [check.__name__ for check in CHECKS]
    processes = [
        subprocess.Popen(
            [*keep, *names[number::AT_ONCE]],
            env=environ,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for number in range(AT_ONCE)
    ]
    try:
        printed = [process.communicate(timeout=MOST_SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            kill_group(process)
    kept = [json.loads(line) for text in printed for line in text.splitlines()]
    print("".join(f"{seconds:6.1f} s  {name}\n" for name, _, seconds in kept))
    return {name: wrong for name, wrong, _ in kept}


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_kubernetes(verdicts: dict[str, str | None], check: str) -> None:
    assert verdicts[check] is None, verdicts[check]
