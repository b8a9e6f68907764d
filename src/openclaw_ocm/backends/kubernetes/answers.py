"""Turns what an API server answers into one sentence, where that is a failure.

What it says may repeat what was asked, and so a secret: of Secrets it is not shown. All else is cut short.
The words are those of k8s.io/apimachinery's api/errors and of the apiserver's authorization and admission.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from openclaw_ocm.backends.kubernetes.rights import Right, rules
from openclaw_ocm.core.text import printable, some_of
from openclaw_ocm.errors import ClusterUnreachable, OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openclaw_ocm.backends.kubernetes.kinds import Place

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, GONE, INVALID = 400, 401, 403, 404, 409, 410, 422
BUSY, INTERNAL = 429, 500
_MAX_WORDS, _MAX_PARSED = 300, 4000
_MOST_TOLD, _MOST_CAUSES = 3, 100
# Causes: FieldManagerConflict and NamespaceTerminating of k8s.io/api; older servers have the words alone.
_IN_THE_WAY, _TERMINATING, _ENDING = "FieldManagerConflict", "NamespaceTerminating", "is being terminated"
_AGAIN = "try again"
_GO_STRING = r'"((?:[^"\\]|\\.)*)"'
_CANNOT = re.compile(
    r'User "(?P<user>(?:[^"\\]|\\.)*)" cannot (?P<verb>[a-z]+) resource "(?P<resource>[a-z0-9./-]+)" '
    r'in API group "(?P<group>[a-z0-9.-]*)" '
    r'(?:at the cluster scope|in the namespace "(?P<namespace>[a-z0-9-]+)")'
)
_QUOTA = re.compile(r"(?:exceeded|failed) quota: (?P<quota>[a-z0-9.-]+)[,:] (?P<why>.*)", re.DOTALL)
_MANAGER = re.compile(rf"conflict with {_GO_STRING}")


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""
    field: str = ""


class _Details(msgspec.Struct, frozen=True):
    name: str = ""
    kind: str = ""
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct, frozen=True):
    """What an API server answers with a failure (`Status` of meta/v1)."""

    kind: str
    message: str = ""
    reason: str = ""
    details: _Details | None = None

    @property
    def causes(self) -> list[_Cause]:
        return (self.details.causes if self.details else None) or []


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked of whom: `cluster` in words, and the object or the objects that it was about, if any."""

    cluster: str
    place: Place | None = None

    @property
    def what(self) -> str:
        """What it was about, in words."""
        return "what it was asked for" if self.place is None else str(self.place)


class Told(NamedTuple):
    """What is told of a failure."""

    message: str
    hint: str | None
    code: str


class ClusterRefuses(OcmError):
    """An API server does not do what it was asked, or something else answers in its place.

    `status` is HTTP's, `of_object` tells that it is about the very object that was asked for, and `managers`
    are the field managers whose values are in the way.
    """

    def __init__(
        self,
        told: Told,
        *,
        status: int,
        of_object: bool = False,
        managers: tuple[str, ...] = (),
    ) -> None:
        super().__init__(told.message, hint=told.hint, code=told.code)
        self.status, self.of_object, self.managers = status, of_object, managers


def refused(status: int, body: bytes, asked: Asked) -> OcmError:
    """Return the error for an HTTP status of failure and what came with it.

    `ClusterUnreachable` for what may pass by itself, `ClusterRefuses` for all else.
    """
    said = _status(body)
    if status == BUSY or status >= INTERNAL:
        words = _words(said, asked) if said else ""
        message = f"{asked.cluster} cannot answer now: {words or f'HTTP status {status}'}"
        return ClusterUnreachable(message, hint=_AGAIN, code="cluster_busy")
    if status == UNAUTHORIZED:
        message = (
            f"{asked.cluster} does not let you in: your token or certificate has ended or is not known there"
        )
        told = Told(message, hint="log in to it as you do for kubectl", code="cluster_unauthorized")
        return ClusterRefuses(told, status=status)
    if said is None:
        message = f"what answers for {asked.cluster} is no API server: HTTP status {status}"
        hint = "does a proxy or a login page answer in its place?"
        return ClusterRefuses(Told(message, hint=hint, code="cluster_answer"), status=status)
    told = _TELLERS.get(status, _other)(said, asked)
    return ClusterRefuses(
        told, status=status, of_object=_is_of(said, asked), managers=tuple(dict.fromkeys(_managers(said)))
    )


