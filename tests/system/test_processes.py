from __future__ import annotations

import subprocess
import sys

from openclaw_ocm.system.processes import memory_and_cpu

# A child takes a while of the processor and ends; its parent waits for it, and then for the end of its input.
BUSY = "import time\nwhile time.process_time() < 0.4: pass"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BUSY!r}])
print("done", flush=True)
input()
"""


def test_the_time_of_a_child_that_has_ended_is_not_lost() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        memory, seconds = memory_and_cpu(process.pid)
        process.kill()
    assert memory is not None
    assert memory > 2**20
    assert seconds is not None
    assert seconds >= 0.3
    assert memory_and_cpu(process.pid) == (None, None)
