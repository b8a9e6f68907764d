from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.inheritance import extract
from openclaw_ocm.core.inheritance.extract import Source, key_variable
from openclaw_ocm.core.openclaw.main_place import Variable
from openclaw_ocm.core.secrets import is_key

if TYPE_CHECKING:
    from openclaw_ocm.core.inheritance.extract import Inheritance

KNOWN = {
    "openrouter": ("OPENROUTER_API_KEY",),
    "anthropic": ("ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY"),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "fal": ("FAL_KEY",),
}
MAIN: dict[str, Any] = {
    "gateway": {"auth": {"token": "gateway-token"}, "port": 18789},
    "channels": {"telegram": {"botToken": "bot-token"}},
    "hooks": {"token": "hook-token"},
    "wizard": {"lastRunAt": "now"},
    "env": {"vars": {"X": "1"}},
    "agents": {
        "entries": {"main": {"agentDir": "/home/ann/.openclaw/agents/main"}},
        "defaults": {
            "workspace": "/home/ann/.openclaw/workspace",
            "sandbox": {"mode": "off"},
            "model": {"primary": "a/1", "fallbacks": ["b/2", "c/3"]},
            "models": {"a/1": {"alias": "one"}},
            "modelPolicy": {"allow": ["a/*"]},
            "imageModel": "b/2",
        },
    },
    "models": {
        "mode": "merge",
        "providers": {
            "a": {
                "baseUrl": "https://a.example/v1",
                "apiKey": "sk-in-config",
                "models": [{"id": "1", "name": "One"}],
            },
            "b": {
                "baseUrl": "https://b.example/v1",
                "apiKey": "${B_KEY}",
                "headers": {"X-Team": "team-secret"},
            },
            "c": {"baseUrl": "https://c.example/v1", "models": []},
        },
    },
    "auth": {
        "profiles": {
            "c:manual": {"provider": "c", "mode": "api_key"},
            "openai:me": {"provider": "openai", "mode": "oauth", "email": "ann@example.org"},
        },
        "order": {"c": ["c:manual"], "openai": ["openai:me"]},
    },
    "secrets": {
        "providers": {"default": {"source": "env"}, "vault": {"source": "exec", "command": "/bin/vault"}},
        "egressProxy": {"enabled": True},
    },
    "plugins": {
        "allow": ["openrouter"],
        "entries": {
            "openrouter": {
                "enabled": True,
                "config": {"webSearch": {"apiKey": "sk-plugin"}},
                "hooks": {"x": 1},
            },
            "telegram": {"enabled": True},
        },
    },
}
STORE: dict[str, Any] = {
    "c:manual": {"type": "api_key", "provider": "c", "key": "sk-in-store"},
    "openai:me": {"type": "oauth", "provider": "openai", "access": "at", "refresh": "rt-secret"},
}
VARIABLES = {"B_KEY": "sk-in-env", "OPENROUTER_API_KEY": "sk-known", "TELEGRAM_BOT_TOKEN": "bot", "X": "1"}


def inherit(source: Source) -> Inheritance:
    return extract.inherit(source, "worker1")


def source(config: dict[str, Any] | None = None, **fields: Any) -> Source:  # noqa: ANN401 - those of a Source
    given: dict[str, Any] = {
        "provider_variables": KNOWN,
        "provider_plugins": frozenset({"openrouter"}),
        **fields,
    }
    return Source(name="main", config=MAIN if config is None else config, **given)


def with_key(
    value: object,
    provider: str = "a",
    **fields: Any,  # noqa: ANN401 - those of a Source
) -> tuple[Any, dict[str, str], tuple[str, ...]]:
    """Return what becomes of a provider's apiKey, the secrets and the notes."""
    inherited = inherit(source({"models": {"providers": {provider: {"apiKey": value}}}}, **fields))
    providers = inherited.config.get("models", {}).get("providers", {})
    return providers.get(provider, {}).get("apiKey"), dict(inherited.secrets), inherited.notes


