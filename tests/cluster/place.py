"""A place of the cluster: a file system, processes and a network of its own, which end with their starter."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.machine.nspawn import MachineError, contained, overlay_options
from tests.machine.processes import first_process, text, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

# Images are kept in a directory of the host: an overlay cannot lie on another one.
ENTER_SCRIPT = """
root=$2
mount -t overlay -o "$1" cluster "$root"
hostname "$3"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
for kept in containerd kubelet local registry; do
    mkdir -p "$root/var/lib/$kept" "$4/$kept"
    mount --bind "$4/$kept" "$root/var/lib/$kept"
done
mkdir -p "$root/.old"
cd "$root"
pivot_root . .old
umount -l /.old
mount --make-rshared /
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# The kernel takes away the children of one that does not want to know of their ends.
trap '' CHLD
exec sleep infinity
"""
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin:/usr/lib/cni"


class Place:
    """The control plane or a node."""

    def __init__(self, name: str, lower: Sequence[Path], folder: Path) -> None:
        self.name = name
        self.folder = folder
        for part in ("upper", "work", "root", "kept", "log"):
            (folder / part).mkdir(parents=True)
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        options = overlay_options(lower, folder / "upper", folder / "work")
        words = ["sh", "-euc", ENTER_SCRIPT, "sh", options, str(folder / "root"), name, str(folder / "kept")]
        with (folder / "log" / "place").open("wb") as log:
            self._starter = subprocess.Popen(
                contained(["unshare", "--uts", "--ipc", "--net", "--", *words]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": PATH, "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        self.leader = wait_for(self._find_leader, 30, f"the first process of {name}")

    def _find_leader(self) -> int | None:
        if self._starter.poll() is not None:
            raise MachineError(f"{self.name} did not start:\n{(self.folder / 'log' / 'place').read_text()}")
        return first_process(self._starter.pid, "sleep")

    def entering(self, argv: Sequence[str]) -> list[str]:
        """Return the host's argv that runs argv there."""
        own = (f"PATH={PATH}", "LANG=C.UTF-8", "HOME=/root")
        return [
            *("setpriv", "--pdeathsig=KILL", "nsenter", f"--target={self.leader}", *NAMESPACES, "--"),
            *("env", "--ignore-environment", "--chdir=/", *own, *argv),
        ]

    def run(self, argv: Sequence[str], *, given: str | bytes | None = None, timeout: float = 120) -> str:
        """Run argv to its end and return what it printed; raise `MachineError` where it fails."""
        sent = given.encode() if isinstance(given, str) else given
        done = subprocess.run(
            self.entering(argv), input=sent or b"", capture_output=True, timeout=timeout, check=False
        )
        if done.returncode != 0:
            printed = text(done.stdout)[-2000:] + text(done.stderr)[-4000:]
            raise MachineError(f"{self.name}: {' '.join(argv)} -> {done.returncode}\n{printed}")
        return text(done.stdout)

    def write(self, path: str, content: str | bytes, mode: int = 0o600) -> None:
        raw = content.encode() if isinstance(content, str) else content
        script = 'umask 077; mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"'
        self.run(["sh", "-euc", script, "sh", path, f"{mode:o}"], given=raw)

    def start(self, name: str, argv: Sequence[str]) -> None:
        """Start a program that stays, its output in a log of its name."""
        with (self.folder / "log" / name).open("ab") as log:
            self._programs[name] = subprocess.Popen(
                self.entering(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def refuse_dead(self) -> None:
        """Raise `MachineError` with the end of its log where one of its programs ended."""
        for name, process in self._programs.items():
            if process.poll() is not None:
                raise MachineError(f"{name} of {self.name} ended ({process.returncode}):\n{self.log(name)}")

    def log(self, name: str) -> str:
        return (self.folder / "log" / name).read_text(errors="replace")[-4000:]

    def end(self) -> None:
        """Kill all there is of it, as a power cut would."""
        self._starter.kill()
        self._starter.wait()
        wait_for(lambda: not Path(f"/proc/{self.leader}").exists(), 30, f"the end of {self.name}")
        for process in self._programs.values():
            process.wait()
