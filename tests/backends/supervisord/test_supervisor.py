"""The backend with the real supervisord, bwrap and libseccomp; in the gateway's place runs a small script."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.backends.supervisord.supervised import (
    PATIENCE_SECONDS,
    SERVE,
    Supervised,
    daemons,
    is_alive,
    supervised_home,
    wait_until_gone,
)

from openclaw_ocm.backends.supervisord import daemon as daemon_module
from openclaw_ocm.backends.supervisord import places, sessions
from openclaw_ocm.backends.supervisord import supervisor as module
from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.record import Limits
from openclaw_ocm.core.sandbox.policy import HIDDEN, instance_policy
from openclaw_ocm.errors import CommandFailed, OcmError
from openclaw_ocm.instances.instance import Instance
from openclaw_ocm.system import files, processes
from openclaw_ocm.system.host import current_host
from openclaw_ocm.system.machine import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.status import Process


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared() -> Iterator[Supervised]:
    """Return a home for tests that leave nothing behind which another could see."""
    with supervised_home() as made:
        yield made


def test_a_gateway_starts_and_stops_and_hears_once_that_it_is_to_stop(home: Supervised) -> None:
    name = home.make("w1")
    assert home.observe(name).installed
    assert daemons(home) == [], "nothing runs before it is needed"
    (process,) = home.start(name)
    assert (process.activity, process.definition) == (
        "running",
        str(places.program(home.backend.host.instance(name))),
    )
    assert process.since is not None
    assert abs(process.since - time.time()) < PATIENCE_SECONDS
    home.backend.start([name])
    assert home.observe(name).pid == process.pid, "a gateway that runs is left alone"
    home.backend.stop([name])
    assert process.pid is not None
    assert not is_alive(process.pid)
    assert home.said(name) == ["up", "asked 1"]
    stopped = home.observe(name)
    assert (stopped.activity, stopped.pid, stopped.installed) == ("stopped", None, True)


def test_a_gateway_that_is_stopped_while_it_starts_is_stopped(home: Supervised) -> None:
    name = home.make("w1", f"sleep 5; {SERVE}")
    for _ in range(3):
        home.backend.start([name])
        home.backend.stop([name])
        assert home.observe(name).activity == "stopped"
    told = [entry.message for entry in home.backend.log(name, lines=None, follow=False, since=None)]
    assert not any("SIGKILL" in line for line in told), "it heard that it was to stop"


def test_one_that_ends_is_started_again_but_not_when_its_config_is_refused(home: Supervised) -> None:
    once = '[ -e "$OPENCLAW_STATE_DIR/been" ] || { : > "$OPENCLAW_STATE_DIR/been"; exit 0; }\n'
    killed, ended, refused = (
        home.make("killed"),
        home.make("ended", f"echo up\n{once}{SERVE}"),
        home.make("refused", "echo up; exit 78"),
    )
    home.backend.start([killed, ended, refused])
    before = home.wait_for(killed, lambda seen: seen.pid is not None)
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    waiting = home.wait_for(killed, lambda seen: seen.activity == "waiting")
    assert (waiting.pid, waiting.killed_by, waiting.exit_status) == (None, signal.SIGKILL, None)
    healed = home.wait_for(killed, lambda seen: seen.pid is not None)
    assert healed.pid != before.pid
    assert (healed.restarts, healed.result) == (1, "success")
    again = home.wait_for(ended, lambda seen: seen.pid is not None and seen.restarts == 1)
    assert again.exit_status == 0
    down = home.observe(refused)
    assert (down.activity, down.exit_status, down.restarts) == ("failed", 78, 0)
    told = [entry.message for entry in home.backend.log(refused, lines=None, follow=False, since=None)]
    assert "ocm: refused stays down: its config or its state is refused" in told
    home.backend.stop([refused])
    assert home.observe(refused).activity == "stopped", "that it failed is forgotten"


def test_a_restart_that_is_due_does_not_come_after_a_stop(home: Supervised) -> None:
    name = home.make("w1", "exit 1")
    home.backend.start([name])
    home.wait_for(name, lambda seen: seen.activity == "waiting")
    home.backend.stop([name])
    assert home.observe(name).activity == "stopped"


def test_enabled_gateways_start_with_supervisord_and_all_end_with_it(home: Supervised) -> None:
    enabled, other = home.make("enabled"), home.make("other")
    home.backend.enable([enabled])
    assert daemons(home) == []
    processes = home.start(enabled, other)
    assert [process.autostart for process in processes] == [True, False]
    (daemon,) = daemons(home)
    os.kill(daemon, signal.SIGKILL)
    for process in processes:
        assert process.pid is not None
        wait_until_gone(process.pid)
    assert home.observe(enabled).activity == "stopped"
    assert daemons(home) == [], "to look does not start it"
    third = home.make("third")
    home.start(third)
    home.wait_for(enabled, lambda seen: seen.pid is not None)
    assert home.observe(other).activity == "stopped"
    home.backend.disable([enabled])
    assert not home.observe(enabled).autostart


def test_a_supervisord_whose_python_has_gone_is_told_as_that(
    home: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = home.make("w1")
    assert len(home.backend.notes()) == 1, "one that does not run is of no age"
    assert list(home.backend.violations(name, home.observe(name))) == []
    home.start(name)
    assert len(home.backend.notes()) == 1

    class Moved(type(Path())):  # type: ignore[misc]
        def exists(self) -> bool:
            return str(self) != sys.executable

    monkeypatch.setattr(daemon_module, "Path", Moved)
    _ends, told = home.backend.notes()
    assert told.startswith(f"supervisord runs by {sys.executable}, which is gone: ocm stop --all")


def test_a_changed_definition_counts_from_the_next_start_on(home: Supervised) -> None:
    name = home.make("w1")
    (before,) = home.start(name)
    assert not before.changed_on_disk
    home.define(name, change=lambda text: text.replace("--tasks 512", "--tasks 100"))
    home.backend.load([name])
    during = home.observe(name)
    assert (during.pid, during.changed_on_disk) == (before.pid, True)
    assert list(home.backend.violations(name, during))
    home.backend.stop([name])
    (after,) = home.start(name)
    assert not after.changed_on_disk
    assert list(home.backend.violations(name, after)) == []
    assert "Max processes             100" in Path(f"/proc/{after.pid}/limits").read_text()


def test_a_definition_that_is_no_longer_what_it_was_and_back_again_is_taken_up(home: Supervised) -> None:
    name = home.make("w1")
    home.start(name)
    home.backend.stop([name])
    home.define(name, change=lambda text: f"{text}\n")
    assert home.observe(name).changed_on_disk
    home.backend.load([name])
    assert not home.observe(name).changed_on_disk


def test_a_waiting_gateway_is_still_started_after_a_load(home: Supervised) -> None:
    name = home.make("w1", "exit 1")
    home.backend.start([name])
    home.wait_for(name, lambda seen: seen.activity == "waiting")
    home.backend.load([name])
    assert home.observe(name).activity == "waiting"
    home.script(name, SERVE)
    home.wait_for(name, lambda seen: seen.restarts > 0 and seen.pid is not None)


def test_a_definition_that_supervisord_cannot_read_is_an_error_that_names_it(home: Supervised) -> None:
    name = home.make("w1")
    home.define(name, change=lambda text: text.replace("stopsignal=TERM", "stopsignal=NONSENSE"))
    with pytest.raises(OcmError, match="could not be started") as caught:
        home.backend.start([name])
    assert any("NONSENSE" in line and "w1.conf" in line for line in caught.value.details)
    home.define(name)
    home.start(name)
    home.define(name, change=lambda text: text.replace("stopsignal=TERM", "stopsignal=NONSENSE"))
    with pytest.raises(OcmError, match=r"NONSENSE.*w1\.conf"):
        home.backend.load([name])
    home.define(name)


def test_a_gateway_without_a_definition_cannot_be_started(home: Supervised) -> None:
    home.start(home.make("w1"))
    with pytest.raises(OcmError, match="none"):
        home.backend.start([parse_name("none")])


def test_one_that_cannot_be_executed_is_an_error(home: Supervised) -> None:
    name = home.make("w1")
    home.define(name, change=lambda text: text.replace("command=/usr/bin/env", "command=/usr/bin/no-env"))
    with pytest.raises(CommandFailed, match="no-env"):
        home.backend.start([name])


def test_commands_that_start_supervisord_at_once_start_one(home: Supervised) -> None:
    names = [home.make(f"w{number}") for number in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        # A result that is an error is raised here.
        list(pool.map(lambda name: home.backend.start([name]), names))
    for name in names:
        home.wait_for_word(name)
    assert len(daemons(home)) == 1


def test_with_the_last_instance_goes_all_that_was_made_for_it(home: Supervised) -> None:
    one, two = home.make("w1"), home.make("w1-a")
    home.backend.enable([one])
    home.start(one, two)
    (daemon,) = daemons(home)
    paths = home.backend.host.paths
    assert stat.S_IMODE(Path(places.state(paths), "socket").stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(places.output(paths.instance(one))).stat().st_mode) == 0o600
    home.backend.stop([one])
    home.backend.remove([one])
    assert home.observe(two).pid is not None
    assert not home.observe(one).installed
    assert not Path(places.output(paths.instance(one))).exists()
    home.backend.stop([two])
    home.backend.remove([two])
    assert not is_alive(daemon)
    for path in (
        places.config(paths),
        places.programs(paths),
        places.state(paths),
        places.outputs(paths),
        places.filters(paths),
    ):
        assert not Path(path).exists(), path
    assert list(Path(paths.locks).iterdir()) == []


def test_with_a_first_definition_that_is_undone_goes_supervisord(home: Supervised) -> None:
    name = home.make("w1")
    home.start(name)
    home.backend.stop([name])
    files.remove_file(places.program(home.backend.host.instance(name)))
    home.backend.load([name])
    assert daemons(home) == []
    assert not Path(places.config(home.backend.host.paths)).exists()
    assert not Path(places.output(home.backend.host.instance(name))).exists()


def test_enabled_gateways_start_in_turns(home: Supervised) -> None:
    names, other = {home.make("w1"), home.make("w2")}, home.make("other")
    home.backend.enable(names)
    home.starts_at_once(1)
    home.start(other)
    seen = home.backend.observe(names)
    (queued,) = (name for name in names if seen[name].queued)
    (first,) = names - {queued}
    assert (seen[queued].activity, seen[queued].pid) == ("starting", None)
    home.wait_for_word(first)
    home.backend.stop([first, other])
    assert not home.wait_for_word(queued).queued
    home.backend.stop([queued])
    assert home.observe(queued).activity == "stopped"


def test_a_supervisord_in_the_foreground_starts_the_enabled_ones_and_outlives_the_last(
    home: Supervised,
) -> None:
    name, other = home.make("w1"), home.make("w2")
    home.backend.enable([name])
    argv = home.backend.foreground_argv()
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as run:
        home.wait_for(name, lambda seen: seen.pid is not None)
        assert home.observe(other).activity == "stopped"
        with pytest.raises(OcmError, match="runs already"):
            home.backend.foreground_argv()
        home.backend.stop([name])
        home.backend.remove([name])
        home.backend.remove([other])
        assert run.poll() is None
        run.terminate()
        assert run.wait(timeout=PATIENCE_SECONDS) == 0
    home.backend._daemon.retire()


def test_gateways_are_all_asked_at_once_to_stop_when_supervisord_ends(home: Supervised) -> None:
    slow = SERVE.replace("sleep 0.3", "sleep 3")
    processes = home.start(*(home.make(f"w{number}", slow) for number in range(4)))
    (daemon,) = daemons(home)
    began = time.monotonic()
    os.kill(daemon, signal.SIGTERM)
    wait_until_gone(daemon)
    assert time.monotonic() - began < 9, "one after the other would take twelve seconds"
    assert not any(is_alive(process.pid or 0) for process in processes)
    for number in range(4):
        assert home.said(parse_name(f"w{number}")) == ["up", "asked 1"]


# What is sealed.


def violations(home: Supervised, name: InstanceName, process: Process) -> str:
    opened = Instance(
        context=home.context(),
        paths=home.backend.host.instance(name),
        record=home.record(name),
        seen=process,
    )
    return "\n".join(opened.violations())


@pytest.fixture(scope="module")
def sealed(shared: Supervised) -> InstanceName:
    """Return an instance that runs; beside it is another that it must not see."""
    shared.make("another")
    Path(shared.home, ".ssh").mkdir()
    Path(shared.home, ".ssh", "id").write_text("secret")
    name = shared.make("sealed")
    shared.start(name)
    return name


def test_the_sandbox_is_as_the_policy_says(shared: Supervised, sealed: InstanceName) -> None:
    assert violations(shared, sealed, shared.observe(sealed)) == ""


ROOT = pytest.mark.skipif(os.getuid() != 0, reason="mode bits keep it from another user anyway")


def test_a_gateway_without_its_tool_host_is_found_out(home: Supervised) -> None:
    name = home.make("w1")
    home.define(name, change=lambda text: re.sub(r"/usr/bin/python3 -IS \S+/tool-host .*? -- ", "", text))
    (process,) = home.start(name)
    assert "has started no gateway" in violations(home, name, process)


@pytest.mark.parametrize(
    ("removed", "added", "words"),
    [
        ((" --unshare-ipc",), "", "shares the ipc namespace"),
        ((), " --ro-bind /srv /srv", "mounted at /srv"),
        ((" --add-seccomp-fd 8 --add-seccomp-fd 9",), "", "no system call filter"),
        ((" --remount-ro /dev",), "", "can write /dev"),
        ((" --tmpfs /run",), " --bind /run /run", "mounted at /run"),
        pytest.param((" --ro-bind /dev/null /etc/shadow",), "", "can read /etc/shadow", marks=ROOT),
    ],
)
def test_a_sandbox_that_is_weaker_than_the_policy_is_found_out(
    home: Supervised, removed: tuple[str, ...], added: str, words: str
) -> None:
    def weaken(text: str) -> str:
        for part in removed:
            assert text.count(f"{part} ") == 1
            text = text.replace(f"{part} ", " ")
        return text.replace(" --proc /proc", f"{added} --proc /proc")

    name = home.make("w1")
    home.define(name, change=weaken)
    (process,) = home.start(name)
    assert words in violations(home, name, process)
    # Without a PID namespace the gateway would outlive supervisord.
    home.backend.stop([name])


@pytest.mark.parametrize(
    ("removed", "instead", "words"),
    [
        (b'"--unshare-net"', b'"--unshare-ipc"', "a box shares the net namespace"),
        (b'("/usr", "/etc",', b'("/usr","/root",', "a program in a box can read"),
        (b'"/usr/bin/bwrap"', b'"/usr/bin/bwarp"', "no box can be made"),
    ],
)
def test_a_box_that_is_weaker_than_it_must_be_is_found_out(
    home: Supervised, removed: bytes, instead: bytes, words: str
) -> None:
    name = home.make("w1")
    tool_host = Path(home.backend.host.instance(name).bin, "tool-host")
    made = tool_host.read_bytes()
    assert made.count(removed) == 1
    tool_host.write_bytes(made.replace(removed, instead))
    (process,) = home.start(name)
    assert words in violations(home, name, process)


def test_the_kernel_says_that_the_sandbox_is_tight(shared: Supervised, sealed: InstanceName) -> None:
    host = shared.observe(sealed).pid
    assert host is not None
    gateway = processes.gateway_below(host)
    lines = Path(f"/proc/{gateway}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[field], 16) == 0, field
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"].strip()) == ("1", "2", "4")
    limits = Path(f"/proc/{gateway}/limits").read_text().splitlines()
    found = {line[:26].strip(): line[26:].split()[:2] for line in limits}
    for limit, most in (
        ("Max core file size", "0"),
        ("Max pending signals", "1024"),
        ("Max msgqueue size", "102400"),
    ):
        assert found[limit] == [most, most]


TRY = r"""
import ctypes, errno, fcntl, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) != -1:
        return "allowed"
    return errno.errorcode[ctypes.get_errno()]
