"""What is typed about upgrades, where nothing comes of it."""

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
        (("upgrade", "worker1", "--to", "newest"), 2, "'newest' is no version of OpenClaw"),
        (("upgrade", "worker1", "--to", "2026.7.35"), 1, "OpenClaw 2026.7.35 is too old"),
        (("upgrade", "worker1", "--watch", "-1", "--to", "2026.9.6"), 2, "--watch"),
        (("upgrade", "--to", "2026.9.6"), 2, "--all"),
        (("upgrade", "nobody", "--to", "2026.9.6", "--yes"), 1, "there is no instance nobody"),
        (("upgrade", "worker1", "--auto", "some"), 2, "'some' is not one of"),
        (("upgrade", "worker1", "--at", "04:30"), 2, "--at needs --auto patch or --auto all"),
        (("upgrade", "worker1", "--auto", "none", "--at", "04:30"), 2, "--at needs --auto"),
        (("upgrade", "worker1", "--auto", "all", "--at", "24:00"), 2, "'24:00' is no time of day"),
        (("upgrade", "worker1", "--auto", "all", "--at", "daily"), 2, "'daily' is no time of day"),
        (("upgrade", "worker1", "--auto", "all", "--to", "latest"), 2, "--auto takes no --to"),
        (("upgrade", "worker1", "--auto", "all", "--rehearse"), 2, "--auto takes no --to"),
        (("upgrade", "worker1", "--auto", "all", "--check"), 2, "--auto takes no --to"),
        (("upgrade", "--auto", "all"), 2, "--all"),
        (("upgrade", "nobody", "--auto", "all"), 1, "there is no instance nobody"),
        (("upgrade", "--scheduled", "nobody"), 1, "there is no instance nobody"),
        (("rollback", "nobody", "--yes"), 1, "there is no instance nobody"),
        (("rollback", "nobody"), 1, "there is no instance nobody"),
    ],
)
def test_bad_input_is_one_sentence(ocm: Run, words: tuple[str, ...], code: int, said: str) -> None:
    done = ocm(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_asked_where_there_are_no_instances(ocm: Run) -> None:
    assert json.loads(ocm("outdated", "--json").stdout)["results"] == []
