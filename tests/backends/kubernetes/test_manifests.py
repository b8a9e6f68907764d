from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests import samples
from tests.backends.kubernetes.golden import (
    CASES,
    CONTENTS,
    GOLDEN,
    PLACEMENT,
    PLAIN,
    PROGRAMS,
    RUNTIME,
    SESSIONS,
    STAND_INS,
    Case,
    changed,
    text,
)

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.manifests import Contents, check, gaps, instance_objects
from openclaw_ocm.backends.kubernetes.pod import literal
from openclaw_ocm.core.names import NAME, RESERVED, InstanceName, parse_name
from openclaw_ocm.core.openclaw.run import environment
from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.core.record import Limits, Record
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.network import Kind

DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
NAMES = st.from_regex(NAME, fullmatch=True).filter(lambda name: name not in RESERVED).map(parse_name)
LIMITS = st.builds(
    Limits,
    memory=st.none() | st.sampled_from(("768M", "1536M", "2G", "1000G")),
    cpus=st.none() | st.floats(0.05, 1024),
)
NETWORKS: st.SearchStrategy[Kind] = st.sampled_from(("own", "none"))
RECORDS = st.builds(
    samples.record,
    name=NAMES,
    port=st.integers(1024, 65425),
    network=NETWORKS,
    limits=LIMITS,
    runtime=st.just(RUNTIME),
)
SECRETS = st.dictionaries(
    st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True),
    st.text(st.characters(min_codepoint=33, exclude_categories=["C"]), min_size=8),
    min_size=1,
)


def of_kind(objects: tuple[dict[str, Any], ...], kind: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] == kind]


def the(objects: tuple[dict[str, Any], ...], kind: str) -> dict[str, Any]:
    (found,) = of_kind(objects, kind)
    return found


