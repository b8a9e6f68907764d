"""An OpenClaw that is in an archive of another program, to become an instance: looked at, and unpacked."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.adoption.config import referred_in
from openclaw_ocm.core.foreign.places import UNKNOWN
from openclaw_ocm.core.openclaw.document import format_config, lookup
from openclaw_ocm.core.openclaw.dotenv import parse_dotenv
from openclaw_ocm.core.openclaw.main_place import Main, is_profile, port_in, variables_of
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.secrets import MAX_BYTES, is_key, is_value
from openclaw_ocm.core.steps import RewritePaths
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.adopting import Candidate
from openclaw_ocm.operations.planning.progress import by_bytes
from openclaw_ocm.system.archive.reader import free_bytes
from openclaw_ocm.system.foreign.archive import look, own_header, unpack
from openclaw_ocm.system.openclaw.own_places import in_full
from openclaw_ocm.system.openclaw.own_state import make_directories
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.foreign.archive import Look

_ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tzst", ".tar.zst")
_SHOWN = 10
_NOT_PACKED = ".not-packed"


def archived(context: Context, wanted: str) -> Candidate | None:
    """Return what is in an archive, None where `wanted` names no file.

    Anybody may have made it: what its config says is taken for what it is. Raises `OcmError` where it holds
    no OpenClaw, and for a backup of OCM's own.
    """
    # Of a text that is no path, or of a user who is not there, pathlib makes a bug.
    path = os.path.expanduser(wanted)  # noqa: PTH111
    is_named = is_profile(wanted) and Path(context.host.paths.home, f".openclaw-{wanted}").is_dir()
    is_there = os.path.isfile(path) or (path.endswith(_ARCHIVES) and not os.path.exists(path))  # noqa: PTH110, PTH113
    if is_named or not is_there:
        return None
    archive = in_full(context.host.paths.home, path)
    if own_header(archive) is not None:
        message = f"{archive} is a backup of OCM's own"
        raise OcmError(message, hint=f"ocm restore {archive}", code="adopt_refused")
    context.report("look through it")
    found = look(archive, by_bytes(context.report, Path(archive).stat().st_size))
    config, shape = found.places.config, found.shape
    state = found.former or UNKNOWN
    # All that its `.env` sets, and nothing of what surrounds OCM here.
    values = parse_dotenv((found.dotenv or b"").decode(errors="replace"))
    usual = Main(state=state, config=state / CONFIG_NAME, profile=shape.name).default_port
    written = lookup(config, "gateway.port")
    return Candidate(
        what=str(archive),
        state=state,
        directory=archive,
        config=state / CONFIG_NAME,
        data=format_config(config),
        settings=config,
        port=shape.port or (port_in(written) if isinstance(written, int) else None) or usual,
        suggested=shape.name or "",
        variables=variables_of(values, str(archive)),
        origins=frozenset({str(archive)}),
        version=shape.version,
        look=found,
        notes=tuple(map(printable, _notes(archive, found, values.keys()))),
    )


def _notes(archive: PurePosixPath, found: Look, set_by_it: Collection[str]) -> Iterator[str]:
    yield f"{archive} is {found.shape.sentence}"
    if found.former is None:
        yield "nothing in it tells where that lay: what its databases keep by that place may not be found"
    for path in found.places.missing[:_SHOWN]:
        yield f"{path} of its state is not in it: the agent begins with an empty one"
    missing = sorted(name for name in {*referred_in(found.config)} - {*set_by_it} if name)
    if missing:
        shown = ", ".join(missing[:_SHOWN])
        yield f"its config refers to what is not in it: {shown}; ocm secret set gives it"


def following(paths: InstancePaths, found: Candidate) -> Iterator[RewritePaths]:
    """Yield the steps by which what lay outside of a state that was packed is found where it is now."""
    for one in () if found.look is None else found.look.places.moved:
        if one.there:
            yield from _rewriting(paths, one.source, paths.state / one.inside)


def forgetting(paths: InstancePaths, found: Candidate) -> Iterator[RewritePaths]:
    """Yield the steps by which workspaces that are not in an archive are no more known where they will be.

    OpenClaw 2026.9.6 answers nobody where one is empty of which it knows that it used it within a day
    (dist/workspace, WORKSPACE_VANISHED).
    """
    for path in () if found.look is None else found.look.places.missing:
        yield from _rewriting(paths, found.state / path, paths.state / f"{path}{_NOT_PACKED}")


def _rewriting(paths: InstancePaths, before: PurePosixPath, after: PurePosixPath) -> Iterator[RewritePaths]:
    # What lay around the state, or where everything does, cannot follow.
    with contextlib.suppress(OcmError):
        Move(before=before, after=after, anywhere=True)
        yield RewritePaths(name=paths.name, before=str(before), after=str(after), fresh=True, copied=True)


def unpack_archive(
    context: Context, archive: PurePosixPath, found: Look, state: PurePosixPath, config: bytes
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Unpack an archive so that its state lies at `state` with that config.

    Returns the secrets of its `.env`, which goes where it holds nothing else, and what is to be told.
    """
    size = Path(archive).stat().st_size
    unpacked = unpack(
        archive,
        found,
        state.parent,
        free_bytes=free_bytes(state.parent.parent),
        progress=by_bytes(context.report, size),
    )
    make_directories(state)
    Directory(state).write(CONFIG_NAME, config)
    left = (f"left out: {count} of {reason}" for reason, count in sorted(unpacked.left_out.items()))
    moved = (
        f"{one.source} lies in its state now, as {one.inside}"
        if one.there
        else f"{one.source} is not in {archive}: {one.inside} in its state begins empty"
        for one in unpacked.moved
    )
    return _from_dotenv(state), (*unpacked.notes, *moved, *left)


def _from_dotenv(state: PurePosixPath) -> dict[str, str]:
    volume = Directory(state)
    with contextlib.suppress(OcmError, OSError):
        data = volume.read(".env", limit=MAX_BYTES)
        found = parse_dotenv(data.decode(errors="replace"))
        taken = {name: value for name, value in found.items() if is_key(name) and is_value(value)}
        if found == taken:
            volume.remove(".env")
        return taken
    return {}
