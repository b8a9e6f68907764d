"""Sessions in pods: the command that is one, and how those that there are are found, signalled and ended.

Each has a token in the environment of its processes. Only what runs in the pod can be asked there, and a
process in it gives itself any environment: a pod that lies has its own sessions ended, or says that it has
some which do not end.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.backends.ending_sessions import end_all
from openclaw_ocm.backends.kubernetes.execution import VARIABLE, stream_in
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.sandbox.launch import PERL
from openclaw_ocm.system import programs
from openclaw_ocm.system.own import module_argv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openclaw_ocm.backends.kubernetes.execution import Target, Websockets

_ATTACH = "openclaw_ocm.backends.kubernetes.attach"
_ASK_SECONDS, _MOST_BYTES = 20.0, 2**16
_STOP_SECONDS = 10.0
_KEEP = (
    "my %kept = map { $_ => 1 } splice @ARGV, 0, shift; delete @ENV{grep { !$kept{$_} } keys %ENV}; "
    "exec { $ARGV[0] } @ARGV; exit 127"
)
_POLL_SECONDS = 0.5


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session as the command that is one is told of it: which cluster, which container, which program."""

    kubeconfig: str
    context: str
    namespace: str
    pod: str
    container: str
    token: str
    argv: tuple[str, ...]
    environ: dict[str, str]
    directory: str
    terminal: bool


def new_token(name: InstanceName) -> str:
    """Return the token of a session to be."""
    return f"{name}.{secrets.token_hex(8)}"


def instance_of(token: str) -> InstanceName:
    """Return the instance whose session has this token."""
    return InstanceName(token.rpartition(".")[0])


def session_argv(wanted: Wanted) -> tuple[str, ...]:
    """Return the command that is a session, on the standard streams that it is given.

    Every user of this machine can read it: no secret may be in the `environ` of a session.
    """
    return module_argv(_ATTACH, msgspec.json.encode(wanted).decode())


def with_nothing_but(names: Iterable[str], argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return `argv` run with these variables alone of those that its container has, and the token's."""
    kept = (VARIABLE, *names)
    return (PERL, "-e", _KEEP, str(len(kept)), *kept, *argv)


def signal_session(cluster: Websockets, target: Target, token: str, number: int) -> None:
    """Send a signal to the program of a session, SIGKILL to all of it; raises `OcmError` where it cannot."""
    _ask(cluster, target, token, str(int(number)))


def sessions_in(cluster: Websockets, target: Target, name: InstanceName) -> frozenset[str]:
    """Return the tokens of an instance's sessions in its pod; raises `OcmError` where it cannot be asked."""
    told = _ask(cluster, target).decode(errors="replace").split()
    return frozenset(token for token in told if instance_of(token) == name)


def stop_sessions(cluster: Websockets, target: Target, name: InstanceName) -> None:
    """End the sessions of an instance in a container, with SIGKILL those that take too long.

    Raises `OcmError` where new ones keep coming, or the pod cannot be asked.
    """
    find, send = partial(sessions_in, cluster, target, name), partial(signal_session, cluster, target)
    end_all(find, send, seconds=_STOP_SECONDS, poll_seconds=_POLL_SECONDS)


def _ask(cluster: Websockets, target: Target, *words: str) -> bytes:
    argv = (PERL, "-e", programs.text("find_sessions.pl"), "--", *words)
    return stream_in(cluster, target, argv, (), limit=_MOST_BYTES, deadline_seconds=_ASK_SECONDS)
