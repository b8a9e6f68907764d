"""Sessions of groups: their tools work, in boxes, and nothing outside of a box is reached from one."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any

import pytest

from .agents import NAMES
from .image import HERE
from .instances import inside, listener, rows, wait_for
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .agents import Agents
    from .checkout import Ocm
    from .machine import Machine

SECRET = "secret-of-the-instance"
# Listens at what a box could reach, open to all, until it is killed. argv: path of a socket, name of another.
_LISTEN = """
import ctypes, os, pty, socket, sys
os.umask(0)
waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
for one, address in zip(waiting, (sys.argv[1], chr(0) + sys.argv[2])):
    one.bind(address)
    one.listen()
libc = ctypes.CDLL(None, use_errno=True)
shared = libc.shmget(4711, ctypes.c_size_t(4096), 0o1666)
# With a number that no terminal in a box has.
terminal = [os.ttyname(pty.openpty()[1]) for _ in range(24)][-1]
os.chmod(terminal, 0o666)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
print(udp.getsockname()[1], terminal, os.getpid(), flush=True)
while True:
    data, where = udp.recvfrom(64)
    udp.sendto(data, where)
"""


def call(ocm: Ocm, name: str, tool: str, *, agent: str = "main", **arguments: object) -> str:
    """Return what comes of a tool call in a group's session."""
    return ocm(
        *("use", name, "agent", "--session-key", f"agent:{agent}:telegram:group:-100123"),
        *("--message", f"CALL:{tool} {json.dumps(arguments)}"),
    ).stdout


# A box is the same under the care of each backend.
BACKENDS = (
    pytest.param("systemd", marks=pytest.mark.both_releases),
    pytest.param("supervisord", marks=pytest.mark.full),
)


@pytest.fixture(scope="module", params=BACKENDS)
def worker(request: pytest.FixtureRequest, agents: Agents) -> Iterator[str]:
    """Give an agent that is ready, under the care of each backend."""
    agents.ocm("secret", "set", NAMES[request.param], "PLANTED", input=f"{SECRET}\n")
    yield agents.ready(request.param)
    agents.ocm("stop", NAMES[request.param])


@pytest.fixture(scope="module")
def workspace(agents: Agents, worker: str) -> str:
    return f"{agents.machine.home}/.openclaw-{worker}/workspace"


@contextlib.contextmanager
def listening(machine: Machine, path: str) -> Iterator[tuple[int, str, int]]:
    """Have somebody of the owner listen; give the UDP port, a terminal, and the process."""
    process = machine.popen(["python3", "-c", _LISTEN, path, "attempt"], stderr=None)
    try:
        assert process.stdout is not None
        port, terminal, pid = process.stdout.readline().split()
        yield int(port), terminal.decode(), int(pid)
    finally:
        kill_group(process)


# Files that everybody may write, each in a place of which a box has its own or none; a program that is root.
_PLANT = """
set -eu
for folder in /usr/local /etc /srv /var/log /dev/shm; do
  echo planted > $folder/of-the-host; chmod 666 $folder/of-the-host
done
cp /usr/bin/id /usr/local/bin/id-as-root; chmod 4755 /usr/local/bin/id-as-root
"""


