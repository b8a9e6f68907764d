"""What `ocm model` refuses before it looks at an instance, and that no key is told back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

KEY = "sk-PLANTED-0123456789-wxyz"
URL = "https://lab.example/v1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lab/m-1", KEY), "a key comes from a prompt"),
        (("--key-stdin",), "a model is missing"),
        (("--base-url", URL), "a model is missing"),
        (("lab/m-1", "--provider", "lab"), "--provider is for a list"),
        (("lab/m-1", "--key-stdin", "--no-key"), "exclude each other"),
        (("lab",), "is no model"),
        (("lab/m-1", "--base-url", "http://lab.example/v1"), "is no address"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    ocm: Run, add_record: Callable[..., Path], arguments: tuple[str, ...], said: str
) -> None:
    add_record("worker1")
    for as_json in ((), ("--json",)):
        done = ocm("model", "worker1", *arguments, *as_json)
        assert done.returncode == 2
        assert said in done.stderr
        assert KEY not in done.stdout + done.stderr
        if as_json:
            assert json.loads(done.stdout)["errors"][0]["message"]


def test_an_instance_that_is_not_there_is_told(ocm: Run) -> None:
    done = ocm("model", "nobody1", "lab/m-1", "--base-url", URL, "--key-stdin")
    assert done.returncode == 1
    assert "nobody1" in done.stderr