def test_providers_models_and_keys_are_inherited_and_every_key_is_a_reference() -> None:
    inherited = inherit(source(profiles=STORE, variables=VARIABLES))
    providers = inherited.config["models"]["providers"]
    assert {name: provider.get("apiKey") for name, provider in providers.items()} == {
        "a": "${A_API_KEY}",
        "b": "${B_KEY}",
        "c": "${C_API_KEY}",
    }
    assert inherited.secrets == {
        "A_API_KEY": "sk-in-config",
        "B_KEY": "sk-in-env",
        "C_API_KEY": "sk-in-store",
        "OPENROUTER_API_KEY": "sk-known",
        "MODELS_PROVIDERS_B_HEADERS_X_TEAM": "team-secret",
        "PLUGINS_ENTRIES_OPENROUTER_CONFIG_WEBSEARCH_APIKEY": "sk-plugin",
    }
    assert inherited.config["agents"] == {
        "defaults": {
            key: MAIN["agents"]["defaults"][key] for key in ("model", "models", "modelPolicy", "imageModel")
        }
    }
    assert providers["a"]["models"] == [{"id": "1", "name": "One"}]


def test_nothing_else_of_main_is_inherited() -> None:
    inherited = inherit(source(profiles=STORE, variables=VARIABLES))
    assert set(inherited.config) == {"models", "agents", "auth", "secrets", "plugins"}
    assert inherited.config["auth"] == {
        "profiles": {"c:manual": {"provider": "c", "mode": "api_key"}},
        "order": {"c": ["c:manual"]},
    }
    assert inherited.config["secrets"] == {"providers": {"default": {"source": "env"}}}
    assert set(inherited.config["plugins"]) == {"entries"}
    assert set(inherited.config["plugins"]["entries"]) == {"openrouter"}
    assert set(inherited.config["plugins"]["entries"]["openrouter"]) == {"enabled", "config"}
    said = json.dumps([inherited.config, dict(inherited.secrets)])
    for foreign in ("gateway-token", "bot", "hook-token", "rt-secret", "/home/ann", "vault"):
        assert foreign not in said


def test_no_secret_is_in_the_config_in_the_notes_or_in_what_a_traceback_shows() -> None:
    inherited = inherit(source(profiles=STORE, variables=VARIABLES))
    shown = json.dumps(inherited.config) + repr(inherited) + repr(source(profiles=STORE, variables=VARIABLES))
    for secret in (*inherited.secrets.values(), "rt-secret", "gateway-token"):
        assert secret not in shown


def test_a_variable_that_is_not_set_is_said_with_what_to_type() -> None:
    (note,) = inherit(source({"models": {"providers": {"a": {"apiKey": "${GONE_KEY}"}}}})).notes
    assert "ocm secret set worker1 GONE_KEY" in note


def test_a_login_is_not_inherited_and_why_is_said() -> None:
    (note,) = inherit(source({}, profiles=STORE)).notes
    assert "openai:me" in note
    assert "refresh token" in note
    assert "ocm use worker1 models auth login" in note


def test_the_key_in_the_store_goes_before_that_in_the_config() -> None:
    profiles = {"a:x": {"type": "api_key", "provider": "a", "key": "sk-store"}}
    assert with_key("sk-config", profiles=profiles)[0] == "${A_API_KEY}"
    assert with_key("sk-config", profiles=profiles)[1]["A_API_KEY"] == "sk-store"


def test_the_order_of_main_says_which_key_of_a_store_is_taken() -> None:
    profiles = {f"a:{n}": {"type": "api_key", "provider": "a", "key": f"sk-{n}"} for n in (1, 2)}
    config = {"auth": {"order": {"a": ["a:2", "a:1"]}}}
    assert inherit(source(config, profiles=profiles)).secrets == {"A_API_KEY": "sk-2"}
    assert inherit(source({}, profiles=profiles)).secrets == {"A_API_KEY": "sk-1"}


def test_a_key_that_is_the_id_of_a_profile_is_that_profiles_key() -> None:
    profiles = {"b:shared": {"type": "api_key", "provider": "b", "key": "sk-b"}}
    assert with_key("b:shared", profiles=profiles)[:2] == (
        "${A_API_KEY}",
        {"A_API_KEY": "sk-b", "B_API_KEY": "sk-b"},
    )


