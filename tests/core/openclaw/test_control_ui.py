"""Where the page of a gateway is, and what lets people in: pure."""

from __future__ import annotations

import json
import shlex
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from openclaw_ocm.core.openclaw.control_ui import (
    address,
    admission,
    document,
    is_served,
    lets_in_pages_of,
    with_token,
    without_token,
)
from openclaw_ocm.system import programs

TOKEN = "0123456789abcdef" * 4
VARIABLES = {"MY_TOKEN": TOKEN}


def auth(**given: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    return {"gateway": {"auth": given}}


@pytest.mark.parametrize(
    ("gateway", "host", "found"),
    [
        ({}, "127.0.0.1", "http://127.0.0.1:19001/"),
        ({"tls": {"enabled": True}}, "10.0.0.5", "https://10.0.0.5:19001/"),
        ({"tls": {"enabled": "yes"}}, "2001:db8::5", "http://[2001:db8::5]:19001/"),
        ({"controlUi": {"basePath": "/openclaw"}}, "127.0.0.1", "http://127.0.0.1:19001/openclaw/"),
        ({"controlUi": {"basePath": " openclaw/a/ "}}, "127.0.0.1", "http://127.0.0.1:19001/openclaw/a/"),
        ({"controlUi": {"basePath": "/"}}, "127.0.0.1", "http://127.0.0.1:19001/"),
        ({"controlUi": {"basePath": 7}}, "127.0.0.1", "http://127.0.0.1:19001/"),
        ("no object", "127.0.0.1", "http://127.0.0.1:19001/"),
    ],
)
def test_a_page_is_where_the_config_says(gateway: Any, host: str, found: str) -> None:  # noqa: ANN401
    assert address({"gateway": gateway}, port=19001, host=host) == found


@pytest.mark.parametrize("path", ["//evil.example/", "@evil.example", "a?b#c", "\x1b]0;x\x07 \n", "x" * 5000])
def test_no_path_leads_to_another_host_or_is_more_than_a_path(path: str) -> None:
    page = address({"gateway": {"controlUi": {"basePath": path}}}, port=19001)
    parts = urlsplit(page)
    assert (parts.hostname, parts.port, parts.query, parts.fragment) == ("127.0.0.1", 19001, "", "")
    assert page.isprintable()
    assert " " not in page
    assert len(page) < 1000


@pytest.mark.parametrize("token", [TOKEN, "a b&c=d#e?f/g%h", "töken'\"<>", "\x1b[2J"])
def test_a_token_stands_in_the_fragment_and_comes_out_as_it_was(token: str) -> None:
    link = with_token("http://127.0.0.1:19001/", token)
    page, name, value = link.partition("#token=")
    assert (page, name) == ("http://127.0.0.1:19001/", "#token=")
    assert unquote(value) == token
    assert link.isascii()
    assert link.isprintable()
    assert without_token(link) == page == with_token(page, None)


@pytest.mark.parametrize(
    ("config", "token"),
    [
        (auth(mode="token", token=TOKEN), TOKEN),
        (auth(token=f" {TOKEN}\n"), TOKEN),
        (auth(mode="token", token="${MY_TOKEN}"), TOKEN),
        (auth(mode="token", token="a-${MY_TOKEN}"), f"a-{TOKEN}"),
    ],
)
def test_a_token_that_the_config_has_or_names_lets_in(config: dict[str, Any], token: str) -> None:
    way = admission("worker1", config, VARIABLES)
    assert (way.token, way.why) == (token, None)
    assert token not in repr(way)


SHOWS = "ocm use worker1 gateway auth-token --show"
GIVES = "ocm token rotate worker1"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            auth(token={"source": "exec", "provider": "vault", "id": "x"}),
            f"which OpenClaw alone resolves: {SHOWS}",
        ),
        (auth(token={"source": "env", "provider": "default", "id": "MY_TOKEN"}), SHOWS),
        (auth(token="${ANOTHER}"), f"a reference that OCM cannot resolve: {SHOWS}"),
        (auth(token="$MY_TOKEN"), SHOWS),
        ({"gateway": {"$include": "gateway.json5"}}, f"in a file that its config includes: {SHOWS}"),
        (auth(**{"$include": "auth.json5"}), SHOWS),
        ({"$include": ["a.json5"]}, SHOWS),
        ({}, f"has no token: {GIVES}"),
        (auth(mode="token", token=""), GIVES),
        (auth(mode="token", token=7), "no text that a link could carry"),
        (auth(mode="token", token={"a": 1}), "no text that a link could carry"),
        (auth(mode="token", token="x" * 5000), "no text that a link could carry"),
        (auth(mode="token", token="\ud800"), "no text that a link could carry"),
        (auth(mode="none"), "lets in whoever reaches it, without a token"),
        (auth(mode="password", password="p"), "asks for its password, which no link carries"),
        (auth(password="p"), "asks for its password"),
        (auth(mode="trusted-proxy"), "its gateway.auth.mode is trusted-proxy"),
        (auth(mode="\x1b[31mred"), "its gateway.auth.mode is red"),
        (auth(mode={"a": "b" * 1000}), "its gateway.auth.mode is {'a'"),
    ],
)
def test_where_no_token_is_known_a_sentence_says_why(config: dict[str, Any], said: str) -> None:
    way = admission("worker1", config, VARIABLES)
    assert way.token is None
    assert way.why is not None
    assert said in way.why
    assert "worker1" in way.why
    assert TOKEN not in way.why
    assert way.why.isprintable()
    assert len(way.why) < 200


