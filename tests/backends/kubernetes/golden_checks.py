"""What checks a cluster's network as the cluster gets it: run this file to write the golden files anew.

PYTHONPATH=src:. python tests/backends/kubernetes/golden_checks.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from tests.backends.kubernetes.golden import IMAGE

from openclaw_ocm.backends.kubernetes.network_check import EGRESS, INGRESS, Trial, denial, trial_objects

GOLDEN = Path(__file__).with_name("golden_checks")
# The program has tests of its own.
PLAIN = Trial(token="5f1c", image=IMAGE, owner="8c2f", owned_by="ann@laptop", listen="listen.py")
CASES = {"plain": PLAIN, "private": replace(PLAIN, registry='{"auths": {}}')}


def objects(trial: Trial) -> tuple[dict[str, Any], ...]:
    """Return all that a check makes, one after the other."""
    return (*trial_objects(trial), *(denial(trial, way) for way in (INGRESS, EGRESS)))


def text(trial: Trial) -> str:
    return yaml.safe_dump_all(objects(trial), sort_keys=False, width=110)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for found in GOLDEN.glob("*.yaml"):
        found.unlink()
    for name, trial in CASES.items():
        (GOLDEN / f"{name}.yaml").write_text(text(trial))
