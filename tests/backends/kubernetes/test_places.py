from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_ocm.backends.kubernetes.places import namespace, owner_label, pod_paths
from openclaw_ocm.core.image.reference import parse_image
from openclaw_ocm.core.names import NAME, InstanceName
from openclaw_ocm.errors import Invalid

DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
NAMES = st.from_regex(NAME, fullmatch=True).map(InstanceName)
DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@given(NAMES)
def test_a_namespace_is_a_dns_label(name: InstanceName) -> None:
    assert DNS_LABEL.fullmatch(namespace(name))
    assert namespace(name).startswith("ocm-")


@given(st.lists(st.text("a_-0", min_size=1, max_size=4), min_size=2, max_size=30, unique=True))
def test_no_two_names_have_the_same_namespace(names: list[str]) -> None:
    found = [InstanceName(name) for name in names if NAME.fullmatch(name)]
    # What another one's namespace ends with may be a name too.
    found += [InstanceName(namespace(name).removeprefix("ocm-")) for name in found]
    assert len({namespace(name) for name in found}) == len(set(found))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("worker1", "ocm-worker1"),
        ("a" * 59, f"ocm-{'a' * 59}"),
        ("team_a", "ocm-team-a-112cd0cb52"),
        ("a" * 60, f"ocm-{'a' * 48}-11ee391211"),
        ("team-a-112cd0cb52", "ocm-team-a-112cd0cb52-c10ee8e75e"),
    ],
)
def test_a_name_stays_where_it_can(name: str, expected: str) -> None:
    assert namespace(InstanceName(name)) == expected


@given(st.text())
def test_an_owner_is_a_label_whatever_it_is(identity: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{20}", owner_label(identity))


def test_the_state_is_where_the_images_have_it() -> None:
    paths = pod_paths(InstanceName("worker1"))
    assert str(paths.config) == "/home/node/.openclaw/openclaw.json"
    assert str(paths.workspace) == "/home/node/.openclaw/workspace"


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/openclaw/openclaw:2026.9.6",
        "ghcr.io/openclaw/openclaw:2026.9.6-slim",
        "openclaw/openclaw:2026.9.6",
        "registry.example:5000/team/openclaw:v1",
        "localhost/ocm:1",
        f"ghcr.io/openclaw/openclaw@{DIGEST}",
        f"ghcr.io/openclaw/openclaw:latest@{DIGEST}",
    ],
)
def test_an_image_that_stays_the_same_is_taken(text: str) -> None:
    assert parse_image(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/openclaw/openclaw",
        "ghcr.io/openclaw/openclaw:latest",
        "ghcr.io/openclaw/openclaw:extended-stable",
        "openclaw@sha256:12",
        "openclaw:2026.9.6\n",
        "Openclaw/Openclaw:2026.9.6",
        "https://ghcr.io/openclaw/openclaw:2026.9.6",
        "$(HOME):1",
        "",
        f"a{'/a' * 400}:1",
    ],
)
def test_another_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_image(text)
    assert caught.value.code == "image_invalid"
    assert "\n" not in caught.value.message


@given(st.text(max_size=500))
def test_no_text_is_too_much_for_an_image(text: str) -> None:
    with contextlib.suppress(Invalid):
        assert parse_image(text) == text
