"""`ocm token rotate`: another token for an instance's gateway, where the old one may have been seen."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.document import with_value
from openclaw_ocm.core.openclaw.traits import TOKEN_BYTES
from openclaw_ocm.operations.edit import change_config

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.edit import Edited
    from openclaw_ocm.operations.planning.repair import Effort

_KEY = "gateway.auth.token"


def rotate(context: Context, name: InstanceName, *, effort: Effort, dry_run: bool) -> Edited:
    """Give a gateway a new token, and restart it where it runs: the old one is worth nothing then.

    Raises `OcmError` where the gateway is not ready with it, and then it has the old one again.
    """
    token = secrets.token_hex(TOKEN_BYTES)
    return change_config(
        context,
        name,
        lambda config: with_value(config, _KEY, token),
        effort=effort,
        dry_run=dry_run,
        operation="token rotate",
    )
