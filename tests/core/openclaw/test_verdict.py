from __future__ import annotations

import json

import pytest

from openclaw_ocm.core.openclaw.verdict import Verdict, parse_verdict

INVALID = {"valid": False, "issues": [{"path": "env", "message": "Unrecognized key"}, {"message": "x\ny"}]}


def test_openclaw_calls_a_config_valid_or_says_why_not() -> None:
    assert parse_verdict(0, '{"valid": true}', "") == Verdict(valid=True)
    found = parse_verdict(1, json.dumps(INVALID), "")
    assert (found.valid, found.issues[0]) == (False, "env: Unrecognized key")
    assert found.issues[1].startswith("<root>: x")
    assert "\n" not in found.issues[1]


@pytest.mark.parametrize(
    ("status", "stdout", "stderr"),
    [
        (1, "", "Failed to connect to bus"),
        (127, "", ""),
        (0, "", ""),
        (1, '{"valid": true}', "killed"),
        (1, "[]", ""),
        (1, '{"valid": false}', "no reason"),
        (1, '{"valid": false, "issues": 1}', ""),
        (1, '{"valid": false, "issues": [{"path": "", "message": "read failed: Error: SQLite"}]}', ""),
        (1, "[" * 100_000, ""),
    ],
)
def test_what_is_no_word_of_openclaws_on_the_config_is_no_verdict(
    status: int, stdout: str, stderr: str
) -> None:
    found = parse_verdict(status, stdout, stderr)
    assert found.valid is None
    assert found.issues
