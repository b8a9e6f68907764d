"""Whether this machine has boxes for the tools of sessions other than main."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.launch import BWRAP
from openclaw_ocm.core.sandbox.policy import DOCKER_SOCKET

if TYPE_CHECKING:
    from openclaw_ocm.core.record import Record


def has_boxes(record: Record) -> bool | None:
    """Tell whether tools of sessions other than main have boxes; None where they would be Docker's."""
    if record.makes_boxes:
        return Path(BWRAP).exists()
    return None if Path(DOCKER_SOCKET).exists() else False
