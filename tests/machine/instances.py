"""What the tests of instances share: main beside them, the fake provider, answers, what is left behind."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from openclaw_ocm.core.releases import OPENCLAW_VERSION

from .image import HERE
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .checkout import Ocm
    from .machine import Machine

HOME = "/home/debian"
# Of what is the same in all of them: each backend in one release, each release with one backend.
BACKENDS_IN_TURN = (pytest.param("systemd", marks=pytest.mark.first_release), "supervisord")
MAIN_PORT = 18789
MAIN_UNIT = "openclaw-gateway.service"
MODEL = "127.0.0.1:18080"
PROVIDER = {
    "baseUrl": "http://127.0.0.1:18080/v1",
    "apiKey": "sk-fake",
    "api": "openai-completions",
    "models": [
        {
            "id": "fake-1",
            "name": "Fake One",
            "contextWindow": 128000,
            "maxTokens": 4096,
            "input": ["text"],
            "reasoning": False,
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
        }
    ],
}
# An authority that nobody has the key of.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBizCCATGgAwIBAgIUHVPqjeQ6N2icIPXY3zO2/JduKbYwCgYIKoZIzj0EAwIw
GjEYMBYGA1UEAwwPRXhhbXBsZSBjb21wYW55MCAXDTI2MTEyNzE5MzYwM1oYDzIx
MjYxMTAzMTkzNjAzWjAaMRgwFgYDVQQDDA9FeGFtcGxlIGNvbXBhbnkwWTATBgcq
hkjOPQIBBggqhkjOPQMBBwNCAARquF7i/SnYBPVnF1ob2sOMa4+14LAG1JXthjeT
AGIJMwkni7XMO3fo1Me7YGXdP7B4zL0lmD6bX9SbWj5I8qRYo1MwUTAdBgNVHQ4E
FgQUFv5n5de4ux3wnctg708d0hut3jwwHwYDVR0jBBgwFoAUFv5n5de4ux3wnctg
708d0hut3jwwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA9gBg
IBGFS468qdmlqXfibYxwVJnZGW59YEgOvOh+b80CIAQmSXnFeV1pgb7Nx25eEXMN
s2mmTnL1gPHURqW4E1uM
-----END CERTIFICATE-----
"""
MAIN_CONFIG = {
    "gateway": {
        "mode": "local",
        "bind": "loopback",
        "port": MAIN_PORT,
        "auth": {"mode": "token", "token": "MAIN-GATEWAY-TOKEN"},
    },
    "models": {"mode": "replace", "providers": {"fake": {**PROVIDER, "apiKey": "sk-MAIN-SECRET"}}},
    "agents": {"defaults": {"model": {"primary": "fake/fake-1"}}},
    "update": {"checkOnStart": False},
}


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            message = f"no {what} within {seconds:g} s"
            raise AssertionError(message)
        time.sleep(0.3)


def answer(ocm: Ocm, *args: str, check: bool = True) -> dict[str, Any]:
    """Return what a command answers under --json."""
    envelope = json.loads(ocm(*args, "--json", check=check).stdout)
    assert isinstance(envelope, dict)
    return envelope


def mend(ocm: Ocm) -> str:
    """Have OCM finish or undo what was cut off, where no instance runs; return what it says of that."""
    return ocm("stop", "--all").stderr


def rows(ocm: Ocm) -> dict[str, dict[str, Any]]:
    """Return `ocm list` by instance."""
    return {row["name"]: row for row in answer(ocm, "list")["results"]}


def configure_fake_provider(ocm: Ocm, name: str, provider: Mapping[str, Any] = PROVIDER) -> None:
    """Give an instance the fake provider, which is near, the key through standard input."""
    ocm("network", name, "allow", MODEL)
    ocm("edit", name, "models.providers.fake", "-", input=json.dumps(provider))


@contextlib.contextmanager
def fake_model(machine: Machine, *options: str) -> Iterator[dict[str, Any]]:
    """Run the fake model where it is no service, on a port that the host has free; give its provider."""
    program = "/opt/fake-model/fake_model.py"
    machine.push(HERE / "fake_model.py", program, user="root")
    process = machine.popen(["python3", program, "--port=0", *options], user="root", stderr=None)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        scheme = "https" if "--certificate" in options else "http"
        yield {**PROVIDER, "baseUrl": f"{scheme}://127.0.0.1:{port}/v1"}
    finally:
        kill_group(process)


def deploy_answering(ocm: Ocm, name: str, *options: str) -> None:
    """Deploy an instance that has the fake model."""
    create_answering(ocm, name, *options)
    ocm("start", name)


