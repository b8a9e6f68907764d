"""Asks gateways in their pods how they are, all at once: no policy has to let anybody in for that."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes.execution import run
from openclaw_ocm.backends.kubernetes.within import gateway
from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.openclaw.run import node_argv
from openclaw_ocm.core.status import Answer
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs
from openclaw_ocm.system.health import answer_of, by_deadline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.backends.kubernetes.cluster import Cluster
    from openclaw_ocm.backends.kubernetes.manifest import Manifest
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record

_STARTUP, _READINESS = "/startupz", "/readyz"
_MAX_BYTES, _MAX_WORDS = 2**18, 120
# A Node is started for each question, and the answer has a way to go.
_SPARE_SECONDS = 1.0
_NOT_YET = "ECONNREFUSED"


def ask_all(
    cluster: Cluster, gateways: Mapping[InstanceName, tuple[Record, Manifest]], *, deadline_seconds: float
) -> dict[InstanceName, Answer]:
    """Return what each gateway said by the deadline."""
    asking = {
        name: partial(ask, cluster, record, one, deadline_seconds) for name, (record, one) in gateways.items()
    }
    return by_deadline(asking, deadline_seconds)


def ask(cluster: Cluster, record: Record, one: Manifest, seconds: float) -> Answer:
    """Return what a gateway says of itself; of one that says nothing usable the answer is why."""
    patience = str(round(1000 * max(seconds - _SPARE_SECONDS, seconds / 2)))
    words = ("--", str(record.port), patience, _STARTUP, _READINESS)
    argv = (*node_argv(record, programs.text("read_health.mjs")), *words)
    try:
        done = run(cluster, gateway(one), argv, limit=_MAX_BYTES, deadline_seconds=seconds)
    except OcmError as error:
        return Answer(problem=error.message)
    return _judged(done.stdout)


def _judged(data: bytes) -> Answer:
    try:
        said: Any = json.loads(data)
    except (ValueError, RecursionError):
        return Answer(problem="no usable answer")
    told = as_object(said)
    problem = told.get("problem")
    if problem == _NOT_YET:
        return Answer(problem="not listening yet")
    if problem is not None or not {_STARTUP, _READINESS} <= told.keys():
        return Answer(problem=f"no usable answer: {printable(str(problem), limit=_MAX_WORDS)}")
    return answer_of(as_object(told[_STARTUP]), as_object(told[_READINESS]))
