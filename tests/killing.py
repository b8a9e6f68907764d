"""Has OCM killed before any single call to the file system, each time in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests import hosts

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.instances.context import Context

REPOSITORY = Path(__file__).parents[1]
EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "shutil.rmtree"}
KILLED = 9


def homes_of_kills(parent: Path, module: str, *words: str) -> list[Path]:
    """Run the `main` of a test module, which calls `kill_before_each_call`; return the homes, in order.

    The last one is that of a change that nobody killed. It runs in a process of its own, as the hook by which
    it is killed cannot be taken away again.
    """
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"}
    program = f"import sys; from {module} import main; main(*sys.argv[1:])"
    argv = [sys.executable, "-c", program, str(parent), *words]
    subprocess.run(argv, check=True, cwd="/", env=environ, timeout=120)
    return sorted(parent.iterdir(), key=lambda path: int(path.name))


def kill_before_each_call(
    parent: str, prepare: Callable[[Context], object], change: Callable[[Context], object]
) -> None:
    """Kill `change` before its first call, then before its second, until it comes to its end."""
    # A kill, unlike a power cut, takes nothing from the kernel.
    os.fsync = lambda _descriptor: None  # type: ignore[assignment]
    for number in range(1, 1000):
        home = Path(parent, str(number))
        home.mkdir()
        context = hosts.context(home)
        prepare(context)
        child = os.fork()
        if not child:
            sys.addaudithook(_count_down(number))
            change(context)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            return
        if status != KILLED:
            sys.exit(f"the child ended with {status}")


def _count_down(calls: int) -> Callable[[str, tuple[object, ...]], None]:
    left = [calls]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in EVENTS and not str(arguments[0]).endswith((".pyc", ".so", ".py")):
            left[0] -= 1
            if not left[0]:
                os._exit(KILLED)

    return hook
