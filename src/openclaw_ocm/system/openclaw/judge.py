"""Has OpenClaw judge a config in a sandbox of its own, which reaches nobody and writes nowhere."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.run import ENTRY, NODE_FLAGS, WITHOUT_CACHE
from openclaw_ocm.core.openclaw.verdict import Verdict, parse_verdict
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.sandbox.launch import BWRAP
from openclaw_ocm.core.sandbox.policy import system_mounts
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.openclaw.main_place import Main
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.system.host import Host

_SECONDS = 120.0
_MAX_PRINTED = 2**20
_ALONE = ("--unshare-all", "--cap-drop", "ALL", "--die-with-parent", "--new-session")
_ROOTS = "OPENCLAW_INCLUDE_ROOTS"
# What would load a program into Node, or have it write.
_LEFT_OUT = ("NODE_", "LD_", "OPENCLAW_", "XDG_", "TMP")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A config, where it is seen and written (`room` alone), and with which variables."""

    config: PurePosixPath
    room: str
    inside: tuple[str, ...]
    variables: Mapping[str, str] = field(repr=False)
    trusted: bool


def judge_main(host: Host, runtime: Runtime, main: Main) -> Verdict:
    """Return what an OpenClaw says of main's config, with its includes and its variables as they are.

    All files are as they are on the host, and read-only. Of main's state it sees nothing but the config: to
    look into its databases it would have to write beside them.
    """
    given = main.surroundings.values()
    with _room() as room:
        question = _Question(
            config=main.config,
            room=room,
            inside=(*("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"), "--bind", room, room),
            variables={
                name: value
                for name, value in given.items()
                if name == _ROOTS or not name.startswith(_LEFT_OUT)
            },
            trusted=True,
        )
        return _asked(host, runtime, question)


def judge_text(
    host: Host, runtime: Runtime, text: bytes, variables: Mapping[str, str], *, trusted: bool
) -> Verdict:
    """Return what an OpenClaw says of a config that an instance is to have: it sees the system and that.

    One that is not `trusted`, for an instance wrote of it, is not judged where there is no sandbox.
    """
    with _room() as room:
        config = PurePosixPath(room, CONFIG_NAME)
        files.write_file(config, text)
        inside = [*("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")]  # noqa: S108 - the sandbox's own
        for mount in system_mounts(runtime):
            inside += ["--ro-bind-try", str(mount.source), str(mount.target)]
        inside += ["--bind", room, room]
        question = _Question(
            config=config, room=room, inside=tuple(inside), variables=variables, trusted=trusted
        )
        return _asked(host, runtime, question)


def _asked(host: Host, runtime: Runtime, question: _Question) -> Verdict:
    entry = str(PurePosixPath(runtime.openclaw) / ENTRY)
    program = (runtime.node, *NODE_FLAGS, entry, "config", "validate", "--json")
    environ = {
        **question.variables,
        **dict.fromkeys(("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), question.room),
        "OPENCLAW_STATE_DIR": str(PurePosixPath(question.room, "state")),
        "OPENCLAW_CONFIG_PATH": str(question.config),
        **WITHOUT_CACHE,
        "OPENCLAW_NO_AUTO_UPDATE": "1",
    }
    verdict = Verdict(valid=None, issues=("bubblewrap is not installed",))
    sealed = (BWRAP, *_ALONE, *question.inside, "--chdir", question.room, "--", *program)
    for argv in (*([sealed] if Path(BWRAP).exists() else []), *([program] if question.trusted else [])):
        command = Command(
            argv=argv, env=environ, directory=question.room, timeout_seconds=_SECONDS, limit=_MAX_PRINTED
        )
        try:
            done = host.runner.run(command, check=False)
        except (OcmError, OSError) as error:
            verdict = Verdict(valid=None, issues=(str(error),))
            continue
        verdict = parse_verdict(done.returncode, done.stdout, done.stderr)
        if verdict.valid is not None:
            break
    return verdict


@contextlib.contextmanager
def _room() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ocm-") as room:
        yield str(files.real_path(room))