@pytest.mark.parametrize(
    "value", ["${A_KEY}", "$A_KEY", {"source": "env", "provider": "default", "id": "A_KEY"}]
)
def test_a_reference_stays_and_its_variable_is_taken(value: object) -> None:
    assert with_key(value, variables={"A_KEY": "sk-a", "OTHER": "x"})[:2] == (value, {"A_KEY": "sk-a"})
    assert "A_KEY" in with_key(value)[2][0]


@pytest.mark.parametrize("kind", ["file", "exec", "store"])
def test_a_reference_that_means_nothing_inside_becomes_one_that_the_user_can_fill(kind: str) -> None:
    reference = {"source": kind, "provider": "default", "id": "value"}
    value, secrets, notes = with_key(reference)
    assert (value, secrets) == ("${A_API_KEY}", {})
    assert "ocm secret set worker1 A_API_KEY" in notes[0]


def test_a_file_that_can_be_read_is_read() -> None:
    reference = {"source": "file", "provider": "f", "id": "value"}
    assert with_key(reference, resolve=lambda _ref: "sk-file")[:2] == (
        "${A_API_KEY}",
        {"A_API_KEY": "sk-file"},
    )


def test_a_variable_of_the_gateways_is_never_inherited() -> None:
    value, secrets, notes = with_key("${OPENCLAW_GATEWAY_TOKEN}", variables={"OPENCLAW_GATEWAY_TOKEN": "t"})
    assert secrets == {}
    assert value == "${OPENCLAW_GATEWAY_TOKEN}"
    assert notes


def test_two_secrets_with_one_name_keep_both_and_none_looks_like_a_spare_key() -> None:
    config = {"models": {"providers": {"a.b": {"apiKey": "sk-1"}, "a-b": {"apiKey": "sk-2"}}}}
    inherited = inherit(source(config))
    assert inherited.secrets == {"A_B_API_KEY": "sk-1", "OTHER1_A_B_API_KEY": "sk-2"}


def test_part_of_a_reference_is_no_reference() -> None:
    value, secrets, _notes = with_key("sk-${B}-end", variables={"B": "mid"})
    assert (value, secrets["A_API_KEY"]) == ("${A_API_KEY}", "sk-mid-end")


def test_a_password_in_an_address_is_a_secret() -> None:
    config = {"models": {"providers": {"a": {"baseUrl": "https://ann:pw@a.example/v1"}}}}
    inherited = inherit(source(config))
    assert inherited.config["models"]["providers"]["a"]["baseUrl"] == "${MODELS_PROVIDERS_A_BASEURL}"
    assert list(inherited.secrets.values()) == ["https://ann:pw@a.example/v1"]


def test_a_secret_of_several_lines_is_left_out_and_that_is_told() -> None:
    value, secrets, notes = with_key("line\nline")
    assert (value, secrets) == (None, {})
    assert "models.providers.a.apiKey" in notes[0]


@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("openrouter", "OPENROUTER_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("google", "GOOGLE_API_KEY"),
        ("fal", "FAL_KEY"),
        ("custom-api-ppq-ai", "CUSTOM_API_PPQ_AI_API_KEY"),
        ("9router", "KEY_9ROUTER_API_KEY"),
    ],
)
def test_a_provider_has_its_key_where_openclaw_looks_for_it(provider: str, variable: str) -> None:
    assert key_variable(provider, KNOWN) == variable


def test_a_token_of_a_subscription_goes_where_openclaw_looks_for_one() -> None:
    profiles = {"anthropic:t": {"type": "token", "provider": "anthropic", "token": "sk-ant-oat01"}}
    assert inherit(source({}, profiles=profiles)).secrets == {"ANTHROPIC_OAUTH_TOKEN": "sk-ant-oat01"}


SECRET = "sk-PLANTED-4711"
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(SECRET), st.text(max_size=3)),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["apiKey", "headers", "token", "providers", "source", "id", "provider", "x", "key"]
            ),
            below,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
def test_whatever_the_types_are_it_comes_to_an_end(models: object, auth: object, profile: object) -> None:
    config = {
        "models": models,
        "auth": auth,
        "agents": models,
        "secrets": auth,
        "plugins": {"entries": models},
    }
    inherited = inherit(source(config, profiles={"p": profile}, variables={"A_API_KEY": SECRET}))
    assert all(is_key(name) for name in inherited.secrets)
    json.dumps(inherited.config)


