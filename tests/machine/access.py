"""The access table of isolation.md: what a shell in an instance and in a box can reach, tried one by one."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

from .image import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .checkout import Ocm
    from .machine import Machine

# One of the host, open to all, with a number that no terminal inside has.
TERMINAL = "/dev/pts/20"
LOCAL = "127.0.0.1"
# What the table calls it, and the path, in a box too unless `IN_A_BOX` has another; a directory counts as
# readable if it shows a name, as writable if a file can be made in it. Where somebody listens it is
# `tcp:ADDRESS:PORT` or `abstract:NAME`, and who connects can read and write.
ROWS = (
    ("its own state, `~/.openclaw-NAME/`", "{home}/.openclaw-{name}"),
    ("the workspace, in a box `/workspace`", "{home}/.openclaw-{name}/workspace"),
    ("`/tmp`", "/tmp"),
    ("`/var/tmp`", "/var/tmp"),
    ("`/usr`", "/usr"),
    ("`/etc`", "/etc"),
    ("`/opt`", "/opt"),
    ("name servers, `/etc/resolv.conf`", "/etc/resolv.conf"),
    ("certificates that the machine trusts, `/etc/ssl/certs/`", "/etc/ssl/certs"),
    ("its OpenClaw", "{openclaw}"),
    ("its config link in `~/.openclaw/`", "{home}/.openclaw/openclaw-{name}.json"),
    ("its own secrets, `/run/ocm/secrets.env`", "/run/ocm/secrets.env"),
    ("main's config", "{home}/.openclaw/openclaw.json"),
    ("main's credentials and `.env`", "{home}/.openclaw/.env"),
    ("another instance's state", "{home}/.openclaw-{other}"),
    ("another instance's config", "{home}/.openclaw-{other}/openclaw.json"),
    ("OCM's records and secrets", "{home}/.config/ocm"),
    ("OCM's journal and locks", "{home}/.local/state/ocm"),
    ("its own definition", "{definition}"),
    ("`~/.ssh`", "{home}/.ssh"),
    ("the rest of the home", "{home}/.bashrc"),
    ("`/srv`, `/mnt` and the like", "/srv"),
    ("`/var/log` and the journal", "/var/log"),
    ("`/var/lib`", "/var/lib"),
    ("the user's bus, `/run/user`", "{runtime}/bus"),
    ("the system bus", "/run/dbus/system_bus_socket"),
    ("Docker's socket", "/run/docker.sock"),
    ("the host's `/tmp`", "/tmp/of-the-host"),
    ("the host's shared memory", "/dev/shm/of-the-host"),
    ("terminals of other logins, `/dev/pts`", TERMINAL),
    ("control groups", "{cgroup}/cgroup.procs"),
    ("what listens on `127.0.0.1`, other gateways too", "tcp:127.0.0.1:{port}"),
    ("the local network", "tcp:192.168.99.1:{port}"),
    ("where a cloud tells a machine its secrets, `169.254.169.254`", "tcp:169.254.169.254:{port}"),
    ("the host's abstract sockets", "abstract:of-the-host"),
)
IN_A_BOX = {"{home}/.openclaw-{name}/workspace": "/workspace"}
SYSTEM = "/usr/"
FILES = (
    "/tmp/of-the-host",
    "/dev/shm/of-the-host",
    "/srv/of-the-host",
    "/var/log/of-the-host",
    "{home}/.ssh/of-the-host",
    "{home}/.openclaw-{name}/workspace/of-the-host",
)
SOCKETS = ("{runtime}/bus", "/run/dbus/system_bus_socket", "/run/docker.sock")
# Makes what is missing, open to all, until its input ends: a file for each path before "--" in argv, a socket
# that somebody listens on for each path after it; and listens on a port, which it prints, of the loopback and
# of two addresses that it gives the machine and prints too (netdevice(7), SIOCSIFADDR and SIOCSIFFLAGS) where
# root may do that, which it may not in a container.
_PLANT = """
import fcntl, os, pathlib, pty, socket, struct, sys
os.umask(0)
anywhere, abstract = socket.create_server(("0.0.0.0", 0)), socket.socket(socket.AF_UNIX)
near = {}
for name, address in ((b"lo:1", "192.168.99.1"), (b"lo:2", "169.254.169.254")):
    asked = struct.pack("16sH2x4s8x", name, socket.AF_INET, socket.inet_aton(address))
    try:
        fcntl.ioctl(anywhere, 0x8916, asked)
    except PermissionError:
        break
    near[name] = address
