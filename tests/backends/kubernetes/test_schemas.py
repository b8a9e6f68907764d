"""Each object by the schemas of the Kubernetes releases that OCM is for: the strict ones know a typo."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate import utils
from tests.backends.kubernetes import golden_checks
from tests.backends.kubernetes.golden import CASES, SESSIONS, STAND_INS

VERSIONS = [f"1.{minor}" for minor in range(28, 38)]


def distinct() -> list[dict[str, Any]]:
    """Return the objects of all cases, each once."""
    made = (*(case.objects() for case in CASES.values()), *STAND_INS.values(), *SESSIONS.values())
    checks = map(golden_checks.objects, golden_checks.CASES.values())
    texts = {json.dumps(one, sort_keys=True): one for objects in (*made, *checks) for one in objects}
    return list(texts.values())


@pytest.fixture(autouse=True)
def _read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a schema once for a release: the definitions alone are some megabytes of JSON."""
    monkeypatch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str) -> None:
    for one in distinct():
        assert kubernetes_validate.validate(one, version, strict=True) == version


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
@pytest.mark.parametrize("changes", [{"replicas": "1"}, {"replica": 1}])
def test_a_mistake_is_found(version: str, changes: dict[str, Any]) -> None:
    (found,) = (one for one in CASES["plain"].objects() if one["kind"] == "StatefulSet")
    wrong = copy.deepcopy(found)
    wrong["spec"] |= changes
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)