@given(
    st.dictionaries(
        st.sampled_from(["apiKey", "authToken", "password", "clientSecret"]), st.just(SECRET), min_size=1
    )
)
def test_no_secret_in_a_place_for_one_gets_through(members: dict[str, str]) -> None:
    config = {"models": {"providers": {"a": {"request": {"auth": members}, "headers": {"Any": SECRET}}}}}
    inherited = inherit(source(config))
    assert SECRET not in json.dumps(inherited.config)
    assert SECRET in inherited.secrets.values()


def test_inheriting_what_was_inherited_changes_nothing() -> None:
    first = inherit(source(profiles=STORE, variables=VARIABLES))
    again = inherit(source(first.config, variables=first.secrets))
    assert again.config == first.config
    assert again.secrets == first.secrets


def provider_with(**fields: object) -> tuple[dict[str, Any], Inheritance]:
    """Return what becomes of a provider, and all that is inherited."""
    inherited = inherit(source({"models": {"providers": {"a": fields}}}))
    return inherited.config["models"]["providers"]["a"], inherited


@pytest.mark.parametrize(
    "fields",
    [
        {"request": {"auth": {"mode": "header", "headerName": "X-Key", "value": SECRET}}},
        {"params": {"secretAccessKey": SECRET}},
        {"params": {"apiKeySpare": SECRET}},
        {"params": {"anywhere": "sk-ant-api03-PLANTED-4711"}},
        {"baseUrl": f"https://a.example/v1?x=1&api_key={SECRET}"},
        {"apiKey": {"source": "env", "provider": "default", "id": "X", "more": SECRET}},
        {"apiKey": {"source": "env", "provider": "default", "id": [SECRET]}},
    ],
)
def test_no_secret_stays_in_the_config_wherever_openclaw_takes_one(fields: dict[str, object]) -> None:
    config, inherited = provider_with(**fields)
    assert "PLANTED" not in json.dumps(config) + repr(inherited)


def test_what_a_login_is_renewed_with_is_nowhere() -> None:
    config, inherited = provider_with(api="x", params={"oauthRefreshToken": SECRET, "refresh_token": SECRET})
    assert config == {"api": "x", "params": {}}
    assert inherited.secrets == {}
    assert "models.providers.a.params.refresh_token is not inherited" in inherited.notes


def test_no_program_and_no_file_of_anothers_is_inherited() -> None:
    config, inherited = provider_with(
        api="x", localService={"command": "/bin/sh", "args": ["-c", "id"]}, **{"$include": "../x.json"}
    )
    assert config == {"api": "x"}
    assert len(inherited.notes) == 2


def test_what_is_no_json_is_left_out() -> None:
    assert provider_with(timeoutSeconds=float("inf"), maxTokens=float("nan"), api="x")[0] == {"api": "x"}


def test_a_list_of_profiles_may_hold_anything() -> None:
    auth = {"profiles": {"p": {"mode": "oauth"}}, "order": {"a": [{}, ["p"], "p", "q"]}}
    assert inherit(source({"auth": auth})).config == {"auth": {"order": {"a": [{}, ["p"], "q"]}}}


# Where the work grows with the square of the length, these take hours.
MANY = 1_000_000


@pytest.mark.slow
def test_many_secrets_that_want_one_name_come_to_an_end() -> None:
    headers = [{"x": f"k{number}"} for number in range(100_000)]
    config, inherited = provider_with(headers=headers)
    assert len(inherited.secrets) == len(headers)
    assert config["headers"][1] == {"x": "${OTHER1_MODELS_PROVIDERS_A_HEADERS_X}"}


@pytest.mark.parametrize("text", ["?" * MANY, "?" + "key" * MANY, "&token" * MANY, "://" * MANY])
def test_a_long_text_comes_to_an_end(text: str) -> None:
    assert provider_with(baseUrl=text)[0] == {"baseUrl": text}


def test_of_many_warnings_the_first_are_told_and_none_moves_a_terminal() -> None:
    text = "".join(f"${{V{n}}}" for n in range(100))
    notes = provider_with(api=text)[1].notes
    assert len(notes) == 21
    assert notes[-1] == "and 80 more of the kind"
    profiles = {"\x1b[31m\ud800": {"type": "oauth", "provider": "a"}}
    (note,) = inherit(source({}, profiles=profiles)).notes
    assert note.startswith("the login   is not inherited")