def _status(body: bytes) -> _Status | None:
    try:
        found = msgspec.json.decode(body, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.kind == "Status" else None


def _is_of(said: _Status, asked: Asked) -> bool:
    """Tell whether an answer is about the object that was asked for, and no mere path that is not there."""
    details, place = said.details, asked.place
    if details is None or place is None:
        return False
    return (details.name, details.kind) == (place.name, place.kind.plural)


def _forbidden(said: _Status, asked: Asked) -> Told:
    message = said.message[:_MAX_PARSED]
    if (cannot := _CANNOT.search(message)) is not None:
        return _not_allowed(cannot, asked)
    if (quota := _QUOTA.search(message)) is not None:
        told = f"{asked.what} does not fit into the quota {_cut(quota['quota'])}: {_cut(quota['why'])}"
        hint = "ask the cluster's administrator for a larger one, or ask for less"
        return Told(told, hint=hint, code="cluster_quota")
    if any(cause.reason == _TERMINATING for cause in said.causes) or _ENDING in message:
        told = f"the namespace of {asked.what} is being deleted"
        return Told(told, hint="try again once it is gone", code="namespace_ending")
    return _other(said, asked)


def _not_allowed(cannot: re.Match[str], asked: Asked) -> Told:
    right = Right(cannot["verb"], cannot["resource"], cannot["group"], cannot["namespace"])
    told = f"{asked.cluster} does not let {_cut(cannot['user'])} {_cut(str(right))}"
    role = f"a Role in namespace {right.namespace}" if right.namespace else "a ClusterRole"
    hint = f"its administrator can give that by this rule of {role}: {_cut(rules([right])[0])}"
    return Told(told, hint=hint, code="cluster_forbidden")


def _conflicting(said: _Status, asked: Asked) -> Told:
    managers = [_cut(manager) for manager in dict.fromkeys(_managers(said))]
    if managers:
        fields = [_cut(cause.field) for cause in said.causes[:_MOST_CAUSES]]
        told = f"{some_of(managers, _MOST_TOLD)} changed {some_of(fields, _MOST_TOLD)} of {asked.what}"
        return Told(told, hint="have that undone there, so that OCM can set it", code="cluster_conflict")
    return _overtaken(asked)


def _overtaken(asked: Asked) -> Told:
    told = f"{asked.what} was changed or made by another at the same time"
    return Told(told, hint=_AGAIN, code="cluster_conflict")


def _managers(said: _Status) -> Iterator[str]:
    for cause in said.causes[:_MOST_CAUSES]:
        found = _MANAGER.match(cause.message[:_MAX_PARSED])
        if cause.reason == _IN_THE_WAY and found is not None:
            yield found[1]


def _missing(said: _Status, asked: Asked) -> Told:
    told = f"{asked.cluster} does not have {asked.what}: {_words(said, asked)}"
    return Told(told, hint="ocm status tells what is there", code="not_in_cluster")


def _invalid(said: _Status, asked: Asked) -> Told:
    # That of an object that was meant: older servers call another one's no conflict.
    if any(cause.field == "metadata.uid" for cause in said.causes[:_MOST_CAUSES]):
        return _overtaken(asked)
    wrong = [_wrong(cause, asked) for cause in said.causes[:_MOST_CAUSES]]
    words = some_of(wrong, _MOST_TOLD) or _words(said, asked)
    return Told(f"{asked.cluster} does not take {asked.what}: {words}", hint=None, code="cluster_refuses")


def _wrong(cause: _Cause, asked: Asked) -> str:
    message = "" if _is_secret(asked) else _cut(cause.message)
    return ": ".join(filter(None, (_cut(cause.field), message)))


def _other(said: _Status, asked: Asked) -> Told:
    words = _words(said, asked) or _cut(said.reason)
    return Told(
        f"{asked.cluster} refuses what it was asked about {asked.what}: {words}", None, "cluster_refuses"
    )


_TELLERS: dict[int, Callable[[_Status, Asked], Told]] = {
    FORBIDDEN: _forbidden,
    NOT_FOUND: _missing,
    CONFLICT: _conflicting,
    INVALID: _invalid,
}


def _words(said: _Status, asked: Asked) -> str:
    return "" if _is_secret(asked) else _cut(said.message)


def _is_secret(asked: Asked) -> bool:
    return asked.place is not None and asked.place.kind.name == "Secret"


def _cut(text: str) -> str:
    return printable(text, limit=_MAX_WORDS)
