"""What a restored instance is made unable to do while a backup is tried out."""

from __future__ import annotations

import copy
from typing import Any

from openclaw_ocm.core.openclaw.idle import idle_config

CONFIG: dict[str, Any] = {
    "gateway": {"mode": "local", "port": 19001},
    "channels": {"telegram": {"botToken": "${TELEGRAM}"}},
    "hooks": {"enabled": True},
    "cron": {"enabled": True, "maxConcurrentRuns": 2},
    "agents": {
        "defaults": {"heartbeat": {"every": "5m", "target": "last"}, "model": "one/m"},
        "entries": {"main": {"heartbeat": {"every": "1m"}, "name": "Main"}, "odd": None},
    },
    "models": {
        "providers": {"one": {"apiKey": "sk-1", "baseUrl": "http://x"}, "two": {"api": "a"}, "odd": 1}
    },
}


def test_it_has_no_channels_no_keys_and_nothing_that_wakes_it() -> None:
    before = copy.deepcopy(CONFIG)
    assert idle_config(CONFIG, "word") == {
        "gateway": {"mode": "local", "port": 19001},
        "cron": {"enabled": False, "maxConcurrentRuns": 2},
        "agents": {
            "defaults": {"heartbeat": {"every": "0m"}, "model": "one/m"},
            "entries": {"main": {"name": "Main"}, "odd": None},
        },
        "models": {
            "providers": {"one": {"apiKey": "word", "baseUrl": "http://x"}, "two": {"api": "a"}, "odd": 1}
        },
    }
    assert before == CONFIG


def test_a_config_with_little_in_it_is_made_idle_too() -> None:
    assert idle_config({"agents": {"entries": 1}, "models": {}}, "word") == {
        "agents": {"entries": 1, "defaults": {"heartbeat": {"every": "0m"}}},
        "models": {},
        "cron": {"enabled": False},
    }


def test_no_file_that_it_includes_wakes_it_nor_an_agent_of_an_old_list() -> None:
    config = {
        "$include": "./base.json5",
        "agents": {"list": [{"id": "a", "heartbeat": {"every": "1m"}}, 1], "$include": "./agents.json5"},
        "cron": {"$include": "./cron.json5"},
    }
    assert idle_config(config, "word") == {
        "agents": {"list": [{"id": "a"}, 1], "defaults": {"heartbeat": {"every": "0m"}}},
        "cron": {"enabled": False},
    }
