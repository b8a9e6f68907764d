"""Where an image may be pushed to."""

from __future__ import annotations

import pytest

from openclaw_ocm.core.image.reference import parse_reference, tag_of
from openclaw_ocm.errors import Invalid

TAG = "2026.9.6"


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("ghcr.io/me/openclaw", "ghcr.io/me/openclaw:2026.9.6"),
        ("ghcr.io/me/openclaw:latest", "ghcr.io/me/openclaw:latest"),
        ("localhost:5000/a", "localhost:5000/a:2026.9.6"),
        ("localhost/a/b/c__d:V1", "localhost/a/b/c__d:V1"),
        ("[::1]:5000/a", "[::1]:5000/a:2026.9.6"),
        ("10.0.0.1:443/a-b.c", "10.0.0.1:443/a-b.c:2026.9.6"),
    ],
)
def test_a_place_in_a_registry_has_a_tag(typed: str, place: str) -> None:
    assert parse_reference(typed, TAG) == place


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "openclaw",
        "me/openclaw",
        "docker.io",
        "docker.io/",
        "docker://ghcr.io/me/a",
        "https://ghcr.io/me/a",
        "ghcr.io/Me/a",
        "ghcr.io/me/a:",
        "ghcr.io/me/a:.b",
        "ghcr.io/me/../a",
        "ghcr.io/me//a",
        "-ghcr.io/me/a",
        "--dest-creds=a:b/c",
        "ghcr.io/me/a@sha256:" + "0" * 64,
        "ghcr.io/me/a\n",
        "ghcr.io/" + "a" * 250,
    ],
)
def test_what_is_no_place_in_a_registry_is_refused(typed: str) -> None:
    with pytest.raises(Invalid, match="names no place in a registry") as caught:
        parse_reference(typed, TAG)
    assert caught.value.code == "reference_invalid"


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("localhost/ocm/openclaw:2026.9.6", "2026.9.6"),
        ("latest", "latest"),
        ("localhost/ocm/openclaw", None),
        ("localhost:5000/a", None),
        ("a:", None),
        ("", None),
        ("a:" + "b" * 129, None),
    ],
)
def test_an_image_may_have_a_tag(name: str, tag: str | None) -> None:
    assert tag_of(name) == tag


def test_without_any_tag_it_is_the_image_that_has_none() -> None:
    assert parse_reference("ghcr.io/me/a:1", None) == "ghcr.io/me/a:1"
    with pytest.raises(Invalid, match="the image has no tag of its own") as caught:
        parse_reference("ghcr.io/me/a", None)
    assert (caught.value.hint, caught.value.code) == ("say which: ghcr.io/me/a:TAG", "reference_invalid")
    with pytest.raises(Invalid, match="names no place in a registry"):
        parse_reference("me/a", None)


def test_what_an_image_is_called_is_no_tag_by_itself() -> None:
    with pytest.raises(Invalid):
        parse_reference("ghcr.io/me/a", "no tag")
