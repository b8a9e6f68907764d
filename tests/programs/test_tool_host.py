"""The tool host with real boxes: what is in one, what is refused, and that nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.sandbox import policy, probe
from openclaw_ocm.core.sandbox.launch import TOOL_HOST_SOCKET
from openclaw_ocm.programs import docker
from openclaw_ocm.programs.tool_host import binds, boxes, calls, gateway, server
from openclaw_ocm.programs.tool_host.boxes import TASKS
from openclaw_ocm.programs.tool_host.calls import Bind, Refused
from openclaw_ocm.system import seccomp

from .boxed import PATIENCE_SECONDS, PYTHON, Hosted, framed, is_alive, quoted, wait_for, words

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def directory() -> Iterator[Path]:
    # A socket's path is short, and a test's own directory is not.
    with tempfile.TemporaryDirectory(prefix="ocm-th-") as made:
        yield Path(made)


@pytest.fixture
def hosted(directory: Path) -> Iterator[Hosted]:
    made = Hosted(directory)
    yield made
    made.close()


def test_names_that_two_sides_must_share() -> None:
    assert probe.WAITER == gateway.NAME
    assert str(policy.SPARE_PROC) == gateway.SPARE_PROC
    assert str(TOOL_HOST_SOCKET) == docker.PATH
    assert calls.SANDBOX == docker.SANDBOX


def test_a_gateway_has_its_own_processes_and_terminals_and_no_way_to_more(hosted: Hosted) -> None:
    assert hosted.ok("ls /proc | grep -c '^[0-9]'").strip() in ("4", "5", "6"), "its init, itself and these"
    hosted.ok(f"{PYTHON} -c 'import pty; pty.openpty()'")
    for script in (
        "unshare --user true",
        "mount -t tmpfs none /mnt",
        "bwrap --ro-bind / / true",
        f'{PYTHON} -c \'open("/proc/sys/kernel/core_pattern", "w")\'',
        f"kill -0 {hosted.process.pid}",
    ):
        assert hosted.shell(script)[0] != 0, script
    status = dict(line.split(":", 1) for line in hosted.ok("cat /proc/self/status").splitlines())
    assert {int(status[field], 16) for field in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {0}


# Makes processes until there may be no more, and prints how many that were.
_MANY = """
import os, signal
made = []
try:
    while len(made) < 200:
        made.append(os.fork())
        if made[-1] == 0:
            signal.pause()
except OSError:
    print(len(made))
for pid in made:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


def test_they_are_together_as_many_as_an_instance_may_have(directory: Path) -> None:
    """No control group binds here. A box starts all the same where fewer are left than it may have."""
    hosted = Hosted(directory, tasks=100)
    box = hosted.box()
    for where in ("", f"docker exec {box} "):
        assert 70 < int(hosted.ok(f"{where}{PYTHON} -ISc {quoted(_MANY)}")) < 100, where
    hosted.close()


def test_it_takes_half_of_what_its_user_may_watch_and_no_more(hosted: Hosted) -> None:
    """The kernel counts by user: else nobody of that user could watch a file any more."""
    most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    taken = "import ctypes; print(sum(ctypes.CDLL(None).inotify_init() >= 0 for _ in range(10_000)))"
    assert 0 < int(hosted.ok(f"{PYTHON} -c '{taken}'")) <= most // 2
    assert hosted.shell("echo 1000 > /proc/sys/user/max_inotify_instances")[0] != 0


# By every number that is anybody's outside, in both of its meanings, then all that it may, and its group.
_KILL = """
import contextlib, os, signal
for target in (*{pids}, -1, 0):
    with contextlib.suppress(ProcessLookupError):
        os.kill(target, signal.SIGKILL)
"""


