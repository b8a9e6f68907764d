"""Nobody is sent to an instance that was undone."""

from __future__ import annotations

import pytest

from openclaw_ocm.core.advice import hint_for_gone, words_for_gone

NAME = "t1"


@pytest.mark.parametrize(
    "hint",
    [
        "ocm logs t1",
        "ocm status t1 shows what changes it",
        "ocm doctor tells what is missing, ocm status t1 how it is",
        "ocm token rotate t1",
        "put it back; then ocm start t1",
    ],
)
@pytest.mark.parametrize(
    ("operation", "instead"), [("deploy", "--keep"), ("clone", "--keep"), ("restore", "history")]
)
def test_a_hint_that_needs_the_instance_gives_way(hint: str, operation: str, instead: str) -> None:
    told = hint_for_gone(hint, NAME, operation)
    assert told is not None
    assert instead in told
    assert NAME not in told.split()


@pytest.mark.parametrize(
    "hint",
    [
        None,
        "--timeout gives it longer",
        "ocm logs t1-a",
        "ocm logs t10",
        "ocm deploy t1 --port 20000",
        "move it away, or choose another name",
        "ocm setup brings one",
    ],
)
def test_any_other_hint_stays(hint: str | None) -> None:
    assert hint_for_gone(hint, NAME, "deploy") == hint


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ('Config invalid; run "openclaw --profile t1 doctor --fix" to repair it.', "Config invalid"),
        ("Run: openclaw doctor --profile t1 --fix", None),
        ("  Run `openclaw doctor --fix` and restart", None),
        (
            'agents.defaults: Unrecognized key: "modelFallback"',
            'agents.defaults: Unrecognized key: "modelFallback"',
        ),
        ("OpenClaw 2026.9.6 starts", "OpenClaw 2026.9.6 starts"),
        (
            "schema version 3; stop agents and run openclaw doctor --fix to migrate",
            "schema version 3; stop agents",
        ),
    ],
)
def test_openclaws_advice_to_mend_a_state_goes_and_what_it_says_stays(line: str, left: str | None) -> None:
    assert list(words_for_gone([line])) == ([] if left is None else [left])