def test_of_several_keys_of_a_provider_each_is_where_openclaw_looks_for_spare_ones() -> None:
    profiles = {
        f"openrouter:{n}": {"type": "api_key", "provider": "openrouter", "key": f"sk-{n}"} for n in (1, 2, 3)
    }
    inherited = inherit(source({}, profiles=profiles))
    assert inherited.secrets == {
        "OPENROUTER_API_KEY": "sk-1",
        "OPENROUTER_API_KEY_2": "sk-2",
        "OPENROUTER_API_KEY_3": "sk-3",
    }
    order = {"auth": {"order": {"openrouter": ["openrouter:3", "openrouter:1", "gone"]}}}
    assert inherit(source(order, profiles=profiles)).secrets == {
        "OPENROUTER_API_KEY": "sk-3",
        "OPENROUTER_API_KEY_2": "sk-1",
    }


def test_spare_keys_in_variables_come_along() -> None:
    variables = {"OPENROUTER_API_KEYS": "a,b", "OPENROUTER_API_KEY_WORK": "c", "OPENROUTER_API_KEYRING": "no"}
    assert inherit(source({}, variables=variables)).secrets == {
        "OPENROUTER_API_KEYS": "a,b",
        "OPENROUTER_API_KEY_WORK": "c",
    }


def test_where_openclaw_takes_one_key_alone_the_others_are_told() -> None:
    profiles = {f"lab:{n}": {"type": "api_key", "provider": "lab", "key": f"sk-{n}"} for n in (1, 2)}
    inherited = inherit(source({}, profiles=profiles))
    assert inherited.secrets == {"LAB_API_KEY": "sk-1"}
    assert inherited.notes == ("of 2 keys of lab the first is inherited, as LAB_API_KEY",)


@pytest.mark.parametrize(
    ("profile", "kind"),
    [
        ({"keyRef": {"source": "exec", "provider": "op", "id": "op://x"}}, "a program"),
        ({"keyRef": {"source": "file", "provider": "gone", "id": "/x"}}, "a file"),
        ({"key": {"source": "store", "provider": "default", "id": "x"}}, "a store"),
        ({"keyRef": {"source": "env", "provider": "default", "id": "GONE"}}, "a variable of main's"),
        ({"key": "${GONE}"}, "a variable of main's"),
    ],
)
def test_a_stored_key_that_cannot_be_read_is_told_with_the_name_to_set(
    profile: dict[str, Any], kind: str
) -> None:
    profiles = {"lab:x": {"type": "api_key", "provider": "lab", **profile}}
    config = {"models": {"providers": {"lab": {"baseUrl": "https://lab.example", "models": []}}}}
    inherited = inherit(source(config, profiles=profiles))
    assert inherited.secrets == {}
    assert inherited.config["models"]["providers"]["lab"]["apiKey"] == "${LAB_API_KEY}"
    said = f"the key of lab:x comes from {kind} that an instance cannot read"
    assert inherited.notes == (f"{said}: ocm secret set worker1 LAB_API_KEY",)


def test_a_stored_key_that_can_be_read_goes_before_one_that_cannot() -> None:
    profiles = {
        "lab:x": {"type": "api_key", "provider": "lab", "keyRef": {"source": "exec"}},
        "lab:y": {"type": "api_key", "provider": "lab", "key": "sk-y"},
    }
    inherited = inherit(source({}, profiles=profiles))
    assert (inherited.secrets, inherited.notes) == ({"LAB_API_KEY": "sk-y"}, ())


AWAY = {"ANTHROPIC_API_KEY": "sk-a", "ANTHROPIC_BASE_URL": "https://gateway.corp.example"}


