"""What a pod is like, made with bubblewrap: its user, its rights, its root and its volumes."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.launch import BWRAP
from openclaw_ocm.core.sandbox.policy import ADDRESS_FAMILIES
from openclaw_ocm.system import seccomp

if TYPE_CHECKING:
    from collections.abc import Sequence

VOLUMES = ("/home/node/.openclaw", "/tmp", "/var/tmp", "/home/node/.cache")
# Where nobody listens.
SERVER = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
NOBODY = 65534


@dataclass(frozen=True, kw_only=True)
class LikePod:
    """What is like a pod with volumes below `place`, but in this machine's network and with its /usr.

    `options` are further ones of bubblewrap's. Without `filtered` there is no filter of system calls, and
    without `closed` the root can be written.
    """

    place: Path
    user: int = 1000
    options: tuple[str, ...] = ()
    filtered: bool = True
    closed: bool = True

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        """Run a program in there to its end."""
        with contextlib.ExitStack() as opened:
            filters = [opened.enter_context(path.open("rb")).fileno() for path in self._filters()]
            words = [word for number in filters for word in ("--add-seccomp-fd", str(number))]
            return subprocess.run(
                [*self._bubblewrap(), *words, "--", *argv],
                check=False,
                capture_output=True,
                pass_fds=filters,
            )

    def _filters(self) -> list[Path]:
        if not self.filtered:
            return []
        where = PurePosixPath(self.place)
        seccomp.make_filters(where, ADDRESS_FAMILIES)
        return list(map(Path, seccomp.filters(where, ADDRESS_FAMILIES)))

    def _bubblewrap(self) -> list[str]:
        # The kernel lets its root write what it lets nobody else.
        drop = ("/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        return [
            *(drop if os.getuid() == 0 else ()),
            *(BWRAP, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--die-with-parent"),
            *("--uid", str(self.user), "--gid", str(self.user), "--cap-drop", "ALL", "--clearenv"),
            *(word for name, value in SERVER.items() for word in ("--setenv", name, value)),
            *("--ro-bind", "/usr", "/usr", "--dir", "/etc", "--dir", "/opt", "--dir", "/run"),
            *(word for name in ("bin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")),
            *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--tmpfs", "/sys"),
            *self._volumes(),
            *self.options,
            *("--remount-ro", "/dev", "--remount-ro", "/sys"),
            *(("--remount-ro", "/") if self.closed else ()),
        ]

    def _volumes(self) -> list[str]:
        words = []
        for number, path in enumerate(VOLUMES):
            volume = self.place / str(number)
            volume.mkdir(exist_ok=True)
            if os.getuid() == 0:
                os.chown(volume, NOBODY, NOBODY)
            words += ["--bind", str(volume), path]
        return words