def family(number):
    try:
        socket.socket(number, socket.SOCK_DGRAM).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"
long = ctypes.c_long
print("families", sorted(number for number in range(64) if family(number) != "EAFNOSUPPORT"))
print("unshare user", call("unshare", 0x10000000))
print("unshare mount", call("unshare", 0x20000))
print("setns", call("setns", os.open("/proc/self/ns/ipc", os.O_RDONLY), 0))
print("ptrace", call("ptrace", 0, 0, 0, 0))
print("mount", call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
print("personality", call("personality", ctypes.c_ulong(0x0040000)))
print("realtime", call("sched_setscheduler", 0, 1, ctypes.byref(ctypes.c_int(1))))
# These numbers are the same on every architecture.
print("io_uring_setup", call("syscall", long(425), long(1), None))
print("clone3", call("syscall", long(435), None, long(0)))
print("openat2", call("syscall", long(437), long(-100), None, None, long(24)))
print("unknown", call("syscall", long(4000)))
print("type", call("ioctl", 0, ctypes.c_ulong(0x5412), b"x"))
print("type, hidden", call("syscall", long(IOCTL), long(0), ctypes.c_ulong(1 << 32 | 0x5412), b"x"))
print("read memory", call("process_vm_readv", os.getppid(), None, 0, None, 0, 0))
""".replace("IOCTL", {"x86_64": "16", "aarch64": "29"}[os.uname().machine])


def test_the_system_call_filter_is_in_force(shared: Supervised, sealed: InstanceName) -> None:
    done = shared.inside(sealed, "/usr/bin/python3", "-I", "-c", TRY)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "families [1, 2, 10, 16]",
        "unshare user EPERM",
        "unshare mount EPERM",
        "setns EPERM",
        "ptrace EPERM",
        "mount EPERM",
        "personality EPERM",
        "realtime EPERM",
        "io_uring_setup EPERM",
        "clone3 ENOSYS",
        "openat2 EFAULT",
        "unknown ENOSYS",
        "type EPERM",
        "type, hidden EPERM",
        "read memory EPERM",
    ]


def test_half_of_what_the_user_may_watch_is_left_to_others(shared: Supervised, sealed: InstanceName) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    taken = f"import ctypes; print(sum(ctypes.CDLL(None).inotify_init() >= 0 for _ in range({most})))"
    done = shared.inside(sealed, "/usr/bin/python3", "-I", "-c", taken)
    assert 0 < int(done.stdout) <= most // 2


def test_an_instance_sees_its_own_processes_and_nothing_of_how_it_was_started(
    shared: Supervised, sealed: InstanceName
) -> None:
    script = "ls -d /proc/[0-9]*; tr '\\0' '\\n' < /proc/1/environ; ls /proc/self/fd; pwd; umask"
    seen = shared.inside(sealed, "/bin/sh", "-c", script).stdout.split()
    assert len([word for word in seen if word.startswith("/proc/")]) <= 4
    assert not [word for word in seen if "OCM" in word or "SUPERVISOR" in word]
    assert seen[-2:] == [str(shared.backend.host.instance(sealed).state), "0077"]
    assert not {"8", "9"} & set(seen)


@pytest.mark.parametrize("path", [str(path) for path in HIDDEN if Path(path).exists()])
def test_what_is_hidden_cannot_be_read(shared: Supervised, sealed: InstanceName, path: str) -> None:
    script = '[ -d "$1" ] && [ -z "$(ls -A "$1")" ] || ! head -c 1 "$1"'
    done = shared.inside(sealed, "/bin/sh", "-c", script, "sh", path)
    assert (done.returncode, done.stdout) == (0, "")


# Sessions.


@pytest.mark.parametrize("sealed_too", [True, False])
def test_a_session_ends_as_its_program_and_has_its_streams(shared: Supervised, *, sealed_too: bool) -> None:
    name = shared.make(f"session-{int(sealed_too)}", sealed=sealed_too)
    done = shared.inside(name, "/bin/sh", "-c", "echo out; echo err >&2; tty; exit 5", sealed=sealed_too)
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\nnot a tty\n", "err\n")


def test_a_session_shares_files_and_tmp_with_the_gateway(shared: Supervised, sealed: InstanceName) -> None:
    shared.inside(sealed, "/bin/sh", "-c", "echo kept > /tmp/here; echo kept > here")
    assert shared.inside(sealed, "/bin/cat", "/tmp/here", "here").stdout == "kept\nkept\n"
    assert not Path("/tmp/here").exists()


class Running:
    """A session that runs in the background."""

    def __init__(self, home: Supervised, name: InstanceName, script: str, *, sealed: bool = True) -> None:
        record = home.record(name, sealed=sealed)
        policy = instance_policy(home.backend.host.instance(name), record)
        program = ("/bin/sh", "-c", f"echo up; {script}")
        self.session = home.backend.session(record, policy, program, environ={}, terminal=False)
        self.process = subprocess.Popen(
            self.session.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "up\n"

    def end(self) -> int:
        with self.process:
            return self.process.wait(timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("sealed_too", [True, False])
def test_a_session_is_signalled_by_its_token(shared: Supervised, *, sealed_too: bool) -> None:
    name = shared.make(f"signal-{int(sealed_too)}", sealed=sealed_too)
    trap = "trap 'exit 9' INT; echo begun; while :; do sleep 0.05; done"
    one = Running(shared, name, trap, sealed=sealed_too)
    two = Running(shared, name, "exec sleep 300", sealed=sealed_too)
    three = Running(shared, name, "trap '' TERM INT; sleep 300", sealed=sealed_too)
    assert one.process.stdout
    assert one.process.stdout.readline().strip() == "begun"
    shared.backend.signal_session(one.session.token, signal.SIGINT)
    assert one.end() == 9
    shared.backend.signal_session(two.session.token, signal.SIGTERM)
    assert two.end() in (128 + signal.SIGTERM, -signal.SIGTERM)
    shared.backend.signal_session(three.session.token, signal.SIGKILL)
    assert three.end() in (128 + signal.SIGKILL, -signal.SIGKILL)


def test_stopping_sessions_ends_those_of_the_instance_and_no_others(shared: Supervised) -> None:
    name, longer = shared.make("stop"), shared.make("stop-a")
    mine = [Running(shared, name, "exec sleep 300") for _ in range(2)]
    other = Running(shared, longer, "exec sleep 300")
    foreign = {sessions.VARIABLE: f"/another/home/.openclaw-{name}.1"}
    elsewhere = subprocess.Popen(["sleep", "300"], env=foreign)
    shared.backend.stop_sessions([name])
    assert [session.end() for session in mine] == [143, 143]
    assert other.process.poll() is None
    assert elsewhere.poll() is None, "an instance of the same name in another home"
    elsewhere.kill()
    elsewhere.wait()
    shared.backend.stop_sessions([longer])
    assert other.end() == 143


def test_an_instance_cannot_pass_a_process_of_its_own_for_a_session_of_another(shared: Supervised) -> None:
    victim, liar = shared.make("victim"), shared.make("liar")
    token = sessions.new_token(shared.backend.host.instance(victim))
    forge = f"{sessions.VARIABLE}={token} sleep 300 & echo $!; wait"
    forged = Running(shared, liar, forge)
    assert forged.process.stdout
    assert forged.process.stdout.readline().strip().isdecimal()
    shared.backend.stop_sessions([victim])
    shared.backend.signal_session(token, signal.SIGKILL)
    assert forged.process.poll() is None
    shared.backend.stop_sessions([liar])
    forged.end()


def test_a_damaged_definition_is_named_and_keeps_nobody_from_removing_another(home: Supervised) -> None:
    damaged, other = home.make("damaged"), home.make("other")
    home.start(damaged, other)
    home.backend.stop([damaged, other])
    with Path(places.program(home.backend.host.instance(damaged))).open("a") as file:
        file.write("garbage\n")
    with pytest.raises(OcmError, match=r"cannot read .*damaged\.conf") as refused:
        home.backend.start([other])
    assert refused.value.hint == "ocm start damaged --repair writes it anew"
    home.backend.remove([other])
    assert "other" not in home.backend.defined()


def test_a_session_ends_with_the_command_that_runs_it(shared: Supervised, sealed: InstanceName) -> None:
    running = Running(shared, sealed, "exec sleep 300")
    outer = running.process.pid
    (inside,) = (int(word) for word in Path(f"/proc/{outer}/task/{outer}/children").read_text().split())
    running.process.kill()
    running.end()
    wait_until_gone(inside)


class Terminal:
    """A session on a terminal of the test's."""

    def __init__(self, home: Supervised, name: InstanceName, script: str, *, sealed: bool) -> None:
        record = home.record(name, sealed=sealed)
        policy = instance_policy(home.backend.host.instance(name), record)
        environ = {"PATH": "/usr/bin:/bin", "TERM": "xterm"}
        program = ("/bin/sh", "-c", script)
        session = home.backend.session(record, policy, program, environ=environ, terminal=True)
        self.master, slave = os.openpty()
        self.device = os.fstat(slave).st_rdev, os.fstat(slave).st_dev
        self.resize(24, 80)
        own = ("setsid", "--ctty", "--wait", *session.argv)
        self.process = subprocess.Popen(own, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.seen = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read_until(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.master], [], [], deadline - time.monotonic())
            assert ready, self.seen
            self.seen += os.read(self.master, 65536).decode()
        self.seen = self.seen[match.end() :]
        return match

    def end(self) -> int:
        try:
            return self.process.wait(timeout=PATIENCE_SECONDS)
        finally:
            os.close(self.master)


ON_TERMINAL = """
trap 'echo interrupted' INT; trap 'echo size $(stty size)' WINCH
echo device $(stat --dereference --format '%Hr %Lr %d' /dev/stdin) size $(stty size)
[ -t 0 ] && [ -t 1 ] && : < /dev/tty && echo has a terminal
until [ "$line" = 7 ]; do read line; done
exit 7
"""


@pytest.mark.parametrize("sealed_too", [True, False])
def test_a_session_on_a_terminal_has_one_of_its_own(shared: Supervised, *, sealed_too: bool) -> None:
    name = shared.make(f"terminal-{int(sealed_too)}", sealed=sealed_too)
    session = Terminal(shared, name, ON_TERMINAL, sealed=sealed_too)
    device = session.read_until(r"device (\d+) (\d+) (\d+) size 24 80")
    # The same number among the terminals of another devpts is another one.
    assert (os.makedev(int(device[1]), int(device[2])), int(device[3])) != session.device
    session.read_until("has a terminal")
    session.resize(33, 77)
    session.read_until("size 33 77")
    session.type("\x03")
    session.read_until("interrupted")
    session.type("7\n")
    assert session.end() == 7


# What is not there, and what is said of it.


def test_a_machine_without_bubblewrap_is_told_what_to_install(
    home: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.backend.check(sealed=True)
    monkeypatch.setattr(lacking, "BWRAP", "/nowhere/bwrap")
    with pytest.raises(OcmError) as caught:
        home.backend.check(sealed=True)
    assert caught.value.code == "bubblewrap_missing"
    assert (caught.value.hint or "").endswith("apt install bubblewrap")
    home.backend.check(sealed=False)


def test_a_bubblewrap_that_is_too_old_is_not_taken_for_a_machine_that_forbids(
    home: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "namespace_arguments", lambda: ("--of-tomorrow",))
    with pytest.raises(OcmError) as caught:
        home.backend.check(sealed=True)
    assert caught.value.code == "bubblewrap_too_old"


CHECK = """
import sys
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.host import current_host
from openclaw_ocm.backends.supervisord.supervisor import Supervisord
backend = Supervisord(host=current_host({"HOME": sys.argv[1]}))
backend.check(sealed=False)
try:
    backend.check(sealed=True)
except OcmError as error:
    print(error.code, error.message, error.hint, sep="|")
"""


def test_a_machine_that_forbids_namespaces_is_told_what_allows_them(home: Supervised) -> None:
    source = str(Path(module.__file__).parents[3])
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            forbid,
            "sh",
            sys.executable,
            "-c",
            CHECK,
            home.home,
        ],
        env={**os.environ, "PYTHONPATH": source},
        # Here is ocm.py, which is not the package.
        cwd=home.home,
        capture_output=True,
        text=True,
        check=True,
    )
    code, message, hint = done.stdout.strip().split("|")
    assert code == "namespaces_forbidden"
    assert "bwrap: " in message
    assert "sysctl -w user.max_user_namespaces=15000" in hint
    assert "--unsealed" in hint


