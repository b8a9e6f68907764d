"""What is typed about adoptions, where nothing comes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("adopt",), 1, "there is no OpenClaw at"),
        (("adopt", "main", "--move"), 1, "there is no OpenClaw at"),
        (("adopt", "work", "--yes"), 1, "there is no profile work"),
        (("adopt", "no such thing"), 1, "'no such thing' is no profile, service or directory"),
        (("adopt", "openclaw-gateway-work.service"), 1, "no service openclaw-gateway-work.service runs"),
        (("adopt", "/nowhere/at/all", "--dry-run"), 1, "there is no OpenClaw at /nowhere/at/all"),
        (("adopt", "/nowhere/a.tar.gz", "--name", "a"), 1, "there is no file /nowhere/a.tar.gz"),
        (("adopt", "work", "--name", "A"), 2, "'A' is no instance name"),
        (("adopt", "work", "--name", "main"), 2, "'main' is reserved"),
        (("adopt", "a", "b"), 2, "unexpected extra argument"),
        (("unadopt", "nobody"), 1, "there is no instance nobody"),
        (("unadopt", "nobody", "--yes"), 1, "there is no instance nobody"),
        (("unadopt", "nobody", "--dry-run"), 1, "there is no instance nobody"),
        (("unadopt",), 2, "NAME"),
    ],
)
def test_bad_input_is_one_sentence(ocm: Run, words: tuple[str, ...], code: int, said: str) -> None:
    done = ocm(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_not_there_has_its_slug_in_json(ocm: Run) -> None:
    told = json.loads(ocm("adopt", "work", "--json").stdout)
    assert [one["code"] for one in told["errors"]] == ["adopt_not_found"]
