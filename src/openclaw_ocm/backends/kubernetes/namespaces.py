"""Tells from an object's labels whose it is, and from a namespace what keeps it from being gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.backends.kubernetes.kinds import Place

_MAX_WORDS, _MOST_CONDITIONS = 300, 20


def refuse_foreign(found: Mapping[str, Any], where: Place, labels: Mapping[str, str]) -> None:
    """Raise `OcmError` where an object of the cluster has not these labels: it is not ours to change.

    Without labels to tell it by, nothing is ours.
    """
    has = as_object(as_object(found.get("metadata")).get("labels"))
    if not labels or any(has.get(name) != value for name, value in labels.items()):
        raise foreign(where, found)


def foreign(where: Place, found: Mapping[str, Any]) -> OcmError:
    """Return the error for an object that is another's."""
    metadata = as_object(found.get("metadata"))
    if places.INSTANCE in as_object(metadata.get("labels")):
        owner = words(as_object(metadata.get("annotations")).get(places.OWNED_BY))
        whose = f"of another who uses OCM{f', {owner}' if owner else ''}"
    else:
        whose = "none that OCM made"
    message = f"{where} is {whose}: it is left alone"
    hint = "give the instance another name, or have that one removed by who made it"
    return OcmError(message, hint=hint, code="namespace_taken")


def remaining(found: Mapping[str, Any]) -> str:
    """Return in words what an object that is being deleted waits for."""
    told = list(_unmet(found))
    return "; ".join(told) if told else "what is in it comes to its end"


def _unmet(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the conditions of a namespace tell (its controller sets each to `True` for what remains)."""
    conditions = lookup(dict(found), "status.conditions")
    for condition in map(as_object, conditions[:_MOST_CONDITIONS] if isinstance(conditions, list) else ()):
        if condition.get("status") == "True" and (message := words(condition.get("message"))):
            yield message


def words(found: object) -> str:
    """Return what is a text of the cluster's, to print; nothing for anything else."""
    return printable(found, limit=_MAX_WORDS) if isinstance(found, str) else ""
