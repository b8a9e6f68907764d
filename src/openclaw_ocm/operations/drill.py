"""`ocm backups verify --drill`: a throw-away instance of a backup has to become ready."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from openclaw_ocm.core.names import DRILL, InstanceName, is_drill
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.delete import delete
from openclaw_ocm.operations.planning.staging import RestoreRequest
from openclaw_ocm.operations.restore import restore
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.uplinks import no_uplink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePosixPath

    from openclaw_ocm.core.network import Kind
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.operations.planning.staging import Plugins


def drill(  # noqa: PLR0913 - what is tried, and how
    context: Context,
    archive: PurePosixPath,
    identities: Sequence[object],
    effort: Effort,
    *,
    runtime: Runtime | None = None,
    plugins: Plugins | None = None,
) -> Outcome:
    """Restore an archive under a name of the moment, wait until it is ready and sealed, and delete it.

    It runs `runtime`, None for what is found, and has to load `plugins`. It has no keys and no channels and
    runs no cron jobs, so that it does nothing beside the one that it is a copy of. Its notes are what a
    restored instance would miss, such as plugins. Raises `OcmError` where none becomes ready; nothing is left
    in either case.
    """
    _clear(context)
    name = InstanceName(f"{DRILL}{secrets.token_hex(4)}")
    network: Kind = "none" if no_uplink(context.host) is None else "shared"
    try:
        return restore(
            context,
            name,
            RestoreRequest(
                archive=archive,
                name=name,
                identities=identities,
                idle=True,
                network=network,
                runtime=runtime,
                plugins=plugins,
            ),
            effort,
            dry_run=False,
        )
    finally:
        if name in instance_names(context.host.paths):
            context.report(f"delete {name}")
            delete(context, name, force=True, dry_run=False)


def _clear(context: Context) -> None:
    """Delete what a killed drill left: an instance that runs and is nobody's."""
    paths = context.host.paths
    for name in filter(is_drill, instance_names(paths)):
        if not files.is_locked(paths.locks / f"{name}.lock"):
            context.report(f"delete {name}, which is left of one that was cut off")
            with contextlib.suppress(OcmError):
                delete(context, name, force=True, dry_run=False)
