"""A provider of main's own config: where it is, and the key with which it is asked."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.inheritance.extract import inherit
from openclaw_ocm.core.models.endpoint import find_endpoint
from openclaw_ocm.core.models.listing import PROVIDERS
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw.find import find_openclaw
from openclaw_ocm.system.openclaw.source import read_main_source

if TYPE_CHECKING:
    from openclaw_ocm.core.models.endpoint import Endpoint
    from openclaw_ocm.system.host import Host

# Without an OpenClaw the variables that it knows by heart are not known, and a config that names its own is.
_NONE = PurePosixPath("/nonexistent")


def configured_endpoint(host: Host, name: str) -> Endpoint:
    """Return the provider `name` as main's config has it, with the key that main would use.

    Raises `OcmError` where there is none, or main cannot be read.
    """
    package = _NONE
    with contextlib.suppress(OcmError):
        package = PurePosixPath(find_openclaw(host).path)
    source = read_main_source(host, package)
    inherited = inherit(source, MAIN)
    return find_endpoint(name, inherited.config, {**source.variables, **inherited.secrets}, PROVIDERS)
