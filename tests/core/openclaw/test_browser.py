"""Whether a config asks for a browser: pure."""

from __future__ import annotations

from typing import Any

import pytest

from openclaw_ocm.core.openclaw.browser import asks_for_browser, program_of

TOOLS = {"tools": {"alsoAllow": ["browser"]}}


@pytest.mark.parametrize(
    "config",
    [
        {"browser": {"enabled": True}},
        {"browser": {"noSandbox": True}},
        {"browser": {"executablePath": "/usr/bin/chromium"}},
        {"tools": {"allow": ["read", "browser"]}},
        TOOLS,
        {"agents": {"entries": {"two": TOOLS}}},
    ],
)
def test_one_that_names_it_asks_for_it(config: dict[str, Any]) -> None:
    assert asks_for_browser(config)
    assert not asks_for_browser({**config, "browser": {**config.get("browser", {}), "enabled": False}})
    assert not asks_for_browser({**config, "plugins": {"entries": {"browser": {"enabled": False}}}})
    there = {"profiles": {"openclaw": {"cdpUrl": "http://127.0.0.1:9222"}}}
    assert not asks_for_browser({**config, "browser": {**config.get("browser", {}), **there}})
    for elsewhere in (
        {"attachOnly": True},
        {"defaultProfile": "user"},
        {"defaultProfile": "remote", "profiles": {"remote": {"cdpUrl": "https://browsers.example"}}},
    ):
        assert not asks_for_browser({**config, "browser": {**config.get("browser", {}), **elsewhere}})


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"browser": {"profiles": {"openclaw": {"cdpPort": 19012}}}},
        {"browser": 3, "tools": 3, "agents": {"entries": {"two": 3}}, "plugins": []},
        {"tools": {"allow": "browser", "deny": ["browser"]}},
    ],
)
def test_one_that_does_not_name_it_is_left_alone(config: dict[str, Any]) -> None:
    assert not asks_for_browser(config)


def test_the_program_is_the_one_that_is_named() -> None:
    assert program_of({"browser": {"executablePath": "/usr/bin/brave"}}) == "/usr/bin/brave"
    assert program_of({"browser": {"executablePath": 3}}) is None
    assert program_of({}) is None