def template_of(objects: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    template: dict[str, Any] = the(objects, "StatefulSet")["spec"]["template"]
    return template


def containers_of(objects: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    spec = template_of(objects)["spec"]
    return [*spec["initContainers"], *spec["containers"]]


def texts_in(value: object) -> Iterator[str]:
    """Yield every text in a value, keys too."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from texts_in(key)
            yield from texts_in(below)
    elif isinstance(value, (list, tuple)):
        for below in value:
            yield from texts_in(below)
    elif isinstance(value, str):
        yield value


@EACH
def test_the_objects_are_those_of_the_golden_file(case: Case, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    assert (GOLDEN / f"{name}.yaml").read_text() == text(case.objects()), "golden.py writes them anew"
    assert tuple(yaml.safe_load_all(text(case.objects()))) == case.objects()


def test_there_is_a_golden_file_for_each_case_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {*CASES, *STAND_INS, *SESSIONS}


@EACH
def test_what_is_selected_has_the_labels(case: Case) -> None:
    objects = case.objects()
    labels = template_of(objects)["metadata"]["labels"].items()
    stateful_set, service = (the(objects, kind)["spec"] for kind in ("StatefulSet", "Service"))
    for selector in (stateful_set["selector"]["matchLabels"], service["selector"]):
        assert selector.items() <= labels
    deny, allow = of_kind(objects, "NetworkPolicy")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert allow["spec"]["podSelector"]["matchLabels"].items() <= labels
    assert stateful_set["serviceName"] == the(objects, "Service")["metadata"]["name"]


@EACH
def test_what_is_mounted_and_referred_to_is_there(case: Case) -> None:
    objects = case.objects()
    spec = template_of(objects)["spec"]
    claimed = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in spec["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claimed == {the(objects, "PersistentVolumeClaim")["metadata"]["name"]}
    volumes = {volume["name"] for volume in spec["volumes"]}
    mounted = {mount["name"] for one in containers_of(objects) for mount in one["volumeMounts"]}
    assert mounted == volumes
    secrets = {secret["metadata"]["name"] for secret in of_kind(objects, "Secret")}
    referred = {
        *(source["secretRef"]["name"] for one in spec["containers"] for source in one["envFrom"]),
        *(volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume),
        *(secret["name"] for secret in spec.get("imagePullSecrets", ())),
    }
    assert referred == secrets
    assert spec["serviceAccountName"] == the(objects, "ServiceAccount")["metadata"]["name"]
    ports = {port["name"] for one in spec["containers"] for port in one["ports"]}
    assert {port["targetPort"] for port in the(objects, "Service")["spec"]["ports"]} <= ports


KINDS_OF_VOLUMES = {("emptyDir",), ("secret",), ("persistentVolumeClaim",)}


@EACH
def test_the_pod_has_no_more_rights_than_pod_security_restricted_allows(case: Case) -> None:
    objects = case.objects()
    spec = template_of(objects)["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(spec)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False
    assert the(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert {tuple(set(volume) - {"name"}) for volume in spec["volumes"]} <= KINDS_OF_VOLUMES
    for container in containers_of(objects):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"] == case.placement.image
    labels = the(objects, "Namespace")["metadata"]["labels"]
    modes = {key.rpartition("/")[2] for key, value in labels.items() if value == "restricted"}
    assert modes == {"enforce", "warn", "audit"}


@EACH
def test_every_port_has_a_protocol(case: Case) -> None:
    def ports(value: object) -> Iterator[dict[str, Any]]:
        for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from ports(below)
        if isinstance(value, dict):
            yield from (port for port in value.get("ports", ()) if isinstance(port, dict))

    found = list(ports(list(case.objects())))
    assert found
    assert all(port["protocol"] in ("TCP", "UDP") for port in found)


@EACH
def test_namespace_and_policies_come_before_what_they_are_for(case: Case) -> None:
    kinds = [one["kind"] for one in case.objects()]
    assert kinds[0] == "Namespace"
    assert kinds[-1] == "StatefulSet"
    assert kinds == sorted(kinds, key=kinds.index), "each kind in one place"


@EACH
def test_who_stops_a_gateway_lets_it_finish(case: Case) -> None:
    assert template_of(case.objects())["spec"]["terminationGracePeriodSeconds"] >= STOP_TIMEOUT_SECONDS + 5


def test_a_stopped_one_differs_in_its_replicas_alone() -> None:
    started, stopped = CASES["plain"].objects(), CASES["stopped"].objects()
    assert started[:-1] == stopped[:-1]
    assert (started[-1]["spec"].pop("replicas"), stopped[-1]["spec"].pop("replicas")) == (1, 0)
    assert started[-1] == stopped[-1]


def test_the_environment_is_that_of_a_host_but_for_what_only_that_has() -> None:
    env = template_of(CASES["wide"].objects())["spec"]["containers"][0]["env"]
    record = CASES["wide"].record
    host = environment(places.pod_paths(record.name), record)
    assert [one["name"] for one in env] == list(host)
    values = {one["name"]: expanded(one["value"]) for one in env}
    assert {name for name in host if values[name] != host[name]} == {"PATH", "SHELL"}
    assert "instances" not in " ".join(values.values()), "no place of OCM's own, which the pod has not"
    assert len({one["name"] for one in env}) == len(env)


def expanded(value: str) -> str:
    """Return what the kubelet makes of a value (third_party/forked/golang/expansion), knowing no variable."""
    return re.sub(r"\$(?:(\$)|\((\w*)\))", lambda match: match[1] or f"<{match[2]}>", value)


@given(st.text(st.sampled_from("$()HOME x")))
def test_the_kubelet_finds_no_variable_in_a_value(value: str) -> None:
    assert expanded(literal(value)) == value


def test_limits_are_in_powers_of_two_and_no_more_is_sure_than_allowed() -> None:
    gateway = template_of(CASES["wide"].objects())["spec"]["containers"][0]
    assert gateway["resources"]["limits"] == {
        "cpu": "1500m",
        "memory": "2048Mi",
        "ephemeral-storage": "3072Mi",
    }
    assert gateway["command"][1] == "--max-old-space-size=1228"
    plain = template_of(CASES["plain"].objects())["spec"]["containers"][0]
    assert plain["resources"]["limits"] == {"ephemeral-storage": "3072Mi"}


def _amount(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)(m|Mi)", text)
    assert match, text
    return int(match[1])


@given(RECORDS)
def test_every_record_has_valid_names_and_labels(record: Record) -> None:
    objects = instance_objects(record, PLACEMENT, CONTENTS, PROGRAMS, started=True)
    for one in objects:
        assert DNS_LABEL.fullmatch(one["metadata"]["name"])
        assert DNS_LABEL.fullmatch(one["metadata"].get("namespace", "ocm-x"))
        assert one["metadata"]["labels"][places.INSTANCE] == record.name
        assert all(LABEL_VALUE.fullmatch(value) for value in one["metadata"]["labels"].values())
    assert {one["metadata"].get("namespace") for one in objects[1:]} == {places.namespace(record.name)}
    for container in containers_of(objects):
        sure, most = container["resources"]["requests"], container["resources"]["limits"]
        assert all(_amount(sure[what]) <= _amount(most[what]) for what in most)
        assert _amount(sure["cpu"]) > 0


@given(SECRETS, st.binary(min_size=12, max_size=200), st.text("ABCdef0123", min_size=12))
def test_a_secret_is_in_its_secret_and_nowhere_else(
    secrets: dict[str, str], config: bytes, registry: str
) -> None:
    contents = Contents(environment=secrets, config=config, registry=registry)
    objects = instance_objects(PLAIN, PLACEMENT, contents, PROGRAMS, started=True)
    kept = of_kind(objects, "Secret")
    decoded = {
        one["metadata"]["name"]: {key: base64.b64decode(value) for key, value in one["data"].items()}
        for one in kept
    }
    assert decoded == {
        places.ENVIRONMENT: {name: value.encode() for name, value in secrets.items()},
        places.FIRST_CONFIG: {"openclaw.json": config},
        places.PULL: {".dockerconfigjson": registry.encode()},
    }
    elsewhere = [*texts_in([one for one in objects if one["kind"] != "Secret"]), repr(contents)]
    plain = set(texts_in([one for one in CASES["plain"].objects() if one["kind"] != "Secret"]))
    for value in (*(secret.encode() for secret in secrets.values()), config, registry.encode()):
        forms = (base64.b64encode(value).decode(), value.decode(errors="replace"))
        found = [one for one in elsewhere if one not in plain and any(form in one for form in forms)]
        assert found == []


def test_more_than_a_secret_holds_is_refused() -> None:
    contents = Contents(environment={"A_KEY": "x" * 2**20, "B_KEY": "x"})
    with pytest.raises(OcmError) as caught:
        instance_objects(PLAIN, PLACEMENT, contents, PROGRAMS, started=True)
    assert caught.value.code == "secrets_too_large"
    assert "xx" not in caught.value.message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sealed": False}, "worker1 is to run without a sandbox, and a pod is one"),
        ({"docker": True}, "worker1 is to reach Docker, and a pod reaches none"),
        (
            {"network": "shared"},
            "worker1 shares the network of this machine, and a pod has one of its own",
        ),
        (
            {"allow": ["127.0.0.1:11434", "192.168.1.7"]},
            "worker1 is to reach 127.0.0.1:11434, which in a pod is the pod itself",
        ),
        (
            {"mounts": [{"path": "/srv/data", "at": "/srv/data"}]},
            "worker1 is to see /srv/data of this machine, and a pod sees nothing of it",
        ),
        (
            {"environment": {"NODE_EXTRA_CA_CERTS": "/home/ann/ca.pem"}},
            "NODE_EXTRA_CA_CERTS of worker1 is a file of this machine, which no pod sees",
        ),
    ],
)
def test_what_no_pod_has_is_refused(changes: dict[str, Any], message: str) -> None:
    record = changed(**changes)
    with pytest.raises(Invalid) as caught:
        instance_objects(record, PLACEMENT, CONTENTS, PROGRAMS, started=True)
    assert (caught.value.message, caught.value.code, caught.value.details) == (
        message,
        "pod_impossible",
        (),
    )


def test_all_that_is_refused_is_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        check(changed(network="shared", docker=True))
    assert caught.value.message == "worker1 is to reach Docker, and a pod reaches none"
    assert caught.value.details == (
        "also, worker1 shares the network of this machine, and a pod has one of its own",
    )


def test_a_file_of_the_image_is_no_file_of_this_machine() -> None:
    check(changed(environment={"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}))


def test_what_a_pod_does_not_keep_to_is_told() -> None:
    tasks = "a limit of 512 processes: a cluster has one for each node alone (podPidsLimit)"
    web = "of the internet the ports 443 and 80 are reached alone"
    assert gaps(PLAIN) == (tasks, web, "autostart off: while worker1 is started, the cluster starts it")
    assert gaps(changed(network="none", autostart=True)) == (tasks,)


@EACH
def test_all_of_it_is_json(case: Case) -> None:
    assert json.loads(json.dumps(case.objects())) == list(case.objects())


def test_no_two_users_have_the_same_label() -> None:
    labels = {
        the(CASES[name].objects(), "Namespace")["metadata"]["labels"][places.OWNER]
        for name in ("plain", "private")
    }
    assert len(labels) == 2


def test_an_instance_of_another_name_is_elsewhere() -> None:
    record = samples.record(name=InstanceName("worker2"), network="own", runtime=RUNTIME)
    other = instance_objects(record, PLACEMENT, CONTENTS, PROGRAMS, started=True)
    assert other[0]["metadata"]["name"] == "ocm-worker2"
