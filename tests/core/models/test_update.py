from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests import model_lists

from openclaw_ocm.core.models.listing import (
    MAX_MODELS,
    PROVIDERS,
    Listing,
    Page,
    Provider,
    parse_page,
    read_models,
)
from openclaw_ocm.core.models.update import Change, Merged, merge
from openclaw_ocm.core.openclaw.document import changed_keys, format_config, parse_config
from openclaw_ocm.errors import OcmError

PPQ, OPENROUTER = PROVIDERS["ppq"], PROVIDERS["openrouter"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
WORDS = st.sampled_from(["ppq/a", "A", "b@work", "$include", "ppq/*", "text", "image", "chat", "-1", "1e999"])
FIELDS = st.sampled_from(
    [
        *("id", "name", "type", "pricing", "architecture", "context_length", "top_provider", "baseUrl"),
        *("max_completion_tokens", "input_per_1M_tokens", "prompt", "completion", "input_modalities"),
        *(
            "supported_parameters",
            "modality",
            "cost",
            "maxTokens",
            "contextWindow",
            "compat",
            "input",
            "data",
        ),
    ]
)
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=8,
)
IDS = st.sampled_from(["a", "A", "b", "c/d", "private/e", "ppq/a"])
ROWS = st.lists(
    VALUES | st.builds(lambda row, name: {**row, "id": name}, st.dictionaries(FIELDS, VALUES), IDS),
    max_size=8,
)
ENTRIES = st.lists(
    st.builds(lambda entry, name: {**entry, "id": name}, st.dictionaries(FIELDS, VALUES, max_size=4), IDS),
    max_size=4,
)
PLACES = st.sampled_from(["agents", "gateway", "auth", "channels", "env"])
CONFIGS = st.builds(
    lambda config, providers: {**config, "models": {"mode": "merge", "providers": providers}},
    st.dictionaries(PLACES, VALUES.filter(lambda value: "$include" not in str(value)), max_size=3),
    st.dictionaries(
        st.sampled_from(["ppq", "PPQ", "custom-api-ppq-ai", "other"]),
        st.fixed_dictionaries({}, optional={"baseUrl": SCALARS, "apiKey": SCALARS, "models": ENTRIES}),
        max_size=4,
    ),
)


NO_PRICES: list[object] = ["", "free", -1, "-1", "nan", "inf", "1e400", True, [1], {}, 10_001]


def listing(*rows: object, provider: Provider = PPQ) -> Listing:
    return read_models(provider, Page(rows=rows))


def merged(config: dict[str, Any], *rows: object, force: bool = False) -> Merged:
    return merge(config, PPQ, listing(*rows), force=force)


def named(*identifiers: str) -> list[dict[str, Any]]:
    return [{"id": identifier} for identifier in identifiers]


def configured(*entries: object, **provider: object) -> dict[str, Any]:
    """Return a config with the provider ppq, which has `entries`."""
    whole = {"baseUrl": "https://ppq.example", "apiKey": "sk-mine", "api": "openai-completions", **provider}
    return {"models": {"providers": {"ppq": {**whole, "models": list(entries)}}}}


def entries_of(config: dict[str, Any], provider: str = "ppq") -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in config["models"]["providers"][provider]["models"]}


def only(found: Merged) -> Change:
    (change,) = found.changes
    return change


def refused(config: dict[str, Any], *rows: object) -> OcmError:
    with pytest.raises(OcmError) as caught:
        merged(config, *rows)
    assert caught.value.hint
    return caught.value


