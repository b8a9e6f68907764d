"""Stand-ins for Node: each answers as one would to the question who it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def identity(version: str, path: str = "%s") -> str:
    """Return the shell command that tells who a Node is; without a path it is what was started."""
    answer = json.dumps({"node": True, "version": version, "path": path})
    return f"""printf '{answer}\\n' "$(realpath "$0")\""""


def put(path: Path, version: str, says: str = "%s") -> Path:
    """Write a stand-in that says that it is Node, of that version and at that path, and return it."""
    return put_script(path, identity(version, says))


def put_script(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
