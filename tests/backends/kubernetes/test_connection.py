"""What is told where no answer comes from an API server, and that waiting for one has an end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.backends.kubernetes import api_server
from tests.backends.kubernetes.api_server import Answer, ApiServer, access, host, kubeconfig, status
from tests.list_server import Proxy, make_certificate

from openclaw_ocm.backends.kubernetes import connection
from openclaw_ocm.backends.kubernetes.cluster import Cluster
from openclaw_ocm.errors import ClusterUnreachable, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

VERSION = Answer({"gitVersion": "v1.20.2"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with api_server.api_server(tmp_path) as serving:
        serving.answer("GET", "/version", VERSION)
        yield serving


def refusal(directory: Path, config: dict[str, Any]) -> OcmError:
    with Cluster(access(directory, config), host(directory)) as cluster, pytest.raises(OcmError) as refused:
        cluster.version()
    assert "sk-secret" not in f"{refused.value.message} {refused.value.hint}"
    return refused.value


@contextlib.contextmanager
def opened(directory: Path, config: dict[str, Any]) -> Iterator[connection.Connection]:
    made = connection.Connection(access(directory, config), host(directory))
    with contextlib.closing(made):
        yield made


def test_an_answer_is_asked_for_with_what_lets_in(tmp_path: Path, server: ApiServer) -> None:
    with api_server.cluster(tmp_path, server) as cluster:
        assert cluster.version() == "v1.20.2"
        assert cluster.version() == "v1.20.2"
    assert {one.headers["authorization"] for one in server.asked} == {"Bearer sk-secret"}


def test_a_cluster_that_was_left_is_opened_anew(tmp_path: Path, server: ApiServer) -> None:
    cluster = api_server.cluster(tmp_path, server)
    cluster.close()
    for _ in range(2):
        assert cluster.version() == "v1.20.2"
        cluster.close()


def test_where_nothing_listens_that_is_told_at_once(tmp_path: Path, server: ApiServer) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        found = refusal(tmp_path, kubeconfig(server, server=f"https://localhost:{bound.getsockname()[1]}"))
    assert isinstance(found, ClusterUnreachable)
    assert (found.code, found.message) == (
        "cluster_unreachable",
        "the cluster of context lab is not reached: nothing listens there",
    )


def test_a_name_that_is_not_known_is_told(tmp_path: Path, server: ApiServer) -> None:
    found = refusal(tmp_path, kubeconfig(server, server="https://nowhere.invalid:6443"))
    assert found.message == "the cluster of context lab is not reached: its name is not known here"


def test_one_that_hangs_is_given_up(tmp_path: Path, server: ApiServer) -> None:
    del server.answers["GET", "/version"]
    with opened(tmp_path, kubeconfig(server)) as made, pytest.raises(ClusterUnreachable) as found:
        made.ask(connection.Request(method="GET", path="/version", silence_seconds=0.3))
    assert found.value.message == "the cluster of context lab does not answer"


def test_one_that_takes_the_connection_and_no_more_is_given_up(
    tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = refusal(tmp_path, kubeconfig(server, server=f"https://localhost:{silent.getsockname()[1]}"))
    assert (found.code, found.message) == (
        "cluster_unreachable",
        "the cluster of context lab does not answer",
    )


def test_a_name_that_is_looked_up_without_an_end_is_given_up(
    tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: over.wait(60))
    with opened(tmp_path, kubeconfig(server)) as made, pytest.raises(ClusterUnreachable):
        made.ask(connection.Request(method="GET", path="/version", silence_seconds=0.2))
    over.set()


def test_one_that_goes_on_without_an_end_is_given_up(tmp_path: Path, server: ApiServer) -> None:
    server.answer("GET", "/version", Answer(b" " * (2**24 + 1)))
    found = refusal(tmp_path, kubeconfig(server))
    assert (found.code, found.message) == (
        "cluster_answer",
        "the cluster of context lab answers with more than 16 MB",
    )


@contextlib.contextmanager
def dripping(server: ApiServer) -> Iterator[int]:
    """Serve one that says a little, again and again, and yield its port."""
    over = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            taken = server.tls.wrap_socket(listening.accept()[0], server_side=True)
            with taken:
                taken.recv(4096)
                taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not over.wait(0.05):
                    taken.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join()


def test_one_that_drips_is_given_up(tmp_path: Path, server: ApiServer) -> None:
    with (
        dripping(server) as port,
        opened(tmp_path, kubeconfig(server, server=f"https://localhost:{port}")) as made,
        pytest.raises(ClusterUnreachable, match="did not answer in full within"),
    ):
        made.ask(connection.Request(method="GET", path="/version", seconds=0.5))


def test_another_authority_is_not_trusted(tmp_path: Path, server: ApiServer) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other")
    config = kubeconfig(server)
    config["clusters"][0]["cluster"].pop("certificate-authority-data")
    config["clusters"][0]["cluster"]["certificate-authority"] = str(other.certificate)
    found = refusal(tmp_path, config)
    assert isinstance(found, ClusterUnreachable)
    assert found.code == "cluster_untrusted"
    assert found.message.startswith("the cluster of context lab is not trusted: self")
    assert server.asked == []


def test_another_name_is_not_trusted(tmp_path: Path, server: ApiServer) -> None:
    found = refusal(tmp_path, kubeconfig(server, server=server.url.replace("localhost", "127.0.0.1")))
    assert found.code == "cluster_untrusted"
    assert "not valid for '127.0.0.1'" in found.message
    assert server.asked == []


def test_one_that_speaks_no_tls_is_told(tmp_path: Path, server: ApiServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def serve() -> None:
            taken, _address = plain.accept()
            with taken:
                taken.recv(4096)
                taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        found = refusal(tmp_path, kubeconfig(server, server=f"https://localhost:{plain.getsockname()[1]}"))
        thread.join()
    assert (found.code, found.message) == (
        "cluster_untrusted",
        "the cluster of context lab does not speak TLS with us: wrong version number",
    )


def test_a_certificate_is_shown_to_who_asks_for_one(tmp_path: Path, server: ApiServer) -> None:
    own = server.certificate
    server.tls.verify_mode = ssl.CERT_REQUIRED
    server.tls.load_verify_locations(own.certificate)
    user = {"client-certificate": str(own.certificate), "client-key": str(own.key)}
    with api_server.cluster(tmp_path, server, user) as cluster:
        assert cluster.version() == "v1.20.2"
    assert refusal(tmp_path, kubeconfig(server)).code == "cluster_untrusted"


def test_the_proxy_of_a_kubeconfig_leads_there(tmp_path: Path, server: ApiServer) -> None:
    proxy = Proxy()
    config = kubeconfig(server, None, **{"proxy-url": f"http://ann:pw@127.0.0.1:{proxy.port}"})
    with proxy.serving(), Cluster(access(tmp_path, config), host(tmp_path)) as cluster:
        assert cluster.version() == "v1.20.2"
    assert proxy.heads[0].startswith(f"CONNECT localhost:{server.server_address[1]} ")
    assert "Basic YW5uOnB3" in proxy.heads[0]
    assert "sk-secret" not in proxy.heads[0]


def test_no_variable_of_this_process_leads_elsewhere(
    tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with api_server.cluster(tmp_path, server) as cluster:
        assert cluster.version() == "v1.20.2"


def test_a_token_that_has_ended_is_told(tmp_path: Path, server: ApiServer) -> None:
    server.answer("GET", "/version", status(401, "Unauthorized", "Unauthorized"))
    assert refusal(tmp_path, kubeconfig(server)).code == "cluster_unauthorized"
    assert len(server.asked) == 1


def test_a_token_that_a_program_gives_is_given_anew_once(tmp_path: Path, server: ApiServer) -> None:
    script = 'echo "$$" >>given; echo "{\\"status\\": {\\"token\\": \\"t$(/usr/bin/wc -l <given)\\"}}"'
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "command": "/bin/sh",
            "args": ["-c", f"cd {tmp_path}; {script}"],
        }
    }
    refused = status(401, "Unauthorized", "Unauthorized")
    server.answer("GET", "/version", VERSION, refused, VERSION)
    with api_server.cluster(tmp_path, server, user) as cluster:
        assert [cluster.version() for _ in range(2)] == ["v1.20.2"] * 2
    assert [one.headers["authorization"] for one in server.asked] == ["Bearer t1", "Bearer t1", "Bearer t2"]
    server.answer("GET", "/version", refused)
    with api_server.cluster(tmp_path, server, user) as cluster, pytest.raises(OcmError) as found:
        cluster.version()
    assert found.value.code == "cluster_unauthorized"
    assert len(server.asked) == 5


def test_one_that_is_busy_is_asked_again(
    tmp_path: Path, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    busy = status(429, "TooManyRequests", "Too many requests")._replace(headers=(("Retry-After", "600"),))
    etcd = status(500, "InternalError", "etcdserver: leader changed")
    server.answer("GET", "/version", busy, etcd, VERSION)
    with api_server.cluster(tmp_path, server) as cluster:
        assert cluster.version() == "v1.20.2"
    assert waited == [5.0, 1.5]
    server.answer("GET", "/version", busy)
    found = refusal(tmp_path, kubeconfig(server))
    assert isinstance(found, ClusterUnreachable)
    assert found.code == "cluster_busy"


def test_a_change_that_failed_is_not_made_twice(tmp_path: Path, server: ApiServer) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server.answer("POST", path, status(500, "InternalError", "webhook failed"), VERSION)
    with opened(tmp_path, kubeconfig(server)) as made, pytest.raises(ClusterUnreachable):
        made.ask(connection.Request(method="POST", path=path, body=b"{}"))
    assert len(server.asked) == 1


def test_what_is_no_token_is_told_without_it(tmp_path: Path, server: ApiServer) -> None:
    found = refusal(tmp_path, kubeconfig(server, {"token": "sk-secret\nx: y"}))
    assert (found.code, found.message) == (
        "kubeconfig_invalid",
        "the cluster of context lab cannot be asked: its address or its credential is none",
    )


def test_a_redirect_is_not_followed(tmp_path: Path, server: ApiServer) -> None:
    server.answer("GET", "/version", Answer(VERSION.body, 302, (("Location", f"{server.url}/elsewhere"),)))
    found = refusal(tmp_path, kubeconfig(server))
    assert (found.code, len(server.asked)) == ("cluster_answer", 1)


def test_a_websocket_that_is_refused_says_why(tmp_path: Path, server: ApiServer) -> None:
    path = "/api/v1/namespaces/ocm-ada/pods/gateway-0/exec"
    server.answer("GET", f"{path}?command=a&command=b", status(404, "NotFound", 'pods "gateway-0" not found'))
    server.answer("GET", path, Answer({}))
    with api_server.cluster(tmp_path, server) as cluster:
        opening = cluster.websocket(path, [("command", "a"), ("command", "b")], ["v4.channel.k8s.io"])
        with pytest.raises(OcmError, match='pods "gateway-0" not found'), opening:
            pass
        with (
            pytest.raises(ClusterUnreachable, match="opens no websocket"),
            cluster.websocket(path, [], ["x"]),
        ):
            pass
    assert server.asked[0].headers["sec-websocket-protocol"] == "v4.channel.k8s.io"