def check_new_entry(entry: dict[str, Any]) -> None:
    """Check that an entry is what OpenClaw's schema takes, and that nothing in it can harm a terminal."""
    # What a list does not say is left to OpenClaw, never a 0 for a price that nobody knows.
    assert set(entry) - {"compat", "cost", "contextWindow", "maxTokens"} == {
        "id",
        "name",
        "reasoning",
        "input",
    }
    for text in (entry["id"], entry["name"]):
        assert isinstance(text, str)
        assert text
        assert len(text) <= 200
        assert text.isprintable()
        assert "$" not in text
    assert isinstance(entry["reasoning"], bool)
    assert entry["input"] in (["text"], ["text", "image"])
    assert set(entry.get("cost", {"input": 0})) <= {"input", "output", "cacheRead", "cacheWrite"}
    for price in entry.get("cost", {}).values():
        assert type(price) in (int, float)
        assert math.isfinite(price)
        assert 0 <= price <= 10_000
    context, most = entry.get("contextWindow", 10**8), entry.get("maxTokens", 1)
    assert (type(context), type(most)) == (int, int)
    assert 0 < most <= context <= 10**8
    assert entry.get("compat", {"supportsTools": False}) == {"supportsTools": False}


# Reading a list


def test_a_row_of_ppq_becomes_an_entry() -> None:
    row = {
        "id": "claude-sonnet-5",
        "name": "Claude Sonnet 5",
        "type": "chat",
        "context_length": 200_000,
        "pricing": {"input_per_1M_tokens": "2.11", "output_per_1M_tokens": 10.55},
        "architecture": {"input_modalities": ["text", "image"]},
    }
    assert merged({}, row).config == {
        "models": {
            "providers": {
                "ppq": {
                    "baseUrl": "https://api.ppq.ai/v1",
                    "apiKey": "${PPQ_API_KEY}",
                    "api": "openai-completions",
                    "models": [
                        {
                            "id": "claude-sonnet-5",
                            "name": "Claude Sonnet 5",
                            "reasoning": False,
                            "input": ["text", "image"],
                            "cost": {"input": 2.11, "output": 10.55},
                            "contextWindow": 200_000,
                        }
                    ],
                }
            }
        }
    }


def test_a_row_of_openrouter_becomes_an_entry() -> None:
    rows = model_lists.openrouter(3)
    config = merge({}, OPENROUTER, listing(*rows, provider=OPENROUTER), force=False).config
    provider = config["models"]["providers"]["openrouter"]
    assert provider["apiKey"] == "${OPENROUTER_API_KEY}"
    found = entries_of(config, "openrouter")
    assert list(found) == ["openrouter/auto", "maker/model-0:free", "maker/model-1", "maker/model-2"]
    assert found["maker/model-1"] == {
        "id": "maker/model-1",
        "name": "Maker: Model 1",
        "reasoning": True,
        "input": ["text", "image"],
        "cost": {"input": 3, "output": 15, "cacheRead": 0.3, "cacheWrite": 3.75},
        "contextWindow": 180_000,
        "maxTokens": 64_000,
    }
    assert found["maker/model-2"]["compat"] == {"supportsTools": False}
    assert found["maker/model-2"]["reasoning"] is False
    assert "cost" not in found["openrouter/auto"]
    assert found["openrouter/auto"]["contextWindow"] == 2_000_000


@pytest.mark.parametrize(
    ("fields", "context", "limit"),
    [
        ({}, None, None),
        ({"context_length": "32000"}, 32_000, None),
        ({"context_length": 4096.0}, 4096, None),
        ({"context_window": 1000}, 1000, None),
        ({"context_size": 2000}, 2000, None),
        ({"max_model_len": 3000}, 3000, None),
        ({"max_context_length": 4000}, 4000, None),
        ({"context_length": 9000, "top_provider": {"context_length": 8000}}, 8000, None),
        ({"context_length": "x", "context_window": 5000}, 5000, None),
        ({"context_length": 20_000, "max_output_tokens": 16_000}, 20_000, 16_000),
        ({"context_length": 20_000, "max_completion_tokens": 99_000}, 20_000, 20_000),
        ({"top_provider": {"max_completion_tokens": "700"}}, None, 700),
        ({"context_length": 0, "max_output_tokens": False}, None, None),
        ({"context_length": [1], "max_output_tokens": {}}, None, None),
    ],
)
def test_limits_are_read_where_a_server_has_them(
    fields: dict[str, Any], context: int | None, limit: int | None
) -> None:
    entry = entries_of(merged({}, {"id": "a", **fields}).config)["a"]
    assert (entry.get("contextWindow"), entry.get("maxTokens")) == (context, limit)


