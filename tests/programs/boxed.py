"""A tool host that runs as it does in an instance's sandbox, and somebody who asks it as a gateway would."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.sandbox.policy import ADDRESS_FAMILIES
from openclaw_ocm.system import programs, seccomp

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 30.0
PYTHON = "/usr/bin/python3"
# Runs what is written to its standard input, one shell script a line, and prints how each ended.
_GATEWAY = """
import json, subprocess, sys
print("up", flush=True)
for line in sys.stdin:
    argv = ["/bin/bash", "-c", json.loads(line)]
    done = subprocess.run(argv, capture_output=True, text=True)
    print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)
"""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Hosted:
    """A tool host with a gateway that runs shell scripts, in a directory of its own."""

    def __init__(self, directory: Path, *, tasks: int = 512) -> None:
        self.state = directory / "state"
        self.workspace = self.state / "workspace"
        self.workspace.mkdir(parents=True)
        self.socket = directory / "socket"
        self.tasks = tasks
        self.bin = directory / "bin"
        self.bin.mkdir()
        (self.bin / "tool-host").write_bytes(programs.archive("tool_host"))
        shim = programs.text("docker.py").replace("/tmp/.ocm-tool-host", str(self.socket))
        (self.bin / "docker").write_text(shim)
        (self.bin / "docker").chmod(0o755)
        seccomp.make_filters(PurePosixPath(self.bin), ADDRESS_FAMILIES)
        init = programs.text("init.pl")
        (self.bin / "init").write_text(init)
        # The kernel bounds the tasks of everybody but root.
        self.user = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        if os.getuid() != 0:
            self.user = []
        else:
            directory.chmod(0o755)
            os.chown(directory, 65534, 65534)
        self.filters = seccomp.filters(PurePosixPath(self.bin), ADDRESS_FAMILIES)
        self.log = directory / "log"
        argv = self.argv("--socket", str(self.socket), "--root", str(self.state), program=_GATEWAY)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.line() == "up", self.log.read_text()

    def argv(self, *options: str, program: str) -> list[str]:
        filters = [word for path in self.filters for word in ("--filter", str(path))]
        bounds = ["--tasks", str(self.tasks), *filters]
        host = [*self.user, PYTHON, "-IS", str(self.bin / "tool-host"), *bounds, *options]
        init = ["/usr/bin/perl", str(self.bin / "init")]
        return [*host, "--", *init, PYTHON, "-ISc", program]

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def shell(self, script: str) -> tuple[int, str, str]:
        """Run a script as the gateway, with OCM's docker first in its PATH."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(f"PATH={self.bin}:/usr/bin:/bin\n{script}") + "\n")
        self.process.stdin.flush()
        code, output, error = json.loads(self.line())
        return int(code), str(output), str(error)

    def ok(self, script: str) -> str:
        code, output, error = self.shell(script)
        assert code == 0, (output, error, self.log.read_text())
        return output

    def box(self, *options: str, name: str = "") -> str:
        """Make and start a box with the workspace, and return its name."""
        if self.user:
            for path in (self.state, *self.state.rglob("*")):
                os.chown(path, 65534, 65534)
        name = name or f"box-{secrets.token_hex(4)}"
        mounts = f"-v {self.workspace}:/workspace:z {' '.join(options)}"
        self.ok(
            f"docker create --name {name} --network none {mounts} image sleep infinity && docker start {name}"
        )
        return name

    def inside(self, name: str, script: str) -> tuple[int, str, str]:
        """Run a script in a box."""
        return self.shell(f"docker exec -i {name} /bin/sh -c {quoted(script)}")

    def ask(self, data: bytes, *, files: tuple[int, ...] = ()) -> bytes:
        """Return what the tool host answers to these bytes."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.connect(str(self.socket))
            sent = socket.send_fds(connection, [data], files) if files else connection.send(data)
            if sent < len(data):
                try:
                    connection.sendall(data[sent:])
                except OSError:
                    return b""
            answer = b""
            try:
                while part := connection.recv(2**16):
                    answer += part
            except ConnectionResetError:
                return answer
            return answer

    def descendants(self) -> list[int]:
        """Return every process below the tool host, and those that its boxes left behind."""
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        found, left = [], [self.process.pid]
        while left:
            below = children.get(left.pop(), [])
            found += below
            left += below
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)
        self.process.communicate()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def framed(*fields: bytes) -> bytes:
    data = b"\0".join(fields)
    return len(data).to_bytes(4, "big") + data


def words(*texts: str) -> bytes:
    """Return a request as the shim makes it."""
    return framed(b"ocm1", str(len(texts)).encode(), *map(os.fsencode, texts))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
