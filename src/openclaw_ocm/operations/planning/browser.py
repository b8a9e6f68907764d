"""What is missing where a config asks for a browser: the program, or that it can start in the sandbox."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.browser import NO_SANDBOX, PROGRAMS, asks_for_browser, program_of
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.run import environment
from openclaw_ocm.core.text import printable
from openclaw_ocm.operations.planning.findings import Finding
from openclaw_ocm.system import packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.instances.instance import Instance


def browser_findings(worker: Instance) -> Iterator[Finding]:
    """Yield what keeps the browser of an instance from starting, where its config asks for one."""
    name, record, config = worker.name, worker.record, worker.config
    if not asks_for_browser(config):
        return
    seen = tuple(_seen(worker)) if record.sealed else ("/",)
    named = program_of(config)
    if named is not None and not _is_seen(named, seen):
        problem = f"its config names the browser {printable(named)}, which is not there in its sandbox"
        mend = f"ocm edit {name} browser.executablePath /usr/bin/chromium"
        yield Finding(name=name, problem=problem, mend=mend, wrong=True)
    elif named is None and not _brings_its_own(worker) and not any(_is_seen(path, seen) for path in PROGRAMS):
        problem = "its config asks for a browser, and there is no Chromium below /usr or /opt"
        yield Finding(name=name, problem=problem, mend=packages.line("chromium"), wrong=True)
    if record.sealed and lookup(config, NO_SANDBOX) is not True:
        problem = "its config asks for a browser, and Chromium cannot make its own sandbox in this one"
        yield Finding(name=name, problem=problem, mend=f"ocm edit {name} {NO_SANDBOX} true", wrong=True)


def _brings_its_own(worker: Instance) -> bool:
    """Tell whether Playwright has put browsers where the instance keeps them."""
    found = environment(worker.paths, worker.record)["PLAYWRIGHT_BROWSERS_PATH"]
    return Path(found).is_dir()


def _seen(worker: Instance) -> Iterator[str]:
    """Yield the directories of the host in which a sandbox shows programs."""
    places = (*map(PurePosixPath, ("/usr", "/opt")), worker.paths.state)
    for mount in worker.policy.mounts:
        if mount.asked or mount.target in places:
            yield str(mount.source)


def _is_seen(program: str, seen: tuple[str, ...]) -> bool:
    """Tell whether a program is there, below one of the directories that a sandbox shows."""
    try:
        found = Path(program).resolve(strict=True)
        return found.is_file() and any(map(found.is_relative_to, seen))
    except (OSError, RuntimeError, ValueError):
        return False
