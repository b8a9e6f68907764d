from __future__ import annotations

import json
from typing import Any

import pytest

from openclaw_ocm.core.models.endpoint import at_another_place, find_endpoint, is_name, is_private
from openclaw_ocm.core.models.listing import PROVIDERS, Page, Provider, parse_page, read_models
from openclaw_ocm.core.models.update import merge
from openclaw_ocm.errors import OcmError

LITELLM = {
    "object": "list",
    "data": [
        {"id": name, "object": "model", "owned_by": "openai"}
        for name in (
            *("gpt-oss-120b", "anthropic/claude-sonnet-4-5", "ollama_chat/qwen3:8b"),
            *("azure/eu/o3-mini@2026-01", "*", "openai/*"),
        )
    ],
}
LAB = Provider(
    id="lab", list_url="", base_url="http://192.168.1.20:4000/v1", key_variable="", configured=True
)


def config_with(**provider: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"models": {"providers": {"Lab": {"baseUrl": "http://192.168.1.20:4000/v1", **provider}}}}


def refused(name: str, config: dict[str, Any]) -> OcmError:
    with pytest.raises(OcmError) as caught:
        find_endpoint(name, config, {}, PROVIDERS)
    return caught.value


def test_a_provider_is_asked_where_main_says_it_is_and_with_its_key() -> None:
    config = config_with(apiKey="${LAB_API_KEY}", headers={"X-Team": "$", "Host": "evil", "a b": "c"})
    found = find_endpoint("lab", config, {"LAB_API_KEY": "sk-1"}, PROVIDERS)
    assert found.urls == ("http://192.168.1.20:4000/v1/models", "http://192.168.1.20:4000/api/tags")
    assert found.headers == {"Authorization": "Bearer sk-1", "X-Team": "$"}
    assert found.keyed
    assert "sk-1" not in repr(found)
    assert (found.name, found.base_url) == ("Lab", "http://192.168.1.20:4000/v1")


@pytest.mark.parametrize(
    ("base_url", "api", "urls"),
    [
        ("https://h/v1/", None, ("https://h/v1/models", "https://h/api/tags")),
        ("https://h", None, ("https://h/models", "https://h/v1/models", "https://h/api/tags")),
        ("http://127.0.0.1:11434", "ollama", ("http://127.0.0.1:11434/api/tags",)),
        ("http://127.0.0.1:11434/v1", "ollama", ("http://127.0.0.1:11434/api/tags",)),
        ("https://api.groq.com/openai/v1", "openai-completions", ("https://api.groq.com/openai/v1/models",)),
    ],
)
def test_a_list_is_looked_for_where_such_servers_have_it(
    base_url: str, api: str | None, urls: tuple[str, ...]
) -> None:
    config = config_with(baseUrl=base_url, **({} if api is None else {"api": api}))
    assert find_endpoint("lab", config, {}, PROVIDERS).urls[: len(urls)] == urls


@pytest.mark.parametrize(
    "key", ["${GONE}", {"source": "exec", "id": "x"}, "a\r\nX-Evil: b", "", None, "ü", {"source": "env"}]
)
def test_a_key_that_is_not_known_or_no_header_is_not_sent(key: object) -> None:
    found = find_endpoint("LAB", config_with(apiKey=key), {}, PROVIDERS)
    assert (found.headers, found.keyed) == ({}, False)


def test_a_header_is_sent_once_in_whatever_case_it_is_written() -> None:
    config = config_with(apiKey="sk-1", headers={"authorization": "Token sk-2", "X-Own": "1"})
    found = find_endpoint("lab", config, {}, PROVIDERS)
    assert found.headers == {"authorization": "Token sk-2", "X-Own": "1"}


def test_a_bare_name_that_is_inherited_as_a_value_leads_to_the_key() -> None:
    known = {"LAB_API_KEY": "OPENAI_API_KEY", "OPENAI_API_KEY": "sk-1"}
    found = find_endpoint("lab", config_with(apiKey="${LAB_API_KEY}"), known, PROVIDERS)
    assert found.headers == {"Authorization": "Bearer sk-1"}


@pytest.mark.parametrize("key", ["LAB_KEY", {"source": "env", "provider": "default", "id": "LAB_KEY"}])
def test_a_variable_is_named_bare_or_by_a_reference_as_well(key: object) -> None:
    found = find_endpoint("lab", config_with(apiKey=key), {"LAB_KEY": "sk-1"}, PROVIDERS)
    assert found.headers == {"Authorization": "Bearer sk-1"}


def test_the_names_that_there_are_stand_in_the_hint() -> None:
    error = refused("lap", config_with())
    assert (error.code, error.hint) == ("provider_unknown", "there are Lab, ppq, openrouter")
    many: dict[str, Any] = {"models": {"providers": {f"p{number}": {} for number in range(40)}}}
    assert "and 22 more" in (refused("lap", many).hint or "")


