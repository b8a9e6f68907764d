"""What OCM asks of a real API server, and what that says where it refuses."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.backends.kubernetes.golden import CASES
from tests.cluster.cluster import PAUSE, STORAGE_CLASS, Cluster
from tests.cluster.network import client, in_its_network

from openclaw_ocm.backends.kubernetes import cluster as client_module
from openclaw_ocm.backends.kubernetes.answers import ClusterRefuses
from openclaw_ocm.backends.kubernetes.kinds import place
from openclaw_ocm.backends.kubernetes.places import GATEWAY, INSTANCE, OWNED_BY, OWNER
from openclaw_ocm.backends.kubernetes.rights import NEEDED, Right, rules
from openclaw_ocm.errors import OcmError

from .processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openclaw_ocm.backends.kubernetes.cluster import Cluster as Client

OWN = {OWNER: "a" * 32}


class Told(Exception):
    """What a test waits for was said."""


SCRIPT = "trap exit TERM; n=0; while :; do echo line $n; n=$((n+1)); sleep 0.2 & wait $!; done"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as started:
        try:
            with in_its_network(started):
                yield started
        finally:
            print(started.log())


@pytest.fixture
def asked(cluster: Cluster, tmp_path: Path) -> Iterator[Client]:
    """Ask as the cluster's administrator."""
    with client(tmp_path, cluster.authority.kubeconfig("admin")) as made:
        yield made


def labels(name: str) -> dict[str, str]:
    return {INSTANCE: name, **OWN}


def made(name: str, *, replicas: int = 1, **secrets: str) -> list[dict[str, Any]]:
    """Return an instance that only writes lines, as objects."""
    own = {"labels": labels(name), "annotations": {OWNED_BY: "ann@laptop"}}
    inside = {"namespace": f"ocm-{name}", **own}
    container = {
        "name": GATEWAY,
        "image": PAUSE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", SCRIPT],
    }
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 5},
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"ocm-{name}", **own}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "gateway-env", **inside},
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in secrets.items()},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": GATEWAY, **inside},
            "spec": {
                "replicas": replicas,
                "serviceName": GATEWAY,
                "selector": {"matchLabels": {"app": name}},
                "template": template,
            },
        },
    ]


def remove(asked: Client, name: str) -> list[str]:
    told: list[str] = []
    asked.delete(place("Namespace", name=f"ocm-{name}"), labels(name), seconds=180, report=told.append)
    return told


def refusal(asked: Client, objects: list[dict[str, Any]], **how: bool) -> OcmError:
    with pytest.raises(OcmError) as refused:
        asked.apply(objects, **how)
    return refused.value


def replicas(asked: Client, name: str) -> object:
    found = asked.get("StatefulSet", GATEWAY, namespace=f"ocm-{name}")
    return found and found["spec"]["replicas"]


def test_what_the_cluster_is(asked: Client) -> None:
    assert asked.version() == "v1.20.2"
    assert asked.default_storage_class() == STORAGE_CLASS
    assert asked.missing(NEEDED) == ()


