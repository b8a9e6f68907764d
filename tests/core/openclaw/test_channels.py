"""What a config says of Telegram, who may write, and which bots it polls: pure."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from openclaw_ocm.core.openclaw.channels import (
    OTHERS,
    TOKEN,
    access_in_words,
    bots,
    channels_in,
    parse_channel,
    parse_token,
    parse_user,
    with_telegram,
    without_channel,
)
from openclaw_ocm.errors import Invalid, OcmError

BOT = "123456789:AAPLANTED-0123456789_abcdefghijklmn"
OTHER = "987654321:BBPLANTED-0123456789_abcdefghijklmn"


def telegram(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"channels": {"telegram": fields}}


def test_without_an_allow_list_people_are_approved_and_groups_answer_nobody() -> None:
    assert with_telegram({}, ()) == telegram(
        enabled=True,
        botToken="${TELEGRAM_BOT_TOKEN}",
        dmPolicy="pairing",
        groupPolicy="allowlist",
        groups={"*": {"requireMention": True}},
    )


def test_those_who_are_allowed_are_so_in_groups_too() -> None:
    entry = with_telegram(telegram(allowFrom=["7"], apiRoot="http://127.0.0.1:1"), ("4242", "7"))["channels"][
        "telegram"
    ]
    assert entry["dmPolicy"] == "allowlist"
    assert entry["allowFrom"] == entry["groupAllowFrom"] == ["7", "4242"]
    assert entry["apiRoot"] == "http://127.0.0.1:1"
    assert access_in_words(entry) == "2 of an allow-list"


def test_who_is_let_in_by_name_is_let_in_alone_whatever_was_said_before() -> None:
    open_group = {"groupPolicy": "open", "allowFrom": ["*"], "requireMention": False}
    old = telegram(
        dmPolicy="open",
        allowFrom=["*", 7, None],
        groups={"*": open_group, "-1001": {"topics": {"1": {"groupPolicy": "open"}}}},
        tokenFile="/x",
    )
    entry = with_telegram(old, ("4242",))["channels"]["telegram"]
    assert entry["dmPolicy"] == entry["groupPolicy"] == "allowlist"
    assert entry["allowFrom"] == entry["groupAllowFrom"] == ["7", "4242"]
    assert entry["groups"] == {"*": {"requireMention": False}, "-1001": {"topics": {"1": {}}}}
    assert "tokenFile" not in entry


@pytest.mark.parametrize("allowed", [5, True, "*", {"a": 1}, None])
def test_an_allow_list_of_another_shape_lets_nobody_in(allowed: object) -> None:
    entry = with_telegram(telegram(allowFrom=allowed, groups=3), ("4242",))["channels"]["telegram"]
    assert entry["allowFrom"] == ["4242"]
    assert entry["groups"] == {"*": {"requireMention": True}}


def test_another_token_alone_changes_nothing_of_who_may_write() -> None:
    before = with_telegram({}, ("4242",))
    assert with_telegram(before, ()) == before


def test_accounts_with_rules_of_their_own_are_left_alone() -> None:
    with pytest.raises(OcmError) as caught:
        with_telegram(telegram(accounts={"a": {"dmPolicy": "open"}}), ("4242",))
    assert caught.value.code == "channel_unsupported"


def test_what_refers_to_nothing_is_no_bot_and_one_that_is_off_polls_nothing() -> None:
    assert bots(telegram(botToken="${MINE}"), {}) == frozenset()
    assert bots(telegram(botToken="$MINE"), {"MINE": BOT}) == bots(telegram(botToken=BOT), {})
    off = {"a": {"botToken": OTHER, "enabled": False}, "b": {"botToken": OTHER, "tokenFile": "/x"}}
    assert bots(telegram(botToken=BOT, accounts=off), {}) == bots(telegram(botToken=BOT), {})


def test_what_else_is_there_stays_and_what_is_taken_goes() -> None:
    config = {"channels": {"discord": {"enabled": True}}, "gateway": {"port": 1}}
    added = with_telegram(config, ())
    assert added["channels"]["discord"] == {"enabled": True}
    assert without_channel(added, "telegram") == config
    assert without_channel(with_telegram({}, ()), "telegram") == {}
    assert without_channel({}, "telegram") == {}


TWO: dict[str, Any] = {"main": {}, "work": {}}
ONE_CHAT = {"agentId": "work", "match": {"channel": "telegram", "peer": {"kind": "direct", "id": "1"}}}


@pytest.mark.parametrize(
    ("agents", "owner"),
    [
        ({"ownership": "explicit", "entries": TWO}, "main"),
        ({"ownership": "explicit", "entries": {"home": {}, "work": {}}}, "home"),
        ({"defaults": {"systemAgent": {"agentId": "work"}}, "entries": TWO}, "work"),
        ({"defaults": {"systemAgent": {"agentId": "gone"}}, "entries": TWO}, "main"),
        ({"entries": {"main": {}, "work": {"default": True}}}, "work"),
    ],
)
def test_of_several_agents_the_default_one_has_the_bot(agents: dict[str, Any], owner: str) -> None:
    match = {"channel": "telegram", "accountId": "default"}
    for before in (
        {},
        {"bindings": [ONE_CHAT]},
        {"bindings": [{"agentId": "work", "match": {"channel": "x"}}]},
    ):
        config = {"agents": agents, **before}
        added = with_telegram(config, ())
        assert added["bindings"] == [*before.get("bindings", []), {"agentId": owner, "match": match}]
        assert with_telegram(added, ()) == added
        assert without_channel(added, "telegram") == config


@pytest.mark.parametrize("match", [{}, {"accountId": ""}, {"accountId": "*"}, {"accountId": "default"}])
def test_a_bot_that_is_an_agents_stays_so(match: dict[str, str]) -> None:
    binding = {"agentId": "work", "comment": "by hand", "match": {"channel": "telegram", **match}}
    config = {"agents": {"entries": TWO}, "bindings": [binding]}
    added = with_telegram(config, ())
    assert added["bindings"] == [binding]
    assert without_channel(added, "telegram") == config
    assert "bindings" not in with_telegram({"agents": {"entries": {"work": {}}}}, ())


@pytest.mark.parametrize("config", [{"channels": 3}, telegram() | {"channels": {"telegram": []}}])
def test_a_config_of_another_shape_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(OcmError) as caught:
        with_telegram(config, ())
    assert caught.value.code == "config_invalid"


def test_a_bot_is_known_however_its_token_is_written() -> None:
    its = bots(telegram(botToken=BOT), {})
    assert len(its) == 1
    assert BOT not in str(its)
    assert bots(telegram(botToken="${MINE}"), {"MINE": BOT}) == its
    reference = {"source": "env", "provider": "default", "id": "MINE"}
    assert bots(telegram(botToken=reference), {"MINE": BOT}) == its
    assert bots(telegram(enabled=True), {TOKEN: BOT}) == its, "OpenClaw's own variable"
    two = bots(telegram(accounts={"a": {"botToken": BOT}, "b": {"botToken": OTHER}}), {})
    assert its < two


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"channels": 3},
        telegram(enabled=False, botToken=BOT),
        telegram(tokenFile="/x"),
        telegram(botToken=3),
    ],
)
def test_one_that_polls_nothing_has_no_bot(config: dict[str, Any]) -> None:
    assert bots(config, {}) == frozenset()


@pytest.mark.parametrize("text", ["", BOT[:-20], f"{BOT} ", "abc:" + "x" * 35, f"{BOT}\n"])
def test_what_is_no_token_is_refused_and_not_told(text: str) -> None:
    assert parse_token(BOT) == BOT
    with pytest.raises(Invalid) as caught:
        parse_token(text)
    assert "PLANTED" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("text", ["", "@ann", "-1001234", "0", "1 2", "4242\n"])
def test_a_user_is_a_number(text: str) -> None:
    assert parse_user("4242") == "4242"
    with pytest.raises(Invalid) as caught:
        parse_user(text)
    assert caught.value.code == "user_invalid"


def test_the_others_are_named_with_what_they_need_and_what_to_type() -> None:
    assert parse_channel("telegram", "worker1") == "telegram"
    for name, needs in OTHERS.items():
        with pytest.raises(Invalid) as caught:
            parse_channel(name, "worker1")
        assert needs in caught.value.message
        assert "approve " + name in str(caught.value.hint)
        first, *middle, last = caught.value.details
        assert first == f"ocm use worker1 plugins install @openclaw/{name}"
        assert last == "ocm restart worker1"
        assert middle
        for step in middle:
            assert step.startswith("ocm ")
            assert "worker1" in shlex.split(step)


@pytest.mark.parametrize(("name", "tokens"), [("discord", 1), ("slack", 2)])
def test_a_token_is_a_secret_to_which_the_config_refers(name: str, tokens: int) -> None:
    with pytest.raises(Invalid) as caught:
        parse_channel(name, "worker1")
    words = [shlex.split(step) for step in caught.value.details]
    kept = [one[-1] for one in words if one[1:3] == ["secret", "set"]]
    (edited,) = (json.loads(one[-1]) for one in words if one[1:4] == ["edit", "worker1", f"channels.{name}"])
    assert len(kept) == tokens
    assert {f"${{{one}}}" for one in kept} <= set(map(str, edited.values()))
    assert edited["enabled"] is True


def test_one_that_nobody_knows_is_told_with_those_that_are() -> None:
    with pytest.raises(Invalid) as caught:
        parse_channel("carrier-pigeon", "worker1")
    assert all(name in caught.value.message for name in OTHERS)


def test_rules_of_single_chats_let_nobody_else_in() -> None:
    rules = {"dmPolicy": "open", "allowFrom": ["*"], "tools": {"allow": ["exec"]}}
    old = telegram(direct={"*": {**rules, "topics": {"1": {"allowFrom": ["*"]}}}})
    assert "rules of their own" in access_in_words(old["channels"]["telegram"])
    entry = with_telegram(old, ("4242",))["channels"]["telegram"]
    assert entry["direct"] == {"*": {"tools": {"allow": ["exec"]}, "topics": {"1": {}}}}
    assert access_in_words(entry) == "1 of an allow-list"
    assert with_telegram(old, ())["channels"]["telegram"]["direct"] == old["channels"]["telegram"]["direct"]


def test_settings_of_all_channels_are_no_channel() -> None:
    config = {"channels": {"defaults": {"groupPolicy": "open"}, "modelByChannel": {}, "telegram": {"a": 1}}}
    assert channels_in(config) == {"telegram": {"a": 1}}
    assert without_channel(config, "defaults") == config


@pytest.mark.parametrize(
    ("config", "wrong"), [({"channels": 3}, "channels"), (telegram(), "channels.telegram")]
)
def test_what_is_no_object_is_named_by_its_path(config: dict[str, Any], wrong: str) -> None:
    if wrong != "channels":
        config = {"channels": {"telegram": []}}
    with pytest.raises(OcmError) as caught:
        with_telegram(config, (), "worker1")
    assert caught.value.message == f"{wrong} is no object"
    assert caught.value.hint == "ocm use worker1 doctor"


def test_a_token_that_is_padded_absent_or_in_a_file_is_the_same_bot() -> None:
    its = bots(telegram(botToken=BOT), {})
    assert bots(telegram(botToken=f" {BOT} "), {}) == its
    assert bots(telegram(botToken=""), {TOKEN: BOT}) == its
    assert bots(telegram(tokenFile="/x"), {}, {"/x": f"{BOT}\n"}.__getitem__) == its
