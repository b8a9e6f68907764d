"""The config of main, the user's own OpenClaw: read, judged by OpenClaw, replaced where a command says so."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.document import MAX_BYTES
from openclaw_ocm.errors import InTheWay, OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.exchange import replace_in
from openclaw_ocm.system.openclaw.config import candidate
from openclaw_ocm.system.openclaw.find import find_runtime, main_command
from openclaw_ocm.system.openclaw.whereabouts import find_main
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.runner import Completed

_VALIDATE_SECONDS = 120.0
# OpenClaw 2026.9.6 keeps as many (dist/backup-rotation).
_BACKUPS = ("openclaw.json.bak", *(f"openclaw.json.bak.{number}" for number in range(1, 5)))


def read_main(host: Host) -> bytes:
    """Return main's config as it is written, or raise `OcmError`."""
    main = find_main(host)
    if not Path(main.config).exists():
        message = f"main has no config {', nor '.join(main.looked)}"
        hint = "openclaw onboard makes one; ocm update-models NAME updates an instance"
        raise OcmError(message, hint=hint, code="config_missing")
    path = _real_path(main.config)
    return Directory(path.parent).read(path.name, limit=MAX_BYTES)


def validate_main(host: Host, text: bytes) -> Completed:
    """Have the user's OpenClaw judge `text` as main's config: beside the real one, where its includes are."""
    runtime, main = find_runtime(host), find_main(host)
    folder = _real_path(main.config.parent)
    with candidate(Directory(folder), text) as beside:
        command = main_command(
            runtime,
            ("config", "validate", "--json"),
            env={"OPENCLAW_CONFIG_PATH": str(folder / beside), "OPENCLAW_STATE_DIR": str(main.state)},
            timeout_seconds=_VALIDATE_SECONDS,
        )
        return host.runner.run(command, check=False)


def replace_main(host: Host, before: bytes, after: bytes, *, beside: str | None = None) -> None:
    """Put `after` in the place of main's config; raises `InTheWay` unless that still is `before`.

    Its mode stays, and where it is a link what that leads to is replaced; `before` becomes the newest of
    OpenClaw's own backups. `beside` is that of `replace_in`.
    """
    config = find_main(host).config
    path = _real_path(config)
    with files.open_state(path.parent) as directory, files.open_state(_real_path(config.parent)) as kept:
        if files.read_in(directory, path.name, limit=MAX_BYTES) != before:
            raise _changed()
        mode = stat.S_IMODE(os.stat(path.name, dir_fd=directory, follow_symlinks=False).st_mode)
        for newer, older in zip(_BACKUPS[-2::-1], _BACKUPS[:0:-1], strict=True):
            with contextlib.suppress(FileNotFoundError):
                os.rename(newer, older, src_dir_fd=kept, dst_dir_fd=kept)
        files.write_in(kept, _BACKUPS[0], before)
        if not replace_in(
            directory, path.name, after, before=before, limit=MAX_BYTES, mode=mode, beside=beside
        ):
            raise _changed()


def _changed() -> InTheWay:
    message = "main's config was changed by someone else meanwhile; nothing was changed"
    return InTheWay(message, hint="try again", code="config_changed")


def main_place(host: Host) -> PurePosixPath:
    """Return where main's config is: where it is a link, what that leads to."""
    return _real_path(find_main(host).config)


def _real_path(path: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(files.real_path(path))
