"""A fleet file holds of a config what is the instance's own: nothing of OCM's, of its source, no secret."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from openclaw_ocm.core.fleet.settings import Settings, own_settings

MADE = {
    "gateway": {"port": 19001, "auth": {"mode": "token", "token": ""}},
    "agents": {"defaults": {"workspace": "/w", "model": {"primary": "lab/one"}}},
}
INHERITED = {"models": {"providers": {"lab": {"baseUrl": "http://lab/v1", "apiKey": "${LAB_API_KEY}"}}}}
AS_MADE: dict[str, Any] = {
    "meta": {"lastTouchedVersion": "2026.9.6"},
    "gateway": {"port": 19001, "auth": {"mode": "token", "token": "f00"}},
    "agents": {"defaults": {"workspace": "/w", "model": {"primary": "lab/one"}}},
    **INHERITED,
}


def own(config: dict[str, Any]) -> Settings:
    return own_settings(config, made=MADE, inherited=INHERITED)


def test_what_was_made_or_inherited_is_no_setting_of_its_own() -> None:
    assert own(AS_MADE) == ({}, ())


def test_what_was_set_beside_that_is_named_no_deeper_than_it_has_to_be() -> None:
    config = {
        **AS_MADE,
        "agents": {
            "defaults": {
                **AS_MADE["agents"]["defaults"],
                "model": {"primary": "lab/one", "fallbacks": ["lab/two"]},
                "heartbeat": {"every": "0m"},
            }
        },
        "models": {
            "mode": "replace",
            "providers": {**INHERITED["models"]["providers"], "mine": {"apiKey": "${A_KEY}"}},
        },
        "channels": {"discord": {"enabled": True, "token": "${DISCORD_BOT_TOKEN}"}},
        "tools": {},
    }
    assert own(config).values == {
        "agents.defaults.model.fallbacks": ["lab/two"],
        "agents.defaults.heartbeat": {"every": "0m"},
        "models.mode": "replace",
        "models.providers.mine": {"apiKey": "${A_KEY}"},
        "channels.discord": {"enabled": True, "token": "${DISCORD_BOT_TOKEN}"},
    }


def test_what_ocm_sets_is_not_kept_as_somebody_weakened_it() -> None:
    config = {**AS_MADE, "gateway": {"port": 80, "auth": {"mode": "none"}}, "agents": {"defaults": 3}}
    assert own(config) == ({}, ())


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"token": "sk-abcdefghijklmnopqrst"}, "which holds a secret"),
        ({"of": [None]}, "which holds what TOML has no word for"),
        ({"of": float("nan")}, "which holds what TOML has no word for"),
    ],
)
def test_what_the_file_cannot_hold_is_left_out_whole_and_named(value: object, why: str) -> None:
    kept = own({**AS_MADE, "tools": {"web": value, "deny": ["x"]}})
    assert kept == ({"tools.deny": ["x"]}, (f"tools.web, {why}",))
    assert b"deny" in msgspec.toml.encode(kept[0])


def test_an_odd_name_is_left_out() -> None:
    assert own({**AS_MADE, "tools": {"a b": 1}}) == ({}, ("tools.a b, which has an odd name",))
