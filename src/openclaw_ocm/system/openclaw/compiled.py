"""What Node compiled of OpenClaw, which all sealed instances read and none can write.

Node keeps compiled code in NODE_COMPILE_CACHE, checks of it no more than a sum and the length of the source
(Node 24), and runs it: whoever writes there decides what OpenClaw does. So OCM has a gateway without a state,
secrets and network fill it, once for each Node and OpenClaw.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core import temporary
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.openclaw.run import environment, node_flags, openclaw_argv
from openclaw_ocm.core.openclaw.settings import initial_config
from openclaw_ocm.core.openclaw.traits import TOKEN_BYTES
from openclaw_ocm.core.ports import CDP_OFFSET
from openclaw_ocm.core.record import Record
from openclaw_ocm.core.sandbox.launch import BWRAP, PYTHON, clean
from openclaw_ocm.core.sandbox.policy import system_mounts
from openclaw_ocm.errors import Locked, OcmError
from openclaw_ocm.system import files, programs
from openclaw_ocm.system.kept.records import read_record
from openclaw_ocm.system.openclaw.package import version_of
from openclaw_ocm.system.runner import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openclaw_ocm.core.paths import HostPaths
    from openclaw_ocm.core.record import Runtime
    from openclaw_ocm.system.host import Host

_NAME = InstanceName("compiled")
_PORT = 19001
# A gateway takes half a minute on a busy machine of one core.
_SECONDS = 180
_QUEUE_SECONDS = 240.0
_PRINTED_BYTES = 2**20
# OpenClaw 2026.9.6 makes 6000 files of 41 MB.
_MOST_FILES, _MOST_KEPT = 20_000, 20_000


def is_kept(paths: HostPaths, runtime: Runtime) -> bool:
    """Tell whether what Node compiled of an OpenClaw is kept, as both are now."""
    return Path(mark(paths, runtime)).exists()


def have_compiled(host: Host, name: InstanceName, report: Callable[[str], None]) -> None:
    """Have OpenClaw compiled for an instance that is to start; where it cannot be, it starts too, slower."""
    with contextlib.suppress(OcmError, OSError):
        record = read_record(host.paths, name)
        if record.sealed and Path(BWRAP).exists():
            keep(host, record.runtime, report)


def keep(host: Host, runtime: Runtime, report: Callable[[str], None]) -> None:
    """Have OpenClaw compiled where that is not kept yet: it takes as long as the start of a gateway.

    Raises `OcmError` where it cannot be done: a gateway then compiles what it runs, at each start.
    """
    paths = host.paths
    _clear(paths)
    if is_kept(paths, runtime):
        return
    with _alone(paths, _QUEUE_SECONDS):
        if is_kept(paths, runtime):
            return
        report("compile OpenClaw, once for all instances")
        home = paths.ocm_data / temporary.compiling(secrets.token_hex(temporary.TOKEN_BYTES))
        try:
            kept = _start_once(host, runtime, home)
            _make_room(paths)
            _take(kept, paths.compiled)
        finally:
            files.remove_tree(home)
        files.write_file(mark(paths, runtime), b"")


def _alone(paths: HostPaths, seconds: float) -> contextlib.AbstractContextManager[int]:
    return files.lock(paths.locks / "@compiled.lock", "what is compiled", wait_seconds=seconds)


def _clear(paths: HostPaths) -> None:
    """Remove the homes of those that a kill cut off; one that is at work holds the lock."""
    left = list(Path(paths.ocm_data).glob(temporary.COMPILING_GLOB))
    if left:
        with contextlib.suppress(Locked), _alone(paths, 0):
            for home in left:
                files.remove_tree(PurePosixPath(home))


def mark(paths: HostPaths, runtime: Runtime) -> PurePosixPath:
    """Return the file that tells that an OpenClaw was compiled; its name changes with both versions."""
    node = Path(runtime.node).stat()
    version = version_of(runtime)
    words = (runtime.node, str(node.st_size), str(node.st_mtime_ns), runtime.openclaw, version)
    digest = hashlib.sha256("\0".join(words).encode()).hexdigest()
    return paths.ocm_data / f"compiled-{digest[:16]}"


def _start_once(host: Host, runtime: Runtime, home: PurePosixPath) -> PurePosixPath:
    """Start a gateway in a sandbox of its own and have it end; return where Node kept what it compiled."""
    own = replace(
        host.paths,
        home=home,
        config_home=home / ".config",
        state_home=home / ".local/state",
        data_home=home / ".local/share",
    )
    paths = own.instance(_NAME)
    record = Record(name=_NAME, port=_PORT, runtime=runtime)
    for directory in (home, paths.state, own.compiled):
        files.make_directory(directory)
    token = secrets.token_hex(TOKEN_BYTES)
    config = initial_config(paths, port=_PORT, cdp_port=_PORT + CDP_OFFSET, token=token, model=None)
    files.write_file(paths.config, format_config(config))
    gateway = openclaw_argv(record, ("gateway", "--port", str(_PORT)), *node_flags(record))
    inside = (PYTHON, "-ISc", programs.text("start_once.py"), str(_SECONDS), str(_PORT), *gateway)
    argv = clean(environment(paths, record), (*sandbox(runtime, home), *inside))
    done = host.runner.run(
        Command(argv=argv, timeout_seconds=_SECONDS + 10, limit=_PRINTED_BYTES), check=False
    )
    if done.returncode != 0:
        said = tuple(done.stderr.strip().splitlines()[-5:])
        raise OcmError("OpenClaw could not be compiled once for all", details=said)
    return own.compiled


def sandbox(runtime: Runtime, home: PurePosixPath) -> tuple[str, ...]:
    """Return a bwrap whose program sees the system, the runtime and one directory, and reaches nobody."""
    return (
        BWRAP,
        *("--unshare-all", "--cap-drop", "ALL", "--die-with-parent", "--new-session"),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108 - the sandbox's own
        *(
            word
            for mount in system_mounts(runtime)
            for word in ("--ro-bind-try", str(mount.source), str(mount.target))
        ),
        *("--bind", str(home), str(home), "--chdir", str(home), "--"),
    )


def _make_room(paths: HostPaths) -> None:
    """Forget all that is kept where it has become too much: each version of OpenClaw leaves its own."""
    if Path(paths.compiled).is_dir() and sum(1 for _ in _regular(Path(paths.compiled))) > _MOST_KEPT:
        for marked in Path(paths.ocm_data).glob("compiled-*"):
            marked.unlink()
        # The directory itself stays: sandboxes that run see it.
        for path in _regular(Path(paths.compiled)):
            path.unlink()


def _take(found: PurePosixPath, place: PurePosixPath) -> None:
    """Move each file of a cache to where instances find it, beside what is of another Node or OpenClaw."""
    files.make_directory(place)
    count = 0
    for path in _regular(Path(found)):
        count += 1
        if count > _MOST_FILES:
            raise OcmError("OpenClaw compiled to more than can be")
        target = Path(place, path.relative_to(found))
        files.make_directory(PurePosixPath(target.parent))
        path.replace(target)
    if not count:
        raise OcmError("Node kept nothing of what it compiled")


def _regular(directory: Path) -> Iterator[Path]:
    """Yield the files of a directory of Node's: a directory for each version, and files in it."""
    for version in directory.iterdir():
        if version.is_dir() and not version.is_symlink():
            yield from (path for path in version.iterdir() if path.is_file() and not path.is_symlink())