@pytest.mark.parametrize(
    "fields",
    [
        {"variables": AWAY},
        {"variables": {**AWAY, "ANTHROPIC_API_KEY_2": "sk-b", "ANTHROPIC_API_KEYS": "sk-c"}},
        {
            "variables": {"ANTHROPIC_BASE_URL": "https://gateway.corp.example"},
            "profiles": {"anthropic:x": {"type": "api_key", "provider": "anthropic", "key": "sk-a"}},
        },
        {"variables": AWAY, "given": {"ANTHROPIC_BASE_URL": "https://other.example"}},
        {"variables": {"ANTHROPIC_BASE_URL": "x"}, "config": {"apiKey": "sk-a"}},
        {"variables": {**AWAY, "MINE": "sk-m"}, "config": {"apiKey": "${MINE}"}},
        {"variables": {**AWAY, "MINE": "m"}, "config": {"headers": {"Authorization": "Bearer ${MINE}"}}},
        {"variables": AWAY, "config": {"headers": {"X-Corp": "geheim"}}},
        {"variables": AWAY, "config": {"request": {"auth": {"mode": "header", "value": "geheim"}}}},
        {"variables": AWAY, "config": {"models": [{"id": "m", "headers": {"X-Corp": "geheim"}}]}},
        {
            "variables": AWAY,
            "config": {"headers": {"X-Corp": {"source": "file", "provider": "f", "id": "/x"}}},
            "resolve": lambda _reference: "geheim",
        },
    ],
)
def test_no_key_comes_without_the_address_that_it_belongs_to(fields: dict[str, Any]) -> None:
    entry = fields.pop("config", None)
    config = {"models": {"providers": {"anthropic": entry}}} if entry else {}
    inherited = inherit(source(config, **fields))
    assert inherited.secrets == {}
    assert "geheim" not in json.dumps(inherited.config)
    assert any(
        "is not inherited: main's belongs to the address in ANTHROPIC_BASE_URL, and worker1 has another: "
        "ocm env worker1 set ANTHROPIC_BASE_URL=URL, then ocm sync worker1" in note
        for note in inherited.notes
    )
    assert "sk-" not in str(inherited.notes)
    assert "corp.example" not in str(inherited.notes)


@pytest.mark.parametrize(
    ("config", "given"),
    [
        ({}, {"ANTHROPIC_BASE_URL": "https://gateway.corp.example"}),
        ({"baseUrl": "https://a.example"}, {}),
        ({"baseUrl": "${ANTHROPIC_BASE_URL}"}, {}),
    ],
)
def test_a_key_comes_where_its_address_comes(config: dict[str, Any], given: dict[str, str]) -> None:
    taken = {"models": {"providers": {"anthropic": config}}} if config else {}
    inherited = inherit(source(taken, variables=AWAY, given=given))
    assert inherited.secrets["ANTHROPIC_API_KEY"] == "sk-a"
    assert inherited.notes == ()


def test_the_address_of_a_provider_is_known_by_each_of_its_names() -> None:
    for address in ("GOOGLE_GEMINI_BASE_URL", "GEMINI_BASE_URL", "GOOGLE_API_HOST"):
        assert inherit(source({}, variables={"GEMINI_API_KEY": "sk", address: "https://x"})).secrets == {}
    assert inherit(source({}, variables={"GEMINI_API_KEY": "sk", "OTHER_BASE_URL": "https://x"})).secrets


def test_a_key_does_not_come_without_the_plugin_that_has_its_address() -> None:
    config = {
        "plugins": {"entries": {"lab": {"config": {"url": "https://lab.example"}}, "x": {"config": {"a": 1}}}}
    }
    profiles = {
        name: {"type": "api_key", "provider": name.partition(":")[0], "key": "sk-1"}
        for name in ("lab:x", "x:x")
    }
    inherited = inherit(source(config, profiles=profiles))
    assert inherited.secrets == {"X_API_KEY": "sk-1"}
    assert "the address in plugins.entries.lab.config" in inherited.notes[0]


AROUND = {"X": Variable(name="X", value="1", origin="somewhere")}


def test_keys_of_no_provider_that_comes_along_are_named() -> None:
    variables = {"MISTRAL_API_KEY": "sk-m", "OPENROUTER_API_KEY": "sk-o", "TELEGRAM_BOT_TOKEN": "bot"}
    inherited = inherit(source({}, variables=variables, around=AROUND))
    assert inherited.secrets == {"OPENROUTER_API_KEY": "sk-o"}
    assert inherited.notes == (
        "main also has MISTRAL_API_KEY, of no provider in its config: ocm secret set worker1 MISTRAL_API_KEY",
    )
