"""What is missing where a config asks for a browser: the program, or that it can start in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.browser import NO_SANDBOX, PROGRAMS, asks_for_browser, program_of
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.text import printable
from openclaw_ocm.operations.planning.findings import Finding
from openclaw_ocm.system.openclaw.config import find_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openclaw_ocm.instances.instance import Instance


def browser_findings(workers: Iterable[Instance]) -> Iterator[Finding]:
    """Yield what keeps the browser from starting of each instance whose config asks for one."""
    for worker in workers:
        config = find_config(worker.paths.state)
        if not asks_for_browser(config):
            continue
        name, named = worker.name, program_of(config)
        if named is not None and not _is_seen(worker, named):
            problem = f"its config names the browser {printable(named)}, which is not there in its sandbox"
            mend = f"ocm edit {name} browser.executablePath /usr/bin/chromium"
            yield Finding(name=name, problem=problem, mend=mend, wrong=True)
        elif named is None and not any(_is_seen(worker, program) for program in PROGRAMS):
            problem = "its config asks for a browser, and there is no Chromium below /usr"
            yield Finding(name=name, problem=problem, mend="sudo apt install chromium", wrong=True)
        if worker.record.sealed and lookup(config, NO_SANDBOX) is not True:
            problem = "its config asks for a browser, and Chromium cannot make its own sandbox in this one"
            yield Finding(name=name, problem=problem, mend=f"ocm edit {name} {NO_SANDBOX} true", wrong=True)


def _is_seen(worker: Instance, program: str) -> bool:
    """Tell whether a program is there, for a sandbox too: below /usr, or in the instance's own state."""
    try:
        found = Path(program).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return False
    seen = not worker.record.sealed or any(map(found.is_relative_to, ("/usr", str(worker.paths.state))))
    return seen and found.is_file()
