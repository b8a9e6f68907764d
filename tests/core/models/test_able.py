"""What of a config tells that its other models and its channels will not work: pure."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.models.test_obstacle import given, told

from openclaw_ocm.core.models.able import missing_channels, models_of, unable_models
from openclaw_ocm.core.models.obstacle import obstacle

BEDROCK = {"amazon-bedrock": "@openclaw/amazon-bedrock-provider"}


def agents(**agents: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"agents": agents}


def said(config: dict[str, Any], *secrets: str, **more: Any) -> list[str]:  # noqa: ANN401 - of Given
    made = given(config, *secrets, **more)
    return list(unable_models(made, obstacle(made)))


def test_each_model_that_agents_get_is_found_by_the_key_that_names_it() -> None:
    config = agents(
        defaults={
            "model": {"primary": "a/1", "fallbacks": ["b/2", "sonnet"]},
            "models": {"listed/only": {"alias": "x"}},
            "mediaModels": {"image": {"primary": "c/3"}},
            "subagents": {"model": "d/4"},
            "workspace": "/home/ann/not/a/model",
        },
        entries={"two": {"model": "e/5"}, "odd\x1b": {"model": "f/6"}},
    )
    assert list(models_of(config)) == [
        ("agents.defaults.model.primary", "a/1"),
        ("agents.defaults.model.fallbacks", "b/2"),
        ("agents.defaults.mediaModels.image.primary", "c/3"),
        ("agents.defaults.subagents.model", "d/4"),
        ("agents.entries.two.model", "e/5"),
    ]


def test_a_fallback_without_a_key_is_told_with_the_secret_to_set() -> None:
    config = agents(defaults={"model": {"primary": "fal/m", "fallbacks": ["openrouter/m", "openrouter/n"]}})
    assert said(config, "FAL_KEY") == [
        (
            "it has no key for openrouter, which agents.defaults.model.fallbacks names:"
            " ocm secret set worker1 OPENROUTER_API_KEY"
        )
    ]
    assert said(config, "FAL_KEY", "OPENROUTER_API_KEY") == []


def test_what_was_said_of_the_agents_own_model_is_not_said_again() -> None:
    config = agents(defaults={"model": {"primary": "openrouter/m", "fallbacks": ["openrouter/n", "fal/m"]}})
    assert [one.partition(",")[0] for one in said(config)] == ["it has no key for fal"]


def test_another_agents_model_counts() -> None:
    config = agents(entries={"main": {"model": "fal/m"}, "two": {"model": "openrouter/m"}})
    (note,) = said(config, "FAL_KEY")
    assert "agents.entries.two.model" in note


def test_a_provider_that_is_a_plugin_is_told_with_what_installs_it() -> None:
    config = agents(defaults={"model": "amazon-bedrock/m"})
    install = "ocm use worker1 plugins install @openclaw/amazon-bedrock-provider, then ocm restart worker1"
    assert obstacle(given(config, provider_plugins=BEDROCK)) == (
        f"it has no plugin for amazon-bedrock: {install}"
    )
    own = {**config, "models": {"providers": {"amazon-bedrock": {"baseUrl": "http://127.0.0.1:1"}}}}
    assert obstacle(given(own, provider_plugins=BEDROCK)) is None


def test_one_whose_plugin_is_there_is_known() -> None:
    assert told("acme/m") is not None
    config = agents(defaults={"model": "acme/m"})
    assert obstacle(given(config, brought=frozenset({"acme"}))) is None


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"])
def test_a_cloud_needs_credentials_unless_its_machine_may_be_asked(variable: str) -> None:
    config = agents(defaults={"model": "amazon-bedrock/m"})
    there = {"brought": frozenset(BEDROCK)}
    found = obstacle(given(config, asks_machine=False, **there))
    assert found is not None
    assert found.startswith(
        "it has no credentials for amazon-bedrock: ocm secret set worker1 AWS_ACCESS_KEY_ID"
    )
    assert obstacle(given(config, variable, asks_machine=False, **there)) is None
    assert obstacle(given(config, asks_machine=True, **there)) is None


def test_a_channel_that_is_on_needs_its_plugin() -> None:
    plugins = {"discord": "@openclaw/discord", "slack": "@openclaw/slack"}
    channels = {"discord": {"token": "x"}, "slack": {"enabled": False}, "telegram": {}, "defaults": {}}
    made = given({"channels": channels}, channel_plugins=plugins)
    assert list(missing_channels(made)) == [
        (
            "the channel discord is silent without its plugin, which is not installed:"
            " ocm use worker1 plugins install @openclaw/discord, then ocm restart worker1"
        )
    ]


@pytest.mark.parametrize("value", [None, 3, "x", [], {"model": {"fallbacks": [3, {}, "a/b"]}}])
def test_a_config_of_any_form_is_borne(value: object) -> None:
    for config in ({"agents": value}, {"agents": {"defaults": value}}, {"agents": {"entries": {"a": value}}}):
        assert all("\x1b" not in one for one in said(config))


def test_of_any_number_of_models_few_are_told() -> None:
    many = [f"p{number}/m" for number in range(5000)]
    assert len(said(agents(defaults={"model": {"primary": "fal/m", "fallbacks": many}}), "FAL_KEY")) == 10