def test_no_signal_of_a_gateway_reaches_anybody_outside(hosted: Hosted) -> None:
    # In the group from which the tool host is started, as a command of the owner's may be.
    with subprocess.Popen([*hosted.user, "sleep", "600"]) as owners:
        outside = [owners.pid, hosted.process.pid, *hosted.descendants()]
        # The lowest numbers are those of processes inside too.
        pids = [sign * pid for pid in outside for sign in (1, -1) if pid > 100]
        done = subprocess.run(hosted.argv(program=_KILL.format(pids=pids)), check=False, timeout=60)
        assert done.returncode == 128 + signal.SIGKILL, "itself alone, and its init says so"
        assert owners.poll() is None
        assert all(map(is_alive, outside))
        owners.kill()


@pytest.mark.parametrize(("script", "status"), [("exit 78", 78), ("kill -9 $$", 137), ("exit 0", 0)])
def test_it_ends_as_its_program_ends(directory: Path, script: str, status: int) -> None:
    hosted = Hosted(directory)
    argv = hosted.argv(program=f"import os; os.execv('/bin/sh', ['sh', '-c', {script!r}])")
    assert subprocess.run(argv, check=False).returncode == status
    hosted.close()


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("print('out'); os.write(2, b'err\\nlast'); sys.exit(78)", 78, "out\nerr\nlast\n"),
        ("os.close(1); os.close(2); time.sleep(0.2); os._exit(3)", 3, ""),
        ("print('killed'); os.kill(os.getpid(), 9)", 137, "killed\n"),
    ],
)
def test_what_a_gateway_prints_is_passed_on_to_its_last_word(
    directory: Path, program: str, status: int, said: str
) -> None:
    hosted = Hosted(directory)
    line_by_line = "import os, sys, time; sys.stdout.reconfigure(line_buffering=True); "
    argv = hosted.argv("--bound-output", program=line_by_line + program)
    done = subprocess.run(argv, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (status, said)
    hosted.close()


def test_a_gateway_that_prints_without_an_end_takes_its_share_of_the_log_and_hears_signals(
    directory: Path,
) -> None:
    hosted = Hosted(directory)
    stop = "signal.signal(signal.SIGTERM, lambda *_: os._exit(5))"
    flood = f"import os, signal; {stop}; os.write(2, b'up\\n')\nwhile True: os.write(1, b'flood\\n' * 500)"
    with (directory / "flood").open("wb") as log:
        argv = hosted.argv("--bound-output", program=flood)
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        wait_for(lambda: b"flood" in Path(log.name).read_bytes(), "what it prints")
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 5
    lines = Path(log.name).read_text().splitlines()
    assert len(lines) < 3000
    assert re.fullmatch(r"tool host: \d+ lines were left out: it prints too much", lines[-1])
    hosted.close()


def test_a_signal_reaches_the_program_however_early_it_comes(directory: Path) -> None:
    hosted = Hosted(directory)
    program = (
        "import signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); "
        "print('up', flush=True); signal.sigwait([signal.SIGTERM]); sys.exit(5)"
    )
    process = subprocess.Popen(hosted.argv(program=program), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 5
    process.communicate()
    early = subprocess.Popen(hosted.argv(program="import time; time.sleep(60)"))
    wait_for(lambda: gateway.NAME in names_below(early.pid), "a waiter")
    early.send_signal(signal.SIGTERM)
    assert early.wait(30) in (143, -signal.SIGTERM)
    hosted.close()


def names_below(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for child in children:
        # One may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(Path(f"/proc/{child}/comm").read_text().strip())
    return found


def test_no_socket_is_left_and_what_stands_in_its_place_keeps_nobody_from_starting(directory: Path) -> None:
    (directory / "socket").mkdir()
    hosted = Hosted(directory)
    assert hosted.socket.is_socket()
    with hosted.process as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
    assert not hosted.socket.exists()


def test_all_ends_with_the_tool_host(hosted: Hosted) -> None:
    hosted.box()
    below = hosted.descendants()
    assert len(below) > 4
    hosted.process.kill()
    wait_for(lambda: not any(map(is_alive, below)), "an end of all")


def test_a_box_holds_the_workspace_the_system_and_nothing_else(hosted: Hosted) -> None:
    (hosted.workspace / "here").write_text("of main")
    name = hosted.box()
    script = (
        "cat /workspace/here; echo made > /workspace/made; ls / | tr '\\n' ' '; ls -A /home /root; exit 9"
    )
    code, output, _ = hosted.inside(name, script)
    assert code == 9
    assert output.startswith("of main")
    assert (hosted.workspace / "made").read_text() == "made\n"
    assert set(output.split("\n")[0].removeprefix("of main").split()) <= {
        *(
            "bin",
            "dev",
            "etc",
            "lib",
            "lib32",
            "lib64",
            "opt",
            "proc",
            "run",
            "sbin",
            "tmp",
            "usr",
            "var",
            "workspace",
        )
    }
    network = hosted.inside(name, "grep -c : /proc/net/dev; cat /proc/net/route | wc -l")[1].split()
    assert network == ["1", "1"], "its own loopback, no route"
    assert hosted.inside(name, "ps ax -o args=")[1].splitlines()[0].startswith("bwrap --args")
    for refused in (
        "unshare -U true",
        "touch /usr/x",
        "touch /etc/x",
        "touch /x",
        ": > /proc/sys/kernel/core_pattern",
    ):
        assert hosted.inside(name, refused)[0] != 0, refused
    assert hosted.inside(name, f"{PYTHON} -c 'import pty; pty.openpty()'")[0] == 0


def test_what_a_session_starts_lives_on_in_its_box_and_no_longer(hosted: Hosted) -> None:
    name = hosted.box()
    assert hosted.inside(name, "sleep 300 >/dev/null 2>&1 & echo kept > /tmp/kept")[0] == 0
    assert hosted.inside(name, "cat /tmp/kept; pgrep -c sleep")[1].split() == ["kept", "2"]
    before = hosted.descendants()
    hosted.ok(f"docker rm -f {name}")
    assert f"No such object: {name}" in hosted.shell(f"docker inspect -f '{{{{.Id}}}}' {name}")[2]
    wait_for(lambda: len(hosted.descendants()) < len(before), "an end of the box")


def test_a_box_says_that_it_runs_only_while_a_command_does(hosted: Hosted) -> None:
    name = hosted.box()
    running = f"docker inspect -f '{{{{.State.Running}}}}' {name}"
    assert hosted.ok(running) == "false\n"
    assert hosted.ok(f"docker exec {name} sleep 20 & sleep 1; {running}; kill %1; wait") == "true\n"
    wait_for(lambda: hosted.ok(running) == "false\n", "an end of the command")


def test_when_who_asked_dies_the_whole_session_of_the_command_goes(hosted: Hosted) -> None:
    name = hosted.box()
    script = "sleep 301 & (sleep 301; true) & wait"
    hosted.shell(f"timeout -s KILL 1 docker exec {name} sh -c {quoted(script)}")
    wait_for(lambda: hosted.inside(name, "pgrep -c -x sleep")[1] == "1\n", "nothing but the box's own")


def test_a_relay_of_processes_that_each_start_the_next_goes_too(hosted: Hosted) -> None:
    name = hosted.box()
    relay = quoted("relay() { echo > /tmp/alive; relay & }; relay; sleep 60")
    hosted.shell(f"timeout -s KILL 1 docker exec {name} bash -c {relay}")
    wait_for(lambda: hosted.inside(name, "pgrep -c -x bash")[1] == "0\n", "an end of the relay")
    assert hosted.inside(name, "rm /tmp/alive; sleep 0.5; ls /tmp/alive")[0] != 0


def test_exit_statuses_of_programs_that_are_none(hosted: Hosted) -> None:
    name = hosted.box()
    assert hosted.shell(f"docker exec {name} no-such-program")[0] == 127
    assert hosted.shell(f"docker exec {name} /etc/passwd")[0] == 126
    assert hosted.shell(f"docker exec -w /nowhere {name} true")[0] != 0
    assert hosted.shell(f"docker exec {name} sh -c 'kill -9 $$'")[0] == 137
    assert hosted.shell("docker exec nobody true")[0] == 1


def test_who_asks_for_the_sandbox_itself_stays_where_it_is(hosted: Hosted) -> None:
    layout = quoted('{"Id":{{json .ID}},"Mounts":{{json .Mounts}},"Tmpfs":{{json .HostConfig.Tmpfs}}}')
    found = json.loads(hosted.ok(f"docker inspect --type container --format {layout} $(hostname)"))
    where = f"{PYTHON} -c 'import os; print(os.readlink(\"/proc/self/ns/mnt\"))'"
    assert hosted.ok(f"docker exec {found['Id']} {where}") == hosted.ok(where)
    assert hosted.shell(f"docker exec {found['Id']} /no/such/program")[0] == 127


def test_a_command_has_its_streams_and_environment(hosted: Hosted) -> None:
    name = hosted.box("-e OF_BOX=1")
    (hosted.state / "env").write_text("OF_CALL=2\n")
    script = f"echo in | docker exec -i --env-file {hosted.state}/env {name} sh -c 'cat; env; echo oops >&2'"
    code, output, error = hosted.shell(script)
    assert (code, error) == (0, "oops\n")
    assert {"in", "OF_BOX=1", "OF_CALL=2"} <= set(output.splitlines())
    assert not any(str(hosted.state) in line for line in output.splitlines())


def test_what_follows_the_name_of_a_box_is_no_file_for_docker(hosted: Hosted) -> None:
    name = hosted.box()
    script = f"docker exec {name} echo --env-file /no/such/file --env-file=/nor/this"
    assert hosted.ok(script) == "--env-file /no/such/file --env-file=/nor/this\n"
    (hosted.state / "env").write_text("OF_CALL=2\n")
    script = f"docker exec -w /tmp --env-file={hosted.state}/env {name} env"
    assert "OF_CALL=2" in hosted.ok(script).splitlines()
    code, _, error = hosted.shell(f"docker exec --env-file /no/such/file {name} true")
    assert (code, "No such file" in error, "daemon" in error) == (125, True, False)
    (hosted.state / "env").write_bytes(b"A=1\0B=2")
    assert hosted.shell(f"docker exec --env-file {hosted.state}/env {name} true")[0] == 125


_TICKS = "while :; do echo >> /tmp/ticks; sleep 0.02; done"


def test_a_box_is_paused_where_a_program_waits_for_the_child_that_it_makes(hosted: Hosted) -> None:
    """As a shell does each time that it runs a program: paused at that moment it could not be."""
    name = hosted.box()
    waiting = "import ctypes; own = ctypes.CDLL(None); own.vfork() or own.pause()"
    hosted.inside(name, f"({PYTHON} -c '{waiting}') >/dev/null 2>&1 &")
    wait_for(
        lambda: "D" in hosted.ok(f"docker exec {name} sh -c 'cat /proc/[0-9]*/stat'").split(), "who waits"
    )
    hosted.ok(f"docker pause {name}")
    hosted.ok(f"docker unpause {name}")


def test_in_a_box_that_is_paused_nothing_runs_until_it_goes_on(hosted: Hosted) -> None:
    name = hosted.box()
    hosted.inside(name, f"( trap '' TERM CONT; {_TICKS} ) >/dev/null 2>&1 & mkfifo /tmp/wait")
    hosted.inside(name, "cp /dev/null /workspace/seen; tail -F /tmp/ticks > /workspace/seen 2>/dev/null &")
    seen = hosted.workspace / "seen"
    wait_for(lambda: seen.stat().st_size > 2, "what runs in the box")
    identity = hosted.ok(f"docker inspect -f '{{{{.Id}}}}' {name}").strip()
    state = f"docker inspect -f '{{{{.Id}}}} {{{{.State.Running}}}} {{{{.State.Paused}}}}' {name}"
    assert hosted.ok(state) == f"{identity} true false\n"
    assert hosted.ok(f"docker pause {identity}") == f"{identity}\n"
    assert hosted.ok(state) == f"{identity} true true\n"
    assert hosted.ok(f"docker inspect -f '{{{{.State.Paused}}}}' {identity}") == "true\n"
    stopped = seen.stat().st_size
    for words_, said in (
        (f"exec {name} true", "is paused, unpause the container before exec"),
        (f"pause {name}", "is already paused"),
        (f"start {name}", "try unpause instead"),
    ):
        code, _, error = hosted.shell(f"docker {words_}")
        assert (code, said in error) == (1, True), error
    assert seen.stat().st_size == stopped
    hosted.ok(f"docker unpause {identity}")
    assert hosted.ok(state) == f"{identity} true false\n"
    wait_for(lambda: seen.stat().st_size > stopped, "that it goes on")
    assert "is not paused" in hosted.shell(f"docker unpause {name}")[2]
    assert "No such object" in hosted.shell("docker pause nobody")[2]
    hosted.ok("docker create --name down image sleep infinity")
    assert "is not running" in hosted.shell("docker pause down")[2]


def test_a_command_that_is_given_up_leaves_a_paused_box_paused_and_the_box_can_go(hosted: Hosted) -> None:
    name = hosted.box()
    hosted.inside(name, f"( {_TICKS} ) >/dev/null 2>&1 & tail -F /tmp/ticks > /workspace/seen 2>/dev/null &")
    seen, before = hosted.workspace / "seen", hosted.descendants()
    wait_for(lambda: seen.exists() and seen.stat().st_size > 2, "what runs in the box")
    script = f"docker exec {name} sleep 300 & sleep 0.5; docker pause {name}; kill -9 %1; wait"
    hosted.shell(script)
    wait_for(lambda: "ocm-command" not in names_below(hosted.process.pid), "an end of the command")
    stopped = seen.stat().st_size
    assert hosted.ok(f"docker inspect -f '{{{{.State.Paused}}}}' {name}") == "true\n"
    assert seen.stat().st_size == stopped
    hosted.ok(f"docker rm -f {name}")
    wait_for(lambda: len(hosted.descendants()) < len(before), "an end of the box")


def test_a_tool_host_ends_with_what_stands_still(directory: Path) -> None:
    hosted = Hosted(directory)
    hosted.ok(f"docker pause {hosted.box()}")
    below = hosted.descendants()
    hosted.close()
    wait_for(lambda: not any(map(is_alive, below)), "an end of the box")


def test_there_is_a_docker_for_openclaws_doctor(hosted: Hosted) -> None:
    assert hosted.ok("docker version --format '{{.Server.Version}}'") == f"{calls.VERSION}\n"


@pytest.mark.parametrize(
    "bind",
    [
        "{state}:/workspace",
        "{state}/credentials:/workspace",
        "{state}/agents/main:/workspace",
        "{state}/openclaw.json:/workspace/x",
        "/etc:/workspace",
        "/:/workspace",
        "{state}2:/workspace",
        "{workspace}:/usr/local",
        "{workspace}:/",
        "{workspace}:/proc/x",
        "{workspace}:/etc/ssl",
        "{workspace}/../credentials:/workspace",
    ],
)
def test_sources_and_targets_that_no_box_may_have_are_refused(hosted: Hosted, bind: str) -> None:
    (hosted.state / "credentials").mkdir()
    text = bind.format(state=hosted.state, workspace=hosted.workspace)
    code, _, error = hosted.shell(f"docker create --name x -v {text} image sleep infinity")
    assert (code, len(error.splitlines())) == (125, 1)
    assert hosted.shell("docker start x")[0] == 1


@pytest.mark.parametrize("part", ["skills", "skills/deeper"])
def test_a_link_on_the_way_to_a_source_is_not_followed(hosted: Hosted, part: str) -> None:
    (hosted.state / "credentials").mkdir()
    (hosted.workspace / part).parent.mkdir(exist_ok=True)
    (hosted.workspace / part).symlink_to(hosted.state / "credentials")
    source = hosted.workspace / "skills" / "deeper" if part == "skills" else hosted.workspace / part
    hosted.ok(f"docker create --name x -v {source}:/workspace/skills image sleep infinity")
    code, _, error = hosted.shell("docker start x")
    assert code == 1
    assert "link" in error


def test_a_source_that_is_swapped_for_a_link_is_found_out_before_any_command_runs(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hosted.state / "credentials").mkdir()
    skills = hosted.workspace / "skills"
    skills.mkdir()
    found = binds.opened([Bind(str(skills), "/s", "", writable=False)], (str(hosted.state),))
    skills.rename(hosted.workspace / "aside")
    assert binds.where(found[0].handle) == str(hosted.workspace / "aside"), (
        "it is what was opened that is bound"
    )
    monkeypatch.setattr(binds, "_is_same", lambda *_: False)
    with pytest.raises(Refused, match="nobody asked for"):
        binds.prove(found, os.getpid(), frozenset())
    binds.close(found)


def test_with_too_much_open_nothing_is_left_open_or_unprotected(tmp_path: Path) -> None:
    for name in (".git/hooks", ".openclaw/extensions"):
        (tmp_path / "workspace" / name).mkdir(parents=True)
    wanted = (Bind(str(tmp_path / "workspace"), "/workspace", "", writable=True),)
    whole = binds.opened(wanted, (str(tmp_path),))
    binds.close(whole)

    def held() -> set[str]:
        return {path.name for path in Path("/proc/self/fd").iterdir()}

    before, limits = held(), resource.getrlimit(resource.RLIMIT_NOFILE)
    found: list[binds.Opened] = []
    room = 0
    while not found:
        room += 1
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + 1 + room, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for handle in taken[-room:]:
            os.close(handle)
        try:
            found = binds.opened(wanted, (str(tmp_path),))
        except (OSError, Refused):
            pass
        finally:
            for handle in taken[:-room]:
                os.close(handle)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert [each.target for each in found] in ([], [each.target for each in whole])
        binds.close(found)
        assert len(held()) == len(before)


def test_who_goes_while_it_is_answered_ends_nothing(hosted: Hosted) -> None:
    name = hosted.box()
    for request in (words("inspect", "-f", "{{.Id}}", name), words("exec", name, "true"), words("x"), b"\0"):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.connect(str(hosted.socket))
                connection.sendall(request)
    assert hosted.inside(name, "echo fine")[1] == "fine\n"


def test_a_workspace_that_is_gone_is_said_in_one_sentence(hosted: Hosted) -> None:
    hosted.ok(f"docker create --name x -v {hosted.workspace}:/workspace image sleep infinity")
    hosted.workspace.rmdir()
    code, _, error = hosted.shell("docker start x")
    assert (code, len(error.splitlines())) == (1, 1)
    assert "is not there" in error


def test_what_main_runs_of_a_workspace_cannot_be_written_or_moved_away(hosted: Hosted) -> None:
    (hosted.workspace / ".git" / "hooks").mkdir(parents=True)
    (hosted.workspace / ".git" / "config").write_text("[core]\n")
    (hosted.workspace / ".openclaw" / "extensions").mkdir(parents=True)
    name = hosted.box()
    for script in (
        "touch .git/hooks/x",
        "echo x >> .git/config",
        "mkdir .openclaw/extensions/x",
        "mv .git .aside",
        "mv .openclaw .aside",
        "rm -rf .git/hooks",
        "ln -sf /tmp .git/hooks",
    ):
        hosted.inside(name, f"cd /workspace && {script}")
    assert sorted(path.name for path in hosted.workspace.rglob("*")) == [
        *(".git", ".openclaw", "config", "extensions", "hooks")
    ]
    assert (hosted.workspace / ".git" / "config").read_text() == "[core]\n"
    assert hosted.inside(name, "touch /workspace/.git/index")[0] == 0


# Never without an end of its own: should a bound not hold, the machine must live on.
_FORKS = """
import os, time
made = 0
try:
    for _ in range(600):
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    pass
print(made, flush=True)
"""


def test_a_box_that_forks_without_end_is_bounded_and_no_other_suffers(hosted: Hosted) -> None:
    name, other = hosted.box(), hosted.box()
    before = len(hosted.descendants())
    made = int(hosted.inside(name, f"{PYTHON} -ISc {quoted(_FORKS)}")[1])
    assert 100 < made < 300
    assert hosted.inside(other, "echo fine")[1] == "fine\n"
    hosted.ok(f"docker rm -f {name}")
    wait_for(lambda: len(hosted.descendants()) < before, "an end of all that it forked")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02{}",
        b"GET / HTTP/1.1\r\n\r\n" + b"x" * 2**23,
        framed(b"ocm1", b"99", b"inspect"),
        framed(b"ocm1", b"-1"),
        framed(b"ocm1", b"9" * 5000),
        framed(b"ocm2", b"1", b"start"),
        framed(b"ocm1", b"1", b"\xff\xfe" * 9000),
        framed() + b"more",
        b"\0\0\0\0" + b"x" * 2**20,
        framed(b"ocm1", b"5000", b"rm", *[b"-f"] * 4999),
        words("inspect", "-f", "{{.Id}}", "\udcff"),
    ],
    ids=range(12),
)
def test_a_request_that_is_none_is_refused_and_others_are_answered(hosted: Hosted, data: bytes) -> None:
    answer = hosted.ask(data).split(b"\0")
    assert answer[0] != b"0"
    assert hosted.ask(words("image", "inspect", "x")).split(b"\0")[0] == b"0"


def test_descriptors_that_nobody_asked_for_are_closed(hosted: Hosted) -> None:
    def held() -> int:
        return len(list(Path(f"/proc/{hosted.process.pid}/fd").iterdir()))

    before = held()
    with Path("/dev/null").open("rb") as nothing:
        for count in (1, 3, 9):
            hosted.ask(words("image", "inspect", "x"), files=(nothing.fileno(),) * count)
    wait_for(lambda: held() == before, "as many descriptors as before")


def test_who_asks_without_an_end_is_bounded_and_forgotten(hosted: Hosted) -> None:
    waiting = []
    for _ in range(server.MOST_CONNECTIONS + 20):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(hosted.socket))
        waiting.append(connection)
    started = time.monotonic()
    wait_for(lambda: hosted.shell("docker image inspect x")[0] == 0, "an answer for others")
    assert time.monotonic() - started < server.ASKING_SECONDS + 10
    for connection in waiting:
        connection.close()


