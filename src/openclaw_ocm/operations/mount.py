"""`ocm mount` and `ocm unmount`: what of the host an instance sees by its owner's word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core.record import MOST_SHOWN
from openclaw_ocm.core.sandbox.shown import in_words, normal
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.planning.change import changing
from openclaw_ocm.operations.planning.record_change import change_record
from openclaw_ocm.system.shown import refuse_new

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Shown
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort
    from openclaw_ocm.operations.planning.result import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """What an instance is shown of the host; `problems` say what keeps it from being shown some of it.

    A change of it is answered by an `Outcome`.
    """

    name: str
    mounts: tuple[Shown, ...]
    problems: tuple[str, ...]


def mounted(context: Context, name: InstanceName) -> Mounts:
    """Return what an instance is shown."""
    worker = open_instance(context, name)
    problems = tuple(error.message for error in worker.judged.obstacles)
    return Mounts(name=name, mounts=worker.record.mounts, problems=problems)


def mount(  # noqa: PLR0913 - what the command says
    context: Context, name: InstanceName, shown: Shown, effort: Effort, *, restart: bool, dry_run: bool
) -> Outcome:
    """Show an instance a file or folder of the host; what it is shown already gets another place or right.

    With `restart` a gateway that runs sees it now. Raises `OcmError` for what no instance may see.
    """
    with changing(context, name) as worker:
        if not worker.record.sealed:
            message = f"{name} has no sandbox, and reaches all that you reach"
            raise OcmError(message, code="mount_refused")
        kept = tuple(one for one in worker.record.mounts if one.path != shown.path)
        if len(kept) == MOST_SHOWN:
            message = f"{name} is shown {MOST_SHOWN} files and folders, which is the most"
            raise OcmError(message, hint=f"ocm mount {name}", code="mount_refused")
        after = msgspec.structs.replace(worker.record, mounts=(*kept, shown))
        refuse_new(worker.host, after, worker.with_record(after).own_policy, shown)
        what = f"show {in_words(shown)}"
        return change_record(
            worker, after, "mount", (what,), effort, restart=restart, dry_run=dry_run, of_mounts=True
        )


def unmount(  # noqa: PLR0913 - what the command says
    context: Context, name: InstanceName, path: str, effort: Effort, *, restart: bool, dry_run: bool
) -> Outcome:
    """Show an instance no longer what it is shown, by its own path or by where it sees it."""
    with changing(context, name) as worker:
        wanted = normal(path)
        gone = [one for one in worker.record.mounts if wanted in (one.path, one.at)]
        if not gone:
            message = f"{name} is not shown {path}"
            raise OcmError(message, hint=f"ocm mount {name} lists what it is shown", code="mount_unknown")
        kept = tuple(one for one in worker.record.mounts if one not in gone)
        after = msgspec.structs.replace(worker.record, mounts=kept)
        what = f"hide {gone[0].path}"
        return change_record(
            worker, after, "mount", (what,), effort, restart=restart, dry_run=dry_run, of_mounts=True
        )
