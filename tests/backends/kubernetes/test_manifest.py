from __future__ import annotations

import base64
import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.backends.kubernetes.golden import CASES, PLACEMENT, PLAIN, PROGRAMS

from openclaw_ocm.backends.definition import is_edited, is_made_by_ocm
from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.manifest import Manifest, applied, parse, render
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from openclaw_ocm.backends.kubernetes.manifests import Object

PATH = PurePosixPath("/home/ann/.config/ocm/kubernetes/worker1.yaml")
PLACED = msgspec.structs.replace(PLAIN, placement=PLACEMENT)


def text() -> str:
    return render(PLACED, PROGRAMS)


def manifest() -> Manifest:
    return parse(text().encode(), PATH)


def named(objects: tuple[Object, ...], kind: str) -> Object:
    (found,) = (one for one in objects if one["kind"] == kind)
    return found


def test_it_is_signed_and_says_what_is_applied_but_for_secrets() -> None:
    assert is_made_by_ocm(text())
    assert not is_edited(text())
    assert manifest().access == PLACEMENT.access
    expected = [one for one in CASES["stopped"].objects() if one["kind"] != "Secret"]
    # That case has a first config besides.
    for one in (named(tuple(expected), "StatefulSet"), named(manifest().objects, "StatefulSet")):
        del one["spec"]["template"]["spec"]["initContainers"]
        del one["spec"]["template"]["spec"]["volumes"]
    without = manifest().objects
    assert [one["kind"] for one in without] == [one["kind"] for one in expected]
    assert "Secret" not in {one["kind"] for one in without}


def test_kubectl_reads_it_as_it_is() -> None:
    assert tuple(yaml.safe_load_all(text())) == manifest().objects


def test_one_without_a_cluster_has_none() -> None:
    with pytest.raises(Invalid, match="does not say in which cluster"):
        render(PLAIN, PROGRAMS)


def test_what_is_applied_has_the_secrets_and_is_told_from_that_of_another_manifest() -> None:
    one = manifest()
    objects = applied(one, {"B_KEY": "2", "A_KEY": "sk-1"}, started=True)
    secret = named(objects, "Secret")
    decoded = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    assert decoded == {"A_KEY": "sk-1", "B_KEY": "2"}
    assert secret["metadata"] == {
        "name": places.ENVIRONMENT,
        "namespace": "ocm-worker1",
        "labels": named(one.objects, "StatefulSet")["metadata"]["labels"],
    }
    kinds = [found["kind"] for found in objects]
    assert kinds.index("Namespace") < kinds.index("Secret") < kinds.index("StatefulSet")
    stateful_set = named(objects, "StatefulSet")
    mark = {places.MANIFEST: one.fingerprint}
    assert stateful_set["metadata"]["annotations"] == mark
    assert stateful_set["spec"]["template"]["metadata"]["annotations"] == mark
    assert stateful_set["spec"]["replicas"] == 1
    assert named(applied(one, {}, started=False), "StatefulSet")["spec"]["replicas"] == 0
    assert one == manifest(), "what was read is as it was"


def test_what_separates_lines_of_other_texts_may_stand_in_a_value() -> None:
    placed = msgspec.structs.replace(PLACED, environment={"GREETING": "one\u2028two\u2029three"})
    found = parse(render(placed, PROGRAMS).encode(), PATH)
    (container,) = found.template["spec"]["containers"]
    values = {one["name"]: one["value"] for one in container["env"]}
    assert values["GREETING"] == "one\u2028two\u2029three"


def test_its_template_bears_the_mark_that_a_pod_of_it_has() -> None:
    one = manifest()
    assert one.template["metadata"]["annotations"] == {places.MANIFEST: one.fingerprint}
    assert "annotations" not in one.stateful_set["spec"]["template"]["metadata"], "what was read is as it was"


def test_a_note_by_hand_is_an_edit_that_changes_nothing_else() -> None:
    edited = parse(f"{text()}\n# by hand\n".encode(), PATH)
    assert is_edited(f"{text()}\n# by hand\n")
    assert edited.objects == manifest().objects
    assert edited.fingerprint != manifest().fingerprint


WHOLE = text()


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        WHOLE.replace("# cluster:", "# clutter:"),
        WHOLE.replace('"kubeconfig": "/home', '"kubeconfig": 1, "x": "/home'),
        WHOLE.replace('"kind": "StatefulSet"', '"kind": "Deployment"'),
        WHOLE.replace('"kind": "Namespace"', '"kind": "Node"'),
        WHOLE.replace('"namespace": "ocm-worker1",', ""),
        WHOLE.replace('"labels": {', '"labels": 5, "others": {'),
        WHOLE[: len(WHOLE) // 2],
        WHOLE + "---\n" + "[" * 100_000,
        json.dumps({"kind": "StatefulSet"}),
    ],
)
def test_a_damaged_one_is_named(damaged: str) -> None:
    with pytest.raises(OcmError, match=f"the manifest {PATH} is damaged"):
        parse(damaged.encode(), PATH)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_is_there_it_is_read_or_named(data: bytes) -> None:
    for found in (data, WHOLE.encode() + b"\n---\n" + data):
        try:
            told = parse(found, PATH).namespace
        except OcmError as error:
            told = error.message
        assert told
