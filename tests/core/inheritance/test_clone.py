from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from tests.core.inheritance.test_extract import MAIN

from openclaw_ocm.core.inheritance.clone import duplicate
from openclaw_ocm.core.inheritance.extract import Source
from openclaw_ocm.core.openclaw.moved import Move

MOVE = Move(before=PurePosixPath("/home/ann/.openclaw-w1"), after=PurePosixPath("/home/ann/.openclaw-w2"))
ONE: dict[str, Any] = {
    **MAIN,
    "channels": {"telegram": {"botToken": "${BOT_TOKEN}"}},
    "agents": {
        "defaults": {
            "workspace": "~/.openclaw-w1/workspace",
            "model": {"primary": "a/1"},
            "userTimezone": "UTC",
        },
        "entries": {
            "main": {"agentDir": "/home/ann/.openclaw-w1/agents/main/agent", "workspace": "/srv/elsewhere"},
            "second": {"skills": ["x"], "dirs": ["/srv/one", "/home/ann/.openclaw-w1/two"]},
        },
    },
    "tools": {"web": {"search": {"apiKey": "sk-search"}}},
    "mcp": {"servers": {"x": {"command": "/usr/bin/x", "env": {"X_TOKEN": "${X_TOKEN}"}}}},
    "logging": {"file": "/home/ann/.openclaw-w1/logs/gateway.log"},
}
HAS = {"BOT_TOKEN": "bot-1", "X_TOKEN": "x-1", "B_KEY": "b-1", "TELEGRAM_BOT_TOKEN": "bot-2"}


def test_a_clone_has_the_settings_and_nothing_that_is_bound_to_one_instance() -> None:
    cloned = duplicate(Source(name="w1", config=ONE, variables=HAS), MOVE, "w2")
    assert set(cloned.config) == {"models", "auth", "secrets", "agents", "tools", "mcp"}
    assert cloned.config["agents"] == {
        "defaults": {
            "workspace": "~/.openclaw-w2/workspace",
            "model": {"primary": "a/1"},
            "userTimezone": "UTC",
        },
        "entries": {
            "main": {"agentDir": "/home/ann/.openclaw-w2/agents/main/agent"},
            "second": {"skills": ["x"], "dirs": ["/home/ann/.openclaw-w2/two"]},
        },
    }
    assert cloned.config["mcp"]["servers"]["x"]["command"] == "/usr/bin/x"
    assert "left out of the config: channels, env, hooks, plugins" in cloned.notes
    outside = [note for note in cloned.notes if "lies outside" in note]
    assert [note.rpartition(" ")[2] for note in outside] == [
        "agents.entries.main.workspace",
        "agents.entries.second.dirs",
    ]


def test_a_clone_has_the_secrets_that_its_config_refers_to_and_no_channel_s() -> None:
    cloned = duplicate(Source(name="w1", config=ONE, variables=HAS), MOVE, "w2")
    assert cloned.secrets["X_TOKEN"] == "x-1"
    assert cloned.secrets["B_KEY"] == "b-1"
    assert not {"BOT_TOKEN", "TELEGRAM_BOT_TOKEN"} & cloned.secrets.keys()
    assert "sk-search" in cloned.secrets.values()
    text = json.dumps(cloned.config)
    assert not any(secret in text for secret in (*cloned.secrets.values(), "gateway-token", "bot-"))
    assert not any(secret in note for note in cloned.notes for secret in cloned.secrets.values())