@pytest.mark.parametrize(
    ("pricing", "price"),
    [
        ({"input_per_1M_tokens": 2}, 2),
        ({"input_per_1M_tokens": "0.075"}, 0.075),
        ({"prompt": "0.00000005"}, 0.05),
        ({"prompt": 1e-6}, 1),
        ({"input_per_1M_tokens": 0, "prompt": "1"}, 0),
        *(({"input_per_1M_tokens": value}, None) for value in NO_PRICES),
        *(({"prompt": value}, None) for value in [*NO_PRICES, 1, "-0.000001"]),
        ("2", None),
        (None, None),
    ],
)
def test_prices_are_read_in_their_own_unit_and_what_is_none_is_left_out(
    pricing: object, price: float | None
) -> None:
    (model,) = listing({"id": "a", "pricing": pricing}).models
    assert model.prices == ({} if price is None else {"input": price})


@pytest.mark.parametrize(
    "row",
    [
        {"type": "image"},
        {"type": "video"},
        {"architecture": {"output_modalities": ["image"]}},
        {"architecture": {"modality": "text->image"}},
        {"id": "private/a"},
    ],
)
def test_what_is_no_model_to_talk_to_is_left_out(row: dict[str, Any]) -> None:
    assert listing({"id": "a", **row}).models == ()
    assert listing({"id": "a", **row}).unusable == 0


def test_a_row_without_a_usable_id_is_counted_and_left_out() -> None:
    found = listing(*model_lists.HOSTILE)
    assert (found.unusable, len(found.wildcards)) == (13, 1)
    assert [model.id for model in found.models[:3]] == ["named/1", "named/2", "sized/1"]
    assert [model.name for model in found.models if model.id == "twice"] == ["First"]
    names = {model.id: model.name for model in found.models}
    assert names["named/1"].startswith("evil {HOME} nnn")
    assert len(names["named/1"]) == 120
    assert names["named/2"] == "named/2"
    for entry in entries_of(merged({}, *model_lists.HOSTILE).config).values():
        check_new_entry(entry)


@pytest.mark.parametrize("ends", ["${A}", "$x", "a{b", "a\\b", 'a"b', "a\u00a0b", "ü", "\x7f", "a*", "`"])
def test_an_id_that_openclaw_or_a_shell_would_read_otherwise_is_not_usable(ends: str) -> None:
    assert listing({"id": f"a{ends}"}).models == ()


@pytest.mark.parametrize("name", ["a/b/c", "~a/b", "a:free", "@cf/meta/a", "a+b=c", "A.1_2-3", "a" * 200])
def test_ids_as_services_have_them_are_usable(name: str) -> None:
    assert [model.id for model in listing({"id": name}).models] == [name]


def test_a_list_of_more_models_than_any_service_has_is_refused() -> None:
    assert len(listing(*named(*map(str, range(MAX_MODELS)))).models) == MAX_MODELS
    with pytest.raises(OcmError) as caught:
        listing(*named(*map(str, range(MAX_MODELS + 1))))
    assert caught.value.code == "list_too_large"


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("[]", Page(rows=())),
        ('{"data": [1, "a"]}', Page(rows=(1, "a"))),
        ('{"object": "list", "data": [{"id": "a"}]}', Page(rows=({"id": "a"},))),
        ('{"data": [], "links": {"next": "/v1/models?page=2"}}', Page(rows=(), next_url="/v1/models?page=2")),
        ('{"data": [], "links": {"next": null}, "total_count": 7}', Page(rows=(), total=7)),
        ('{"data": [], "links": [], "total_count": "x"}', Page(rows=())),
        ('{"data": [], "links": {"next": 5}}', Page(rows=())),
        ("[NaN, Infinity, -Infinity]", Page(rows=(None, None, None))),
        ("[" + "9" * 5000 + "]", Page(rows=(None,))),
        ("[1e999]", Page(rows=(math.inf,))),
    ],
)
def test_a_page_is_read(text: str, page: Page) -> None:
    assert parse_page(text.encode()) == page


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"null",
            b"7",
            b'"data"',
            b"{}",
            b'{"data": {}}',
            b'{"data": null}',
            b"<html>",
            b"\xff\xfe\x00",
        ),
        *(b'{"data": [{"id": "a"', b"[" * 100_000, b'{"a":' * 100_000, b"[1] [2]", b'["\x00"]'),
    ],
)
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(OcmError) as caught:
        parse_page(data)
    assert caught.value.code == "list_unreadable"
    assert caught.value.hint


