"""What is typed about images, on a machine that has none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("build", "--openclaw", "newest"), 2, "'newest' is no version of OpenClaw"),
        (("build", "--openclaw", "2026.7.35"), 1, "OpenClaw 2026.7.35 is too old"),
        (("build", "--openclaw", "system"), 2, "'system' is no version of OpenClaw"),
        (("push", "me/openclaw"), 2, "'me/openclaw' names no place in a registry"),
        (("push", "--", "--creds=a:b"), 2, "'--creds=a:b' names no place in a registry"),
        (("push", "ghcr.io/me/a"), 1, "there is no image "),
        (("push", "ghcr.io/me/a", "--archive", "nothing.tar"), 1, "home/nothing.tar: No such file"),
        (("push", "ghcr.io/me/a", "--archive", "x", "--openclaw", "2026.9.6"), 2, "name two images: say one"),
    ],
)
def test_what_cannot_be_built_or_pushed_is_told_first(
    ocm: Run, home: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = ocm("image", *words)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert list(home.iterdir()) == []


def test_a_program_gets_the_error_in_json(ocm: Run) -> None:
    done = ocm("image", "push", "ghcr.io/me/a", "--json")
    answer = json.loads(done.stdout)
    assert (answer["command"], answer["ok"]) == ("image push", False)
    assert [error["code"] for error in answer["errors"]] == ["image_missing"]
