"""Reads the file of a kubeconfig, runs its programs, and has lightkube make a connection of what they say."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.backends.kubernetes.kubeconfig import MAX_BYTES, Kubeconfig, User, parse, shown
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError, UnreadableFile
from openclaw_ocm.system.files import read_own
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Network, IPv6Network
    from pathlib import PurePosixPath

    from httpx2 import Client, Timeout

    from openclaw_ocm.backends.kubernetes.kubeconfig import Entrance, Program, Server
    from openclaw_ocm.system.host import Host

_PROGRAM_SECONDS = 120.0
_MAX_WORDS = 200
_PROXIES, _NO_PROXIES = ("https_proxy", "HTTPS_PROXY"), ("no_proxy", "NO_PROXY")


class _Given(msgspec.Struct, frozen=True, rename="camel"):
    """What a program prints that gives a credential (`status` of client.authentication.k8s.io)."""

    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None


class _Printed(msgspec.Struct, frozen=True):
    status: _Given


def read_kubeconfig(path: PurePosixPath) -> Kubeconfig:
    """Return the kubeconfig in a file.

    Raises `OcmError` where there is none, none can be read in it, or others could have written it: who does
    so has their programs run and is told all secrets.
    """
    try:
        data = _read(path)
    except FileNotFoundError:
        hint = "log in to the cluster as you do for kubectl, or name another file"
        raise OcmError(f"there is no kubeconfig {path}", hint=hint, code="kubeconfig_missing") from None
    except OSError as error:
        raise UnreadableFile(path, error.strerror or "it is not readable") from None
    try:
        return parse(data, path)
    except ImportError:
        raise not_installed() from None


def _read(path: PurePosixPath) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile(path, "it is no file")
        if status.st_mode & stat.S_IWOTH:
            hint = f"look whether it is as you left it, then chmod go-w {path}"
            raise OcmError(f"every user may change {path}", hint=hint, code="kubeconfig_insecure")
        if status.st_uid not in (0, os.geteuid()):
            hint = "copy it to a file of your own"
            message = f"{path} is another user's, who may change it"
            raise OcmError(message, hint=hint, code="kubeconfig_insecure")
        data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UnreadableFile(path, f"it is larger than {MAX_BYTES // 2**20} MB")
        return data


def client(chosen: Entrance, path: PurePosixPath, host: Host, timeout: Timeout) -> Client:
    """Return a client of the API server that a context of the kubeconfig at `path` names.

    Raises `OcmError` where lightkube is not installed, and where what lets in is not there or is none.
    """
    try:
        from httpx2 import InvalidURL
        from lightkube.config import client_adapter
        from lightkube.config.kubeconfig import SingleConfig
        from lightkube.config.models import Cluster, Context
        from lightkube.config.models import User as Credential
    except ImportError:
        raise not_installed() from None
    server, user = chosen.server, _user(chosen, path, host)
    try:
        with contextlib.ExitStack() as stack:

            def file(data: str | None, name: str | None) -> str | None:
                # Of two, kubectl takes what stands in the kubeconfig itself.
                return stack.enter_context(_in_memory(data)) if data else _beside(path, name)

            config = SingleConfig(
                context_name=chosen.context,
                context=Context(cluster=chosen.context),
                cluster=Cluster(
                    server=server.server,
                    certificate_auth=file(server.certificate_authority_data, server.certificate_authority),
                ),
                user=Credential(
                    token=user.token,
                    username=user.username,
                    password=user.password,
                    client_cert=file(user.client_certificate_data, user.client_certificate),
                    client_key=file(user.client_key_data, user.client_key),
                ),
            )
            parameters = client_adapter.ConnectionParams(
                timeout=timeout, trust_env=False, proxy=proxy(server, host.network)
            )
            return client_adapter.Client(config, parameters)
    except (OSError, ValueError, TypeError, ImportError, InvalidURL) as error:
        raise _unusable(chosen, path, error) from None


@contextlib.contextmanager
def _in_memory(data: str) -> Iterator[str]:
    """Yield the path of what a kubeconfig holds in base64, of which TLS knows files alone.

    lightkube would write it, and so a private key, to the disk.
    """
    descriptor = os.memfd_create("ocm")
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64decode(data))
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def not_installed() -> OcmError:
    """Return the error for a machine that has nothing that talks to clusters."""
    hint = "pip install 'ocm[kubernetes]'"
    return OcmError("what asks a cluster is not installed", hint=hint, code="missing")


def _user(chosen: Entrance, path: PurePosixPath, host: Host) -> User:
    """Return by what a user is let in, with what a file or a program gives in its place."""
    user = chosen.user
    if user.exec is not None:
        return _printed_by(user.exec, chosen, path, host)
    if user.token_file is not None:
        return msgspec.structs.replace(user, token=_token_in(path.parent / user.token_file))
    return user


def _token_in(path: PurePosixPath) -> str:
    try:
        token = (read_own(path, limit=MAX_BYTES) or b"").decode().strip()
    except UnicodeDecodeError:
        token = ""
    if not token:
        raise UnreadableFile(path, "it holds no token")
    return token


def _printed_by(program: Program, chosen: Entrance, path: PurePosixPath, host: Host) -> User:
    """Return the credential that a program prints, as kubectl has it print one.

    Its arguments, which may hold a secret, are not shown. lightkube would wait for it without an end.
    """
    command = _program(program.command, path)
    host.runner.show((command, "..."))
    done = replace(host.runner, verbose=False).run(
        Command(
            argv=(command, *(program.args or ())),
            timeout_seconds=_PROGRAM_SECONDS,
            env={
                **host.network,
                "PATH": host.search_path,
                **{variable.name: variable.value for variable in program.env or ()},
                "KUBERNETES_EXEC_INFO": _asked(program, chosen.server),
            },
            limit=MAX_BYTES,
        ),
        check=False,
    )
    named = f"{shown(program.command)}, which is to give a credential for context {chosen.context},"
    hint = "run it by hand, or log in to the cluster as you do for kubectl"
    if done.returncode != 0:
        said = printable(done.stderr.strip().rpartition("\n")[2], limit=_MAX_WORDS)
        message = f"{named} ended with exit status {done.returncode}{f': {said}' if said else ''}"
        raise OcmError(message, hint=hint, code="credentials_missing")
    try:
        given = msgspec.json.decode(done.stdout, type=_Printed).status
    except (msgspec.DecodeError, RecursionError):
        given = _Given()
    if not given.token and not (given.client_certificate_data and given.client_key_data):
        raise OcmError(f"{named} printed none", hint=hint, code="credentials_missing")
    return User(
        token=given.token,
        client_certificate_data=_encoded(given.client_certificate_data),
        client_key_data=_encoded(given.client_key_data),
    )


def _asked(program: Program, server: Server) -> str:
    """Return what a program of a credential is told: KUBERNETES_EXEC_INFO."""
    cluster = {
        "server": server.server,
        **(
            {"certificate-authority-data": server.certificate_authority_data}
            if server.certificate_authority_data
            else {}
        ),
    }
    specification = {"interactive": False, **({"cluster": cluster} if program.provide_cluster_info else {})}
    asked = {"apiVersion": program.api_version, "kind": "ExecCredential", "spec": specification}
    return json.dumps(asked)


def _program(command: str, path: PurePosixPath) -> str:
    """Return what is run: a name is one of PATH's, anything else lies beside the kubeconfig."""
    return str(path.parent / command) if "/" in command else command


