"""What OCM asks of a cluster, as plain data: the one place that talks to an API server.

Whose a namespace is, its labels tell, and they are looked at before each change: none of another is touched.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.answers import CONFLICT, GONE, INVALID, NOT_FOUND, ClusterRefuses
from openclaw_ocm.backends.kubernetes.connection import JSON, READ_SECONDS, Connection, Request
from openclaw_ocm.backends.kubernetes.kinds import Place, place
from openclaw_ocm.backends.kubernetes.namespaces import foreign, refuse_foreign, remaining, words
from openclaw_ocm.backends.kubernetes.rights import review
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.errors import ClusterUnreachable, OcmError
from openclaw_ocm.system.in_time import at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from httpx2.websockets import WebSocketSession
    from typing_extensions import Self

    from openclaw_ocm.backends.kubernetes.manifests import Object
    from openclaw_ocm.backends.kubernetes.rights import Right
    from openclaw_ocm.core.placement import Access
    from openclaw_ocm.system.host import Host

MANAGER = "ocm"
_APPLY, _JSON_PATCH = "application/apply-patch+yaml", "application/json-patch+json"
# A cluster's own webhooks may take 30 s for what is made or changed (admissionregistration/v1).
_CHANGE_SECONDS = 40.0
_PAGE, _MOST_ITEMS, _MOST_BYTES = 500, 20_000, 2**26
_POLL_SECONDS = 0.5
_MAX_LINE = 2**16
_AT_ONCE = 10
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


class Cluster:
    """One cluster, asked by one user of it; nothing is opened before the first question.

    Each method raises `ClusterUnreachable` where no answer comes, `ClusterRefuses` where that is a no, and
    `OcmError` where the kubeconfig leads nowhere or the answer cannot be read.
    """

    def __init__(self, access: Access, host: Host) -> None:
        self._connection = Connection(access, host)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End what is open; the next question opens it anew."""
        self._connection.close()

    # What is there

    def list(
        self,
        kind: str,
        labels: Mapping[str, str] | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        namespace: str | None = None,
    ) -> tuple[Object, ...]:
        """Return the objects of a kind that have these labels, of one namespace or, with None, of all.

        They are as the API server has them, without `kind` and `apiVersion`. Of `fields` it knows few.
        """
        where = place(kind, namespace=namespace)
        found = {"labelSelector": _selector(labels), "fieldSelector": _selector(fields)}
        selectors = {name: text for name, text in found.items() if text}
        try:
            return tuple(self._pages(where, selectors))
        except ClusterRefuses as error:
            if error.status != GONE:
                raise
        # The list became too old between two of its pages.
        return tuple(self._pages(where, selectors))

    def get(self, kind: str, name: str, *, namespace: str | None = None) -> Object | None:
        """Return an object, None where the API server says that this one is not there."""
        return self._found(place(kind, namespace=namespace, name=name))

    def version(self) -> str:
        """Return the version of the API server, such as `v1.20.2`."""
        return words(self._answer(Request(method="GET", path="/version")).get("gitVersion"))

    def default_storage_class(self) -> str | None:
        """Return what volumes are made of where nobody says, None where the cluster has no such thing.

        Of several the newest is (k8s.io/kubernetes, storage admission, since 1.26).
        """
        found = [one for one in self.list("StorageClass") if _is_default(one)]
        newest = max(found, key=lambda one: words(lookup(one, "metadata.creationTimestamp")), default=None)
        return None if newest is None else words(lookup(newest, "metadata.name"))

    def missing(self, rights: Iterable[Right]) -> tuple[Right, ...]:
        """Return which of these rights the one who asks has not."""
        wanted = tuple(rights)
        allowed: list[bool] = []
        for first in range(0, len(wanted), _AT_ONCE):
            some = wanted[first : first + _AT_ONCE]
            allowed += at_once(partial(self._has, right) for right in some)
        return tuple(right for right, has in zip(wanted, allowed, strict=True) if not has)

    def _has(self, right: Right) -> bool:
        answer = self._change("POST", place("SelfSubjectAccessReview"), review(right), {})
        return lookup(answer, "status.allowed") is True

    def _pages(self, where: Place, selectors: Mapping[str, str]) -> Iterator[Object]:
        parameters = {"limit": str(_PAGE), **selectors}
        count, left = 0, _MOST_BYTES
        while True:
            request = Request(method="GET", path=where.path(), place=where, parameters=parameters, limit=left)
            data = self._connection.ask(request)
            page = self._decoded(data)
            items = page.get("items")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise self._unreadable()
            yield from items
            count, left = count + len(items), left - len(data)
            following = lookup(page, "metadata.continue")
            if not isinstance(following, str) or not following:
                return
            if count >= _MOST_ITEMS or not items:
                message = f"{self._connection.named} has more than {count} {where}"
                raise OcmError(message, hint="OCM reads no more of them", code="cluster_answer")
            parameters["continue"] = following

    # What is changed

    def apply(self, objects: Iterable[Object], *, dry_run: bool = False, force: bool = False) -> None:
        """Have the cluster make of its objects what these say, in this order (server-side apply).

        A namespace is made where there is none, and is one of the labels that its object has or nothing is
        done. With `force` values that others have set meanwhile are set back. With `dry_run` nothing is
        changed; what lies in a namespace that is not there cannot be asked, and is not.
        """
        absent: set[object] = set()
        for one in objects:
            metadata = one["metadata"]
            where = place(one["kind"], namespace=metadata.get("namespace"), name=metadata["name"])
            if where.kind.name == "Namespace":
                uid = self._own_namespace(one, where, dry_run=dry_run)
                if uid is None:
                    absent.add(where.name)
                    continue
                # With it, another of the same name that has come meanwhile is a conflict.
                one = {**one, "metadata": {**metadata, "uid": uid}}  # noqa: PLW2901 - the same with its uid
            if where.namespace is None or where.namespace not in absent:
                self._apply(one, where, dry_run=dry_run, force=force)

    def _apply(self, one: Object, where: Place, *, dry_run: bool, force: bool) -> None:
        parameters = {"fieldManager": MANAGER, **_dry(dry_run=dry_run)}
        try:
            self._change("PATCH", where, one, {**parameters, "force": str(force).lower()}, _APPLY)
        except ClusterRefuses as error:
            # What OCM has set by another way than this, such as the number of replicas.
            if error.status != CONFLICT or set(error.managers) != {MANAGER}:
                raise
            self._change("PATCH", where, one, {**parameters, "force": "true"}, _APPLY)

    def _own_namespace(self, wanted: Object, where: Place, *, dry_run: bool) -> str | None:
        """Return the uid of a namespace that is as wanted, None where it would be made.

        Raises `OcmError` where one of this name is another's: who made it first has it.
        """
        found = self.get("Namespace", wanted["metadata"]["name"])
        if found is None:
            parameters = {"fieldManager": MANAGER, **_dry(dry_run=dry_run)}
            try:
                found = self._change("POST", Place(where.kind), wanted, parameters)
                if dry_run:
                    return None
            except ClusterRefuses as error:
                if error.status != CONFLICT:
                    raise
                found = self.get("Namespace", wanted["metadata"]["name"])
        labels = lookup(wanted, "metadata.labels")
        refuse_foreign(found or {}, where, {name: labels[name] for name in (places.INSTANCE, places.OWNER)})
        if lookup(found or {}, "metadata.deletionTimestamp") is not None:
            message = f"{where} is being deleted"
            raise OcmError(message, hint="try again once it is gone", code="namespace_ending")
        return words(lookup(found or {}, "metadata.uid"))

    def scale(self, namespace: str, replicas: int, labels: Mapping[str, str]) -> None:
        """Have the gateway in a namespace run (1) or not (0), where it has these labels."""
        where = place("StatefulSet", namespace=namespace, name=places.GATEWAY)
        tests = [
            {"op": "test", "path": f"/metadata/labels/{_escaped(name)}", "value": value}
            for name, value in labels.items()
        ]
        patch = [*tests, {"op": "replace", "path": "/spec/replicas", "value": replicas}]
        try:
            self._change("PATCH", where, patch, {"fieldManager": MANAGER}, _JSON_PATCH)
        except ClusterRefuses as error:
            if error.status != INVALID:
                raise
            raise foreign(where, {}) from None

    def delete(
        self,
        where: Place,
        labels: Mapping[str, str],
        *,
        seconds: float,
        report: Callable[[str], None],
        grace_seconds: int | None = None,
    ) -> None:
        """Delete an object that has these labels, with all that is in it, and wait until it is gone.

        `report` is told what it waits for. With `grace_seconds` of 0 a pod is gone whether its node has ended
        it or not; None is as it says itself. Raises `OcmError` where it is not gone after `seconds`: then it
        goes on, and the same call waits on. Nothing where it is not there.
        """
        found = self._found(where)
        if found is None:
            return
        refuse_foreign(found, where, labels)
        uid = lookup(found, "metadata.uid")
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": uid},
            **({} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}),
        }
        try:
            self._change("DELETE", where, options, {})
        except ClusterRefuses as error:
            if error.status not in (NOT_FOUND, CONFLICT):
                raise
        self._wait_for_end(where, uid, seconds, report)

    def _wait_for_end(self, where: Place, uid: object, seconds: float, report: Callable[[str], None]) -> None:
        deadline, last = time.monotonic() + seconds, ""
        while True:
            try:
                found = self._found(where)
                if found is None or lookup(found, "metadata.uid") != uid:
                    return
                told = remaining(found)
            except ClusterUnreachable as error:
                # It may be away for a moment of minutes.
                told = error.message
            if told != last:
                report(told)
            last = told
            if time.monotonic() > deadline:
                message = f"{where} is not gone after {seconds:g} s: {told}"
                raise OcmError(message, hint="it goes on; delete it again to wait on", code="timeout")
            time.sleep(_POLL_SECONDS)

    # What goes on in it

    def log(  # noqa: PLR0913 - each is one of the API's
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since_seconds: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
    ) -> Generator[bytes, None, None]:
        """Yield the lines of a container's log, each cut short, without their ends.

        The last `tail` of them, of the last `since_seconds`; with `follow` those that come as well, until it
        ends; with `previous` those of the one before. `timestamps` puts before each when it was written.
        """
        where = place("Pod", namespace=namespace, name=pod)
        switches = {"follow": follow, "timestamps": timestamps, "previous": previous}
        amounts = {"tailLines": tail, "sinceSeconds": since_seconds}
        request = Request(
            method="GET",
            path=where.path("log"),
            place=where,
            parameters={
                "container": container,
                **{name: "true" for name, wanted in switches.items() if wanted},
                **{name: str(amount) for name, amount in amounts.items() if amount is not None},
            },
            silence_seconds=None if follow else READ_SECONDS,
        )
        with self._connection.stream(request) as chunks:
            yield from _lines(chunks)

    def websocket(
        self,
        path: str,
        parameters: Sequence[tuple[str, str]],
        subprotocols: Sequence[str],
    ) -> AbstractContextManager[WebSocketSession]:
        """Give an open websocket, such as that of `place("Pod", ...).path("exec")`.

        Which of the subprotocols the server took is its `subprotocol`. What fails once it is open is as
        httpx2 raises it.
        """
        return self._connection.websocket(path, parameters, subprotocols)

    # How it is asked

    def _found(self, where: Place) -> Object | None:
        try:
            return self._answer(Request(method="GET", path=where.path(), place=where))
        except ClusterRefuses as error:
            if error.status == NOT_FOUND and error.of_object:
                return None
            raise

    def _answer(self, request: Request) -> Object:
        return self._decoded(self._connection.ask(request))

    def _decoded(self, data: bytes) -> Object:
        try:
            found = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._unreadable()
        return found

    def _change(
        self, method: str, where: Place, body: object, parameters: Mapping[str, str], content_type: str = JSON
    ) -> Object:
        return self._answer(
            Request(
                method=method,
                path=where.path(),
                place=where,
                parameters=parameters,
                body=msgspec.json.encode(body),
                content_type=content_type,
                silence_seconds=_CHANGE_SECONDS,
            )
        )

    def _unreadable(self) -> OcmError:
        message = f"what answers for {self._connection.named} is no API server: it says what OCM cannot read"
        hint = "does a proxy or a login page answer in its place?"
        return OcmError(message, hint=hint, code="cluster_answer")


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines in what comes in chunks: of a long one the beginning, once it has ended."""
    begun = bytearray()
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        begun += first[: _MAX_LINE - len(begun)]
        for line in others:
            yield bytes(begun)
            begun = bytearray(line[:_MAX_LINE])
    if begun:
        yield bytes(begun)


def _selector(wanted: Mapping[str, str] | None) -> str:
    return ",".join(f"{name}={value}" for name, value in (wanted or {}).items())


def _is_default(storage_class: Object) -> bool:
    annotations = as_object(lookup(storage_class, "metadata.annotations"))
    return any(annotations.get(name) == "true" for name in _DEFAULT_CLASS)


def _dry(*, dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _escaped(key: str) -> str:
    """Return a key as a JSON pointer has it (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
