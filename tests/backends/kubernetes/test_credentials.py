"""The file of a kubeconfig, what it names, and the programs that give a credential."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from tests.backends.kubernetes.api_server import host

from openclaw_ocm.backends.kubernetes import credentials
from openclaw_ocm.backends.kubernetes.credentials import proxy, read_kubeconfig
from openclaw_ocm.backends.kubernetes.kubeconfig import MAX_BYTES, Entrance, Server, choose
from openclaw_ocm.errors import OcmError

HTTPS = {"https_proxy": "proxy.example:3128"}


def written(directory: Path, user: dict[str, Any] | None = None, **server: object) -> PurePosixPath:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://192.0.2.1", **server}}],
        "users": [{"name": "u", "user": user or {"token": "sk-secret"}}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
    }
    path = directory / "config"
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return PurePosixPath(path)


def client(directory: Path, user: dict[str, Any] | None = None, **server: object) -> Any:  # noqa: ANN401
    import httpx2

    path = written(directory, user, **server)
    chosen: Entrance = choose(read_kubeconfig(path), "lab", path)
    return credentials.client(chosen, path, host(directory), httpx2.Timeout(5))


def refusal(directory: Path, user: dict[str, Any] | None = None, **server: object) -> OcmError:
    with pytest.raises(OcmError) as refused:
        client(directory, user, **server)
    assert "sk-secret" not in f"{refused.value.message} {refused.value.hint}"
    return refused.value


def authorization(made: Any) -> str:  # noqa: ANN401
    """Return what a client sends to be let in."""
    request = made.build_request("GET", "/")
    sent: str = next(made.auth.auth_flow(request)).headers["Authorization"]
    return sent


def reading(path: PurePosixPath) -> OcmError:
    with pytest.raises(OcmError) as refused:
        read_kubeconfig(path)
    return refused.value


def test_no_kubeconfig_is_told(tmp_path: Path) -> None:
    found = reading(PurePosixPath(tmp_path, "none"))
    assert (found.code, found.message) == ("kubeconfig_missing", f"there is no kubeconfig {tmp_path}/none")


def test_what_others_may_write_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path)
    Path(path).chmod(0o602)
    found = reading(path)
    assert (found.code, found.hint) == (
        "kubeconfig_insecure",
        f"look whether it is as you left it, then chmod go-w {path}",
    )


def test_what_is_of_another_user_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert reading(path).code == "kubeconfig_insecure"


def test_what_is_too_large_or_no_file_is_not_read(tmp_path: Path) -> None:
    path = Path(written(tmp_path))
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert "it is larger than 1 MB" in reading(PurePosixPath(path)).message
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        assert reading(PurePosixPath(tmp_path, name)).code == "unreadable"


def test_a_token_lets_in(tmp_path: Path) -> None:
    assert authorization(client(tmp_path)) == "Bearer sk-secret"


def test_a_file_beside_the_kubeconfig_holds_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sk-other\n")
    assert authorization(client(tmp_path, {"tokenFile": "token", "token": "sk-secret"})) == "Bearer sk-other"
    (tmp_path / "token").write_bytes(b"\xff")
    assert refusal(tmp_path, {"tokenFile": "token"}).code == "unreadable"
    assert refusal(tmp_path, {"tokenFile": "none"}).code == "unreadable"


def test_a_password_lets_in(tmp_path: Path) -> None:
    assert authorization(client(tmp_path, {"username": "ann", "password": "pw"})) == "Basic YW5uOnB3"


def program(tmp_path: Path, text: str, **more: object) -> dict[str, Any]:
    (tmp_path / "login").write_text(f"#!{sys.executable}\nimport json, os, sys\n{text}\n")
    (tmp_path / "login").chmod(0o700)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", **more}}


def test_a_program_beside_the_kubeconfig_gives_the_token(tmp_path: Path) -> None:
    text = """
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
assert asked["kind"] == "ExecCredential" and asked["spec"]["interactive"] is False
assert asked["spec"]["cluster"]["server"] == "https://192.0.2.1"
print(json.dumps({"status": {"token": f"{sys.argv[1]}-{os.environ['REGION']}"}}))
"""
    user = program(
        tmp_path, text, args=["sk"], env=[{"name": "REGION", "value": "eu"}], provideClusterInfo=True
    )
    assert authorization(client(tmp_path, user)) == "Bearer sk-eu"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sys.exit('session\\x1b[2J ended')", "ended with exit status 1: session ended"),
        ("print('sk-secret')", "printed none"),
        ("print(json.dumps({'status': {'clientCertificateData': 'sk-secret'}}))", "printed none"),
        ("print('[' * 100000)", "printed none"),
    ],
)
def test_a_program_that_gives_nothing_is_told(tmp_path: Path, text: str, told: str) -> None:
    found = refusal(tmp_path, program(tmp_path, text))
    assert found.code == "credentials_missing"
    assert found.message == f"./login, which is to give a credential for context lab, {told}"


def test_a_program_that_is_not_there_or_prints_too_much_is_told(tmp_path: Path) -> None:
    nowhere = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login"}}
    assert refusal(tmp_path, nowhere).message == "no-such-login is not installed"
    assert "printed more than" in refusal(tmp_path, program(tmp_path, "print('x' * 2 * 2**20)")).message


def test_what_a_program_is_given_is_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = program(tmp_path, "print(json.dumps({'status': {'token': 't'}}))", args=["--key=sk-secret"])
    host_of_test = host(tmp_path)
    import dataclasses

    verbose = dataclasses.replace(host_of_test, runner=dataclasses.replace(host_of_test.runner, verbose=True))
    monkeypatch.setattr(sys.modules[__name__], "host", lambda _directory: verbose)
    client(tmp_path, user)
    shown = capfd.readouterr().err
    assert shown == f"+ {tmp_path}/login ...\n"


@pytest.mark.parametrize(
    ("user", "server"),
    [
        ({"client-certificate-data": "AAAA", "client-key-data": "AAAA"}, {}),
        ({"client-certificate-data": "A", "client-key-data": "A"}, {}),
        (None, {"certificate-authority-data": "AAAA"}),
        (None, {"proxy-url": "nonsense://x"}),
    ],
    ids=repr,
)
def test_what_is_no_certificate_or_address_is_told(
    tmp_path: Path, user: dict[str, Any] | None, server: dict[str, Any]
) -> None:
    assert refusal(tmp_path, user, **server).code == "kubeconfig_invalid"


@pytest.mark.parametrize(
    ("user", "server"),
    [
        ({"client-certificate": "no.crt", "client-key": "no.key"}, {}),
        (None, {"certificate-authority": "no.crt"}),
    ],
    ids=repr,
)
def test_a_file_that_is_not_there_is_named(
    tmp_path: Path, user: dict[str, Any] | None, server: dict[str, Any]
) -> None:
    assert refusal(tmp_path, user, **server).message == (
        f"{tmp_path}/no.crt cannot be read: No such file or directory"
    )


def test_a_proxy_of_another_kind_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path, None, **{"proxy-url": "socks5://x:1"}).code == "proxy_unsupported"


@pytest.mark.parametrize(
    ("server", "environment", "expected"),
    [
        ("https://there.example", {}, None),
        ("https://there.example", HTTPS, "http://proxy.example:3128"),
        ("https://there.example", {"HTTPS_PROXY": "https://p"}, "https://p"),
        ("https://127.0.0.1:6443", HTTPS, None),
        ("https://[::1]:6443", HTTPS, None),
        ("https://localhost:6443", HTTPS, None),
        ("https://10.1.2.3", {**HTTPS, "no_proxy": "10.0.0.0/8"}, None),
        ("https://11.1.2.3", {**HTTPS, "no_proxy": "10.0.0.0/8"}, "http://proxy.example:3128"),
        ("https://a.there.example", {**HTTPS, "NO_PROXY": "x, .there.example"}, None),
        ("https://there.example", {**HTTPS, "no_proxy": "there.example"}, None),
        ("https://elsewhere.example", {**HTTPS, "no_proxy": "where.example"}, "http://proxy.example:3128"),
        ("https://there.example", {**HTTPS, "no_proxy": "*"}, None),
    ],
)
def test_a_proxy_of_the_environment_is_asked_as_kubectl_asks(
    server: str, environment: dict[str, str], expected: str | None
) -> None:
    assert proxy(Server(server=server), environment) == expected


def test_the_proxy_of_the_kubeconfig_comes_first() -> None:
    assert (
        proxy(Server(server="https://a", proxy_url="http://own"), {**HTTPS, "no_proxy": "*"}) == "http://own"
    )


def test_where_nothing_is_installed_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightkube.config", None)
    found = refusal(tmp_path)
    assert (found.code, found.hint) == ("missing", "pip install 'ocm[kubernetes]'")


def test_yaml_is_not_taken_for_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert reading(written(tmp_path)).code == "missing"
