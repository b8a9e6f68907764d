"""Which model is meant, whose key it takes, and what becomes of a config: pure."""

from __future__ import annotations

from typing import Any

import pytest

from openclaw_ocm.core.models.choice import (
    Choice,
    chosen,
    has_key,
    is_served_without_key,
    located,
    own_models,
    parse_choice,
    primary,
    variable_of,
)
from openclaw_ocm.errors import Invalid, OcmError

# As the manifests of OpenClaw 2026.9.6 have them.
KNOWN = {
    "openrouter": ("OPENROUTER_API_KEY",),
    "minimax": ("MINIMAX_CODE_PLAN_KEY", "MINIMAX_CODING_API_KEY", "MINIMAX_API_KEY"),
    "anthropic": ("ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY"),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "huggingface": ("HUGGINGFACE_HUB_TOKEN", "HF_TOKEN"),
}
LAB = Choice(provider="lab", model="m-1", base_url="https://lab.example/v1")


def configured(**provider: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"models": {"providers": {"lab": {"baseUrl": "https://lab.example/v1", **provider}}}}


def test_a_model_is_a_provider_and_what_that_calls_it() -> None:
    found = parse_choice("openrouter/z-ai/glm-4.6")
    assert (found.provider, found.model, found.reference) == (
        "openrouter",
        "z-ai/glm-4.6",
        "openrouter/z-ai/glm-4.6",
    )


@pytest.mark.parametrize(
    "text", ["", "glm", "/glm", "lab/", "Lab/x", "a.b/x", "lab/${HOME}", "lab/a b", "lab/*"]
)
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_choice(text)
    assert caught.value.code == "model_invalid"


@pytest.mark.parametrize("url", ["https://lab.example/v1", "http://127.0.0.1:8000/v1", "http://localhost/v1"])
def test_an_address_may_be_any_that_is_not_read_on_the_way(url: str) -> None:
    assert parse_choice("lab/m", url).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "lab.example/v1",
            "http://lab.example/v1",
            "https://user:sk@lab.example/v1",
            "https://x/?key=1",
        ),
        *("https://x/${KEY}", "ftp://x", "http://127.0.0.1.evil.example/v1", "https://x/ y"),
    ],
)
def test_any_other_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_choice("lab/m", url)
    assert caught.value.code == "url_invalid"


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("openrouter", "OPENROUTER_API_KEY"),
        ("minimax", "MINIMAX_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("google", "GOOGLE_API_KEY"),
        ("huggingface", "HUGGINGFACE_HUB_TOKEN"),
        ("lab", "LAB_API_KEY"),
    ],
)
def test_a_key_is_where_openclaw_looks_for_it(provider: str, variable: str) -> None:
    assert variable_of({}, provider, KNOWN) == variable


@pytest.mark.parametrize("key", ["${MINE}", {"source": "env", "provider": "default", "id": "MINE"}])
def test_a_key_to_which_the_config_refers_stays_where_it_is(key: object) -> None:
    config = configured(apiKey=key)
    assert variable_of(config, "lab", KNOWN) == "MINE"
    assert not has_key(config, "lab", {}, "MINE")
    assert has_key(config, "lab", {"MINE": "x"}, "MINE")
    kept = chosen(config, LAB, variable="MINE", refer=True)
    assert kept["models"]["providers"]["lab"]["apiKey"] == key


def test_a_key_that_is_written_out_is_one_until_another_is_given() -> None:
    config = configured(apiKey="sk-written-out")
    assert has_key(config, "lab", {}, "LAB_API_KEY")
    given = chosen(config, LAB, variable="LAB_API_KEY", refer=True)
    assert given["models"]["providers"]["lab"]["apiKey"] == "${LAB_API_KEY}"
    kept = chosen(config, LAB, variable="LAB_API_KEY", refer=False)
    assert kept["models"]["providers"]["lab"]["apiKey"] == "sk-written-out"


