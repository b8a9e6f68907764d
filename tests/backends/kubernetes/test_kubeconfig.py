"""Kubeconfigs: which contexts there are, which is chosen, and what of them OCM refuses."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import yaml

from openclaw_ocm.backends.kubernetes.kubeconfig import Kubeconfig, choose, contexts, parse
from openclaw_ocm.errors import OcmError

PATH = PurePosixPath("/home/ann/.kube/config")
# As `kubectl config set-*` writes it.
WRITTEN = """
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://192.0.2.1:6443
  name: there
- cluster:
    server: https://other.example:6443
  name: other
contexts:
- context:
    cluster: there
    namespace: work
    user: ann
  name: lab
- context:
    cluster: other
    user: ben
  name: production
current-context: production
kind: Config
preferences: {}
users:
- name: ann
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
- name: ben
  user:
    token: sk-secret
"""


def config(*, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Kubeconfig:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1", **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": "sk-secret"} if user is None else user}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
    }
    return parse(yaml.safe_dump(document).encode(), PATH)


def refusal(found: Kubeconfig, name: str = "lab") -> OcmError:
    with pytest.raises(OcmError) as refused:
        choose(found, name, PATH)
    return refused.value


def test_the_contexts_are_listed_with_where_they_lead() -> None:
    listed = contexts(parse(WRITTEN.encode(), PATH))
    assert [(one.name, one.server, one.user, one.current) for one in listed] == [
        ("lab", "https://192.0.2.1:6443", "ann", False),
        ("production", "https://other.example:6443", "ben", True),
    ]


def test_the_context_that_is_named_is_chosen_and_not_the_current_one() -> None:
    chosen = choose(parse(WRITTEN.encode(), PATH), "lab", PATH)
    assert (chosen.context, chosen.user_name, chosen.server.server) == (
        "lab",
        "ann",
        "https://192.0.2.1:6443",
    )
    assert chosen.server.certificate_authority_data == "Q0E="
    assert (chosen.user.client_certificate_data, chosen.user.client_key_data) == ("Q0VSVA==", "S0VZ")


def test_nothing_secret_is_in_what_python_shows() -> None:
    secret = {
        "token": "sk-secret",
        "password": "sk-secret",
        "client-key-data": "sk-secret",
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "login",
            "args": ["--secret=sk-secret"],
            "env": [{"name": "SECRET", "value": "sk-secret"}],
        },
    }
    found = config(user=secret)
    assert found.users is not None
    (user,) = found.users
    assert user.user is not None
    assert user.user.exec is not None
    for one in (found, choose(found, "lab", PATH), user, user.user.exec, user.user.exec.env):
        assert "sk-secret" not in repr(one)


def test_a_context_that_is_gone_is_told_with_the_one_that_was_meant() -> None:
    found = refusal(parse(WRITTEN.encode(), PATH), "produktion")
    assert (found.code, found.hint) == ("context_unknown", "did you mean production?")
    assert found.message == "/home/ann/.kube/config has no context produktion"
    assert refusal(parse(WRITTEN.encode(), PATH), "x").hint == "it has lab, production"
    assert refusal(parse(b"contexts: null\nclusters: []\n", PATH)).hint == (
        "it has none: log in to a cluster first"
    )


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "Expected `object`, got `null`"),
        ("- 1", "Expected `object`, got `array`"),
        ("contexts: 5", "Expected `array | null`, got `int` - at `$.contexts`"),
        (
            "users: [{name: u, user: {token: [sk-secret]}}]",
            "Expected `str | null`, got `array` - at `$.users[0].user.token`",
        ),
        ("a: b\nc: [sk-secret\nd: e: f", "no YAML can be read in it from line 3 on"),
        ("token: *sk-secret", "no YAML can be read in it from line 1 on"),
        ("\x00", "no YAML can be read in it"),
        ("a: 2001-99-99", "no YAML can be read in it"),
        ("[" * 5000, "no YAML can be read in it"),
        ("[" * 5000 + "]" * 5000, "no YAML can be read in it"),
        ("? [a]\n: sk-secret", "no YAML can be read in it"),
    ],
)
def test_what_is_no_kubeconfig_is_told_without_what_stands_there(document: str, why: str) -> None:
    with pytest.raises(OcmError) as found:
        parse(document.encode(), PATH)
    assert found.value.code == "kubeconfig_invalid"
    assert found.value.message.startswith(f"/home/ann/.kube/config is no kubeconfig: {why}")
    assert "sk-secret" not in found.value.message


@hypothesis.given(st.binary(max_size=200) | st.text(alphabet="abc:-[]{}*&!|>\n \"'#%", max_size=80))
def test_nothing_that_is_read_is_a_traceback(data: bytes | str) -> None:
    with pytest.raises(OcmError):
        choose(parse(data if isinstance(data, bytes) else data.encode(), PATH), "a", PATH)


@pytest.mark.parametrize(
    ("cluster", "user", "told"),
    [
        ({"server": "http://192.0.2.1"}, None, "asks without TLS"),
        ({"insecure-skip-tls-verify": True}, None, "insecure-skip-tls-verify"),
        ({"tls-server-name": "other"}, None, "tls-server-name"),
        ({}, {"token": "sk-secret", "as": "ben"}, "acts as another user"),
        ({}, {"token": "sk-secret", "as-groups": ["masters"]}, "acts as another user"),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({}, {"exec": {"apiVersion": "v9", "command": "x"}}, "exec of the version v9"),
    ],
)
def test_what_lightkube_passes_over_is_refused(
    cluster: dict[str, Any], user: dict[str, Any] | None, told: str
) -> None:
    found = refusal(config(cluster=cluster, user=user))
    assert found.code == "kubeconfig_unsupported"
    assert told in found.message


@pytest.mark.parametrize(
    "user", [{}, {"client-certificate-data": "Q0VSVA=="}, {"username": "ann"}, {"token": ""}], ids=repr
)
def test_a_user_without_a_credential_is_told(user: dict[str, Any]) -> None:
    found = refusal(config(user=user))
    assert (found.code, found.message) == (
        "credentials_missing",
        "user u of /home/ann/.kube/config has no certificate, no token and no program that gives one",
    )


@pytest.mark.parametrize(
    "user",
    [
        {"token": "t"},
        {"tokenFile": "/run/token"},
        {"username": "ann", "password": "sk-secret"},
        {"client-certificate": "a.crt", "client-key": "a.key"},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "login"}},
    ],
    ids=repr,
)
def test_each_way_to_be_let_in_is_taken(user: dict[str, Any]) -> None:
    assert choose(config(user=user), "lab", PATH).context == "lab"


def test_a_context_that_names_what_is_not_there_is_told() -> None:
    no_cluster = parse(b"contexts: [{name: lab, context: {cluster: x, user: u}}]", PATH)
    assert refusal(no_cluster).code == "kubeconfig_invalid"
    no_user = parse(
        b"clusters: [{name: x, cluster: {server: 'https://a'}}]\n"
        b"contexts: [{name: lab, context: {cluster: x, user: u}}]",
        PATH,
    )
    assert refusal(no_user).code == "credentials_missing"
    assert [one.server for one in contexts(no_cluster)] == [""]


def test_what_a_kubeconfig_says_is_printable_and_cut() -> None:
    found = parse(
        yaml.safe_dump({"contexts": [{"name": "a\x1b[31m" + "b" * 500, "context": {}}]}).encode(), PATH
    )
    (listed,) = contexts(found)
    assert listed.name.isprintable()
    assert len(listed.name) <= 100