# Merging


@given(ROWS)
@example([{"id": "a", "max_completion_tokens": 128_001}])
def test_a_list_of_anything_makes_entries_that_openclaw_takes(rows: list[Any]) -> None:
    for entry in entries_of(merged({}, *rows, force=True).config).values():
        check_new_entry(entry)


@given(CONFIGS, ROWS)
def test_nothing_else_in_a_config_changes_and_once_more_is_no_change(
    config: dict[str, Any], rows: list[Any]
) -> None:
    given_text = json.dumps(config)
    found = merged(config, *rows, force=True)
    assert json.dumps(config) == given_text, "what it was given stays as it is"
    before, after = config["models"]["providers"], found.config["models"]["providers"]
    changed = {change.provider for change in found.changes}
    assert changed == ({"ppq", "PPQ", "custom-api-ppq-ai"} & set(before) or {"ppq"})
    assert json.dumps(without(found.config, changed)) == json.dumps(without(config, changed))
    for change in found.changes:
        provider = before.get(change.provider, {})
        for key in set(provider) - {"models"}:
            assert json.dumps(after[change.provider][key]) == json.dumps(provider[key])
        entries = provider.get("models", [])
        check_counts(change, entries, after[change.provider]["models"], listing(*rows))
    again = merged(found.config, *rows, force=True)
    assert changed_keys(found.config, again.config) == ()
    assert not any(change.added or change.removed or change.changed for change in again.changes)


def without(config: dict[str, Any], providers: set[str]) -> dict[str, Any]:
    """Return a config without the models of some providers, and those without what every provider gets."""
    rest = copy.deepcopy(config)
    for name in providers:
        provider = rest["models"]["providers"].pop(name, {})
        assert set(provider) <= {"baseUrl", "apiKey", "api", "models"}
    return rest


def check_counts(change: Change, before: list[Any], after: list[Any], found: Listing) -> None:
    listed = {model.id for model in found.models}
    assert len(after) == change.total == len(before) - len(change.removed) + len(change.added)
    assert listed <= {entry["id"] for entry in after}
    assert set(change.added) <= listed
    assert listed.isdisjoint((*change.removed, *change.kept))


def test_a_config_that_openclaw_wrote_anew_is_no_change() -> None:
    rows = [*model_lists.ppq(9), *model_lists.openrouter(3), {"id": "a", "pricing": {"prompt": "1e-12"}}]
    after = merged({}, *rows).config
    text = format_config(after)
    assert b": 1e-06" in text
    # JSON.stringify writes 1e-6, and never 3.0.
    assert b".0," not in text
    rewritten = parse_config(text.replace(b"e-06", b"e-6"), source="it")
    assert changed_keys(after, merged(rewritten, *rows).config) == ()


ROW = {
    "id": "a",
    "name": "Its name",
    "context_length": 50_000,
    "max_output_tokens": 4000,
    "pricing": {"input_per_1M_tokens": 1, "output_per_1M_tokens": 2},
    "architecture": {"input_modalities": ["text"]},
    "supported_parameters": ["reasoning", "tools"],
}
MINE = {
    "id": "a",
    "name": "My name",
    "reasoning": False,
    "input": ["text", "image"],
    "cost": {"input": 9, "output": 9, "cacheRead": 9, "tieredPricing": []},
    "contextWindow": 7,
    "contextTokens": 5,
    "maxTokens": 3000,
    "compat": {"supportsTools": False, "supportsStore": False},
    "params": {"x": 1},
    "headers": {"X-Mine": "1"},
}