def test_of_a_thousand_boxes_those_go_in_which_nothing_runs(hosted: Hosted) -> None:
    busy = hosted.box()
    script = (
        f"docker exec {busy} sleep 20 & for i in $(seq 100); do"
        " docker create --name b$i image sleep infinity >/dev/null || exit $i; done;"
        f" for i in {busy} b1 b$((101 - {server.MOST_BOXES})) b100; do"
        " docker inspect -f '{{.State.Running}}' $i; done; kill %1"
    )
    _, output, error = hosted.shell(script)
    assert output.split() == ["true", "false"]
    gone = [line for line in error.splitlines() if "No such object" in line]
    assert [line.rpartition(" ")[2] for line in gone] == ["b1", f"b{101 - server.MOST_BOXES}"]


def test_one_box_leaves_commands_for_others(hosted: Hosted) -> None:
    greedy, other = hosted.box(), hosted.box()
    more = server.MOST_COMMANDS_OF_ONE + 5
    sleeper = f"docker exec {greedy} sleep 60 2>/dev/null &"
    started = f"for i in $(seq {more}); do {sleeper} done"
    # The one that looks may have had the last place while all the others came.
    refused = (
        f"until docker exec {greedy} true 2>&1 | grep 'run in this box already'; do {sleeper} sleep 0.1; done"
    )
    _, output, _ = hosted.shell(f"{started}; {refused}; docker exec {other} echo fine; kill $(jobs -p)")
    assert output.splitlines()[-1] == "fine"