def test_an_instance_is_made_seen_stopped_and_deleted(asked: Client) -> None:
    assert asked.get("Namespace", "ocm-ada") is None
    asked.apply(made("ada", KEY="sk-secret"))
    asked.apply(made("ada", KEY="sk-secret"))
    (found,) = asked.list("StatefulSet", labels("ada"))
    assert found["metadata"]["namespace"] == "ocm-ada"
    assert {one["manager"] for one in found["metadata"]["managedFields"]} >= {"ocm"}
    assert asked.list("StatefulSet", {INSTANCE: "other"}) == ()
    secret = asked.get("Secret", "gateway-env", namespace="ocm-ada")
    assert secret is not None
    assert base64.b64decode(secret["data"]["KEY"]) == b"sk-secret"

    wait_for(lambda: running(asked, "ada"), 60, "the pod")
    lines = asked.log("ocm-ada", f"{GATEWAY}-0", GATEWAY, follow=True, tail=2)
    assert [next(lines).split()[0] for _ in range(5)] == [b"line"] * 5
    lines.close()
    assert len(list(asked.log("ocm-ada", f"{GATEWAY}-0", GATEWAY, tail=3, timestamps=True))) == 3

    asked.scale("ocm-ada", 0, labels("ada"))
    assert replicas(asked, "ada") == 0
    wait_for(lambda: asked.list("Pod", namespace="ocm-ada") == (), 60, "the end of the pod")
    # What scaling has set is OCM's own, and no conflict.
    asked.apply(made("ada", KEY="sk-secret"))
    assert replicas(asked, "ada") == 1

    told = remove(asked, "ada")
    assert told
    assert asked.get("Namespace", "ocm-ada") is None
    assert remove(asked, "ada") == []


def running(asked: Client, name: str) -> bool:
    pods = asked.list("Pod", namespace=f"ocm-{name}")
    return [one["status"].get("phase") for one in pods] == ["Running"]


@pytest.mark.parametrize("case", ["plain", "stopped", "wide", "closed", "private", "small"])
def test_all_objects_of_an_instance_are_taken_and_taken_again(asked: Client, case: str) -> None:
    objects = CASES[case].objects()
    namespace = objects[0]["metadata"]
    asked.apply(objects, dry_run=True)
    assert asked.get("Namespace", namespace["name"]) is None
    for _ in range(2):
        asked.apply(objects)
    asked.apply(objects, dry_run=True)
    of_it = {name: namespace["labels"][name] for name in (INSTANCE, OWNER)}
    where = place("Namespace", name=namespace["name"])
    asked.delete(where, of_it, seconds=180, report=lambda _words: None)


def test_a_dry_run_changes_nothing(asked: Client) -> None:
    asked.apply(made("dry", replicas=0), dry_run=True)
    assert asked.get("Namespace", "ocm-dry") is None
    asked.apply(made("dry", replicas=0))
    asked.apply(made("dry"), dry_run=True)
    assert replicas(asked, "dry") == 0
    wrong = made("dry")
    wrong[2]["spec"]["selector"]["matchLabels"] = {"app": "other"}
    found = refusal(asked, wrong, dry_run=True)
    assert found.code == "cluster_refuses"
    assert "spec.template.metadata.labels" in found.message
    remove(asked, "dry")


@pytest.mark.parametrize(
    ("has", "told"),
    [
        ({}, "none that OCM made"),
        ({INSTANCE: "foreign", OWNER: "b" * 32}, "of another who uses OCM, ben@desk"),
        ({INSTANCE: "another", **OWN}, "of another who uses OCM, ben@desk"),
    ],
)
def test_a_namespace_of_another_is_never_taken_over(
    cluster: Cluster, asked: Client, has: dict[str, str], told: str
) -> None:
    metadata = {"name": "ocm-foreign", "labels": has, "annotations": {OWNED_BY: "ben@desk"}}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    before = asked.get("Namespace", "ocm-foreign")
    try:
        for how in ({}, {"force": True}, {"dry_run": True}):
            found = refusal(asked, made("foreign"), **how)
            assert (found.code, found.message) == (
                "namespace_taken",
                f"Namespace ocm-foreign is {told}: it is left alone",
            )
        with pytest.raises(OcmError, match="it is left alone"):
            remove(asked, "foreign")
        assert asked.list("Secret", OWN, namespace="ocm-foreign") == ()
        assert asked.get("Namespace", "ocm-foreign") == before
    finally:
        cluster.kubectl("delete", "namespace", "ocm-foreign")