def test_the_list_decides_what_it_says_and_all_else_is_the_users() -> None:
    found = merged(configured(MINE), ROW)
    assert entries_of(found.config)["a"] == {
        **MINE,
        "reasoning": True,
        "input": ["text"],
        "cost": {"input": 1, "output": 2, "cacheRead": 9, "tieredPricing": []},
        "contextWindow": 50_000,
    }
    assert only(found).changed == ("a",)


def test_what_the_list_does_not_say_stays() -> None:
    found = merged(configured(MINE), {"id": "a", "pricing": {"prompt": "-1"}, "context_length": "nan"})
    assert entries_of(found.config)["a"] == MINE
    assert only(found).changed == ()


def test_an_entry_gets_no_field_that_neither_the_user_nor_the_list_has() -> None:
    assert entries_of(merged(configured({"id": "a", "name": "x"}), {"id": "a"}).config)["a"] == {
        "id": "a",
        "name": "x",
    }


@pytest.mark.parametrize(
    ("mine", "theirs", "result"), [(3000, 4000, 3000), (5000, 4000, 4000), ("x", 4000, 4000)]
)
def test_a_smaller_limit_of_the_users_stays_and_a_larger_one_would_be_refused_by_the_server(
    mine: object, theirs: int, result: int
) -> None:
    config = configured({"id": "a", "name": "x", "maxTokens": mine})
    found = merged(config, {"id": "a", "max_output_tokens": theirs})
    assert entries_of(found.config)["a"]["maxTokens"] == result


def test_models_that_are_not_listed_any_more_go_and_new_ones_come_last() -> None:
    found = merged(configured(*named("gone", "b", "a")), *named("new", "a", "b"))
    assert list(entries_of(found.config)) == ["b", "a", "new"]
    assert only(found) == Change(
        provider="ppq", added=("new",), removed=("gone",), changed=("b", "a"), kept=(), total=3
    )


@pytest.mark.parametrize(
    ("elsewhere", "warned"),
    [
        ({"agents": {"defaults": {"model": "ppq/gone"}}}, "agents.defaults.model"),
        ({"agents": {"defaults": {"model": {"primary": "ppq/gone"}}}}, "agents.defaults.model.primary"),
        (
            {"agents": {"defaults": {"model": {"fallbacks": ["x/y", "ppq/gone"]}}}},
            "agents.defaults.model.fallbacks",
        ),
        (
            {"agents": {"defaults": {"imageModel": {"primary": "ppq/gone"}}}},
            "agents.defaults.imageModel.primary",
        ),
        ({"agents": {"defaults": {"imageModel": "ppq/gone"}}}, "agents.defaults.imageModel"),
        ({"agents": {"entries": {"ops": {"model": "PPQ/Gone"}}}}, "agents.entries.ops.model"),
        (
            {"agents": {"entries": {"ops": {"subagents": {"model": "gone"}}}}},
            "agents.entries.ops.subagents.model",
        ),
        ({"agents": {"defaults": {"model": "ppq/gone@work"}}}, "agents.defaults.model"),
        ({"agents": {"defaults": {"models": {"ppq/gone": {"alias": "old"}}}}}, None),
        ({"agents": {"defaults": {"modelPolicy": {"allow": ["ppq/gone"]}}}}, None),
        ({"hooks": {"mappings": [{"model": "ppq/gone"}]}}, "hooks.mappings.model"),
    ],
)
def test_a_model_that_the_config_names_stays_and_is_warned_of_where_it_is_to_run(
    elsewhere: dict[str, Any], warned: str | None
) -> None:
    config = {**configured(*named("gone", "other", "a")), **elsewhere}
    found = merged(config, *named("a", "b"))
    assert only(found).kept == ("gone",)
    assert only(found).removed == ("other",)
    assert list(entries_of(found.config)) == ["gone", "a", "b"]
    warnings = [note for note in found.notes if "does not have" in note]
    assert [note.split(" is ")[0] for note in warnings] == ([warned] if warned else [])
    assert all(note.endswith("which the list does not have: its entry was kept") for note in warnings)


