"""A backend that does not answer, whatever it is asked: one of another machine that is away."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, ClassVar, NoReturn

from tests.backends.fake import Fake

from openclaw_ocm.backends.protocol import Backend
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from openclaw_ocm.core.names import BackendName

NAME = "silent"
REGISTERED = f"{__name__}:Silent"
SAID = "nobody answers"


def _refuse(*_arguments: object, **_options: object) -> NoReturn:
    raise OcmError(SAID, code="silent")


class Silent(Fake):
    """All that a backend can be asked for raises."""

    name: ClassVar[BackendName] = NAME


METHODS = tuple(name for name, _method in inspect.getmembers(Backend, inspect.isfunction) if name[0] != "_")
for _name in METHODS:
    setattr(Silent, _name, _refuse)
