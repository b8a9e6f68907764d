"""Starts and stops a gateway for a step of a plan, or for its undo."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.errors import CommandFailed, OcmError
from openclaw_ocm.instances.last_words import last_words
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context

# A gateway that is idle ends within three seconds.
_PATIENCE_SECONDS = 5.0


def halt(context: Context, name: InstanceName) -> None:
    """Stop a gateway; where that takes long, tell what is waited for."""
    wait = f"wait for the agent's work in progress, at most {STOP_TIMEOUT_SECONDS} s"
    words = f"{wait}; in another terminal `ocm stop {name} --now` cuts it off"
    late = threading.Timer(_PATIENCE_SECONDS, context.report, (words,))
    late.daemon = True
    late.start()
    try:
        context.backend.stop([name])
    finally:
        late.cancel()


def launch(context: Context, name: InstanceName) -> None:
    """Start a gateway; raise `OcmError` with its last words where that fails."""
    paths, began = context.host.instance(name), time.time()
    # An instance may have opened its state to other users of the machine.
    files.open_up(paths.state)
    try:
        context.backend.start([name])
    except CommandFailed as error:
        message = f"{name} could not be started: {error.message}"
        words = last_words(context, name, since=began)
        raise OcmError(message, hint=f"ocm logs {name}", code="not_started", details=words) from None
