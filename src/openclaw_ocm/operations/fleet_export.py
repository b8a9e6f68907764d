"""`ocm export`: the fleet file of what there is, and beside it the secrets, where they are wanted."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openclaw_ocm.core.fleet.export import Kept, bot_allowed, fleet_text
from openclaw_ocm.core.fleet.settings import own_settings
from openclaw_ocm.core.openclaw.channels import TOKEN, with_telegram
from openclaw_ocm.core.openclaw.settings import initial_config
from openclaw_ocm.core.ports import CDP_OFFSET
from openclaw_ocm.core.text import counted, printable
from openclaw_ocm.errors import OcmError, room_or_writable
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.operations.fleet import have
from openclaw_ocm.operations.status import selected
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.names import instance_names
from openclaw_ocm.system.openclaw.versions import place
from openclaw_ocm.system.ways import refuse_reached

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from openclaw_ocm.core.fleet.difference import Have
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context

_SECRETS = "secrets"
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The text of a fleet file and, where it was written, its path; `secrets` are the files of those."""

    text: str
    output: str | None
    secrets: tuple[str, ...]
    notes: tuple[str, ...]


def export(
    context: Context,
    names: tuple[InstanceName, ...],
    *,
    output: PurePosixPath | None,
    secrets: PurePosixPath | None,
    force: bool,
) -> Exported:
    """Return the fleet file of instances, all of them without `names`.

    It is written to `output` where that is named, and the instances' own secrets into `secrets`, 0600.
    Raises `OcmError` where something is there already, unless `force`, or where an instance reaches it.
    """
    if output is not None:
        refuse_reached(context.host.paths, output, output.parent)
    if secrets is not None:
        refuse_reached(context.host.paths, secrets, secrets)
    chosen = selected(context, names or instance_names(context.host.paths))
    found, left_out = [], []
    for name in chosen:
        kept, left = _kept(context, have(context, name))
        found.append(kept)
        left_out += left
    folder = _SECRETS if secrets is None else _relative(secrets, output)
    text = fleet_text(found, secrets=folder)
    wanted = (
        {secrets / one.have.record.name / key: one.have.secrets[key] for one in found for key in one.secrets}
        if secrets
        else {}
    )
    there = [path for path in (*wanted, *(() if output is None else (output,))) if os.path.lexists(path)]
    if there and not force:
        message = f"{there[0]} is there already"
        raise OcmError(message, hint="--force writes over it", code="exists")
    for path, value in wanted.items():
        _write(path, f"{value}\n")
    if output is not None:
        _write(output, text)
    return Exported(
        text=text,
        output=None if output is None else str(output),
        secrets=tuple(map(str, wanted)),
        notes=(
            *_notes(found, wrote=secrets is not None, folder=folder),
            *(
                f"{one.have.record.name} reaches Docker, which no file says"
                for one in found
                if one.have.record.docker
            ),
            *_left_out(left_out),
        ),
    )


def _kept(context: Context, one: Have) -> tuple[Kept, list[str]]:
    """Return an instance with those of its secrets and settings that do not come by inheritance.

    With it go the settings that no fleet file can hold. Raises `OcmError` where its config cannot be read.
    """
    paths = context.host.instance(one.record.name)
    # Not as for a plan, where one that cannot be read is told when it is changed.
    instance_of(context, one.record).read_config()
    inherited = read_inherited(paths)
    followed = inherited if inherited is not None and inherited.source else None
    come = () if followed is None else followed.secrets
    secrets = tuple(key for key in one.secrets if key not in come)
    made = initial_config(
        paths, port=one.record.port, cdp_port=one.record.port + CDP_OFFSET, token="", model=one.model
    )
    allowed = bot_allowed(one.config) if TOKEN in secrets else None
    if allowed is not None:
        with contextlib.suppress(OcmError):
            made = with_telegram(made, allowed)
    own = own_settings(one.config, made=made, inherited={} if followed is None else followed.config)
    pinned = one.record.runtime.openclaw == str(place(context.host.paths, one.version))
    return Kept(one, secrets, pinned, own.values), [f"{paths.name}: {why}" for why in own.left_out]


def _relative(secrets: PurePosixPath, output: PurePosixPath | None) -> str:
    """Return the directory of secrets as a file beside it names it."""
    if output is not None and secrets.is_relative_to(output.parent):
        return str(secrets.relative_to(output.parent))
    return str(secrets)


def _write(path: PurePosixPath, text: str) -> None:
    try:
        files.write_file(path, text.encode())
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise OcmError(
            message, hint=room_or_writable(error) or "name another place", code="os_error"
        ) from None


def _notes(found: list[Kept], *, wrote: bool, folder: str) -> list[str]:
    wanted = sorted(f"{folder}/{one.have.record.name}/{key}" for one in found for key in one.secrets)
    if wrote or not wanted:
        return []
    return [f"the file reads secrets that were not written, for --secrets does: {', '.join(wanted)}"]


def _left_out(settings: list[str]) -> list[str]:
    """Return what to know of settings that no file can hold: an instance may have any number of them."""
    told = [f"left out of the file, set it by hand: {printable(one)[:200]}" for one in settings[:_MOST_TOLD]]
    more = len(settings) - len(told)
    return [*told, *([f"and {counted(more, 'more setting')} like these"] if more else [])]