def test_a_namespace_that_another_makes_meanwhile_is_not_taken_over(
    cluster: Cluster, asked: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = type(asked).get
    again: list[object] = []

    def get(self: Client, kind: str, name: str, *, namespace: str | None = None) -> object:
        found = looked(self, kind, name, namespace=namespace)
        if kind == "Namespace" and not again:
            again.append(found)
            if found is not None:
                cluster.kubectl("delete", "namespace", name)
            cluster.kubectl("create", "namespace", name)
        return found

    monkeypatch.setattr(type(asked), "get", get)
    try:
        # It was not there when it was looked for.
        assert refusal(asked, made("race")).code == "namespace_taken"
        monkeypatch.undo()
        cluster.kubectl("delete", "namespace", "ocm-race")
        asked.apply(made("race")[:1])
        again.clear()
        monkeypatch.setattr(type(asked), "get", get)
        # It was one's own when it was looked at.
        assert refusal(asked, made("race")).code == "cluster_conflict"
        monkeypatch.undo()
        found = asked.get("Namespace", "ocm-race")
        assert found is not None
        assert INSTANCE not in found["metadata"].get("labels", {})
    finally:
        monkeypatch.undo()
        cluster.kubectl("delete", "namespace", "ocm-race", "--ignore-not-found")


def test_what_another_has_set_is_told_and_taken_back_by_force_alone(cluster: Cluster, asked: Client) -> None:
    asked.apply(made("shared", replicas=0))
    document = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": GATEWAY, "namespace": "ocm-shared"},
        "spec": {"replicas": 1},
    }
    cluster.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--field-manager=keda", "--validate=false"),
        "--filename=-",
        given=json.dumps(document),
    )
    found = refusal(asked, made("shared", replicas=0))
    assert isinstance(found, ClusterRefuses)
    assert (found.code, found.managers, found.message) == (
        "cluster_conflict",
        ("keda",),
        "keda changed .spec.replicas of StatefulSet gateway in namespace ocm-shared",
    )
    assert replicas(asked, "shared") == 1
    asked.apply(made("shared", replicas=0), force=True)
    assert replicas(asked, "shared") == 0
    remove(asked, "shared")


def test_what_is_not_ours_is_not_scaled(asked: Client) -> None:
    asked.apply(made("scaled", replicas=0))
    with pytest.raises(OcmError) as found:
        asked.scale("ocm-scaled", 1, {INSTANCE: "scaled", OWNER: "b" * 32})
    assert found.value.code == "namespace_taken"
    assert replicas(asked, "scaled") == 0
    with pytest.raises(OcmError) as found:
        asked.scale("ocm-nowhere", 1, labels("nowhere"))
    assert found.value.code == "not_in_cluster"
    remove(asked, "scaled")


def test_a_long_list_is_read_page_by_page(
    cluster: Cluster, asked: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"page-{number}" for number in range(5)]
    cluster.apply(
        *(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": "default", "labels": {"pages": "yes"}},
            }
            for name in names
        )
    )
    monkeypatch.setattr(client_module, "_PAGE", 2)
    found = asked.list("ConfigMap", {"pages": "yes"})
    assert [one["metadata"]["name"] for one in found] == names
    monkeypatch.setattr(client_module, "_MOST_ITEMS", 3)
    with pytest.raises(OcmError, match="has more than 4 configmaps"):
        asked.list("ConfigMap", {"pages": "yes"})