def create_answering(ocm: Ocm, name: str, *options: str) -> None:
    """Create an instance that has the fake model, written beside OCM: an edit takes five CPU seconds."""
    ocm("create", name, "--model", "fake/fake-1", *options)
    path = f"{ocm.machine.home}/.openclaw-{name}/openclaw.json"
    config = json.loads(ocm.machine.run(["cat", path]).stdout)
    config.setdefault("models", {})["providers"] = {"fake": PROVIDER}
    # One that was missed is made up for two minutes after a start, and where it waits for its turn OpenClaw's
    # stop waits for it for five minutes (2026.9.6).
    config["agents"]["defaults"]["heartbeat"] = {"every": "0m"}
    ocm.machine.write(path, json.dumps(config), mode=0o600)
    ocm("network", name, "allow", MODEL)


def say(ocm: Ocm, name: str, text: str) -> str:
    """Return what an instance's agent answers: it repeats `ECHO:word`, and at `RECALL` all such words."""
    return ocm("use", name, "agent", "--message", text).stdout


def inside(ocm: Ocm, name: str, script: str, *, check: bool = True) -> str:
    """Return what a shell in the instance's sandbox prints for `script`."""
    return ocm("enter", name, input=script, check=check).stdout


# Ends once the address in argv says that a gateway is ready. To have `ocm health` say no time and again would
# take as much of the processors as the gateway that is waited for.
_READY = """
import sys, time, urllib.request
while True:
    try:
        if b'"ready":true' in urllib.request.urlopen(sys.argv[1], timeout=5).read():
            break
    except OSError:
        pass
    time.sleep(0.3)
"""


def wait_until_healthy(ocm: Ocm, name: str) -> None:
    """Wait until a gateway is ready and OCM says so too."""
    url = f"http://127.0.0.1:{rows(ocm)[name]['port']}/readyz"
    ocm.machine.run(["python3", "-c", _READY, url], timeout=120)
    wait_for(lambda: ocm("health", name, check=False).returncode == 0, 30, "good health")


def ready(machine: Machine, port: int) -> bool:
    """Tell whether the gateway on `port` says that it is ready."""
    asked = machine.run(["curl", "-s", f"http://127.0.0.1:{port}/readyz"], check=False)
    return '"ready":true' in asked.stdout


def refuse_tools(machine: Machine, *tools: str) -> None:
    """Fail where the machine has one of them already, and so would show nothing."""
    script = 'for tool; do command -v "$tool"; done; true'
    assert machine.run(["sh", "-c", script, "sh", *tools]).stdout == ""


# Every process but this one: pid and command line, one a line.
_PROCESSES = """
import os, pathlib
for pid in set(filter(str.isdigit, os.listdir("/proc"))) - {str(os.getpid())}:
    try:
        print(pid, *pathlib.Path("/proc", pid, "cmdline").read_text().split("\\0"))
    except OSError:
        pass
"""


def processes(machine: Machine) -> dict[str, str]:
    """Return every process of the machine: pid and command line."""
    lines = machine.run(["python3", "-c", _PROCESSES], user="root").stdout.splitlines()
    return {pid: command for pid, _, command in (line.partition(" ") for line in lines)}


# The process that listens on a port of the loopback, the host's or its own, as the kernel knows it, but for
# what serves that on the host; argv: the port.
_LISTENER = """
import contextlib, glob, os, sys
listening = f"0100007F:{int(sys.argv[1]):04X}"
for process in glob.glob("/proc/[0-9]*"):
    with contextlib.suppress(OSError):
        if open(f"{process}/comm").read() == "slirp4netns\\n":
            continue
        rows = [line.split() for line in open(f"{process}/net/tcp")]
        sockets = {f"socket:[{row[9]}]" for row in rows if row[1] == listening and row[3] == "0A"}
        for descriptor in glob.glob(f"{process}/fd/*") if sockets else ():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) in sockets:
                    sys.exit(print(os.path.basename(process)))
sys.exit("nobody listens there")
"""


def listener(machine: Machine, port: int) -> str:
    """Return the PID of the very process that serves a gateway's port."""
    return machine.run(["python3", "-c", _LISTENER, str(port)], user="root").stdout.strip()


def kill_gateway(machine: Machine, port: int) -> None:
    """End the process that serves a gateway's port, as the kernel would that is out of memory."""
    pid = listener(machine, port)
    machine.run(["sh", "-c", 'kill -9 "$0"', pid], user="root")


def start_main(machine: Machine) -> None:
    """Start main as OpenClaw's own unit would: outside of OCM, on 18789."""
    machine.run(["mkdir", "-m", "700", f"{HOME}/.openclaw"])
    machine.write(f"{HOME}/.openclaw/openclaw.json", json.dumps(MAIN_CONFIG), mode=0o600)
    machine.write(f"{HOME}/.openclaw/.env", "MAIN_ENV_SECRET=1\n", mode=0o600)
    entry = machine.run(["sh", "-c", "realpath $(command -v openclaw)"]).stdout.strip()
    command = f"/usr/local/bin/node --max-old-space-size=8192 {entry} gateway --port {MAIN_PORT}"
    unit = (
        f"[Service]\nExecStart={command}\nRestart=always\nKillMode=mixed\nRestartPreventExitStatus=78\n"
        "[Install]\nWantedBy=default.target\n"
    )
    machine.write(f"{HOME}/.config/systemd/user/{MAIN_UNIT}", unit)
    machine.run(["systemctl", "--user", "daemon-reload"])
    machine.run(["systemctl", "--user", "start", MAIN_UNIT])
    wait_for(lambda: ready(machine, MAIN_PORT), 120, "ready main")