def test_a_provider_that_openclaw_knows_gets_no_entry() -> None:
    choice = Choice(provider="openrouter", model="z-ai/glm-4.6")
    after = chosen({"gateway": {"port": 1}}, choice, variable="OPENROUTER_API_KEY", refer=True)
    assert after == {
        "gateway": {"port": 1},
        "agents": {"defaults": {"model": {"primary": "openrouter/z-ai/glm-4.6"}}},
    }


def test_another_service_gets_an_entry_with_the_model_once() -> None:
    after = chosen({}, LAB, variable="LAB_API_KEY", refer=True)
    entry = after["models"]["providers"]["lab"]
    assert {key: entry[key] for key in ("baseUrl", "api", "apiKey")} == {
        "baseUrl": "https://lab.example/v1",
        "api": "openai-completions",
        "apiKey": "${LAB_API_KEY}",
    }
    assert [one["id"] for one in entry["models"]] == ["m-1"]
    assert chosen(after, LAB, variable="LAB_API_KEY", refer=True) == after
    another = Choice(provider="lab", model="m-2")
    more = chosen(after, another, variable="LAB_API_KEY", refer=True)
    assert [one["id"] for one in more["models"]["providers"]["lab"]["models"]] == ["m-1", "m-2"]


def test_fallbacks_stay() -> None:
    config = {"agents": {"defaults": {"model": {"primary": "a/1", "fallbacks": ["b/2"]}}}}
    after = chosen(config, LAB, variable=None, refer=False)
    assert after["agents"]["defaults"]["model"] == {"primary": "lab/m-1", "fallbacks": ["b/2"]}
    assert config["agents"]["defaults"]["model"]["primary"] == "a/1", "what was given is as it was"


def test_a_model_that_is_a_text_becomes_an_object() -> None:
    assert primary({"agents": {"defaults": {"model": "a/1"}}}) == "a/1"
    assert primary(chosen({"agents": {"defaults": {"model": "a/1"}}}, LAB, variable=None, refer=False)) == (
        "lab/m-1"
    )
    assert primary({"agents": {"defaults": {"model": {"primary": 3}}}}) is None


def test_agents_with_a_model_of_their_own_are_named() -> None:
    config = {"agents": {"entries": {"main": {}, "two": {"model": "a/1"}, "odd": 3}}}
    assert own_models(config) == ("two",)


@pytest.mark.parametrize("config", [{"models": 3}, {"models": {"providers": []}}, {"agents": "x"}])
def test_a_config_of_another_shape_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(OcmError) as caught:
        chosen(config, LAB, variable=None, refer=False)
    assert caught.value.code == "config_invalid"


def test_of_a_provider_something_has_to_be_known() -> None:
    def find(provider: str, config: dict[str, Any] | None = None) -> str | None:
        choice = Choice(provider=provider, model="m")
        return located(config or {}, choice, KNOWN, frozenset({"copilot-proxy"})).base_url

    assert find("openrouter") is None
    assert find("copilot-proxy") is None
    assert find("lab", configured()) is None
    assert find("ppq") == "https://api.ppq.ai/v1"
    with pytest.raises(OcmError) as caught:
        find("deepseek")
    assert caught.value.code == "provider_unknown"
    assert "--base-url" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("config", "secrets"),
    [
        (configured(apiKey="sk-1"), {}),
        (configured(apiKey="${OTHER}"), {"OTHER": "x"}),
        (configured(), {"LAB_TOKEN": "x"}),
        (configured() | {"auth": {"profiles": {"lab:me": {"provider": "lab", "mode": "token"}}}}, {}),
        ({"models": {"providers": {"lab": {}}}}, {}),
        ({}, {}),
    ],
)
def test_a_provider_gets_a_key_by_config_secret_or_login_or_openclaw_knows(
    config: dict[str, Any], secrets: dict[str, str]
) -> None:
    assert not is_served_without_key(config, "lab", secrets, {"lab": ("LAB_TOKEN",)})


def test_one_of_the_config_without_any_key_is_found() -> None:
    for config in (configured(), configured(apiKey="${GONE}"), configured(apiKey="")):
        assert is_served_without_key(config, "lab", {"OTHER_API_KEY": "x"}, {})