def test_a_namespace_that_does_not_end_says_why(cluster: Cluster, asked: Client) -> None:
    asked.apply(made("ending", replicas=0)[:1])
    kept = {"name": "kept", "namespace": "ocm-ending", "finalizers": ["ocm.dev/test"]}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": kept})
    where = place("Namespace", name="ocm-ending")

    def until_told(words: str) -> None:
        if "ocm.dev/test" in words:
            raise Told(words)

    with pytest.raises(Told):
        asked.delete(where, labels("ending"), seconds=180, report=until_told)
    with pytest.raises(OcmError) as found:
        asked.delete(where, labels("ending"), seconds=1, report=lambda _words: None)
    assert found.value.code == "timeout"
    assert found.value.message.startswith("Namespace ocm-ending is not gone after 1 s: ")
    assert "ocm.dev/test" in found.value.message
    assert refusal(asked, made("ending")).code == "namespace_ending"
    with pytest.raises(OcmError) as found:
        asked._apply(
            made("ending")[1],
            place("Secret", namespace="ocm-ending", name="gateway-env"),
            dry_run=False,
            force=False,
        )
    assert found.value.code == "namespace_ending"
    patch = '{"metadata": {"finalizers": null}}'
    cluster.kubectl(
        "patch", "configmap", "kept", "--namespace=ocm-ending", "--type=merge", f"--patch={patch}"
    )
    asked.delete(where, labels("ending"), seconds=180, report=lambda _words: None)
    assert asked.get("Namespace", "ocm-ending") is None


def test_a_quota_that_is_too_small_is_told(cluster: Cluster, asked: Client) -> None:
    asked.apply(made("small", replicas=0)[:1])
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few", "namespace": "ocm-small"},
        "spec": {"hard": {"count/statefulsets.apps": "0"}},
    }
    cluster.apply(quota)
    wait_for(lambda: "used" in quota_of(asked)["status"], 30, "the quota to be counted")
    found = refusal(asked, made("small", replicas=0))
    assert found.code == "cluster_quota"
    assert found.message == (
        "StatefulSet gateway in namespace ocm-small does not fit into the quota few: requested: "
        "count/statefulsets.apps=1, used: count/statefulsets.apps=0, limited: count/statefulsets.apps=0"
    )
    remove(asked, "small")


def quota_of(asked: Client) -> dict[str, Any]:
    return asked.get("ResourceQuota", "few", namespace="ocm-small") or {"status": {}}


def account(cluster: Cluster, asked: Client, name: str, *allowed: Right) -> str:
    """Make a service account that may do this in all namespaces, and return its token."""
    meta = {"name": name}
    role = [json.loads(json.dumps(one)) for one in parsed(rules(allowed))]
    cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**meta, "namespace": "default"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": meta,
            "rules": role,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        },
    )

    def token() -> str | None:
        for one in asked.list("Secret", namespace="default"):
            annotations = one["metadata"].get("annotations", {})
            if annotations.get("kubernetes.io/service-account.name") == name and "token" in one.get(
                "data", {}
            ):
                return base64.b64decode(one["data"]["token"]).decode()
        return None

    wait_for(lambda: token() is not None, 30, "the token of the account")
    return token() or ""


def parsed(lines: tuple[str, ...]) -> list[Any]:
    import yaml

    found: list[Any] = yaml.safe_load("\n".join(lines))
    return found


def kubeconfig(cluster: Cluster, token: str) -> str:
    config = json.loads(cluster.authority.kubeconfig("admin"))
    config["users"] = [{"name": "admin", "user": {"token": token}}]
    return json.dumps(config)


def test_rights_that_are_missing_are_told_as_rules_that_help(
    cluster: Cluster, asked: Client, tmp_path: Path
) -> None:
    few = [right for right in NEEDED if right.resource == "namespaces"]
    token = account(cluster, asked, "restricted", *few)
    with client(tmp_path, kubeconfig(cluster, token)) as restricted:
        missing = restricted.missing(NEEDED)
        assert missing == tuple(right for right in NEEDED if right not in few)
        found = refusal(restricted, made("barred", replicas=0))
        assert found.code == "cluster_forbidden"
        assert found.message == (
            "the cluster of context test does not let system:serviceaccount:default:restricted patch secrets "
            "in namespace ocm-barred"
        )
        with pytest.raises(OcmError) as listing:
            restricted.list("StatefulSet")
        assert listing.value.hint == (
            "its administrator can give that by this rule of a ClusterRole: "
            '- {apiGroups: ["apps"], resources: ["statefulsets"], verbs: ["list"]}'
        )
        account(cluster, asked, "restricted", *few, *missing)
        wait_for(lambda: restricted.missing(NEEDED) == (), 30, "the new rights")
        restricted.apply(made("barred", replicas=0))
        assert replicas(restricted, "barred") == 0
        remove(restricted, "barred")


