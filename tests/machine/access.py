"""The access table of the README: what a shell inside an instance can reach, tried out one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .instances import HOME, inside

if TYPE_CHECKING:
    from .checkout import Ocm
    from .machine import Machine

# What the table calls it, and the path; a directory counts as readable if it shows a name, as writable if a
# file can be made in it.
ROWS = (
    ("its own state, `~/.openclaw-NAME/`", "{home}/.openclaw-{name}"),
    ("`/tmp`", "/tmp"),
    ("`/var/tmp`", "/var/tmp"),
    ("`/usr`", "/usr"),
    ("`/etc`", "/etc"),
    ("its OpenClaw", "{openclaw}"),
    ("its config link in `~/.openclaw/`", "{home}/.openclaw/openclaw-{name}.json"),
    ("main's config", "{home}/.openclaw/openclaw.json"),
    ("main's credentials and `.env`", "{home}/.openclaw/.env"),
    ("another instance's state", "{home}/.openclaw-{other}"),
    ("another instance's config", "{home}/.openclaw-{other}/openclaw.json"),
    ("OCM's records and secrets", "{home}/.config/ocm"),
    ("OCM's journal and locks", "{home}/.local/state/ocm"),
    ("its own unit", "{home}/.config/systemd/user/openclaw-gateway-{name}.service"),
    ("`~/.ssh`", "{home}/.ssh"),
    ("the rest of the home", "{home}/.bashrc"),
    ("`/srv`, `/mnt`, `/opt` and the like", "/srv"),
    ("`/var/log` and the journal", "/var/log"),
    ("`/var/lib`", "/var/lib"),
    ("the user's bus, `/run/user`", "/run/user/1000/bus"),
    ("the system bus", "/run/dbus/system_bus_socket"),
    ("Docker's socket", "/run/docker.sock"),
    ("the host's `/tmp`", "/tmp/of-the-host"),
    ("the host's shared memory", "/dev/shm/of-the-host"),
    ("terminals of other logins, `/dev/pts`", "/dev/pts"),
    ("control groups", "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.procs"),
)
PLANTED = (
    "/tmp/of-the-host",
    "/dev/shm/of-the-host",
    "/srv/of-the-host",
    "/run/docker.sock",
    "/var/log/of-the-host",
)
_TRY = """
echo mine > /tmp/mine; echo mine > /var/tmp/mine
socket='import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])'
try_read() {
  if [ -S "$1" ]; then python3 -c "$socket" "$1" 2>/dev/null
  elif [ -d "$1" ]; then [ -n "$(ls -A "$1" 2>/dev/null)" ]; else head -c 1 "$1" >/dev/null 2>&1; fi
}
try_write() {
  if [ -d "$1" ]; then (: > "$1/.probe-$$") 2>/dev/null && rm -f "$1/.probe-$$"
  else [ -e "$1" ] && (: >> "$1") 2>/dev/null; fi
}
while IFS= read -r path; do
  r=no; w=no; try_read "$path" && r=yes; try_write "$path" && w=yes; echo "$r $w"
done <<'PATHS'
"""


def table(machine: Machine, ocm: Ocm, name: str, *, other: str) -> list[str]:
    """Return the lines of the table as a shell inside `name` found things.

    Everything in it exists on the host, so that a "no" is the sandbox's doing.
    """
    for path in PLANTED:
        machine.run(["bash", "-c", f"echo planted > {path}; chmod 666 {path}"], user="root")
    entry = machine.run(["sh", "-c", "realpath $(command -v openclaw)"]).stdout.strip()
    facts = {"home": HOME, "name": name, "other": other, "openclaw": entry.rpartition("/")[0]}
    paths = [path.format(**facts) for _title, path in ROWS]
    main_is_missing = machine.run(["test", "-e", f"{HOME}/.openclaw/openclaw.json"], check=False).returncode
    absent = {f"{HOME}/.openclaw/openclaw.json", f"{HOME}/.openclaw/.env"} if main_is_missing else set()
    for path in set(paths) - absent:
        machine.run(["test", "-e", path], user="root")
    found = inside(ocm, name, _TRY + "\n".join(paths) + "\nPATHS\n").splitlines()
    assert len(found) == len(ROWS), found
    lines = ["| what a shell inside an instance can reach | read | write |", "|---|---|---|"]
    for (title, _path), access in zip(ROWS, found, strict=True):
        read, write = access.split()
        lines.append(f"| {title} | {read} | {write} |")
    return lines