abstract.bind("\\0of-the-host")
abstract.listen()
terminals = [pty.openpty() for _ in range(24)]
os.chmod("/dev/pts/20", 0o666)
missing = [path for path in sys.argv[1:] if not os.path.exists(path)]
files = missing[:missing.index("--")]
sockets = {path: socket.socket(socket.AF_UNIX) for path in missing[len(files) + 1:]}
folders = [folder for path in missing for folder in pathlib.Path(path).parents if not folder.exists()]
for folder in folders:
    os.makedirs(folder, exist_ok=True)
for path in files:
    pathlib.Path(path).write_text("planted")
for path, listening in sockets.items():
    listening.bind(path)
    listening.listen()
print("planted", anywhere.getsockname()[1], *near.values(), flush=True)
sys.stdin.read()
for path in (*files, *sockets):
    os.unlink(path)
for folder in dict.fromkeys(folders):
    folder.rmdir()
for name in near:
    fcntl.ioctl(anywhere, 0x8914, struct.pack("16sH22x", name, 0))
"""
_FUNCTIONS = """
socket='import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])'
other='
import socket, sys
kind, _, place = sys.argv[1].partition(":")
if kind == "tcp": socket.create_connection(place.rsplit(":", 1), 3)
else: socket.socket(socket.AF_UNIX).connect(chr(0) + place)
'
try_read() {
  if is_address "$1"; then python3 -c "$other" "$1" 2>/dev/null
  elif [ -S "$1" ]; then python3 -c "$socket" "$1" 2>/dev/null
  elif [ -d "$1" ]; then [ -n "$(ls -A "$1" 2>/dev/null)" ]; else head -c 1 "$1" >/dev/null 2>&1; fi
}
is_address() { case $1 in tcp:* | abstract:*) ;; *) return 1 ;; esac }
try_write() {
  if is_address "$1"; then try_read "$1"
  elif [ -d "$1" ]; then (: > "$1/.probe-$$") 2>/dev/null && rm -f "$1/.probe-$$"
  else [ -e "$1" ] && (: >> "$1") 2>/dev/null; fi
}
"""
_TRY = (
    _FUNCTIONS
    + """
echo mine > /tmp/mine; echo mine > /var/tmp/mine
while IFS= read -r path; do
  r=no; w=no; try_read "$path" && r=yes; try_write "$path" && w=yes; echo "$r $w"
