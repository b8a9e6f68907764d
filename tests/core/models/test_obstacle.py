"""What a config tells of whether its agent can answer: pure."""

from __future__ import annotations

from typing import Any

import pytest

from openclaw_ocm.core.models.obstacle import Given, obstacle, out_of_reach

KNOWN = {"openrouter": ("OPENROUTER_API_KEY",), "fal": ("FAL_KEY", "FAL_API_KEY")}
MENTIONED = frozenset({*KNOWN, "minimax-cn", "copilot-proxy"})
LAB = {"baseUrl": "https://lab.example/v1", "models": [{"id": "m"}]}


def given(config: dict[str, Any], *secrets: str, **more: Any) -> Given:  # noqa: ANN401 - fields of it
    return Given(
        name="worker1",
        config=config,
        variables=frozenset(secrets),
        known=KNOWN,
        is_mentioned=MENTIONED.__contains__,
        **more,
    )


def told(
    model: object,
    *secrets: str,
    providers: dict[str, Any] | None = None,
    **config: Any,  # noqa: ANN401 - any JSON
) -> str | None:
    made = {"agents": {"defaults": {"model": model}}, "models": {"providers": providers or {}}, **config}
    return obstacle(given(made, *secrets))


@pytest.mark.parametrize("model", [None, {}, {"primary": ""}, 3])
def test_without_a_model_it_is_told_how_to_get_one(model: object) -> None:
    assert told(model) == "it has no model: ocm model worker1 PROVIDER/MODEL gives it one, with its key"


def test_a_provider_that_nobody_knows_is_told() -> None:
    assert told("nowhere/m") == (
        "OpenClaw comes without a provider nowhere, and its config has none:"
        " ocm model worker1 lists those that are known"
    )


@pytest.mark.parametrize("plugins", [{"load": {"paths": ["x"]}}, {"entries": {"nowhere": {}}}])
def test_where_there_are_plugins_of_its_own_a_provider_may_be_theirs(plugins: dict[str, Any]) -> None:
    assert told("nowhere/m", plugins=plugins) is None


def test_plugins_that_openclaw_comes_with_bring_no_other_provider() -> None:
    assert told("nowhere/m", plugins={"entries": {"fal": {"enabled": False}}}) is not None


def test_a_key_that_is_missing_is_told_and_one_that_is_there_is_not() -> None:
    missing = "it has no key for {0}: ocm model worker1 {0}/m asks for it"
    assert told({"primary": "openrouter/m"}) == missing.format("openrouter")
    assert told("openrouter/m", "FAL_KEY") == missing.format("openrouter")
    assert told("openrouter/m", "OPENROUTER_API_KEY") is None
    assert told("fal/m", "FAL_API_KEY") is None
    assert told("lab/m", providers={"lab": LAB}) == missing.format("lab")
    assert told("lab/m", "LAB_API_KEY", providers={"lab": LAB}) is None
    assert told("lab/m", providers={"lab": {**LAB, "apiKey": "sk"}}) is None
    named = {"lab": {**LAB, "apiKey": "${OTHER}"}}
    assert told("lab/m", "OTHER", providers=named) is None
    assert told("lab/m", "LAB_API_KEY", providers=named) == missing.format("lab")


@pytest.mark.parametrize(
    ("model", "config"),
    [
        ("sonnet", {}),
        ("minimax-cn/m", {}),
        ("copilot-proxy/m", {}),
        ("ollama/m", {"providers": {"ollama": LAB}}),
        ("lab/m", {"providers": {"lab": {**LAB, "baseUrl": "http://127.0.0.1:1/v1"}}}),
        ("lab/m", {"providers": {"lab": {**LAB, "baseUrl": "http://[::1]:1/v1"}}}),
        ("lab/m", {"providers": {"lab": {**LAB, "baseUrl": "http://[bad"}}}),
        ("lab/m", {"providers": {"lab": {**LAB, "baseUrl": "http://192.168.1.20:8000/v1"}}}),
        ("lab/m", {"providers": {"lab": {**LAB, "headers": {"x-key": "1"}}}}),
        ("lab/m", {"providers": {"lab": {"models": []}}}),
        ("openrouter/m", {"auth": {"profiles": {"a": {"provider": "openrouter", "mode": "oauth"}}}}),
        ("openrouter/m", {"env": {"vars": {"OPENROUTER_API_KEY": "x"}}}),
        ("openrouter/m", {"env": {"OPENROUTER_API_KEY": "x"}}),
    ],
)
def test_nothing_is_said_of_what_is_not_known(model: str, config: dict[str, Any]) -> None:
    assert told(model, **config) is None


def test_openclaws_own_default_and_names_in_another_case_are_not_judged() -> None:
    assert obstacle(given({"agents": {}}, "OPENAI_API_KEY")) is None
    assert told("OPENROUTER/m") is None


def test_an_agents_own_model_counts() -> None:
    config: dict[str, Any] = {"agents": {"entries": {"two": {"model": "openrouter/m"}}}}
    said = obstacle(given(config))
    assert said is not None
    assert said.startswith("it has no key for openrouter")


@pytest.mark.parametrize("value", [None, 3, "x", [], {"providers": 3}, {"providers": {"lab": 3}}])
def test_a_config_of_any_form_is_borne(value: object) -> None:
    for key in ("models", "agents", "auth", "env", "plugins"):
        config = {"agents": {"defaults": {"model": "lab/m\x1b"}}, key: value}
        said = obstacle(given(config))
        assert said is None or "\x1b" not in said


@pytest.mark.parametrize(
    ("allow", "reached"),
    [
        ((), False),
        (("192.168.1.20:443",), False),
        (("192.168.2.0/24",), False),
        (("192.168.1.20:8080",), True),
        (("192.168.1.20",), True),
        (("192.168.1.0/24",), True),
        (("127.0.0.1:1", "192.168.1.0/24:8080"), True),
    ],
)
def test_a_provider_that_is_near_has_to_be_allowed(allow: tuple[str, ...], reached: bool) -> None:  # noqa: FBT001 - of the table
    lab = {**LAB, "baseUrl": "http://192.168.1.20:8080/v1"}
    made = {"agents": {"defaults": {"model": "lab/m"}}, "models": {"providers": {"lab": lab}}}
    place = "192.168.1.20:8080"
    words = f"its provider is at {place}, which it may not reach: ocm network worker1 allow {place}"
    assert out_of_reach("worker1", made, allow) == (None if reached else words)


@pytest.mark.parametrize(
    "address", [None, 3, {}, "", "https://lab.example/v1", "https://1.1.1.1/v1", "http://["]
)
def test_one_that_is_not_near_or_nowhere_needs_nothing(address: object) -> None:
    made = {
        "agents": {"defaults": {"model": "lab/m"}},
        "models": {"providers": {"lab": {"baseUrl": address}}},
    }
    assert out_of_reach("worker1", made, ()) is None
    assert out_of_reach("worker1", {}, ()) is None
