from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.inheritance.merge import MISSING, Place, differences, merge, same
from openclaw_ocm.core.openclaw.document import overlay

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(0, 2), st.sampled_from(["", "a", "b"]))
NAMES = st.sampled_from(["a", "b", "c"])


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(NAMES, values, max_size=3)


def models(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    entry = st.builds(lambda name, rest: {**rest, "id": name}, NAMES, objects(values))
    return st.lists(entry, max_size=3, unique_by=lambda item: item["id"])


VALUES = st.recursive(
    SCALARS, lambda below: st.one_of(objects(below), models(below), st.lists(below, max_size=2)), max_leaves=8
)
SIDES = st.one_of(st.just(MISSING), VALUES)


@given(SIDES, SIDES)
def test_what_did_not_change_leaves_the_instance_as_it_is(base: object, mine: object) -> None:
    merged = merge(base, base, mine)
    assert same(merged.value, mine)
    assert merged.conflicts == ()


@given(SIDES, SIDES)
def test_an_instance_that_changed_nothing_follows(base: object, theirs: object) -> None:
    merged = merge(base, theirs, base)
    assert same(merged.value, theirs)
    assert merged.conflicts == ()


@given(SIDES, SIDES)
def test_the_same_change_on_both_sides_is_no_conflict(base: object, both: object) -> None:
    merged = merge(base, both, both)
    assert same(merged.value, both)
    assert merged.conflicts == ()


@given(SIDES, SIDES, SIDES)
def test_a_merge_again_after_one_that_was_cut_off_comes_to_the_same(
    base: object, theirs: object, mine: object
) -> None:
    merged = merge(base, theirs, mine)
    assert same(merge(base, theirs, merged.value).value, merged.value)


@given(SIDES, SIDES, SIDES)
def test_a_merge_once_the_base_has_moved_on_changes_nothing(
    base: object, theirs: object, mine: object
) -> None:
    merged = merge(base, theirs, mine)
    again = merge(theirs, theirs, merged.value)
    assert same(again.value, merged.value)
    assert again.conflicts == ()


@given(objects(VALUES), objects(VALUES), objects(VALUES))
def test_every_value_of_a_merge_is_that_of_a_side(
    base: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]
) -> None:
    merged = merge(base, theirs, mine).value
    for name in ("a", "b", "c"):
        now, own, then = theirs.get(name, MISSING), mine.get(name, MISSING), base.get(name, MISSING)
        result = merged.get(name, MISSING)
        if same(then, own):
            assert same(result, now)
        elif same(then, now):
            assert same(result, own)


@given(SIDES, SIDES)
def test_differences_are_none_for_the_same_and_some_for_others(one: object, other: object) -> None:
    assert (list(differences(one, other)) == []) == same(one, other)


@given(objects(VALUES), objects(VALUES))
def test_what_is_laid_over_wins(lower: dict[str, Any], upper: dict[str, Any]) -> None:
    laid = overlay(lower, upper)
    assert same(overlay(laid, upper), laid)
    assert same(merge(upper, laid, upper).value, laid)
    for name, value in upper.items():
        assert isinstance(value, dict) or same(laid[name], value)


THEN = {"p": {"url": "u1", "key": "${K}"}, "model": {"primary": "p/a", "fallbacks": ["q/b"]}}


