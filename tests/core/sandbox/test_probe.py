from __future__ import annotations

import copy
import dataclasses
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import samples

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.sandbox import expectations, probe
from openclaw_ocm.core.sandbox.policy import instance_policy
from openclaw_ocm.core.sandbox.probe import LIST, Check, Kernel, Listing

POLICY = instance_policy(samples.paths(), samples.record())
CHECKS = (
    *expectations.checks(
        samples.paths(), POLICY, runtime=PurePosixPath("/run/user/1000"), others=[parse_name("worker2")]
    ),
    *expectations.canary_checks(["/tmp/.ocm-canary", "/home/ann/.ocm-canary"]),
)
LISTINGS = expectations.listings(samples.paths(), POLICY)
SEALED = Kernel(
    no_new_privileges=True,
    filters=28,
    capabilities=0,
    bounding_set=0,
    own_namespaces=frozenset({"user", "mnt", "ipc", "pid"}),
)


HOST = dataclasses.replace(SEALED, filters=26)


def right_answers() -> dict[str, Any]:
    answers: dict[str, Any] = {"read": {}, "write": {}, "connect": {}, "reach": {}}
    for check in CHECKS:
        answers[check.action][check.path] = check.allowed
    return {**answers, LIST: {listing.path: sorted(listing.names) for listing in LISTINGS}}


def found(
    answers: dict[str, Any] | None = None,
    kernel: Kernel = SEALED,
    host: Kernel = HOST,
    *,
    isolated: bool = False,
) -> tuple[str, ...]:
    return (
        *probe.kernel_violations(kernel, host, isolated=isolated),
        *probe.answer_violations(
            right_answers() if answers is None else answers, checks=CHECKS, listings=LISTINGS
        ),
    )


def test_a_sealed_sandbox_has_no_violation() -> None:
    assert found() == ()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.action} {check.path}")
def test_any_single_answer_turned_round_is_a_violation(check: Check) -> None:
    answers = right_answers()
    answers[check.action][check.path] = not check.allowed
    word = "cannot" if check.allowed else "can"
    assert found(answers) == (f"a process inside {word} {check.action} {check.path}",)


@given(st.sampled_from(CHECKS), st.sampled_from([None, 0, 1, "", "false", [], {}]))
def test_an_answer_that_is_no_yes_or_no_is_a_violation(check: Check, answer: object) -> None:
    answers = right_answers()
    answers[check.action][check.path] = answer
    assert any(check.path in line for line in found(answers))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.action} {check.path}")
def test_a_missing_answer_is_a_violation(check: Check) -> None:
    answers = right_answers()
    del answers[check.action][check.path]
    assert any(check.path in line for line in found(answers))


def test_no_answers_at_all_violate_every_expectation() -> None:
    assert len(found({})) == len(CHECKS) + len(LISTINGS)


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.path)
def test_one_name_too_many_in_a_directory_is_a_violation(listing: Listing) -> None:
    answers = right_answers()
    answers[LIST][listing.path] = [*listing.names, "stranger"]
    assert found(answers) == (f"a process inside sees stranger in {listing.path}",)


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.path)
def test_a_directory_that_cannot_be_seen_or_holds_less_is_no_violation(listing: Listing) -> None:
    answers = right_answers()
    answers[LIST][listing.path] = None
    assert found(answers) == ()
    answers[LIST][listing.path] = []
    assert found(answers) == ()


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.path)
def test_a_directory_that_was_not_listed_is_a_violation(listing: Listing) -> None:
    answers = right_answers()
    del answers[LIST][listing.path]
    assert found(answers) == (f"a process inside did not tell what is in {listing.path}",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"no_new_privileges": False}, "NoNewPrivileges"),
        ({"filters": 26}, "it may make namespaces"),
        ({"capabilities": 1}, "capabilities"),
        ({"bounding_set": 1 << 40}, "capabilities"),
    ],
)
def test_a_weaker_process_is_a_violation(change: dict[str, Any], words: str) -> None:
    (line,) = found(kernel=dataclasses.replace(SEALED, **change))
    assert words in line


@pytest.mark.parametrize("name", ["user", "mnt", "ipc", "pid"])
def test_a_shared_namespace_is_a_violation(name: str) -> None:
    kernel = dataclasses.replace(SEALED, own_namespaces=SEALED.own_namespaces - {name})
    assert found(kernel=kernel) == (f"the gateway shares the {name} namespace of the user's other processes",)


def test_one_that_is_isolated_has_a_network_of_its_own() -> None:
    shared = "the gateway shares the net namespace of the user's other processes"
    assert found(isolated=True) == (shared,)
    own = dataclasses.replace(SEALED, own_namespaces=SEALED.own_namespaces | {"net"})
    assert found(kernel=own, isolated=True) == ()
    assert found(kernel=own) == ()


def test_a_tool_host_without_a_filter_is_a_violation() -> None:
    assert found(host=dataclasses.replace(HOST, filters=0)) == ("the sandbox has no system call filter",)


def test_every_check_and_listing_is_asked() -> None:
    asked = probe.questions(CHECKS, LISTINGS)
    assert set(asked) == {"read", "write", "connect", "reach", "list"}
    pairs = {(action, path) for action, paths in asked.items() for path in paths}
    assert pairs == {
        *((check.action, check.path) for check in CHECKS),
        *((LIST, listing.path) for listing in LISTINGS),
    }


def test_looking_at_answers_does_not_change_them() -> None:
    answers = right_answers()
    before = copy.deepcopy(answers)
    found(answers)
    assert answers == before
