"""Reads a kubeconfig: which clusters it names, by what to be let in there, and what of it OCM cannot use.

What changes who asks or whom, and lightkube 1.0.1 passes over, is refused: it would ask as another, or go
another way than kubectl does.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec

from openclaw_ocm.core.text import printable, some_of
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

MAX_BYTES = 2**20
_MOST_NAMED, _MAX_NAME = 10, 100
_EXEC_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
_ANEW = "fetch the kubeconfig anew, as you did for kubectl, or name another context"


class Server(msgspec.Struct, frozen=True, rename="kebab"):
    """Where the API server is and whom it is believed to be (`cluster` of client-go's api/v1)."""

    server: str = ""
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None


class Variable(msgspec.Struct, frozen=True):
    """A variable of a program's environment, which may be a secret."""

    name: str
    value: str

    def __repr__(self) -> str:
        """Return its name alone."""
        return f"Variable({self.name})"


class Program(msgspec.Struct, frozen=True, rename="camel"):
    """The program that prints a credential (`exec`)."""

    command: str
    api_version: str
    args: list[str] | None = None
    env: list[Variable] | None = None
    provide_cluster_info: bool = False

    def __repr__(self) -> str:
        """Return its name alone: its arguments may hold a secret."""
        return f"Program({self.command})"


class User(msgspec.Struct, frozen=True, rename="kebab"):
    """By what a user is let in."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(name="tokenFile", default=None)
    username: str | None = None
    password: str | None = None
    exec: Program | None = None
    auth_provider: dict[str, Any] | None = None
    impersonate: str | None = msgspec.field(name="as", default=None)
    impersonate_groups: list[str] | None = msgspec.field(name="as-groups", default=None)
    impersonate_uid: str | None = msgspec.field(name="as-uid", default=None)
    impersonate_extra: dict[str, Any] | None = msgspec.field(name="as-user-extra", default=None)

    def __repr__(self) -> str:
        """Return nothing of what is secret."""
        return "User(...)"


class _Pair(msgspec.Struct, frozen=True):
    cluster: str = ""
    user: str = ""
    namespace: str | None = None


class _NamedServer(msgspec.Struct, frozen=True):
    name: str
    cluster: Server


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: User | None = None


class _NamedPair(msgspec.Struct, frozen=True):
    name: str
    context: _Pair


class Kubeconfig(msgspec.Struct, frozen=True, rename="kebab"):
    """A kubeconfig as it is written, of which more is passed over."""

    clusters: list[_NamedServer] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedPair] | None = None
    current_context: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesContext:
    """A context as a person chooses it: its name, which server it leads to and as whom."""

    name: str
    server: str
    user: str
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """What one context of a kubeconfig says: whom to ask, and by what to be let in."""

    context: str
    user_name: str
    server: Server
    user: User


def parse(data: bytes, path: PurePosixPath) -> Kubeconfig:
    """Return the kubeconfig in `data`, which was read from `path`; raise `OcmError` where it is none."""
    try:
        return msgspec.yaml.decode(data, type=Kubeconfig)
    except msgspec.ValidationError as error:
        # It names the kind of what is there and where, and no value.
        raise _invalid(path, printable(str(error), limit=_MAX_NAME * 2)) from None
    # RecursionError: where PyYAML has no libyaml, which bounds the depth.
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise _invalid(path, f"no YAML can be read in it{_line(error)}") from None


def contexts(config: Kubeconfig) -> tuple[KubernetesContext, ...]:
    """Return the contexts of a kubeconfig in its order, those that lead nowhere among them."""
    servers = {one.name: one.cluster.server for one in config.clusters or ()}
    return tuple(
        KubernetesContext(
            name=shown(one.name),
            server=shown(servers.get(one.context.cluster, "")),
            user=shown(one.context.user),
            current=one.name == config.current_context,
        )
        for one in config.contexts or ()
    )


def choose(config: Kubeconfig, name: str, path: PurePosixPath) -> Entrance:
    """Return what the context of this name says.

    Raises `OcmError` where there is none, where what it names is not there, and where OCM cannot use it.
    """
    pair = next((one.context for one in config.contexts or () if one.name == name), None)
    if pair is None:
        raise _no_context(config, name, path)
    server = next((one.cluster for one in config.clusters or () if one.name == pair.cluster), None)
    if server is None or not server.server:
        message = f"context {shown(name)} of {path} names no cluster with an address in it"
        raise OcmError(message, hint=_ANEW, code="kubeconfig_invalid")
    user = next((one.user or User() for one in config.users or () if one.name == pair.user), None)
    if user is None:
        message = f"context {shown(name)} of {path} names no user in it"
        raise OcmError(message, hint=_ANEW, code="credentials_missing")
    for obstacle in (*_server_obstacles(server), *_user_obstacles(user)):
        message = f"context {shown(name)} of {path} {obstacle}"
        raise OcmError(message, hint="name a context without that", code="kubeconfig_unsupported")
    if not _lets_in(user):
        message = (
            f"user {shown(pair.user)} of {path} has no certificate, no token and no program that gives one"
        )
        raise OcmError(message, hint=_ANEW, code="credentials_missing")
    return Entrance(context=shown(name), user_name=shown(pair.user), server=server, user=user)


def _server_obstacles(server: Server) -> Iterator[str]:
    if not server.server.startswith("https://"):
        yield "asks without TLS, so that others would read what is secret"
    if server.insecure_skip_tls_verify:
        yield "does not look at the certificate of the API server (insecure-skip-tls-verify)"
    if server.tls_server_name:
        yield "gives the API server another name (tls-server-name), which OCM cannot"


def _user_obstacles(user: User) -> Iterator[str]:
    if user.auth_provider:
        yield "lets in by auth-provider, which Kubernetes has given up since 1.26: have exec in its place"
    if user.impersonate or user.impersonate_groups or user.impersonate_uid or user.impersonate_extra:
        yield "acts as another user (as), which OCM cannot"
    if user.exec and user.exec.api_version not in _EXEC_VERSIONS:
        yield f"has an exec of the version {shown(user.exec.api_version)}, which OCM does not know"


def _lets_in(user: User) -> bool:
    certificate = (user.client_certificate or user.client_certificate_data) and (
        user.client_key or user.client_key_data
    )
    basic = user.username and user.password
    return bool(certificate or user.token or user.token_file or user.exec or basic)


def _no_context(config: Kubeconfig, name: str, path: PurePosixPath) -> Invalid:
    names = [shown(one.name) for one in config.contexts or ()]
    near = get_close_matches(name, names, n=1)
    hint = f"it has {some_of(names, _MOST_NAMED)}" if names else "it has none: log in to a cluster first"
    if near:
        hint = f"did you mean {near[0]}?"
    return Invalid(f"{path} has no context {shown(name)}", hint=hint, code="context_unknown")


def _invalid(path: PurePosixPath, why: str) -> OcmError:
    return OcmError(
        f"{path} is no kubeconfig: {why}", hint="mend it, or name another", code="kubeconfig_invalid"
    )


def _line(error: BaseException) -> str:
    """Return where the YAML ends to be any; what stands there may be secret."""
    mark = getattr(error.__cause__ or error.__context__, "problem_mark", None)
    number = getattr(mark, "line", None)
    return f" from line {number + 1} on" if isinstance(number, int) else ""


def shown(name: str) -> str:
    """Return a name that a kubeconfig has, to print."""
    return printable(name, limit=_MAX_NAME)