def test_a_home_that_is_too_long_for_a_socket_is_refused_at_once(home: Supervised) -> None:
    deep = current_host({"HOME": f"{home.home}/{'x' * 80}"})
    with pytest.raises(OcmError) as caught:
        Supervisord(host=deep).check(sealed=False)
    assert caught.value.code == "path_too_long"


def test_limits_that_do_not_bind_are_told(home: Supervised) -> None:
    name = home.make("w1")
    limited = msgspec.structs.replace(home.record(name), limits=Limits(memory="2G", cpus=1.0))
    assert any("memory" in gap for gap in home.backend.gaps(limited, home.observe(name)))
    assert not any("memory" in gap for gap in home.backend.gaps(home.record(name), home.observe(name)))


def test_an_unsealed_gateway_is_the_process_itself(home: Supervised) -> None:
    name = home.make("w1", sealed=False)
    (process,) = home.start(name)
    (daemon,) = daemons(home)
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert f"PPid:\t{daemon}\n" in status
    assert "Seccomp:\t0" in status
    home.backend.stop([name])
    assert home.said(name) == ["up", "asked 1"]


def test_an_unsealed_gateway_ends_with_supervisord_too(home: Supervised) -> None:
    (process,) = home.start(home.make("w1", sealed=False))
    (daemon,) = daemons(home)
    os.kill(daemon, signal.SIGKILL)
    assert process.pid is not None
    wait_until_gone(process.pid)