@pytest.mark.parametrize(
    ("theirs", "mine", "value", "conflicts"),
    [
        # main changes one thing, the instance another
        (
            {**THEN, "p": {"url": "u2", "key": "${K}"}},
            {**THEN, "model": {"primary": "q/b", "fallbacks": ["q/b"]}},
            {"p": {"url": "u2", "key": "${K}"}, "model": {"primary": "q/b", "fallbacks": ["q/b"]}},
            (),
        ),
        # both the same key: the instance's stays, and that is told
        (
            {**THEN, "p": {"url": "u2", "key": "${K}"}},
            {**THEN, "p": {"url": "u3", "key": "${K}"}},
            {**THEN, "p": {"url": "u3", "key": "${K}"}},
            (("p", "url"),),
        ),
        # main removes an object to which the instance has added something: what is the instance's own stays
        (
            {"model": THEN["model"]},
            {**THEN, "p": {"url": "u1", "key": "${K}", "timeoutSeconds": 9}},
            {"model": THEN["model"], "p": {"timeoutSeconds": 9}},
            (),
        ),
        # the instance removed it, main changes it: it stays removed
        ({**THEN, "p": {"url": "u2"}}, {"model": THEN["model"]}, {"model": THEN["model"]}, (("p",),)),
        # a list without ids is one value
        (
            {**THEN, "model": {"primary": "p/a", "fallbacks": ["q/b", "q/c"]}},
            {**THEN, "model": {"primary": "p/a", "fallbacks": ["x/y"]}},
            {**THEN, "model": {"primary": "p/a", "fallbacks": ["x/y"]}},
            (("model", "fallbacks"),),
        ),
    ],
)
def test_both_sides_change(
    theirs: dict[str, Any], mine: dict[str, Any], value: dict[str, Any], conflicts: tuple[Place, ...]
) -> None:
    merged = merge(THEN, theirs, mine)
    assert merged.value == value
    assert merged.conflicts == conflicts


def test_models_are_merged_by_their_id() -> None:
    then = [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]
    theirs = [{"id": "b", "name": "B"}, {"id": "a", "name": "A", "cost": 1}, {"id": "c", "name": "C"}]
    mine = [{"id": "a", "name": "My A"}, {"id": "b", "name": "B"}, {"id": "own", "name": "Own"}]
    merged = merge(then, theirs, mine)
    assert {model["id"]: model for model in merged.value} == {
        "a": {"id": "a", "name": "My A", "cost": 1},
        "b": {"id": "b", "name": "B"},
        "c": {"id": "c", "name": "C"},
        "own": {"id": "own", "name": "Own"},
    }
    assert merged.conflicts == ()


def test_a_number_is_not_true() -> None:
    assert not same([1], [True])
    assert not same(0, None)
    assert not same(None, MISSING)
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})


def test_a_number_is_what_openclaw_makes_of_it_when_it_writes_the_config_anew() -> None:
    assert same({"cost": [1.0, 1e5, -0.0]}, {"cost": [1, 100000, 0]})
    assert merge({"cost": 5.0}, {"cost": 6.5}, {"cost": 5}).value == {"cost": 6.5}


P = {"baseUrl": "u", "apiKey": "${K}", "models": [{"id": "m", "name": "M"}]}


@pytest.mark.parametrize(
    "place", [("models", "providers"), ("plugins", "entries"), ("auth", "profiles"), ("secrets", "providers")]
)
@pytest.mark.parametrize("mine", [{**P, "baseUrl": "own"}, {**P, "headers": {"X": "own"}}, {"baseUrl": "u"}])
def test_what_main_removes_and_the_instance_changed_stays_whole(
    place: tuple[str, str], mine: dict[str, Any]
) -> None:
    section, entries = place
    merged = merge(
        {section: {entries: {"p": P, "q": P}}},
        {section: {entries: {}}},
        {section: {entries: {"p": mine, "q": P}}},
    )
    assert merged.value == {section: {entries: {"p": mine}}}
    assert merged.conflicts == ((section, entries, "p"),)


def test_a_model_that_main_removes_and_the_instance_changed_stays_whole() -> None:
    then = [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}, {"id": "c"}]
    mine = [{"id": "a", "name": "Own"}, {"id": "b", "name": "B"}]
    merged = merge(then, [], mine)
    assert merged.value == [{"id": "a", "name": "Own"}]
    assert merged.conflicts == (("a",),)


def test_differences_are_told_by_their_keys() -> None:
    one = {"a": {"b": 1}, "gone": 2, "models": [{"id": "m", "name": "M"}]}
    other = {"a": {"b": 3}, "models": [{"id": "m", "name": "N"}]}
    assert list(differences(one, other)) == [
        (("a", "b"), 1, 3),
        (("gone",), 2, MISSING),
        (("models", "m", "name"), "M", "N"),
    ]
