"""What `ocm channel` says of channels that are set up with OpenClaw itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("channel", ["discord", "slack", "whatsapp", "signal"])
def test_another_channel_is_told_with_what_it_needs_and_what_to_type(
    ocm: Run, add_record: Callable[..., Path], channel: str
) -> None:
    add_record("worker1")
    done = ocm("channel", "add", "worker1", channel)
    assert (done.returncode, done.stdout) == (2, "")
    first, *steps, last = done.stderr.splitlines()
    assert first.startswith(f"ocm: {channel} is set up with OpenClaw itself; it needs ")
    assert steps[0] == f"  ocm use worker1 plugins install @openclaw/{channel}"
    assert last.endswith(f"ocm use worker1 pairing approve {channel} CODE")
    (told,) = json.loads(ocm("channel", "add", "worker1", channel, "--json").stdout)["errors"]
    assert (told["code"], told["details"]) == ("channel_unsupported", [step.strip() for step in steps])
