"""The files that pin what OCM runs with: each has all of the one that it widens, at the same versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pins(name: str) -> set[str]:
    found = set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / name).read_text(), re.MULTILINE))
    assert len(found) > 10
    return found


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("requirements.txt", "requirements-kubernetes.txt"),
        ("requirements-kubernetes.txt", "requirements-dev.txt"),
    ],
)
def test_what_widens_another_pins_the_same(narrow: str, wide: str) -> None:
    assert pins(narrow) - pins(wide) == set()


def test_lightkube_is_for_who_asks_a_cluster_alone() -> None:
    assert not any(pin.startswith(("lightkube", "httpx2")) for pin in pins("requirements.txt"))
    assert {pin.partition("==")[0] for pin in pins("requirements-kubernetes.txt")} >= {
        "lightkube",
        "httpx2",
        "pyyaml",
    }
