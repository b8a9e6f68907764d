"""What OpenClaw tells of plugins that it cannot load."""

from __future__ import annotations

import json

import pytest

from openclaw_ocm.core.openclaw.plugin_errors import parse_plugin_errors, refused


def test_errors_and_diagnostics_of_plugins_are_read() -> None:
    said = {
        "ok": False,
        "pluginErrors": [{"id": "mine", "error": "no\nregister", "source": "~/x"}, {"error": "nobody's"}],
        "diagnostics": [
            {"level": "error", "pluginId": "old", "message": "needs OpenClaw 2027"},
            {"level": "warn", "pluginId": "noisy", "message": "pluginApi is deprecated"},
            {"level": "error", "message": "of none"},
        ],
    }
    found = parse_plugin_errors(json.dumps(said))
    assert found == {"old": "needs OpenClaw 2027", "mine": "no register"}
    assert refused(["old"], found) == ("mine: no register",)
    assert refused(["old", "mine", "gone"], found) == ()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"pluginErrors": {}}', "Error: no such command"]
)
def test_what_is_no_answer_is_not_taken_for_no_errors(text: str) -> None:
    assert parse_plugin_errors(text) is None


def test_what_an_instance_has_it_say_is_bounded_and_printable() -> None:
    errors = [{"id": f"\x1b[31m{number}", "error": ["x" * 10_000]} for number in range(5000)]
    found = parse_plugin_errors(json.dumps({"pluginErrors": [None, 7, *errors]})) or {}
    assert 0 < len(found) <= 200
    assert max(map(len, found.values())) <= 300
    assert not any("\x1b" in name for name in found)