# Logs.


def test_the_log_holds_what_both_said_and_the_last_lines_of_it(home: Supervised) -> None:
    name = home.make(
        "w1", "echo 2026-11-22T10:00:00.000+00:00 one; printf 'two\\033[31m\\n'; printf end; " + SERVE
    )
    home.start(name)
    home.backend.stop([name])
    entries = list(home.backend.log(name, lines=None, follow=False, since=None))
    said = [entry.message for entry in entries if entry.source == "gateway"]
    assert said == ["2026-11-22T10:00:00.000+00:00 one", "two", "endup", "asked 1"]
    backend = [entry.message for entry in entries if entry.source == "supervisord"]
    assert backend[0].startswith("spawned: 'w1'")
    assert backend[-1] == "stopped: w1 (exit status 0)"
    assert list(home.backend.log(name, lines=2, follow=False, since=None)) == entries[-2:]
    assert list(home.backend.log(name, lines=0, follow=False, since=None)) == []
    assert list(home.backend.log(name, lines=None, follow=False, since=time.time() + 60)) == []


def test_a_log_can_be_followed(home: Supervised) -> None:
    name = home.make("w1")
    home.start(name)
    following = home.backend.log(name, lines=1, follow=True, since=None)
    assert next(following)
    home.backend.stop([name])
    for entry in following:
        if entry.message == "stopped: w1 (exit status 0)":
            break
    following.close()  # type: ignore[attr-defined]
