"""`ocm supervise`: the backend in the foreground, as the entry point of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ocm.errors import OcmError

if TYPE_CHECKING:
    from ocm.system.context import Context


def supervise(context: Context) -> NoReturn:
    """Become the backend, which starts the enabled instances; raises `OcmError` where that cannot be."""
    argv = context.backend.foreground_argv()
    if argv is None:
        raise OcmError(
            f"{context.backend.name} runs here already and starts the enabled instances by itself",
            hint="ocm enable NAME has an instance start with the machine",
            code="not_needed",
        )
    context.host.runner.become(argv)
