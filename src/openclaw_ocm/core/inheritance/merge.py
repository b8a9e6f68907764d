"""Three-way merge of JSON: what was inherited then, the source now, the instance now.

The instance's own changes win. Objects are merged member by member, lists of objects that all have an `id` of
their own (models) by that id; every other list is one value. What the source removed and the instance changed
stays as the instance has it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# What is in these is one thing: left with a part of its members it is none that OpenClaw takes.
_COLLECTIONS = (
    ("models", "providers"),
    ("plugins", "entries"),
    ("auth", "profiles"),
    ("secrets", "providers"),
)

Place = tuple[str, ...]


class _Missing:
    """No value at all, which is not the same as null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What came of a merge; `conflicts` are the places that both sides changed, where `mine` stayed."""

    value: Any
    conflicts: tuple[Place, ...]


def merge(base: object, theirs: object, mine: object, place: Place = ()) -> Merged:
    """Return `mine` with what changed from `base` to `theirs`, but for what changed from `base` to `mine`.

    Each may be `MISSING`, and so may the result. With the result in the place of `mine` it comes out again.
    """
    if same(theirs, mine) or same(base, theirs):
        return Merged(value=mine, conflicts=())
    if same(base, mine):
        return Merged(value=theirs, conflicts=())
    removed = theirs is MISSING and isinstance(base, dict)
    if isinstance(mine, dict) and (isinstance(theirs, dict) or removed):
        return _merge_objects(base, theirs, mine, place, is_collection=place in _COLLECTIONS)
    entries = [_by_id(value) for value in (base, theirs, mine)]
    if entries[1] is not None and entries[2] is not None:
        merged = _merge_objects(entries[0] or {}, entries[1], entries[2], place, is_collection=True)
        return Merged(value=list(merged.value.values()), conflicts=merged.conflicts)
    return Merged(value=mine, conflicts=(place,))


def same(one: object, other: object) -> bool:
    """Tell whether two values are the same JSON, in whatever order.

    To Python 1 and true are equal, and to OpenClaw, which writes 1 for 1.0, these two are.
    """
    if one is MISSING or other is MISSING:
        return one is other
    return _canonical(one) == _canonical(other)


def _canonical(value: object) -> str:
    return json.dumps(_with_integers(value), sort_keys=True)


def _with_integers(value: object) -> object:
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def differences(before: object, after: object, place: Place = ()) -> Iterator[tuple[Place, Any, Any]]:
    """Yield each place whose value differs, with both values, of which one may be `MISSING`."""
    if same(before, after):
        return
    pair = (before, after)
    if not all(isinstance(value, dict) for value in pair):
        listed = [_by_id(value) for value in pair]
        if any(entries is None for entries in listed):
            yield place, before, after
            return
        pair = (listed[0], listed[1])
    one, other = pair
    assert isinstance(one, dict)  # noqa: S101 - for mypy
    assert isinstance(other, dict)  # noqa: S101
    found = [
        difference
        for name in dict.fromkeys((*one, *other))
        for difference in differences(one.get(name, MISSING), other.get(name, MISSING), (*place, name))
    ]
    # Where the order alone differs, of a list, the whole of it does.
    yield from found or [(place, before, after)]


def _merge_objects(
    base: object, theirs: object, mine: dict[str, Any], place: Place, *, is_collection: bool
) -> Merged:
    then = base if isinstance(base, dict) else {}
    now = theirs if isinstance(theirs, dict) else {}
    merged: dict[str, Any] = {}
    conflicts: list[Place] = []
    for name in dict.fromkeys((*mine, *now)):
        old, new, own = (side.get(name, MISSING) for side in (then, now, mine))
        there = (*place, name)
        if is_collection and new is MISSING and MISSING not in (old, own) and not same(old, own):
            member = Merged(value=own, conflicts=(there,))
        else:
            member = merge(old, new, own, there)
        conflicts += member.conflicts
        if member.value is not MISSING:
            merged[name] = member.value
    gone = theirs is MISSING and not merged
    return Merged(value=MISSING if gone else merged, conflicts=tuple(conflicts))


def _by_id(value: object) -> dict[str, Any] | None:
    """Return a list of objects by the `id` of each, None where they have none or share one."""
    if not isinstance(value, list):
        return None
    found = {item["id"]: item for item in value if isinstance(item, dict) and isinstance(item.get("id"), str)}
    return found if len(found) == len(value) else None
