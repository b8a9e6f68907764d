"""What OCM must be allowed to do, and the rules of a role that allow it."""

from __future__ import annotations

import pytest
import yaml
from tests.backends.kubernetes.golden import CASES

from openclaw_ocm.backends.kubernetes.kinds import KINDS, place
from openclaw_ocm.backends.kubernetes.rights import NEEDED, Right, review, rules


def test_all_that_is_made_of_an_instance_has_its_place_and_its_rights() -> None:
    objects = [one for case in CASES.values() for one in case.objects()]
    assert {one["kind"] for one in objects} >= {"Namespace", "Secret", "StatefulSet"}
    for one in objects:
        kind = KINDS[one["kind"]]
        assert one["apiVersion"] == kind.api_version
        assert kind.namespaced == ("namespace" in one["metadata"])
        for verb in ("get", "create", "patch"):
            assert Right(verb, kind.plural, kind.group) in NEEDED


def test_where_an_api_server_has_objects() -> None:
    assert place("Namespace", name="ocm-ada").path() == "/api/v1/namespaces/ocm-ada"
    assert place("Pod", namespace="ocm-ada", name="gateway-0").path("log") == (
        "/api/v1/namespaces/ocm-ada/pods/gateway-0/log"
    )
    assert place("StatefulSet").path() == "/apis/apps/v1/statefulsets"
    assert place("StatefulSet", namespace="ocm-ada").path() == "/apis/apps/v1/namespaces/ocm-ada/statefulsets"
    assert place("StorageClass", namespace="ignored").path() == "/apis/storage.k8s.io/v1/storageclasses"


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "a" * 254])
def test_no_name_leads_elsewhere(name: str) -> None:
    for where in (place("Pod", namespace="x", name=name), place("Pod", namespace=name, name="x")):
        with pytest.raises(ValueError, match="no place in a cluster"):
            where.path()


def test_the_rules_can_be_pasted_into_a_role_and_say_each_right_once() -> None:
    text = "\n".join(rules(NEEDED))
    given = [
        (verb, resource, group)
        for rule in yaml.safe_load(text)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert sorted(given) == sorted((one.verb, one.resource, one.group) for one in NEEDED)


def test_a_right_is_asked_for_as_the_api_has_it() -> None:
    assert review(Right("get", "pods/log", namespace="ocm-ada"))["spec"] == {
        "resourceAttributes": {
            "verb": "get",
            "group": "",
            "resource": "pods",
            "subresource": "log",
            "namespace": "ocm-ada",
        }
    }
    attributes = review(Right("patch", "statefulsets", "apps"))["spec"]["resourceAttributes"]
    assert attributes == {"verb": "patch", "group": "apps", "resource": "statefulsets"}


def test_a_right_is_told_in_words() -> None:
    assert str(Right("patch", "statefulsets", "apps")) == "patch statefulsets.apps"
    assert str(Right("get", "pods/log", namespace="ocm-ada")) == "get pods/log in namespace ocm-ada"
