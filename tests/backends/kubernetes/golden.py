"""Instances as a cluster gets them: run this file to write the golden files anew, and read what differs.

PYTHONPATH=src:. python tests/backends/kubernetes/golden.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml
from tests import samples

from openclaw_ocm.backends.kubernetes.manifests import Contents, instance_objects
from openclaw_ocm.backends.kubernetes.pod import Programs
from openclaw_ocm.backends.kubernetes.session_pod import session_pod
from openclaw_ocm.backends.kubernetes.volume_pod import stand_in
from openclaw_ocm.core.image.reference import parse_image
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.placement import Placement
from openclaw_ocm.core.record import Record, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GOLDEN = Path(__file__).with_name("golden")
IMAGE = parse_image("ghcr.io/openclaw/openclaw:2026.9.6-slim")
# Where OpenClaw's own image has them.
RUNTIME = Runtime(node="/usr/local/bin/node", openclaw="/app")
PLACEMENT = Placement(
    kubeconfig="/home/ann/.kube/config",
    context="lab",
    image=IMAGE,
    owner="8c2f" * 8,
    owned_by="ann@laptop",
)
CONTENTS = Contents(
    environment={"OPENROUTER_API_KEY": "sk-or-v1-of-a-test"}, config=b'{"gateway": {"mode": "local"}}\n'
)
# In the place of texts that have tests of their own.
PROGRAMS = Programs(prepare="prepare_pod.mjs", ask="ask_gateway.mjs")
PLAIN = samples.record(network="own", runtime=RUNTIME)


@dataclass(frozen=True, kw_only=True)
class Case:
    record: Record = PLAIN
    placement: Placement = PLACEMENT
    contents: Contents = field(default=CONTENTS, repr=False)
    started: bool = True

    def objects(self) -> tuple[dict[str, Any], ...]:
        return instance_objects(self.record, self.placement, self.contents, PROGRAMS, started=self.started)


def changed(**changes: Any) -> Record:  # noqa: ANN401
    """Return the plain record with changes, checked as one that is read from disk is."""
    return msgspec.convert({**msgspec.to_builtins(PLAIN), **changes}, Record)


def _cases() -> Iterator[tuple[str, Case]]:
    yield "plain", Case()
    yield "stopped", Case(started=False)
    wide = changed(
        limits={"memory": "2G", "cpus": 1.5, "tasks": 1024},
        expose=["192.168.1.0/24", "192.168.2.7/32"],
        allow=["192.168.1.20:11434", "192.168.3.0/24"],
        environment={"HTTPS_PROXY": "http://proxy.example:3128", "GREETING": "costs $(HOME) $5"},
    )
    yield "wide", Case(record=wide)
    yield "closed", Case(record=changed(network="none", allow=["192.168.1.20:11434"], expose=["any"]))
    private = msgspec.structs.replace(
        PLACEMENT,
        image=parse_image(f"registry.example:5000/team/openclaw@sha256:{'0' * 64}"),
        owner="51aa" * 8,
        owned_by="bob@desk",
        storage_gib=40,
        storage_class="fast",
    )
    registry = '{"auths": {"registry.example:5000": {"auth": "Ym9iOnNlY3JldA=="}}}'
    yield "private", Case(placement=private, contents=Contents(registry=registry))
    # With a limit below what others are sure to get, and a name that no namespace has.
    small = changed(name=parse_name("team_a-worker"), limits={"memory": "768M", "cpus": 0.05})
    yield "small", Case(record=small, contents=Contents())


CASES = dict(_cases())


# Of the pods that have the volumes of instances without their gateways, and of those for sessions.
STAND_INS = {
    f"volume-{name}": (stand_in(case.objects()[-1], seconds=900),)
    for name, case in CASES.items()
    if name in ("stopped", "private", "small")
}
SESSIONS = {
    f"session-{name}": (session_pod(CASES[name].objects()[-1], seconds=900),) for name in ("stopped", "small")
}


def text(objects: Iterable[dict[str, Any]]) -> str:
    return yaml.safe_dump_all(objects, sort_keys=False, width=110)


if __name__ == "__main__":
    for found in GOLDEN.glob("*.yaml"):
        found.unlink()
    for name, objects in {
        **{name: case.objects() for name, case in CASES.items()},
        **STAND_INS,
        **SESSIONS,
    }.items():
        (GOLDEN / f"{name}.yaml").write_text(text(objects))
