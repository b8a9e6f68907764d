"""Has the config and the databases of a stopped instance follow its state: the latter in its sandbox."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.openclaw.moved import moved_config
from openclaw_ocm.core.openclaw.schemas import DATABASES
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.instances.sandboxed import run_node
from openclaw_ocm.system.openclaw.config import read_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.openclaw.moved import Move
    from openclaw_ocm.instances.context import Context

# How long databases may take: an instance can make one that takes for ever.
_START_SECONDS = 60
_EACH_SECONDS = 0.05
_BYTES_PER_SECOND = 1_000_000


def rewrite_paths(context: Context, name: InstanceName, move: Move, *, restored: bool) -> None:
    """Rewrite what holds the path of the state; `restored` means what it does to rewrite_paths.mjs."""
    _move_databases(context, name, move, restored=restored)
    if not restored:
        # What is restored has one that was moved when it was made ready, or none that can be read.
        rewrite_config(context, name, lambda config: moved_config(config, move))


def rewrite_paths_back(context: Context, name: InstanceName, move: Move) -> None:
    """Undo that, under whichever of its two names the state is now."""
    # Where it failed once and the other steps were undone, the state is back under its old name.
    moved = Path(move.after).is_dir()
    name = name if moved else InstanceName(move.before.name.removeprefix(".openclaw-"))
    with contextlib.suppress(OcmError, FileNotFoundError):
        # One that cannot be read was not changed either.
        rewrite_config(context, name, lambda config: moved_config(config, move.back))
    try:
        _move_databases(context, name, move.back, back=True)
    except OcmError as error:
        # One that an instance made to take for ever must not keep OCM from it, nor from its heirs.
        if error.code != "timeout":
            raise


def rewrite_config(
    context: Context, name: InstanceName, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Have the config of a gateway that is stopped be what `change` makes of it."""
    volume = context.backend.volume(name)
    config = read_config(volume, name)[1]
    changed = change(config)
    if changed != config:
        volume.write(CONFIG_NAME, format_config(changed))


def _move_databases(
    context: Context, name: InstanceName, move: Move, *, back: bool = False, restored: bool = False
) -> None:
    worker = open_instance(context, name)
    request = json.dumps({"pairs": move.pairs, "back": back, "restored": restored}).encode()
    sizes = worker.volume.sizes(*DATABASES)
    seconds = _START_SECONDS + _EACH_SECONDS * len(sizes) + sum(sizes) / _BYTES_PER_SECOND
    context.report(f"have its databases follow, for {seconds:.0f} s at the most")
    try:
        run_node(worker, "rewrite_paths.mjs", request, lambda _line: None, timeout=seconds)
    except OcmError as error:
        if error.code != "timeout":
            raise
        message = f"the databases of {name} did not follow within {seconds:.0f} s"
        hint = "it may have made one of them, by a trigger, so that no change of it ever ends"
        raise OcmError(message, hint=hint, code="timeout") from None
