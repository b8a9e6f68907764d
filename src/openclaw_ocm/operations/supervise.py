"""`ocm supervise`: a backend in the foreground, as the entry point of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from openclaw_ocm.instances.context import Context


def supervise(context: Context) -> NoReturn:
    """Become the backend, which starts the enabled instances; raises `OcmError` where one runs already.

    It is the one that new instances get, where that is a program of the user's.
    """
    refused = None
    for backend in (context.backend, *context.backends.values()):
        try:
            argv = backend.foreground_argv()
        except OcmError as error:
            if backend.name == context.backend.name:
                raise
            # Nobody asked for this one.
            refused = refused or error
            continue
        if argv is not None:
            context.host.runner.become(argv)
    raise refused or OcmError("there is no backend to run in the foreground", code="not_needed")
