"""What of an archive is made ready to take its place, in a directory that no instance reaches."""

from __future__ import annotations

import contextlib
import secrets as random
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.core import secrets, temporary
from openclaw_ocm.core.backup.layout import INHERITED, SECRETS, STATE
from openclaw_ocm.core.names import MAIN, parse_name
from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.openclaw.idle import idle_config
from openclaw_ocm.core.openclaw.moved import Move
from openclaw_ocm.core.openclaw.settings import weakened
from openclaw_ocm.core.paths import CONFIG_NAME, STATE_DIRECTORIES
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations.planning.progress import by_bytes
from openclaw_ocm.system import files
from openclaw_ocm.system.archive.reader import Contents, extract, free_bytes
from openclaw_ocm.system.archive.restorable import wanted_config
from openclaw_ocm.system.kept.inherited import Inherited, encode_inherited, parse_inherited, read_inherited
from openclaw_ocm.system.slots import Slots, copy_plugins
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.network import Kind
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.core.record import Record, Runtime
    from openclaw_ocm.core.steps import Stage
    from openclaw_ocm.instances.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugins:
    """Those in a `state`, and the names of those that its OpenClaw `failed` to load."""

    state: PurePosixPath
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What the user asked for: `name` and `port` are those of the archive where None.

    `start` has the restored instance started and proved; `replace` puts it in the place of one of its name.
    `network` is the kind that a new one is to have, None for what is usual (that of an archive if `none`).
    One that is `idle` has no keys, and does nothing of its own. `runtime` is what a new one runs, None for
    what is found; `plugins` are those of an instance, which no archive holds, and which it has to load.
    """

    archive: PurePosixPath
    name: InstanceName | None = None
    port: int | None = None
    replace: bool = False
    sealed: bool = True
    network: Kind | None = None
    start: bool = True
    identities: Sequence[object] = ()
    idle: bool = False
    runtime: Runtime | None = None
    plugins: Plugins | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What was extracted and checked, ready to take its place. Nothing of it is reached by an instance."""

    stage: Stage
    contents: Contents
    notes: tuple[str, ...]

    @property
    def state(self) -> PurePosixPath:
        """Where the state lies."""
        return _state_in(self.stage)

    @property
    def volume(self) -> Directory:
        """The same, to be read and written."""
        return Directory(self.state)

    @property
    def secrets(self) -> PurePosixPath:
        """Where the secrets lie."""
        return PurePosixPath(self.stage.files[0])

    @property
    def inherited(self) -> PurePosixPath:
        """Where what was inherited lies."""
        return PurePosixPath(self.stage.files[1])

    def move(self, paths: InstancePaths) -> Move:
        """Return where the state of the archive lay, and where it is to lie as that of an instance."""
        return Move(before=PurePosixPath(self.contents.header.state), after=paths.state)


def stage_step(paths: InstancePaths, token: str) -> Stage:
    """Return the step that makes the staging directory, on the file system of the state.

    A file is staged beside its place, which may be on another one.
    """
    staged = (path.with_name(temporary.beside(path.name, token)) for path in (paths.secrets, paths.inherited))
    return Slots(paths).stage(token, staged)


def _state_in(stage: Stage) -> PurePosixPath:
    return PurePosixPath(stage.path) / "archive" / STATE


def extract_staged(context: Context, request: RestoreRequest, paths: InstancePaths, stage: Stage) -> Staged:
    """Extract an archive into the staging directory, checked whole; secrets go beside their place."""
    archive = Path(request.archive)
    size = archive.stat().st_size if archive.is_file() else 0
    contents = extract(
        request.archive,
        _state_in(stage).parent,
        identities=request.identities,
        free_bytes=free_bytes(PurePosixPath(stage.path)),
        progress=by_bytes(context.report, size),
    )
    found, notes = _secrets_of(contents)
    inherited, more = (None, ()) if request.idle else _inherited_of(contents, paths)
    staged = Staged(stage=stage, contents=contents, notes=(*notes, *more))
    state = Path(staged.state)
    # It is moved to another directory, which takes the right to write in it.
    state.chmod(0o700)
    for name in STATE_DIRECTORIES:
        with contextlib.suppress(FileExistsError):
            (state / name).mkdir(mode=0o700)
    if request.plugins is not None:
        copy_plugins(context.host, request.plugins.state, staged.state)
    if request.idle:
        found = dict.fromkeys(found, random.token_hex(16))
    files.write_new(staged.secrets, secrets.format_file(found))
    if inherited is not None:
        files.write_new(staged.inherited, encode_inherited(inherited))
    return staged


def _secrets_of(contents: Contents) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the secrets of an archive that an instance may have, and what was left out of them."""
    found = secrets.parse_file(contents.secrets or b"", PurePosixPath(SECRETS))
    kept = {key: value for key, value in found.items() if secrets.is_key(key)}
    left = ", ".join(sorted(found.keys() - kept.keys()))
    return kept, (f"left out of the secrets, for they steer programs: {left}",) if left else ()


def _inherited_of(contents: Contents, paths: InstancePaths) -> tuple[Inherited | None, tuple[str, ...]]:
    """Return what an archive says that its instance inherited, and what of that was not taken over.

    From where it inherits is what the user says alone: with the next sync an archive of anybody's would get
    the keys of main, or of another instance.
    """
    if contents.inherited is None:
        return None, ()
    inherited = parse_inherited(contents.inherited, PurePosixPath(INHERITED))
    source = inherited.source
    if source == paths.name:
        return None, ()
    with contextlib.suppress(OcmError):
        before = read_inherited(paths)
        if before is not None and before.source == source:
            return inherited, ()
    inherited = msgspec.structs.replace(inherited, source="")
    with contextlib.suppress(Invalid):
        told = source if source == MAIN else parse_name(source)
        again = f"ocm sync {paths.name} --inherit-from {told} has it follow"
        return inherited, (f"{paths.name} inherited from {told}, and does not now: {again}",)
    return inherited, ()


def follow_record(
    staged: Staged, paths: InstancePaths, record: Record, request: RestoreRequest
) -> tuple[str, ...]:
    """Have the staged config say what the record says; return what else of it leaves the instance open.

    One that cannot be used is left as it is where nothing is to be started, and told.
    """
    move = staged.move(paths)
    try:
        config = wanted_config(staged.contents, move, record)
    except OcmError as error:
        if request.start:
            hint = "--no-start restores the rest, for you to mend the config"
            raise OcmError(error.message, hint=hint, code="archive_invalid") from None
        mend = f"before ocm start {paths.name} mend {paths.config}, gateway.port = {record.port} in it"
        return (f"{error.message}: {mend}; openclaw.json.bak beside it may help",)
    config = idle_config(config, random.token_hex(16)) if request.idle else config
    staged.volume.write(CONFIG_NAME, format_config(config))
    return weakened(config, port=record.port, expose=record.expose)