def _beside(path: PurePosixPath, name: str | None) -> str | None:
    """Return the path of a file that a kubeconfig names; raise `UnreadableFile` where it cannot be read."""
    if not name:
        return None
    file = str(path.parent / name)
    try:
        # TLS would not say which one is missing, and wait for a pipe.
        os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        raise UnreadableFile(file, error.strerror or "it is not readable") from None
    return file


def _encoded(text: str | None) -> str | None:
    return None if text is None else base64.b64encode(text.encode()).decode()


def _unusable(chosen: Entrance, path: PurePosixPath, error: Exception) -> OcmError:
    """Return what is wrong with a credential; the error's own words may hold it."""
    if isinstance(error, ImportError):
        message = f"the proxy to context {chosen.context} is no HTTP proxy, and OCM knows no other"
        return OcmError(message, hint="set https_proxy to one", code="proxy_unsupported")
    message = f"a certificate, a key or an address of context {chosen.context} in {path} is none"
    hint = "fetch its kubeconfig anew, as you did for kubectl"
    return OcmError(message, hint=hint, code="kubeconfig_invalid")


def proxy(server: Server, environment: Mapping[str, str]) -> str | None:
    """Return the proxy to a server: that of its kubeconfig, else of the environment, None for none.

    As kubectl does, nothing on this machine is asked through one, and `no_proxy` may name networks.
    """
    from urllib.parse import urlsplit

    if server.proxy_url:
        return server.proxy_url
    named = next((environment[name] for name in _PROXIES if environment.get(name)), None)
    excepted = next((environment[name] for name in _NO_PROXIES if environment.get(name)), "")
    try:
        host = urlsplit(server.server).hostname or ""
    except ValueError:
        return None
    if named is None or _goes_directly(host, ["localhost", "127.0.0.0/8", "::1", *excepted.split(",")]):
        return None
    return named if "://" in named else f"http://{named}"


def _goes_directly(host: str, excepted: Iterable[str]) -> bool:
    address = _network(host)
    for word in map(str.strip, excepted):
        name = word.lstrip("*").lstrip(".").lower()
        if word == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
        network = _network(word)
        if address and network and address[0] in network:
            return True
    return False


def _network(word: str) -> IPv4Network | IPv6Network | None:
    with contextlib.suppress(ValueError):
        return ip_network(word, strict=False)
    return None
