"""A copy of an OpenClaw does nothing that its original does too, whatever its config is made of."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from tests.operations.owned import BOT, Owned

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.system.kept.secrets import read_secrets

COPY = parse_name("work-copy")
LOGIN = {"type": "oauth", "provider": "openai", "access": "a-1", "refresh": "rotates-1111", "expires": 1}
KEY = {"type": "api_key", "provider": "minimax", "key": "sk-stays-2222"}
STORE = {"version": 1, "profiles": {"openai:default": LOGIN, "minimax:default": KEY}}


def written(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / "openclaw.json").read_text().removeprefix("// by hand\n"))
    return found


def write(state: Path, config: dict[str, Any]) -> None:
    (state / "openclaw.json").write_text(json.dumps(config))


def copy_of(owned: Owned) -> Path:
    return Path(owned.kept.paths(COPY).state)


def test_what_a_config_includes_is_in_that_of_its_copy_but_for_what_wakes_it(owned: Owned) -> None:
    config = written(owned.state)
    beside = {"channels": config.pop("channels"), "cron": {"enabled": True}, "hooks": {"enabled": True}}
    (owned.state / "base.json5").write_text(json.dumps({**beside, "messages": {"ackReaction": "ok"}}))
    (owned.state / "cron.json5").write_text('{"enabled": true, "maxConcurrentRuns": 2}')
    write(owned.state, {"$include": "./base.json5", **config, "cron": {"$include": "./cron.json5"}})
    owned.adopt("work")
    copied = written(copy_of(owned))
    assert "$include" not in json.dumps(copied)
    assert not {"channels", "hooks"} & copied.keys()
    assert copied["cron"] == {"enabled": False, "maxConcurrentRuns": 2}
    assert copied["messages"] == {"ackReaction": "ok"}, "the rest of it stays"


def test_no_agent_of_a_copy_has_a_heartbeat(owned: Owned) -> None:
    config = written(owned.state)
    config["agents"]["list"] = [{"id": "a", "name": "A", "heartbeat": {"every": "5m"}}]
    config["agents"]["entries"] = {"b": {"heartbeat": {"every": "5m"}}}
    write(owned.state, config)
    owned.adopt("work")
    agents = written(copy_of(owned))["agents"]
    assert agents["list"] == [{"id": "a", "name": "A"}]
    assert agents["entries"] == {"b": {}}
    assert agents["defaults"]["heartbeat"] == {"every": "0m"}


def test_a_copy_has_no_variable_by_which_a_channel_begins(owned: Owned) -> None:
    config = written(owned.state)
    config["env"] = {"DISCORD_BOT_TOKEN": "d-1", "vars": {"TELEGRAM_BOT_TOKEN": BOT, "OTHER_API_KEY": "k-1"}}
    config["channels"]["my-chat"] = {"enabled": True}
    write(owned.state, config)
    (owned.state / ".env").write_text("NOSTR_PRIVATE_KEY=n-1\nMY_CHAT_LOGIN=m-1\nENV_API_KEY=e-1\n")
    owned.adopt("work")
    assert written(copy_of(owned))["env"] == {"vars": {"OTHER_API_KEY": "k-1"}}
    assert read_secrets(owned.kept.paths(COPY)).keys() == {"ENV_API_KEY", "FAKE_API_KEY"}


def test_logins_whose_tokens_change_stay_with_the_original_and_are_named(owned: Owned) -> None:
    config = written(owned.state)
    config["auth"] = {
        "profiles": {"openai:default": {"provider": "openai", "mode": "oauth"}},
        "order": {"openai": ["openai:default"]},
    }
    write(owned.state, config)
    agent = owned.state / "agents/main/agent"
    (agent / "codex-home").mkdir(parents=True)
    (agent / "codex-home/auth.json").write_text('{"tokens": {"refresh_token": "rotates-3333"}}')
    (agent / "auth-profiles.json").write_text(json.dumps(STORE))
    shared = owned.state / "state/openclaw.sqlite"
    with contextlib.closing(sqlite3.connect(shared)) as database:
        database.execute("create table config_machine_state (state_key text primary key, value_json text)")
        database.execute("create table mcp_oauth_stores (store text)")
        rows = [
            ("authProfiles.store", json.dumps(STORE)),
            ("model-account:x", json.dumps({"profile": LOGIN})),
            ("other", '{"kept": true}'),
        ]
        database.executemany("insert into config_machine_state values (?, ?)", rows)
        database.execute("insert into mcp_oauth_stores values ('rotates-4444')")
        database.commit()
    with contextlib.closing(sqlite3.connect(agent / "openclaw-agent.sqlite")) as database:
        database.execute("create table auth_profile_store (store_json text)")
        database.execute("insert into auth_profile_store values (?)", (json.dumps(STORE),))
        database.commit()
    elsewhere = owned.kept.home / "elsewhere"
    (elsewhere / "agent").mkdir(parents=True)
    (elsewhere / "agent/auth-profiles.json").write_text(json.dumps(STORE))
    (owned.state / "agents/other").symlink_to(elsewhere)
    before = owned.tree()
    outcome = owned.adopt("work")
    assert owned.tree() == before
    assert json.loads((elsewhere / "agent/auth-profiles.json").read_text()) == STORE, "no link is followed"
    (note,) = (one for one in outcome.notes if "a login that two use" in one)
    for named in ("openai:default", "model-account:x", "at MCP servers", "codex-home/auth.json"):
        assert named in note
    assert "minimax" not in note
    assert "ocm use work-copy models auth login" in note
    copied = copy_of(owned)
    for path in copied.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert b"rotates-" not in data, path
    assert "auth" not in written(copied) or "openai" not in json.dumps(written(copied)["auth"])
    kept = json.loads((copied / "agents/main/agent/auth-profiles.json").read_text())
    assert kept == {"version": 1, "profiles": {"minimax:default": KEY}}
    with contextlib.closing(sqlite3.connect(copied / "state/openclaw.sqlite")) as database:
        found = dict(database.execute("select state_key, value_json from config_machine_state"))
    assert json.loads(found["authProfiles.store"])["profiles"] == {"minimax:default": KEY}
    assert found.keys() == {"authProfiles.store", "other"}


def test_what_is_moved_takes_its_logins_along(owned: Owned) -> None:
    agent = owned.state / "agents/main/agent"
    agent.mkdir(parents=True)
    (agent / "auth-profiles.json").write_text(json.dumps(STORE))
    outcome = owned.adopt("work", move=True)
    assert json.loads((agent / "auth-profiles.json").read_text()) == STORE
    assert not [one for one in outcome.notes if "a login that two use" in one]