def facts(ocm: Ocm, name: str) -> dict[str, Any]:
    """Return the places to try, in the machine and in what an instance could see of it."""
    machine, home = ocm.machine, ocm.machine.home
    state, uid = f"{home}/.openclaw-{name}", machine.account.uid
    temporary = f"{home}/.local/state/ocm/tmp/{name}/tmp"
    shell = f"{home}/.local/share/ocm/instances/{name}/bin"
    found = machine.run(["find", state, "-name", "*.sqlite"]).stdout.split()
    return {
        "config": [f"{state}/openclaw.json"],
        "database": found,
        "credential": [f"{state}/credentials/planted"],
        "secrets": [f"{home}/.config/ocm/secrets/{name}.env", "/run/ocm/secrets.env"],
        "config_link": [f"{home}/.openclaw/openclaw-{name}.json"],
        "gateway_tmp_file": [f"{temporary}/planted", "/tmp/planted"],
        "record": [f"{home}/.config/ocm/instances/{name}.toml"],
        "home_file": [f"{home}/.bashrc"],
        "srv_file": ["/srv/of-the-host"],
        "var_file": ["/var/log/of-the-host"],
        "shm_file": ["/dev/shm/of-the-host"],
        "usr_file": ["/usr/local/of-the-host"],
        "etc_file": ["/etc/of-the-host"],
        "other_workspace_file": [f"{state}/workspace-other/planted"],
        "other_workspace": [f"{state}/workspace-other"],
        "state": [state],
        "home": [home],
        "gateway_tmp": [temporary],
        "ocm_state": [f"{home}/.local/state/ocm"],
        "bin": [shell],
        "bin_file": [f"{shell}/docker"],
        "path_socket": [f"{state}/listening"],
        "bus": [f"/run/user/{uid}/bus"],
        "tool_host": [f"{temporary}/.ocm-tool-host", "/tmp/.ocm-tool-host"],
        "cgroup": [f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.procs"],
        "pids": [int(listener(machine, rows(ocm)[name]["port"]))],
        "gateway_port": rows(ocm)[name]["port"],
        "model_port": 18080,
        "abstract": "attempt",
        "shm_key": 4711,
        "set_uid": "/usr/local/bin/id-as-root",
        "secret": SECRET,
    }


@pytest.fixture(scope="module")
def verdicts(agents: Agents, worker: str, workspace: str) -> dict[str, dict[str, Any]]:
    """Return what came of each attempt: in a box, and outside of any sandbox as the owner and as root."""
    machine, ocm = agents.machine, agents.ocm
    state = workspace.rpartition("/")[0]
    machine.run(["sh", "-c", _PLANT], user="root")
    for path in (f"{state}/credentials/planted", f"{state}/workspace-other/planted"):
        machine.write(path, "planted by the test, and long enough\n", mode=0o600)
    machine.write(f"{machine.home}/.local/state/ocm/tmp/{worker}/tmp/planted", "planted\n", mode=0o600)
    machine.push(HERE / "attempts.py", f"{workspace}/attempts.py")
    with listening(machine, f"{state}/listening") as (port, terminal, pid):
        places = {**facts(ocm, worker), "udp_port": port, "terminal": [terminal], "owner": pid}
        machine.write(f"{workspace}/facts.json", json.dumps(places))
        try:
            command = "python3 attempts.py facts.json in-box.json"
            assert "attempts" in call(ocm, worker, "exec", command=command)
            for user in ("debian", "root"):
                script = f"exec 9</etc/passwd; {command.replace('in-box', f'as-{user}')}"
                machine.run(["bash", "-c", script], user=user, cwd=workspace, env={"PLANTED": SECRET})
        finally:
            machine.run(["rm", f"{state}/listening"])
    return {
        name: json.loads(machine.read(f"{workspace}/{name}.json"))
        for name in ("in-box", "as-debian", "as-root")
    }


def test_no_attempt_reaches_anything_outside_of_its_box(verdicts: dict[str, dict[str, Any]]) -> None:
    tried = verdicts["in-box"]
    assert {name: said for name, said in tried.items() if "refused" not in said} == {}
    assert len(tried) > 55


def test_every_attempt_gets_somewhere_where_nothing_confines_it(verdicts: dict[str, dict[str, Any]]) -> None:
    """Shows that a refusal in a box is the box's doing: by root what the owner may not do either."""
    fruitless = {
        name: (said, verdicts["as-root"][name])
        for name, said in verdicts["as-debian"].items()
        if "refused" in said and "refused" in verdicts["as-root"][name]
    }
    assert fruitless == {}


# Says what of the owner's processes is seen and can be signalled; argv: one of them.
_LOOK = """
import os, pathlib, pty, sys
pty.openpty()
owner, seen = int(sys.argv[1]), []
for pid in filter(str.isdigit, os.listdir("/proc")):
    seen.append(pathlib.Path("/proc", pid, "cmdline").read_bytes().replace(b"\\0", b" ").decode())
try:
    os.kill(owner, 0)
except OSError as error:
    seen.append(error.strerror)
print(*seen, sep="\\n")
"""


def test_the_gateways_own_sandbox_has_its_own_processes_and_terminals(agents: Agents, worker: str) -> None:
    sleeping = agents.machine.popen(["bash", "-c", "echo $$; exec sleep 4242"])
    try:
        assert sleeping.stdout
        pid = int(sleeping.stdout.readline())
        shown = inside(agents.ocm, worker, f"python3 - {pid} <<'END'\n{_LOOK}\nEND\n").splitlines()
        assert "No such process" in shown
        assert not [line for line in shown if "sleep 4242" in line or "systemd --user" in line], shown
        assert len(shown) < 12, shown
    finally:
        kill_group(sleeping)


# What tools do is the same in each release too.
supervisord_in_full = pytest.mark.parametrize(
    "worker", ["systemd", pytest.param("supervisord", marks=pytest.mark.full)], indirect=True
)


@supervisord_in_full
def test_tools_work_on_the_real_workspace(agents: Agents, worker: str, workspace: str) -> None:
    tool = functools.partial(call, agents.ocm, worker)
    shown = tool("exec", command="pwd; tr '\\0' ' ' </proc/1/cmdline; echo one > made; echo two >> made")
    assert "/workspace" in shown
    assert "bwrap" in shown
    assert agents.machine.read(f"{workspace}/made") == "one\ntwo\n"
    assert "two" in tool("read", path="made")
    tool("edit", path="made", edits=[{"oldText": "two", "newText": "three"}])
    assert agents.machine.read(f"{workspace}/made") == "one\nthree\n"
    tool("write", path="deep/written", content="four\n")
    assert agents.machine.read(f"{workspace}/deep/written") == "four\n"
    tool("apply_patch", input="*** Begin Patch\n*** Add File: patched\n+five\n*** End Patch")
    assert agents.machine.read(f"{workspace}/patched") == "five\n"
    listed = tool("ls", path=".")
    assert all(name in listed for name in ("made", "deep", "patched")), listed
    owned = agents.machine.run(["stat", "-c", "%U", f"{workspace}/made", f"{workspace}/patched"]).stdout
    assert owned.split() == ["debian", "debian"]


@supervisord_in_full
def test_a_command_that_takes_too_long_leaves_nothing_running(agents: Agents, worker: str) -> None:
    command = "sleep 7777 & sleep 8888"
    assert "timed out" in call(agents.ocm, worker, "exec", command=command, timeoutSeconds=2)
    assert sleeping(agents.machine, "7777", "8888") == []


@supervisord_in_full
def test_a_process_in_the_background_is_listed_and_ended(agents: Agents, worker: str) -> None:
    try:
        call(agents.ocm, worker, "exec", command="sleep 6666", background=True)
        listed = call(agents.ocm, worker, "process", action="list").removeprefix("TOOL: ").splitlines()
        (line,) = [one for one in listed if one.endswith(":: sleep 6666")]
        assert line.split()[1] == "running"
        assert len(sleeping(agents.machine, "6666")) == 1
        call(agents.ocm, worker, "process", action="kill", sessionId=line.split()[0])
        wait_for(lambda: sleeping(agents.machine, "6666") == [], 30, "end of the process")
    finally:
        # OpenClaw waits five minutes for one before it stops.
        agents.machine.run(["pkill", "-f", "^sleep 6666"], check=False)


def sleeping(machine: Machine, *seconds: str) -> list[str]:
    """Return the processes that sleep so long, wherever they are in the machine."""
    found = machine.run(["pgrep", "-af", f"^sleep ({'|'.join(seconds)})"], check=False).stdout
    return found.splitlines()


@supervisord_in_full
def test_a_second_agent_has_its_own_box_and_workspace(agents: Agents, worker: str, workspace: str) -> None:
    ocm, machine = agents.ocm, agents.machine
    machine.write(f"{workspace}/of-main", "secret of main\n")
    ocm("use", worker, "agents", "add", "second", "--workspace", f"{workspace}-second", "--non-interactive")
    command = "ls -A /; ls -A; echo mine > of-two; find / -name of-main 2>/dev/null; grep -c . /proc/mounts"
    shown = call(ocm, worker, "exec", agent="second", command=command)
    assert "workspace" in shown
    assert "of-main" not in shown
    assert machine.read(f"{workspace}-second/of-two") == "mine\n"
    machine.write(f"{workspace}/of-main", "")
    in_first = call(ocm, worker, "exec", command="find / -name of-two 2>/dev/null; find / -name of-main")
    assert "of-main" in in_first
    assert "of-two" not in in_first
    assert len(boxes(machine)) == 2
    ocm("use", worker, "sandbox", "recreate", "--all", "--force")
    assert boxes(machine) == []
    assert "again" in call(ocm, worker, "exec", command="echo again")


def boxes(machine: Machine) -> list[str]:
    """Return the first process of each box, as its own namespace knows it."""
    found = machine.run(["pgrep", "-af", "^bwrap --args [0-9]+ -- /bin/sh -c echo ready"], check=False).stdout
    pids = [line.split()[0] for line in found.splitlines()]
    # Each box has two: the one that waits, and its own first.
    script = "for pid; do grep -H ^NSpid /proc/$pid/status; done"
    namespaces = machine.run(["sh", "-c", script, "sh", *pids], user="root").stdout.splitlines()
    return [line for line in namespaces if line.split()[-1] == "1"]


SANDBOX = "agents.defaults.sandbox"


@supervisord_in_full
def test_access_scope_and_setup_are_as_the_config_says(agents: Agents, worker: str, workspace: str) -> None:
    """One after the other in one instance: each change is live."""
    ocm, machine = agents.ocm, agents.machine
    look = "touch tried; cat /proc/mounts; ls -A"
    machine.write(f"{workspace}/of-main", "kept\n")
    ocm("edit", worker, f"{SANDBOX}.workspaceAccess", "ro")
    shown = call(ocm, worker, "exec", command=f"{look}; cat /agent/of-main; touch /agent/tried")
    assert "kept" in shown
    assert shown.count("Read-only file system") == 2, shown
    ocm("edit", worker, f"{SANDBOX}.workspaceAccess", "none")
    shown = call(ocm, worker, "exec", command="touch private; ls -A / .; find / -name of-main 2>/dev/null")
    assert "private" in shown
    assert "of-main" not in shown
    assert machine.run(["ls", workspace]).stdout.split().count("private") == 0
    ocm("edit", worker, f"{SANDBOX}.workspaceAccess", "rw")
    ocm("edit", worker, f"{SANDBOX}.scope", "shared")
    ocm("edit", worker, f"{SANDBOX}.docker.setupCommand", "echo prepared > /tmp/prepared")
    assert "prepared" in call(ocm, worker, "exec", command="cat /tmp/prepared; cat of-main; pwd")