# Says of the processes that a box begins with, and of itself, how many filters each has, and how many tasks.
_BOUNDS = """
def word(path, start, number):
    return next(line.split()[number] for line in open(path) if line.startswith(start))
for pid in ("1", "2", "self"):
    print(word(f"/proc/{pid}/status", "Seccomp_filters", 1), word(f"/proc/{pid}/limits", "Max processes", 3))
"""


def test_what_a_box_begins_with_is_as_filtered_and_bounded_as_its_commands(hosted: Hosted) -> None:
    name = hosted.box()
    assert "bwrap sleep" in " ".join(hosted.inside(name, "ps ax -o comm=")[1].split())
    lines = hosted.inside(name, f"{PYTHON} -ISc {quoted(_BOUNDS)}")[1].splitlines()
    assert len(lines) == 3
    assert len(set(lines)) == 1, (
        "a program may write into what has its user, and be there what it is not here"
    )
    count, tasks = map(int, lines[0].split())
    assert (count >= 2, tasks) == (True, TASKS)


# Loads filters a moment after it was started, as the first process of a box may on a busy machine.
_LATE = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
from openclaw_ocm.programs.tool_host import kernel
print("up", flush=True)
time.sleep(0.3)
kernel.load_filters(tuple(open(path, "rb").read() for path in sys.argv[1:]))
time.sleep(60)
"""


def test_a_box_is_not_up_before_its_first_process_has_its_filters(directory: Path) -> None:
    seccomp.make_filters(PurePosixPath(directory), policy.ADDRESS_FAMILIES)
    paths = list(map(str, seccomp.filters(PurePosixPath(directory), policy.ADDRESS_FAMILIES)))
    source = str(Path(boxes.__file__).parents[3])
    argv = [sys.executable, "-c", _LATE, source, *paths]
    late = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert late.stdout is not None
        assert late.stdout.readline() == b"up\n"
        before = boxes.filters_of(str(late.pid))
        boxes.wait_for_filters(late.pid, before + len(paths))
        assert boxes.filters_of(str(late.pid)) == before + len(paths) > before
    finally:
        late.kill()
        late.communicate()


def test_what_a_box_may_write_is_bounded(hosted: Hosted) -> None:
    name = hosted.box()
    assert hosted.inside(name, "echo x > /dev/null && echo x > /dev/shm/x && echo x > /tmp/x")[0] == 0
    assert hosted.inside(name, "touch /dev/x")[0] != 0
    sizes = hosted.inside(name, "df --output=size --block-size=1M /dev/shm /tmp /var/tmp /run")[1].split()[1:]
    assert sizes == ["512", "512", "512", "1"]


def test_a_command_that_stops_whoever_ends_it_is_ended_all_the_same(hosted: Hosted) -> None:
    name = hosted.box()
    script = quoted("trap '' TERM; while :; do kill -STOP -1 2>/dev/null; done")
    hosted.shell(f"timeout -s KILL 1 docker exec {name} bash -c {script}")
    running = f"docker inspect -f '{{{{.State.Running}}}}' {name}"
    wait_for(lambda: hosted.ok(running) == "false\n", "an end of the command")


def test_a_signal_to_end_ends_the_boxes_after_a_while(directory: Path) -> None:
    hosted = Hosted(directory)
    name = hosted.box()
    # The gateway waits for what runs in a box, as OpenClaw does.
    waiting = f"trap '' TERM; docker exec {name} sleep 300; echo ended $?; docker start {name}"
    assert hosted.process.stdin is not None
    hosted.process.stdin.write(json.dumps(f"PATH={hosted.bin}:/usr/bin:/bin\n{waiting}") + "\n")
    hosted.process.stdin.flush()
    wait_for(lambda: "ocm-command" in names_below(hosted.process.pid), "a command")
    began = time.monotonic()
    hosted.process.send_signal(signal.SIGTERM)
    hosted.process.wait(60)
    assert time.monotonic() - began < server.BOXES_SECONDS + PATIENCE_SECONDS
    hosted.process.communicate()