def test_a_primary_model_that_nothing_defines_is_warned_of() -> None:
    config = {
        **configured(*named("a")),
        "agents": {"defaults": {"model": {"primary": "ppq/b", "fallbacks": ["ppq/a"]}}},
    }
    warnings = [note for note in merged(config, *named("a")).notes if "does not have" in note]
    assert warnings == [
        "agents.defaults.model.primary is ppq/b, which the list does not have: no entry defines it"
    ]


def test_models_of_others_and_wildcards_are_not_warned_of() -> None:
    chosen = {"primary": "openrouter/auto", "fallbacks": ["other/b", "ppq/a", "A"]}
    config = {
        **configured(*named("a")),
        "agents": {"defaults": {"model": chosen, "modelPolicy": {"allow": ["ppq/*"]}}},
    }
    assert not [note for note in merged(config, *named("a")).notes if "does not have" in note]


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "local/x", "name": "x", "baseUrl": "http://127.0.0.1:8787/v1"},
        {"id": "private/x", "name": "behind a proxy of the user's"},
    ],
)
def test_a_model_that_is_served_elsewhere_is_none_of_the_lists_business(entry: dict[str, Any]) -> None:
    config = {**configured(*[entry] * 9), "agents": {"defaults": {"model": f"ppq/{entry['id']}"}}}
    found = merged(config, *named("a"))
    assert entries_of(found.config)[entry["id"]] == entry
    assert only(found).kept == only(found).removed == ()
    assert only(found).total == 10
    assert not [note for note in found.notes if "does not have" in note]


def test_an_instance_cannot_flood_the_terminal_with_warnings() -> None:
    config = {
        **configured(*named("a")),
        "agents": {"defaults": {"model": {"fallbacks": ["ppq/gone"] * 5000}}},
    }
    notes = merged(config, *named("a")).notes
    assert notes[-1] == "and 4980 more warnings of this kind"
    assert len(notes) < 30


def test_a_list_of_less_than_half_is_refused_unless_forced() -> None:
    config = configured(*named(*(f"m{number}" for number in range(500))))
    error = refused(config, *named(*(f"m{number}" for number in range(200))))
    assert error.code == "list_shrunk"
    assert error.message == "the list has 200 models, less than half of the 500 of ppq"
    assert only(merged(config, *named(*(f"m{number}" for number in range(250))))).total == 250
    assert only(merged(config, *named("m1"), force=True)).total == 1


@pytest.mark.parametrize("rows", [[], [None], [{"id": "a", "type": "image"}]])
def test_a_list_without_a_model_is_refused_unless_forced(rows: list[Any]) -> None:
    assert refused({}, *rows).code == "list_empty"
    config = {**configured(*named("used", "b")), "agents": {"defaults": {"model": "ppq/used"}}}
    assert refused(config, *rows).code == "list_empty"
    assert list(entries_of(merged(config, *rows, force=True).config)) == ["used"]


def test_the_provider_is_updated_under_each_older_id_that_is_there_and_no_other_is_touched() -> None:
    old = {"baseUrl": "https://api.ppq.ai", "apiKey": "sk-mine", "models": named("a")}
    config = {"models": {"mode": "replace", "providers": {"x": {"models": 5}, "custom-api-ppq-ai": old}}}
    after = merged(config, *named("a", "b")).config["models"]
    assert list(after["providers"]) == ["x", "custom-api-ppq-ai"]
    assert after["mode"] == "replace"
    assert after["providers"]["x"] == {"models": 5}
    changed = after["providers"]["custom-api-ppq-ai"]
    assert (changed["baseUrl"], changed["apiKey"]) == ("https://api.ppq.ai", "sk-mine")
    both = {"models": {"providers": {"custom-api-ppq-ai": old, "PPQ": old}}}
    assert [change.provider for change in merged(both, *named("a")).changes] == ["custom-api-ppq-ai", "PPQ"]


