"""How a machine begins and ends: what it is to be, its folder in the cache, its lock, its systemd-nspawn.

Everything a machine consists of dies with its owner (see `nspawn.contained`). Only the folder and an
empty cgroup can be left, and the next boot sweeps them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from .image import Kind, ensure_image
from .nspawn import (
    HOST_CA_BUNDLE,
    MachineError,
    cache_dir,
    contained,
    in_cgroup,
    make_cgroup,
    nspawn,
    nspawn_environment,
    on_overlay,
    overlay_options,
    remove_cgroup,
)
from .processes import ProcessId, first_process, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
OWNED: set[str] = set()  # names of the machines that this process owns
Network = Literal["machine", "host"]


@dataclass(frozen=True)
class Spec:
    """What a machine is made of and how it runs.

    With the network "host" it shares the host's, for what is to be downloaded: its ports are the host's too.
    """

    release: str
    kind: Kind = "ready"
    network: Network = "machine"
    user_namespaces: bool = True

    @property
    def has_systemd(self) -> bool:
        return self.kind != "bare"

    @property
    def options(self) -> list[str]:
        """The end of systemd-nspawn's argv."""
        options = ["--console=pipe", "--resolv-conf=off"]
        if self.network == "machine":
            options.append("--private-network")
        if not self.user_namespaces:
            # The limit on user namespaces holds in a user namespace: in the host's it would bind the host.
            options += ["--private-users=identity", "--drop-capability=CAP_SYS_ADMIN"]
        return [*options, "--boot"] if self.has_systemd else [*options, "--as-pid2", "sleep", "infinity"]

    @property
    def environment(self) -> dict[str, str]:
        """What systemd-nspawn takes from its environment."""
        # /proc/sys/net may be written to, as on a real machine; with --private-users it refuses that.
        return {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"} if self.user_namespaces else {}

    @property
    def first_process(self) -> str:
        """What the kernel calls process 1 of the machine once it has begun its work."""
        return "systemd" if self.has_systemd else "(sd-stubinit)"


@dataclass(frozen=True)
class Running:
    """A booted machine as others find it: the content of its state file."""

    name: str
    spec: Spec
    owner: ProcessId
    supervisor: ProcessId
    leader: ProcessId

    @classmethod
    def load(cls, folder: Path) -> Running | None:
        try:
            state = json.loads((folder / "state.json").read_text())
        except (OSError, ValueError):
            return None
        roles = ("owner", "supervisor", "leader")
        owner, supervisor, leader = (ProcessId(**state[role]) for role in roles)
        return cls(state["name"], Spec(**state["spec"]), owner, supervisor, leader)

    def save(self, folder: Path) -> None:
        beside = folder / "state.json.new"
        beside.write_text(json.dumps(asdict(self)))
        beside.rename(folder / "state.json")


class Owned:
    """The owner's side of a machine: its folder, its lock, its systemd-nspawn."""

    def __init__(self, name: str, spec: Spec, image_key: str, lower: Sequence[Path], lock: IO[str]) -> None:
        self.name = name
        self.spec = spec
        self.image_key = image_key
        self.lower = tuple(lower)
        self.folder = machines_dir() / name
        self._lock = lock
        self._process: subprocess.Popen[bytes] | None = None
        self._cgroup: Path | None = None
        self._discarded = False

    @classmethod
    def claim(cls, name: str, spec: Spec, image_key: str, lower: Sequence[Path]) -> Owned:
        if not NAME.fullmatch(name):
            raise MachineError(f"bad machine name {name!r}")
        lock = try_lock(name)
        if lock is None:
            raise MachineError(f"a machine {name!r} is running already")
        owned = cls(name, spec, image_key, lower, lock)
        OWNED.add(name)
        shutil.rmtree(owned.folder, ignore_errors=True)
        for part in ("upper", "work", "root"):
            (owned.folder / part).mkdir(parents=True, mode=0o755)
        owned.prepare_files()
        return owned

    def prepare_files(self) -> None:
        """Copy in what a command with the host's network needs: its resolver and trust store."""
        for source in (Path("/etc/resolv.conf"), HOST_CA_BUNDLE):
            if source.exists():
                target = self.folder / "upper" / str(source).lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
                target.chmod(0o644)

    def start(self) -> Running:
        upper, work, root = (self.folder / part for part in ("upper", "work", "root"))
        booting = nspawn(root, f"--machine={self.name}", *self.spec.options)
        argv = on_overlay(overlay_options(self.lower, upper, work), root, booting)
        self._cgroup = make_cgroup(f"machine-{self.name}")
        with (self.folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                in_cgroup(self._cgroup, contained(argv)),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=nspawn_environment(self.spec.environment),
                start_new_session=True,
            )
        leader = wait_for(self._find_leader, 30, "the machine's first process")
        if not self.spec.user_namespaces:
            forbid_user_namespaces(leader)
        pids = [ProcessId.of(pid) for pid in (os.getpid(), self._process.pid, leader)]
        running = Running(self.name, self.spec, *pids)
        running.save(self.folder)
        return running

    def _find_leader(self) -> int | None:
        """Find the descendant that is pid 1 of the machine's namespace and past its beginnings."""
        self.refuse_dead()
        assert self._process is not None
        return first_process(self._process.pid, self.spec.first_process)

    def refuse_dead(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise MachineError(f"machine {self.name} ended:\n{self.console()}")

    def console(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "console.log").read_text(errors="replace")[-4000:]
        return ""

    def wait_for_end(self, deadline_seconds: float) -> None:
        assert self._process is not None
        try:
            self._process.wait(timeout=deadline_seconds)
        except subprocess.TimeoutExpired as expired:
            raise MachineError(f"machine {self.name} does not shut down") from expired
        self._remove_cgroup()

    def save_snapshot(self, tag: str) -> None:
        target = snapshots_dir(self.image_key) / tag
        beside = target.with_name(f".{tag}.{secrets.token_hex(4)}")
        beside.mkdir(parents=True)
        paths = (str(self.folder / "upper"), str(beside / "upper"))
        subprocess.run(["cp", "--archive", "--reflink=auto", *paths], check=True)
        (beside / "lower.json").write_text(json.dumps([str(path) for path in self.lower]))
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)

    def discard(self) -> None:
        if self._discarded:
            return
        self._discarded = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        running = Running.load(self.folder)
        if running is not None:
            wait_for(lambda: not running.leader.is_alive(), 20, f"the end of {self.name}")
        self._remove_cgroup()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()
        OWNED.discard(self.name)

    def _remove_cgroup(self) -> None:
        if self._cgroup is not None:
            remove_cgroup(self._cgroup)


def forbid_user_namespaces(leader: int) -> None:
    script = "echo 0 >/proc/sys/user/max_user_namespaces"
    entering = ["nsenter", f"--target={leader}", "--user", "--preserve-credentials"]
    subprocess.run([*entering, "sh", "-euc", script], check=True)


def machines_dir() -> Path:
    return cache_dir() / "machines"


def snapshots_dir(image_key: str) -> Path:
    return cache_dir() / "snapshots" / image_key


def snapshot_lower(image_key: str, tag: str) -> tuple[Path, ...]:
    """Return the snapshot as one more read-only layer: starting from it copies nothing."""
    folder = snapshots_dir(image_key) / tag
    try:
        below = json.loads((folder / "lower.json").read_text())
    except OSError as error:
        raise MachineError(f"no snapshot {tag!r} of this image") from error
    return (folder / "upper", *map(Path, below))


def remove_snapshot(release: str, tag: str) -> None:
    shutil.rmtree(snapshots_dir(ensure_image(release).key) / tag)


def has_snapshot(release: str, tag: str) -> bool:
    return (snapshots_dir(ensure_image(release).key) / tag / "lower.json").exists()


def try_lock(name: str) -> IO[str] | None:
    """Take the lock that an owner holds as long as it lives, however it ends."""
    folder = machines_dir()
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / f".{name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def sweep() -> None:
    """Remove what machines of dead owners left."""
    for folder in sorted(machines_dir().glob("[!.]*")):
        lock = try_lock(folder.name)
        if lock is None:
            continue
        with lock:
            running = Running.load(folder)
            if running is not None:
                running.supervisor.kill()
                running.leader.kill()
            remove_cgroup(make_cgroup(f"machine-{folder.name}"))
            shutil.rmtree(folder, ignore_errors=True)


def running_machines() -> Iterator[Running]:
    for folder in sorted(machines_dir().glob("[!.]*")):
        running = Running.load(folder)
        if running is not None and running.leader.is_alive():
            yield running
