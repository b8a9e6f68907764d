"""Whether the Node and the OpenClaw that an instance was given are still there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from openclaw_ocm.core.record import Record, Runtime


def gone(runtime: Runtime) -> str | None:
    """Return in words what of a runtime is not there, None where all is."""
    missing = {}
    if node_is_gone(runtime):
        missing["Node"] = runtime.node
    if openclaw_is_gone(runtime):
        missing["OpenClaw"] = runtime.openclaw
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    return f"its {' and its '.join(missing)} {verb} gone: {', '.join(missing.values())}"


def node_is_gone(runtime: Runtime) -> bool:
    """Tell whether nothing is where the Node was."""
    return not _is_there(Path(runtime.node))


def openclaw_is_gone(runtime: Runtime) -> bool:
    """Tell whether no package is where OpenClaw was."""
    return not _is_there(Path(runtime.openclaw, "package.json"))


def _is_there(path: Path) -> bool:
    """Tell whether there is a file; one that cannot be looked at is not known to be gone."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def check_runtime(record: Record) -> None:
    """Raise `OcmError` where what an instance runs is gone, or is no program: nothing can be run then."""
    what = gone(record.runtime)
    if what is None and not os.access(record.runtime.node, os.X_OK):
        what = f"its Node may not be executed: {record.runtime.node}"
    if what is not None:
        hint = f"ocm runtime use {record.name} takes what this machine has now"
        raise OcmError(f"{record.name} cannot be run: {what}", hint=hint, code="runtime_gone")
