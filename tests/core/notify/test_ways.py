"""What a user may name as a way, and what is shown of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.core.notify.ways import (
    MOST,
    Command,
    Email,
    Ntfy,
    Ways,
    Webhook,
    free_name,
    masked,
    parse_address,
    parse_url,
    parse_way_name,
    redirect_in_words,
    split_url,
)
from openclaw_ocm.errors import Invalid


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (
            "https://hooks.slack.com/services/T0/B0/x",
            (True, "hooks.slack.com", 443, "/services/T0/B0/x", None),
        ),
        ("http://127.0.0.1:8080/x?token=a%20b&c", (False, "127.0.0.1", 8080, "/x?token=a%20b&c", None)),
        ("https://[::1]:2586/topic", (True, "::1", 2586, "/topic", None)),
        (
            "https://ann:secret@ntfy.example.org/agents",
            (True, "ntfy.example.org", 443, "/agents", "ann:secret"),
        ),
        ("http://box", (False, "box", 80, "/", None)),
        ("https://box?key=1", (True, "box", 443, "/?key=1", None)),
    ],
)
def test_an_address_is_taken_apart(url: str, parts: tuple[object, ...]) -> None:
    assert parse_url(url) == url
    found = split_url(url)
    assert (found.secure, found.host, found.port, found.path, found.user) == parts


@pytest.mark.parametrize(
    "text",
    [
        *("", "ftp://x/y", "https://", "https:///x", "hooks.slack.com/x", "https://x/a b", "https://x/#y"),
        *("https://x:0/y", "https://x:70000/y", "https://x/\r\nHost: y", "https://x/é", "https://-x/y"),
        *("https://x@y@z/", "https://x/<script>", "file:///etc/passwd", f"https://x/{'y' * 3000}"),
    ],
)
def test_another_text_is_no_address_and_is_not_told_back(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_url(text)
    assert caught.value.code == "way_invalid"
    said = f"{caught.value.message} {caught.value.hint}".split()
    assert text not in said


@pytest.mark.parametrize("host", ["203.0.113.9", "[2001:db8::1]", "0x7f.1", "2130706433"])
def test_an_address_in_the_clear_leads_to_a_private_network_or_to_none(host: str) -> None:
    with pytest.raises(Invalid, match="is http and leads out of your networks"):
        parse_url(f"http://{host}/T0PSECRET")
    assert parse_url(f"https://{host}/x")


@pytest.mark.parametrize("host", ["10.0.0.1", "[fd00::1]", "[::1]", "localhost", "ntfy.lan"])
def test_at_home_an_address_may_be_in_the_clear(host: str) -> None:
    assert parse_url(f"http://{host}/x")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://x", "x"),
        ("https://x:443/a", "x"),
        ("http://x:443", "x:443"),
        ("http://[::1]:8080/a", "[::1]:8080"),
        ("http://[::1]/a", "[::1]"),
    ],
)
def test_a_server_is_called_as_the_address_has_it(url: str, server: str) -> None:
    assert split_url(url).server == server


@pytest.mark.parametrize("url", ["https://ntfy.sh", "https://ntfy.sh/", "https://ntfy.sh//"])
def test_a_server_of_ntfy_without_a_topic_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="no topic"):
        parse_url(url, topic=True)
    assert parse_url("https://ntfy.sh/agents", topic=True)


def test_of_an_address_the_server_alone_is_shown() -> None:
    assert (
        masked("https://ann:secret@hooks.example.org:8443/T0/B0?token=x")
        == "https://hooks.example.org:8443/..."
    )
    assert masked("nonsense with a secret") == "..."
    assert Webhook(name="a", url="https://x/secret").shown == "https://x/..."
    assert Ntfy(name="a", url="https://ntfy.sh/topic").shown == "https://ntfy.sh/..."


def test_of_a_command_its_arguments_are_not_shown() -> None:
    assert Command(name="a", argv=("/bin/tell", "--token", "x")).shown == "/bin/tell and 2 arguments"
    assert Command(name="a", argv=("/bin/tell",)).shown == "/bin/tell"


@pytest.mark.parametrize("text", ["ann@example.org", "root", "a.b+ocm@mail.example.org"])
def test_an_address_of_mail_is_taken(text: str) -> None:
    assert parse_address(text) == text
    assert Email(name="a", to=text, program="/usr/sbin/sendmail").shown == text


@pytest.mark.parametrize("text", ["", "-f", "a@b, c@d", "a@b\nBcc: x", "Ann <a@b>", "a@", "@b", "a b"])
def test_what_could_be_more_than_an_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no address of mail"):
        parse_address(text)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://127.0.0.1/x", "the loopback of this machine"),
        ("http://localhost:80/x", "the loopback of this machine"),
        ("http://[::1]/", "the loopback of this machine"),
        ("http://0.0.0.0/", "the loopback of this machine"),
        ("http://169.254.169.254/latest", "a private address"),
        ("https://10.0.0.1/", "a private address"),
        ("https://evil.example.org/secret", "another server"),
        ("https://x.example.org/y", "the same server over https"),
        ("http://x.example.org/y", "another path"),
        ("/y", "another path of the same server"),
        ("\x1b[2Jgopher://", "somewhere else"),
    ],
)
def test_a_redirect_is_told_by_where_it_leads(location: str, words: str) -> None:
    assert redirect_in_words("http://x.example.org/x", location) == words


def test_a_new_way_has_the_name_of_its_kind_and_a_number_where_that_is_taken() -> None:
    assert free_name("ntfy", ()) == "ntfy"
    assert free_name("ntfy", ("ntfy", "ntfy-2")) == "ntfy-3"
    assert parse_way_name(free_name("webhook", ("webhook", *(f"webhook-{n}" for n in range(2, MOST + 1)))))


@pytest.mark.parametrize("text", ["", "Phone", "a b", "-a", "a" * 40, "../x"])
def test_another_text_is_no_name_of_a_way(text: str) -> None:
    with pytest.raises(Invalid, match="is no name of a way"):
        parse_way_name(text)


def test_ways_are_the_same_after_their_file() -> None:
    ways = Ways(
        way=(
            Command(name="a", argv=("/bin/tell", "x")),
            Webhook(name="b", url="https://x/y"),
            Ntfy(name="c", url="https://ntfy.sh/y"),
            Email(name="d", to="root", program="/usr/sbin/sendmail"),
        )
    )
    assert msgspec.toml.decode(msgspec.toml.encode(ways), type=Ways) == ways


@pytest.mark.parametrize(
    "text",
    [
        '[[way]]\ntype = "webhook"\nname = "a"\nurl = "ftp://x"',
        '[[way]]\ntype = "pager"\nname = "a"',
        '[[way]]\ntype = "email"\nname = "a"\nto = "-f"\nprogram = "/x"',
        '[[way]]\ntype = "command"\nname = "a"\nargv = []',
        2 * '[[way]]\ntype = "command"\nname = "a"\nargv = ["x"]\n',
        "ways = []",
    ],
)
def test_a_file_that_was_edited_to_nonsense_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.toml.decode(text, type=Ways)


@given(st.text(max_size=60))
def test_whatever_leads_elsewhere_is_told_in_fixed_words(location: str) -> None:
    fixed = {
        *("the loopback of this machine", "a private address", "another server", "another path"),
        *("the same server over https", "another path of the same server", "somewhere else"),
    }
    assert redirect_in_words("https://x.example.org/x", location) in fixed