def test_a_provider_without_an_address_or_of_another_kind_is_told() -> None:
    assert "baseUrl" in (refused("lab", config_with(baseUrl=None)).hint or "")
    assert refused("lab", config_with(api="anthropic-messages")).code == "models_unlisted"


@pytest.mark.parametrize(
    ("url", "keyed"),
    [
        ("http://192.168.1.20:4000/elsewhere", True),
        ("HTTP://192.168.1.20:4000?x", True),
        ("http://192.168.1.20:4001/v1/models", False),
        ("https://192.168.1.20:4000/v1/models", False),
        ("http://192.168.1.20:4000@evil.example/v1/models", False),
        ("http://192.168.1.20:4000.evil.example/v1/models", False),
        ("http://192.168.1.20:4000\\@evil.example/v1/models", False),
    ],
)
def test_a_key_goes_to_its_own_server_alone(url: str, *, keyed: bool) -> None:
    found = find_endpoint("lab", config_with(apiKey="sk-1"), {}, PROVIDERS)
    elsewhere = at_another_place(found, url)
    assert (bool(elsewhere.headers), elsewhere.keyed, elsewhere.urls) == (keyed, keyed, (url,))


@pytest.mark.parametrize(
    ("address", "private"),
    [
        *((one, True) for one in ("10.1.2.3", "172.16.0.1", "172.31.255.1", "192.168.1.20", "127.0.0.1")),
        *((one, True) for one in ("169.254.1.1", "::1", "fe80::1%eth0", "fd00::1")),
        *((one, False) for one in ("172.32.0.1", "8.8.8.8", "100.64.0.1", "0.0.0.0", "2001:db8::1")),
        *((one, False) for one in ("", "localhost", "::ffff:8.8.8.8", "192.168.1", "0x7f.1")),
    ],
)
def test_what_is_private_is_that_and_nothing_else(address: str, *, private: bool) -> None:
    assert is_private(address) is private


def test_a_number_in_disguise_is_no_name() -> None:
    assert all(map(is_name, ("localhost", "nas", "litellm.local", "a-1.fritz.box", "x.y.")))
    assert not any(map(is_name, ("0x7f.1", "127.1", "1", "", "a b", "a..b", "::1")))


def test_wildcards_are_left_out_and_told_and_other_ids_are_kept_as_they_are() -> None:
    listing = read_models(LAB, parse_page(json.dumps(LITELLM).encode()))
    ids = [model.id for model in listing.models]
    assert ids == [row["id"] for row in LITELLM["data"][:4] if isinstance(row, dict)]
    merged = merge(config_with(apiKey="sk"), LAB, listing, force=False)
    (lab,) = merged.config["models"]["providers"].values()
    assert lab["apiKey"] == "sk"
    assert lab["models"][0] == {
        "id": "gpt-oss-120b",
        "name": "gpt-oss-120b",
        "reasoning": False,
        "input": ["text"],
    }
    assert any("left out: *, openai/*, each of which stands for many models" in note for note in merged.notes)
    assert any("no usable price for 4 models: it stays unknown" in note for note in merged.notes)


def test_a_provider_that_is_not_there_is_not_made_and_one_without_a_key_gets_none() -> None:
    listing = read_models(LAB, Page(rows=({"id": "a"},)))
    with pytest.raises(OcmError, match="the config has no provider lab") as caught:
        merge({"models": {"providers": {}}}, LAB, listing, force=False)
    assert caught.value.code == "provider_unknown"
    (lab,) = merge(config_with(), LAB, listing, force=False).config["models"]["providers"].values()
    assert set(lab) == {"baseUrl", "models"}


def test_lists_of_ollama_lm_studio_and_together_are_read() -> None:
    ollama = {"models": [{"name": "qwen3:8b", "model": "qwen3:8b", "details": {"family": "qwen3"}}]}
    assert [model.id for model in read_models(LAB, parse_page(json.dumps(ollama).encode())).models] == [
        "qwen3:8b"
    ]
    studio = [
        {"id": "qwen3-8b", "type": "llm", "max_context_length": 32768},
        {"id": "nomic", "type": "embeddings"},
        {"id": "pixtral", "type": "vlm"},
    ]
    found = read_models(LAB, Page(rows=tuple(studio))).models
    assert [(model.id, model.context_window) for model in found] == [("qwen3-8b", 32768), ("pixtral", None)]
    together = [
        {"id": "a", "type": "chat", "pricing": {"input": 0.9, "output": 1.8, "hourly": 0}},
        {"id": "b", "type": "language", "pricing": {"input": 0, "output": 0, "hourly": 0}},
        {"id": "c", "type": "rerank"},
    ]
    found = read_models(LAB, Page(rows=tuple(together))).models
    assert [(model.id, model.prices) for model in found] == [("a", {"input": 0.9, "output": 1.8}), ("b", {})]