@pytest.mark.parametrize(
    ("provider", "elsewhere", "key"),
    [
        ({}, {}, "${PPQ_API_KEY}"),
        ({"apiKey": "sk-mine"}, {}, "sk-mine"),
        ({"apiKey": ""}, {}, ""),
        ({"apiKey": {"source": "env", "id": "X"}}, {}, {"source": "env", "id": "X"}),
        ({"auth": "oauth"}, {}, None),
        ({"headers": {"X-Api-Key": "k"}}, {}, None),
        ({"request": {"auth": {"mode": "authorization-bearer"}}}, {}, None),
        ({}, {"auth": {"profiles": {"ppq:manual": {"provider": "ppq", "mode": "api_key"}}}}, None),
        ({}, {"auth": {"profiles": {"x:manual": {"provider": "x"}, "y": 5}}}, "${PPQ_API_KEY}"),
    ],
)
def test_a_key_is_referred_to_only_where_none_is_in_sight(
    provider: dict[str, Any], elsewhere: dict[str, Any], key: object
) -> None:
    config = {"models": {"providers": {"ppq": provider}}, **elsewhere}
    found = merged(config, *named("a"))
    assert found.config["models"]["providers"]["ppq"].get("apiKey") == key
    assert any("PPQ_API_KEY" in note for note in found.notes) == (key == "${PPQ_API_KEY}")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"$include": "./all.json5"}, "the config"),
        ({"models": {"$include": "./models.json5"}}, "models"),
        ({"models": {"providers": {"$include": ["./a.json5"]}}}, "models.providers"),
        ({"models": {"providers": {"ppq": {"$include": "./ppq.json5"}}}}, "models.providers.ppq"),
        (
            {"models": {"providers": {"ppq": {"models": {"$include": "./ppq.json5"}}}}},
            "models.providers.ppq.models",
        ),
    ],
)
def test_a_provider_that_comes_from_an_include_is_left_alone(config: dict[str, Any], name: str) -> None:
    error = refused(config, *named("a"))
    assert error.code == "config_included"
    assert error.message.startswith(f"{name} has an $include")


def test_no_model_is_removed_where_an_included_file_may_name_it() -> None:
    config = {**configured(*named("gone", "a")), "agents": {"$include": "./agents.json5"}}
    found = merged(config, *named("a"))
    assert only(found).kept == ("gone",)
    assert any("nothing was removed from ppq" in note for note in found.notes)


@pytest.mark.parametrize(
    "config",
    [
        {"models": []},
        {"models": None},
        {"models": {"providers": "x"}},
        {"models": {"providers": {"ppq": []}}},
        {"models": {"providers": {"ppq": None}}},
        {"models": {"providers": {"ppq": {"models": {}}}}},
        {"models": {"providers": {"ppq": {"models": None}}}},
    ],
)
def test_a_config_of_another_shape_is_refused(config: dict[str, Any]) -> None:
    assert refused(config, *named("a")).code == "config_invalid"


def test_entries_that_are_none_stay_for_openclaw_to_judge() -> None:
    config = configured(5, {"name": "no id"}, None, {"id": ["a"]})
    after = merged(config, *named("a", "b")).config["models"]["providers"]["ppq"]["models"]
    assert after[:4] == [5, {"name": "no id"}, None, {"id": ["a"]}]
    assert merged(configured() | {"x": 1}, *named("a")).config["x"] == 1


def test_what_is_odd_about_a_list_is_said() -> None:
    page = Page(rows=(*model_lists.HOSTILE[:5], *model_lists.ppq(3)[:3]), total=20)
    notes = merge({}, PPQ, read_models(PPQ, page), force=False).notes
    assert notes == (
        "the server says that it has 12 more models than it listed",
        "left out: 5 rows of the list without a usable id",
        "ppq takes its key from PPQ_API_KEY, in the environment or in .env beside the config",
    )
    assert "no usable price for 1 model:" in " ".join(merged({}, {"id": "a"}).notes)
