"""The config of an OpenClaw that was run without OCM, as that of an instance, whatever is in it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from openclaw_ocm.core.adoption.config import adopted_config, paths_in, referred_in, secrets_of, token_of
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.main_place import variables_of
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.core.openclaw.settings import weakened
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.errors import OcmError

PATHS = host_paths(PurePosixPath("/home/ann"), {}).instance(parse_name("work"))
MOVE = Move(before=PurePosixPath("/home/ann/.openclaw"), after=PATHS.state, anywhere=True)
OWN = "own-token"


def adopted(config: dict[str, Any], *, quiet: bool = False) -> dict[str, Any]:
    return adopted_config(config, MOVE, PATHS, before=18789, port=18789, token=OWN, quiet=quiet)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"discovery": None, "update": 1},
        {"gateway": {"auth": "no", "bind": 7, "port": "x", "tailscale": {"mode": "serve"}}},
        {"gateway": {"auth": {"mode": "none"}}, "agents": {"defaults": {"sandbox": {"mode": ["off"]}}}},
        {"gateway": {"auth": {"mode": "token", "token": "${X}"}}, "browser": {"profiles": {"a": 1}}},
        {"agents": {"defaults": {"sandbox": "off"}, "entries": []}, "channels": 3},
        {"discovery": {"mdns": {"mode": "full"}}, "logging": {"file": "/home/ann/.openclaw/logs/x.log"}},
    ],
)
@pytest.mark.parametrize("quiet", [False, True])
def test_whatever_it_says_it_is_closed_then(config: dict[str, Any], *, quiet: bool) -> None:
    found = adopted(config, quiet=quiet)
    assert weakened(found, port=18789) == ()
    assert found["gateway"]["auth"] == {"mode": "token", "token": OWN}
    assert str(found["logging"]["file"]).startswith(f"{PATHS.state}/")


@pytest.mark.parametrize("key", ["gateway", "agents", "browser", "logging"])
def test_what_no_openclaw_takes_is_refused_in_a_sentence(key: str) -> None:
    with pytest.raises(OcmError, match=f"{key} holds a value, not an object"):
        adopted({key: 5})


@pytest.mark.parametrize(
    "auth",
    [
        {"mode": "token", "token": "literal"},
        {"mode": "password", "password": "literal"},
        {"mode": "token", "token": {"source": "store", "provider": "default", "id": "X"}},
    ],
)
def test_what_lets_people_in_is_kept_where_the_state_holds_it(auth: dict[str, Any]) -> None:
    assert adopted({"gateway": {"auth": auth}})["gateway"]["auth"] == auth
    assert adopted({"gateway": {"auth": auth}}, quiet=True)["gateway"]["auth"]["token"] == OWN


def test_what_the_user_set_stays() -> None:
    config = {
        "agents": {"defaults": {"sandbox": {"mode": "all", "scope": "session"}, "model": {"primary": "a/b"}}},
        "session": {"dmScope": "main"},
        "browser": {"profiles": {"openclaw": {"cdpPort": 18800, "color": "#f00"}}},
        "channels": {"telegram": {"enabled": True}},
    }
    found = adopted(config)
    defaults = found["agents"]["defaults"]
    assert (defaults["sandbox"]["mode"], defaults["sandbox"]["scope"]) == ("all", "session")
    assert defaults["model"] == {"primary": "a/b"}
    assert (found["session"], found["channels"]) == (config["session"], config["channels"])
    assert found["browser"] == config["browser"]
    assert adopted(found) == found, "to do it again changes nothing"


def test_paths_follow_but_those_that_lie_elsewhere() -> None:
    config = {"a": ["/home/ann/.openclaw/x", "~/.openclaw/y", "/home/ann/.openclaw-other/z", "/srv/q"]}
    after = ["/home/ann/.openclaw-work/x", "~/.openclaw-work/y", "/home/ann/.openclaw-other/z", "/srv/q"]
    assert adopted(config)["a"] == after
    assert list(paths_in(config)) == config["a"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("literal", "literal"),
        ("${T}", "of-t"),
        ({"source": "env", "provider": "default", "id": "T"}, "of-t"),
        ({"source": "file", "id": "T"}, None),
        ("${NONE}", None),
        ("x${T}", None),
        ("", "of-the-variable"),
        (None, "of-the-variable"),
    ],
)
def test_a_token_is_told_wherever_it_is(written: object, found: str | None) -> None:
    variables = {"T": "of-t", "OPENCLAW_GATEWAY_TOKEN": "of-the-variable"}
    assert token_of({"gateway": {"auth": {"token": written}}}, variables) == found


def test_secrets_are_what_is_its_own_and_what_is_wanted_but_nothing_that_steers_programs() -> None:
    variables = {
        **variables_of(
            {"A_KEY": "1", "PATH": "/x", "OPENCLAW_X": "2", "lower": "3", "LINES": "a\nb"}, "/unit"
        ),
        **variables_of({"B_KEY": "4", "C_KEY": "5"}, "the user manager"),
    }
    assert secrets_of(variables, {"/unit"}, {"B_KEY"}) == {"A_KEY": "1", "B_KEY": "4"}


def test_what_a_config_refers_to_is_found() -> None:
    config = {"a": "${ONE} and ${TWO}", "b": [{"source": "env", "id": "THREE"}], "c": 1}
    assert set(referred_in(config)) == {"ONE", "TWO", "THREE"}
