"""Three-way merge of JSON: what was inherited then, the source now, the instance now.

The instance's own changes win. Objects are merged member by member, lists of objects that all have an `id` of
their own (models) by that id; every other list is one value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class _Missing:
    """No value at all, which is not the same as null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What came of a merge; `conflicts` are the dotted keys that both sides changed, where `mine` stayed."""

    value: Any
    conflicts: tuple[str, ...]


def merge(base: object, theirs: object, mine: object, path: str = "") -> Merged:
    """Return `mine` with what changed from `base` to `theirs`, but for what changed from `base` to `mine`.

    Each may be `MISSING`, and so may the result. With the result in the place of `mine` it comes out again.
    """
    if same(theirs, mine) or same(base, theirs):
        return Merged(value=mine, conflicts=())
    if same(base, mine):
        return Merged(value=theirs, conflicts=())
    if isinstance(mine, dict) and (isinstance(theirs, dict) or _is_removal(base, theirs)):
        return _merge_objects(base, theirs, mine, path)
    entries = [_by_id(value) for value in (base, theirs, mine)]
    if entries[1] is not None and entries[2] is not None:
        merged = _merge_objects(entries[0] or {}, entries[1], entries[2], path)
        return Merged(value=list(merged.value.values()), conflicts=merged.conflicts)
    return Merged(value=mine, conflicts=(path or "the whole",))


def same(one: object, other: object) -> bool:
    """Tell whether two values are the same JSON, in whatever order; in Python 1, 1.0 and true are equal."""
    if one is MISSING or other is MISSING:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def overlay(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return `lower` with everything of `upper` over it, objects member by member."""
    merged = dict(lower)
    for name, value in upper.items():
        below = merged.get(name)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[name] = overlay(below, value)
        else:
            merged[name] = value
    return merged


def differences(before: object, after: object, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each dotted key whose value differs, with both values, of which one may be `MISSING`."""
    if same(before, after):
        return
    pair = (before, after)
    if not all(isinstance(value, dict) for value in pair):
        listed = [_by_id(value) for value in pair]
        if any(entries is None for entries in listed):
            yield path, before, after
            return
        pair = (listed[0], listed[1])
    one, other = pair
    assert isinstance(one, dict)  # noqa: S101 - for mypy
    assert isinstance(other, dict)  # noqa: S101
    found = [
        difference
        for name in dict.fromkeys((*one, *other))
        for difference in differences(one.get(name, MISSING), other.get(name, MISSING), _join(path, name))
    ]
    # Where the order alone differs, of a list, the whole of it does.
    yield from found or [(path, before, after)]


def _merge_objects(base: object, theirs: object, mine: dict[str, Any], path: str) -> Merged:
    then = base if isinstance(base, dict) else {}
    now = theirs if isinstance(theirs, dict) else {}
    merged: dict[str, Any] = {}
    conflicts: list[str] = []
    for name in dict.fromkeys((*mine, *now)):
        old, new, own = (side.get(name, MISSING) for side in (then, now, mine))
        member = merge(old, new, own, _join(path, name))
        conflicts += member.conflicts
        if member.value is not MISSING:
            merged[name] = member.value
    gone = theirs is MISSING and not merged
    return Merged(value=MISSING if gone else merged, conflicts=tuple(conflicts))


def _is_removal(base: object, theirs: object) -> bool:
    return theirs is MISSING and isinstance(base, dict)


def _by_id(value: object) -> dict[str, Any] | None:
    """Return a list of objects by the `id` of each, None where they have none or share one."""
    if not isinstance(value, list):
        return None
    found = {item["id"]: item for item in value if isinstance(item, dict) and isinstance(item.get("id"), str)}
    return found if len(found) == len(value) else None


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