done <<'PATHS'
"""
)


def table(machine: Machine, ocm: Ocm, name: str, *, other: str, definition: str) -> list[str]:
    """Return the lines of the table as shells inside `name`, which runs, and in a box found things.

    `definition` is the file from which the backend starts it. Everything in the table exists on the host, so
    that a "no" is the sandbox's doing: sockets that a container lacks are there for as long as it takes.
    """
    facts = facts_of(machine, name, other, definition)
    files, sockets = ([path.format(**facts) for path in planted] for planted in (FILES, SOCKETS))
    with planting(machine, files, sockets) as (port, *near):
        facts["port"] = port
        paths = [path.format(**facts) for _title, path in ROWS]
        main = f"{machine.home}/.openclaw/openclaw.json"
        absent = set() if exists(machine, main) else {main, f"{machine.home}/.openclaw/.env"}
        absent.add("/run/ocm/secrets.env")  # inside alone: on the host it has another name
        absent.update(
            path for path in paths if path[:4] == "tcp:" and path.split(":")[1] not in (LOCAL, *near)
        )
        missing = [path for path in paths if path not in absent and not found_outside(machine, path)]
        assert missing == [], missing
        in_a_box = [IN_A_BOX.get(path, path).format(**facts) for _title, path in ROWS]
        found = asked(ocm, name, paths)
        boxed = asked(ocm, name, in_a_box, "--box")
    if facts["openclaw"].startswith(SYSTEM):
        # What lies in /usr is seen with it.
        assert boxed[paths.index(facts["openclaw"])] == "yes | no"
        boxed[paths.index(facts["openclaw"])] = "no | no"
    lines = ["| what can be reached | by a shell inside: read | write | from a box: read | write |"]
    lines.append("|---|---|---|---|---|")
    each = zip(ROWS, found, boxed, strict=True)
    return [*lines, *(f"| {title} | {access} | {box} |" for (title, _path), access, box in each)]


def asked(ocm: Ocm, name: str, paths: Sequence[str], *options: str) -> list[str]:
    """Return what can be done with each path, by a shell that `ocm enter` opens with these options."""
    shown = ocm("enter", name, *options, input=_TRY + "\n".join(paths) + "\nPATHS\n").stdout.splitlines()
    assert len(shown) == len(paths), shown
    return [" | ".join(line.split()) for line in shown]


def assert_documented(lines: list[str]) -> None:
    """Fail where isolation.md does not have this very table, and the README six rows of it."""
    whole = (REPOSITORY / "docs" / "explanation" / "isolation.md").read_text()
    assert "\n".join(lines) in whole, "\n" + "\n".join(lines)
    readme = (REPOSITORY / "README.md").read_text().splitlines()
    head, known = lines[:2], lines[2:]
    begun = readme.index(head[0])
    assert readme[begun + 1] == head[1]
    shown = readme[begun + 2 : begun + 8]
    assert set(shown) <= set(known), shown
    assert readme[begun + 8] == ""


def facts_of(machine: Machine, name: str, other: str, definition: str) -> dict[str, str]:
    uid = machine.account.uid
    find = "PATH=$HOME/.npm-global/bin:$PATH; realpath $(command -v openclaw)"
    entry = machine.run(["sh", "-c", find]).stdout.strip()
    # The one that the user may write where a user manager has one, else that of the container.
    delegated = f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service"
    return {
        "home": machine.home,
        "runtime": f"/run/user/{uid}",
        "name": name,
        "other": other,
        "openclaw": entry.rpartition("/")[0],
        "definition": definition,
        "cgroup": delegated if exists(machine, delegated) else "/sys/fs/cgroup",
    }


@contextlib.contextmanager
def planting(machine: Machine, files: Sequence[str], sockets: Sequence[str]) -> Iterator[list[str]]:
    """Have these files there, and somebody listen on these sockets and on a port.

    That is given, with the addresses at which it is reached besides the loopback.
    """
    argv = ["python3", "-c", _PLANT, *files, "--", *sockets]
    process = machine.popen(argv, user="root", stdin=subprocess.PIPE, stderr=None)
    assert process.stdout is not None
    try:
        word, *given = process.stdout.readline().decode().split()
        assert word == "planted"
        yield given
    finally:
        process.communicate()
    assert process.returncode == 0


def found_outside(machine: Machine, path: str) -> bool:
    """Tell whether a path, or who listens, is there on the host."""
    if path.startswith(("tcp:", "abstract:")):
        script = f'{_FUNCTIONS}try_read "$0"'
        return machine.run(["bash", "-c", script, path], check=False).returncode == 0
    return exists(machine, path)


def exists(machine: Machine, path: str) -> bool:
    return machine.run(["test", "-e", path], user="root", check=False).returncode == 0
