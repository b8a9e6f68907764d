from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests import samples

from openclaw_ocm.core.openclaw.document import lookup, with_value, without_value
from openclaw_ocm.core.openclaw.settings import (
    initial_config,
    unfit_to_expose,
    wanted_bind,
    weakened,
)

PORT = 19001


def config(*, model: str | None = None) -> dict[str, Any]:
    return initial_config(samples.paths(), port=PORT, cdp_port=19012, token="t0ken", model=model)


def test_a_new_instance_has_the_config_that_the_issue_asks_for() -> None:
    assert config() == {
        "gateway": {
            "mode": "local",
            "bind": "loopback",
            "port": PORT,
            "auth": {"mode": "token", "token": "t0ken"},
        },
        "agents": {
            "defaults": {
                "workspace": "/home/ann/.openclaw-worker1/workspace",
                "sandbox": {
                    "mode": "non-main",
                    "scope": "agent",
                    "workspaceAccess": "rw",
                    "docker": {"containerPrefix": "openclaw-sbx-worker1-"},
                },
            }
        },
        "session": {"dmScope": "per-channel-peer"},
        "browser": {"profiles": {"openclaw": {"cdpPort": 19012}}},
        "discovery": {"mdns": {"mode": "off"}},
        "update": {"checkOnStart": False, "auto": {"enabled": False}},
        "logging": {"file": "/home/ann/.openclaw-worker1/logs/gateway.log"},
    }


def test_a_model_becomes_the_primary_one_and_changes_nothing_else() -> None:
    with_model = config(model="fake/fake-1")
    assert lookup(with_model, "agents.defaults.model") == {"primary": "fake/fake-1"}
    assert without_value(with_model, "agents.defaults.model") == config()


def test_the_config_as_written_is_not_weakened() -> None:
    assert weakened(config(), port=PORT) == ()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("gateway.bind", "lan", "gateway.bind is lan"),
        ("gateway.bind", "auto", "gateway.bind is auto"),
        ("gateway.bind", None, "gateway.bind is unset"),
        ("gateway.bind", {"a": 1}, "gateway.bind is not a value"),
        ("gateway.port", 19021, "gateway.port is 19021, the record says 19001"),
        ("gateway.port", "19001", "gateway.port is 19001, the record says 19001"),
        ("gateway.port", None, "gateway.port is unset"),
        ("gateway.auth.mode", "none", "gateway.auth.mode is none"),
        ("gateway.auth.mode", "trusted-proxy", "gateway.auth.mode is trusted-proxy"),
        ("gateway.auth.mode", None, "gateway.auth.mode is unset"),
        ("gateway.auth.token", "", "gateway.auth.token is empty"),
        ("gateway.auth.token", None, "gateway.auth.token is empty"),
        ("agents.defaults.sandbox.mode", "off", "agents.defaults.sandbox.mode was non-main"),
        ("agents.defaults.sandbox.mode", None, "agents.defaults.sandbox.mode was non-main"),
        ("session.dmScope", "main", "session.dmScope is main"),
        ("discovery.mdns.mode", "full", "discovery.mdns.mode is no longer off"),
    ],
)
def test_each_weakening_is_told_and_only_that(key: str, value: object, words: str) -> None:
    changed = without_value(config(), key) if value is None else with_value(config(), key, value)
    (line,) = weakened(changed, port=PORT)
    assert words in line


def test_an_exposed_instance_is_to_listen_beyond_the_loopback_and_that_is_no_weakening() -> None:
    assert (wanted_bind(()), wanted_bind(("any",)), wanted_bind(("10.0.0.0/8",))) == (
        "loopback",
        "lan",
        "lan",
    )
    exposed = with_value(config(), "gateway.bind", "lan")
    assert weakened(exposed, port=PORT, expose=("10.0.0.0/8",)) == ()
    (line,) = weakened(config(), port=PORT, expose=("10.0.0.0/8",))
    assert line == "gateway.bind is loopback, was lan, for the instance is exposed"
    custom = with_value(config(), "gateway.bind", "custom")
    assert "gateway.bind is custom" in weakened(custom, port=PORT, expose=("any",))[0]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("gateway.auth.mode", "none", "gateway.auth.mode is none, and has to be token or password"),
        ("gateway.auth.mode", "trusted-proxy", "gateway.auth.mode is trusted-proxy"),
        ("gateway.auth.mode", None, "gateway.auth.mode is unset"),
        ("gateway.auth.token", "", "gateway.auth.token is empty"),
        ("gateway.auth.mode", "password", "gateway.auth.password is empty"),
        ("gateway.tailscale.mode", "serve", "gateway.tailscale.mode is serve, and has to be off"),
        ("gateway", "nothing", "gateway.auth.mode is unset"),
    ],
)
def test_what_openclaw_would_not_start_with_beyond_the_loopback_is_told(
    key: str, value: object, reason: str
) -> None:
    changed = without_value(config(), key) if value is None else with_value(config(), key, value)
    assert (unfit_to_expose(changed) or "").startswith(reason)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gateway.auth", {"mode": "password", "password": "p4ssword"}),
        ("gateway.auth.token", {"source": "env", "provider": "default", "id": "TOKEN"}),
        ("gateway.tailscale.mode", "off"),
    ],
)
def test_a_shared_secret_is_enough_to_be_exposed(key: str, value: object) -> None:
    assert unfit_to_expose(with_value(config(), key, value)) is None


@pytest.mark.parametrize("key", ["gateway", "gateway.auth", "agents", "agents.defaults.sandbox"])
@pytest.mark.parametrize("value", [None, [], "text", 0])
def test_a_section_that_is_gone_or_no_object_is_weakened_and_no_crash(key: str, value: object) -> None:
    changed = without_value(config(), key) if value is None else with_value(config(), key, value)
    assert weakened(changed, port=PORT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("agents.defaults.sandbox.mode", "all"),
        ("session.dmScope", "per-peer"),
        ("agents.defaults.model", {"primary": "a/b"}),
        ("gateway.auth.token", "another"),
    ],
)
def test_a_change_that_keeps_the_instance_closed_is_no_weakening(key: str, value: object) -> None:
    assert weakened(with_value(config(), key, value), port=PORT) == ()


def test_a_weakening_shows_no_more_than_a_little_of_a_long_value() -> None:
    (line,) = weakened(with_value(config(), "gateway.bind", "x" * 100_000), port=PORT)
    assert len(line) < 200


def test_telling_weaknesses_never_shows_the_token() -> None:
    changed = with_value(with_value(config(), "gateway.auth.mode", "none"), "gateway.bind", "lan")
    assert "t0ken" not in json.dumps(weakened(changed, port=PORT))


def test_the_config_is_made_anew_each_time() -> None:
    first = config()
    before = copy.deepcopy(first)
    config()["gateway"]["auth"]["token"] = "changed"
    assert first == before