@pytest.mark.parametrize(("enabled", "served"), [(None, True), (True, True), (False, False)])
def test_a_page_can_be_switched_off(*, enabled: bool | None, served: bool) -> None:
    assert is_served({"gateway": {"controlUi": {"enabled": enabled}}}) is served


PUBLIC = "http://203.0.113.5:19001"


@pytest.mark.parametrize(
    ("page", "origins", "wanted"),
    [
        ("http://10.8.0.5:19001/", None, None),
        ("http://172.31.0.5:19001/ui/", [], None),
        ("http://100.64.0.5:19001/", None, None),
        (f"{PUBLIC}/", None, [PUBLIC]),
        (f"{PUBLIC}/ui/", "no list", [PUBLIC]),
        (f"{PUBLIC}/", [PUBLIC], None),
        (f"{PUBLIC}/", ["*"], None),
        (f"{PUBLIC}/", ["https://a.example", 7], ["https://a.example", PUBLIC]),
        (f"{PUBLIC}/", ["https://203.0.113.5:19001"], ["https://203.0.113.5:19001", PUBLIC]),
        (f"{PUBLIC}/", ["$(reboot)'"], ["$(reboot)'", PUBLIC]),
    ],
)
def test_a_page_at_a_public_address_has_to_be_let_in(
    page: str, origins: object, wanted: list[str] | None
) -> None:
    config = {"gateway": {"controlUi": {"allowedOrigins": origins}}}
    typed = lets_in_pages_of("worker1", config, page)
    if wanted is None:
        assert typed is None
        return
    assert typed is not None
    *words, value = shlex.split(typed)
    assert words == ["ocm", "edit", "worker1", "gateway.controlUi.allowedOrigins"]
    assert json.loads(value) == wanted


class Read(HTMLParser):
    """What a browser makes of a document: where it goes by itself, and what it leads to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forward: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if given.get("http-equiv") == "refresh":
            self.forward.append((given["content"] or "").partition("url=")[2])
        if tag == "a":
            self.links.append(given["href"] or "")

    def handle_data(self, data: str) -> None:
        self.words += data


def test_a_browser_is_led_on_to_the_one_page_there_is() -> None:
    link = with_token("http://127.0.0.1:19001/a'b/", 'x"&<script>')
    read = Read(document(programs.text("pages.html"), [("worker1", link)]))
    assert read.forward == read.links == [link]
    assert "script" not in read.tags


def test_of_several_pages_a_person_chooses() -> None:
    links = [(f"worker{number}", f"http://127.0.0.1:{number}/#token=t{number}") for number in (1, 2)]
    read = Read(document(programs.text("pages.html"), links))
    assert read.forward == []
    assert read.links == [link for _name, link in links]
    assert read.words.split()[-2:] == ["worker1", "worker2"]