def stop_main(machine: Machine) -> None:
    """Remove main with all that it left."""
    machine.run(["systemctl", "--user", "stop", MAIN_UNIT])
    machine.run(
        ["rm", "-rf", f"{HOME}/.openclaw", f"{HOME}/.config/systemd/user/{MAIN_UNIT}", f"{HOME}/.cache"]
    )
    machine.run(["systemctl", "--user", "daemon-reload"])


def main_identity(machine: Machine) -> str:
    """Return what must not change of main: its process, its config to the byte and the inode."""
    script = (
        f"systemctl --user show -P MainPID -P NRestarts {MAIN_UNIT}; cd ~/.openclaw;"
        " stat -c '%n %i %Y %s %a' openclaw.json .env; sha256sum openclaw.json .env"
    )
    return machine.run(["bash", "-c", script]).stdout


def home_files(machine: Machine) -> set[str]:
    """Return every path in the home but the checkout, what setup installed, main's insides, and OCM's own.

    That is the host's lock, the room for a deletion, and the history. Directories count only where they are
    somebody's state.
    """
    script = (
        "find ~ -path ~/ocm -prune -o -path ~/.npm -prune -o -path ~/.cache -prune -o"
        " -path ~/.npm-global -prune -o -path ~/.local/share/ocm/venv\\* -prune"
        " -o -path ~/.local/share/ocm/node\\* -prune -o -path ~/.openclaw-\\*/cache -prune"
        " -o -path ~/.openclaw/\\* -type d -prune -o ! -type d ! -name @\\*.lock ! -name \\*.reserve"
        " ! -name history.jsonl -print"
        " -o -type d -name .openclaw\\* -print"
    )
    return set(machine.run(["bash", "-c", script]).stdout.splitlines())


def transient_files(machine: Machine) -> set[str]:
    """Return every path in the places for what is not to stay."""
    places = ("/tmp", "/var/tmp", "/dev/shm", "/run")
    return set(machine.run(["find", *places], user="root").stdout.splitlines())


def show_some(machine: Machine, ocm: Ocm, name: str) -> None:
    """Show an instance a program, a folder and one to write in, from its next start on."""
    script = "mkdir -p .local/bin shown/read shown/write; echo of the host >shown/read/file"
    program = (
        "printf '#!/bin/sh\\necho a program of the host\\n' >.local/bin/of-the-host; chmod +x .local/bin/*"
    )
    machine.run(["sh", "-c", f"cd; {script}; {program}"])
    ocm("mount", name, f"{HOME}/.local/bin/of-the-host")
    ocm("mount", name, f"{HOME}/shown/read", "--at", "/srv/read")
    ocm("mount", name, f"{HOME}/shown/write", "--rw")


def assert_shown(machine: Machine, ocm: Ocm, name: str) -> None:
    """Fail where an instance is not shown what `show_some` shows it; afterwards nothing of it is left."""
    tried = (
        "of-the-host; cat /srv/read/file; echo written >~/shown/write/file;"
        " for each in /srv/read/file ~/.local/bin/of-the-host; do echo x >>$each || echo refused; done"
    )
    said = inside(ocm, name, f"({tried}) 2>/dev/null; ls -A /srv ~/shown")
    assert said.startswith("a program of the host\nof the host\nrefused\nrefused\n"), said
    assert said.endswith("/home/debian/shown:\nwrite\n\n/srv:\nread\n"), said
    assert machine.read(f"{HOME}/shown/write/file") == "written\n"
    for path in (f"{HOME}/.local/bin/of-the-host", "/srv/read", f"{HOME}/shown/write"):
        ocm("unmount", name, path)
    assert inside(ocm, name, "ls -A /srv 2>/dev/null; true") == ""
    assert inside(ocm, name, "readlink ~/.local/bin").endswith("programs/bin\n")
    machine.run(["sh", "-c", "cd; rm -r shown .local/bin/of-the-host; rmdir .local/bin || true"])


def add_version(machine: Machine, version: str) -> str:
    """Put the OpenClaw of the machine where OCM installs them, as another version; return its package."""
    package = f"{HOME}/.local/share/ocm/runtimes/{version}/lib/node_modules/openclaw"
    dotted = re.escape(OPENCLAW_VERSION)
    script = f"""
        mkdir -p $(dirname {package})
        cp -r $(dirname $(realpath $(command -v openclaw))) {package}
        cd {package}
        grep -rlF {OPENCLAW_VERSION} package.json dist | xargs sed -i 's/{dotted}/{version}/g'
    """
    machine.run(["bash", "-euc", script])
    return package
