"""A port of this machine's loopback that leads to the cluster's API server, whose certificate has that name.

As a program it is the part of it that runs in the cluster's network: `reach.py DESCRIPTOR HOST PORT`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from .cluster import Cluster

CHUNK = 65536


class Reached:
    """The way there, and a kubeconfig of the administrator that leads over it, whose context is `test`."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._server = socket.create_server(("127.0.0.1", 0))
        config = json.loads(cluster.authority.kubeconfig("admin"))
        port = self._server.getsockname()[1]
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(config))
        self.kubeconfig.chmod(0o600)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        from .cluster import CONTROL

        inside = ("nsenter", f"--target={self._cluster.control.leader}", "--net")
        words = (sys.executable, str(Path(__file__).resolve()), str(self._server.fileno()), CONTROL, "6443")
        argv = ("setpriv", "--pdeathsig=KILL", *inside, *words)
        return subprocess.Popen(argv, pass_fds=(self._server.fileno(),), stdin=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._server.close()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def lost(self) -> Iterator[None]:
        """Break every connection, and let none be made in the block."""
        self._end()
        try:
            yield
        finally:
            self._process = self._start()


def carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def serve(server: socket.socket, address: tuple[str, int]) -> None:
    while True:
        near, _ = server.accept()
        far = socket.create_connection(address)
        for ends in ((near, far), (far, near)):
            threading.Thread(target=carry, args=ends, daemon=True).start()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), (sys.argv[2], int(sys.argv[3])))
