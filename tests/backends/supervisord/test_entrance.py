"""What runs before a sandbox under supervisord: a signal that comes while there is nobody in it yet."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.backends.supervisord.supervised import SERVE, Supervised
from tests.programs.boxed import wait_for

from openclaw_ocm.backends.supervisord.program import gateway_command
from openclaw_ocm.core.sandbox.policy import instance_policy

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName

PATIENCE_SECONDS = 30


def held_back(home: Supervised, name: InstanceName, fifo: Path) -> tuple[str, ...]:
    """Return the command of a gateway whose sandbox is made only once a filter comes out of a pipe."""
    paths, record = home.host.instance(name), home.record(name)
    policy = instance_policy(paths, record)
    entrance = home.backend._entrance(policy)
    first, *others = entrance.filters
    os.mkfifo(fifo)
    late = replace(entrance, filters=(PurePosixPath(fifo), *others))
    fifo.with_suffix(".content").write_bytes(Path(first).read_bytes())
    return gateway_command(paths, record, policy, entrance=late, covers={})


def state_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def waits_for_the_pipe(pid: int) -> bool:
    state = state_of(pid)
    return state["Name"] == "perl" and state["State"].startswith("S") and bool(int(state["SigBlk"], 16))


@pytest.mark.parametrize("times", [0, 1, 2])
def test_one_that_is_to_end_before_there_is_a_sandbox_ends_once_there_is(
    home: Supervised, times: int
) -> None:
    name = home.make("w1", SERVE)
    home.start(name)
    home.backend.stop([name])
    fifo = home.home / "filter"
    with subprocess.Popen(
        held_back(home, name, fifo), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            wait_for(lambda: waits_for_the_pipe(process.pid), "the pipe")
            for _ in range(times):
                os.killpg(process.pid, signal.SIGTERM)
            fifo.write_bytes(fifo.with_suffix(".content").read_bytes())
            assert process.stdout is not None
            if times == 0:
                assert process.stdout.readline() == b"up\n"
                os.killpg(process.pid, signal.SIGTERM)
            said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    # Whether it had set its trap by then is chance; it hears of it once or ends of it.
    assert said.count(b"asked") <= 1
    assert b"asked 1" in said or process.returncode == 128 + signal.SIGTERM
