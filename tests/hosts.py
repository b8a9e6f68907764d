"""A host of OCM's in a temporary directory: real files, no user manager."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from openclaw_ocm.backends.systemd.manager import Systemd
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.instances.context import Context
from openclaw_ocm.system.host import Host
from openclaw_ocm.system.runner import Runner


def context(home: Path) -> Context:
    host = Host(
        user="ann",
        uid=os.getuid(),
        paths=host_paths(PurePosixPath(home), {}),
        runtime=PurePosixPath(home, "run"),
        runner=Runner(environ={"HOME": str(home)}),
        search_path="",
    )
    backend = Systemd(host=host)
    return Context(host=host, backends={"systemd": backend}, chosen=backend, report=lambda _phase: None)


def contents(directory: Path) -> dict[str, str]:
    """Return every file and link below a directory with what it holds; empty directories are left out.

    So is the history, which grows by what was undone as well, and the room that is kept for a deletion.
    """
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.name == "history.jsonl" or path.suffix == ".reserve":
            continue
        if path.is_symlink():
            found[str(path.relative_to(directory))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(directory))] = path.read_text(errors="replace")
    return found