def test_a_token_that_has_ended_is_told(cluster: Cluster, asked: Client, tmp_path: Path) -> None:
    account(cluster, asked, "short", Right("list", "namespaces"))
    found = asked.get("ServiceAccount", "short", namespace="default")
    assert found is not None
    uid = found["metadata"]["uid"]
    for seconds, code in ((600, None), (-600, "cluster_unauthorized")):
        with client(tmp_path, kubeconfig(cluster, signed(cluster, "short", uid, seconds))) as late:
            if code is None:
                assert late.list("Namespace")
                continue
            with pytest.raises(OcmError) as refused:
                late.list("Namespace")
            assert refused.value.code == code
    with client(tmp_path, kubeconfig(cluster, "sk-nonsense")) as unknown, pytest.raises(OcmError) as refused:
        unknown.version()
    assert refused.value.code == "cluster_unauthorized"
    assert "sk-nonsense" not in f"{refused.value.message} {refused.value.hint}"


def signed(cluster: Cluster, name: str, uid: str, seconds: float) -> str:
    """Return a token of a service account that ends so many seconds from now, as the API server signs one."""
    now = int(time.time())
    claims = {
        "iss": "https://kubernetes.default.svc",
        "aud": ["https://kubernetes.default.svc"],
        "sub": f"system:serviceaccount:default:{name}",
        "iat": now - 3600,
        "nbf": now - 3600,
        "exp": now + int(seconds),
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": name, "uid": uid}},
    }
    parts = [url_safe(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    script = "openssl dgst -sha256 -sign /run/pki/accounts.key | base64 --wrap=0"
    signature = cluster.control.run(["sh", "-euc", script], given=".".join(parts))
    return ".".join((*parts, url_safe(base64.b64decode(signature))))


def url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_another_authority_is_not_trusted(cluster: Cluster, tmp_path: Path) -> None:
    config = json.loads(cluster.authority.kubeconfig("admin"))
    own = config["users"][0]["user"]["client-certificate-data"]
    config["clusters"][0]["cluster"]["certificate-authority-data"] = own
    with client(tmp_path, json.dumps(config)) as other, pytest.raises(OcmError) as refused:
        other.version()
    assert refused.value.code == "cluster_untrusted"


def test_a_pod_is_reached_by_a_websocket(asked: Client) -> None:
    asked.apply(made("talks"))
    wait_for(lambda: running(asked, "talks"), 60, "the pod")
    path = place("Pod", namespace="ocm-talks", name=f"{GATEWAY}-0").path("exec")
    command = [("command", word) for word in ("sh", "-c", "echo out; echo err >&2; exit 3")]
    parameters = [("container", GATEWAY), ("stdout", "true"), ("stderr", "true"), *command]
    said: dict[int, bytes] = {}
    with asked.websocket(path, parameters, ["v4.channel.k8s.io"]) as session:
        assert session.subprotocol == "v4.channel.k8s.io"
        while 3 not in said:
            message = session.receive_bytes(timeout=30)
            said[message[0]] = said.get(message[0], b"") + message[1:]
    assert (said[1], said[2]) == (b"out\n", b"err\n")
    assert json.loads(said[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    with pytest.raises(OcmError) as refused, asked.websocket(path.replace("-0", "-9"), parameters, ["x"]):
        pass
    assert refused.value.code == "not_in_cluster"
    with pytest.raises(OcmError) as refused:
        next(asked.log("ocm-talks", f"{GATEWAY}-9", GATEWAY))
    assert refused.value.code == "not_in_cluster"
    remove(asked, "talks")
