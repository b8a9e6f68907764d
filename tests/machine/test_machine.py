"""The machine itself: what every other machine test relies on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.system import programs

from . import pins
from .checkout import push_checkout
from .image import REPOSITORY
from .lifetime import Running, has_snapshot, machines_dir, remove_snapshot, sweep
from .machine import CommandFailed, Machine
from .nspawn import MachineError, unified_cgroup_root
from .processes import kill_group, wait_for
from .terminal import CommandTimedOut

if TYPE_CHECKING:
    from .checkout import Ocm
    from .gateways import Gateways

pytestmark = pytest.mark.both_releases

MODEL_URL = "http://127.0.0.1:18080/v1"


def ask_model(machine: Machine, key: str, path: str, body: object = None) -> tuple[int, str]:
    argv = ["curl", "--silent", "--write-out", "\n%{http_code}", f"{MODEL_URL}{path}"]
    argv += ["--header", f"Authorization: Bearer {key}"]
    if body is not None:
        argv += ["--json", "@-"]
    answered = machine.run(argv, input=json.dumps(body)).stdout
    text, _, status = answered.rpartition("\n")
    return int(status), text


def test_system_and_user_manager_run_without_a_failed_unit(machine: Machine) -> None:
    assert machine.run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert machine.run(["systemctl", "--user", "is-system-running"]).stdout == "running\n"
    for scope in ("--system", "--user"):
        assert machine.run(["systemctl", scope, "--failed", "--quiet", "--no-legend"]).stdout == ""


def test_release_is_the_one_asked_for(machine: Machine) -> None:
    assert f"VERSION_CODENAME={machine.release}\n" in machine.read("/etc/os-release")


def test_debian_is_a_plain_user_with_linger_and_a_closed_home(machine: Machine) -> None:
    assert machine.run(["id", "-nG"]).stdout == "debian\n"
    assert machine.run(["id", "-u"]).stdout == "1000\n"
    assert machine.run(["stat", "-c", "%a %U", "/home/debian"]).stdout == "700 debian\n"
    shown = machine.run(["loginctl", "show-user", "debian", "--property=Linger"])
    assert shown.stdout == "Linger=yes\n"
    assert machine.run(["sudo", "-n", "true"], check=False).returncode != 0


def test_command_runs_in_a_login_session_and_leaks_nothing_of_the_host(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCLAW_STATE_DIR", "/leaked")
    seen = dict(line.split("=", 1) for line in machine.run(["env"]).stdout.splitlines())
    assert seen["HOME"] == "/home/debian"
    assert seen["XDG_RUNTIME_DIR"] == "/run/user/1000"
    assert not {name for name in seen if name.startswith(("OPENCLAW", "INVOCATION", "JOURNAL"))}
    groups = machine.run(["cat", "/proc/self/cgroup"]).stdout
    assert "0::/user.slice/user-1000.slice/session-" in groups
    assert machine.run(["sh", "-c", "umask"]).stdout == "0022\n"


def test_root_has_no_more_capabilities_than_the_machine(machine: Machine) -> None:
    argv = ["sh", "-c", "grep CapBnd /proc/1/status /proc/self/status | cut -f2 | uniq | wc -l"]
    assert machine.run(argv, user="root").stdout.strip() == "1"


def test_user_manager_runs_transient_units_as_in_an_ssh_login(machine: Machine) -> None:
    sandbox = ["-p", "PrivateUsers=yes", "-p", "ProtectHome=tmpfs"]
    piped = ["systemd-run", "--user", "--wait", "--pipe", "--quiet", *sandbox, "ls", "-A", "/home"]
    assert machine.run(piped, cwd="/").stdout == ""
    scope = machine.run(["systemd-run", "--user", "--scope", "--quiet", "cat", "/proc/self/cgroup"])
    assert "user@1000.service/app.slice" in scope.stdout


def test_network_is_private_to_the_machine(machine: Machine) -> None:
    links = machine.run(["ip", "-brief", "link"]).stdout.splitlines()
    assert [line.split()[0] for line in links] == ["lo"]
    assert machine.run(["ip", "-brief", "link"], network="host").stdout.splitlines() != links


def test_exit_status_streams_and_input_come_through(machine: Machine) -> None:
    argv = ["sh", "-c", "cat; echo oops >&2; exit 7"]
    done = machine.run(argv, input="schön\n", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "schön\n", "oops\n")
    with pytest.raises(CommandFailed, match="oops"):
        machine.run(argv, input="")


def test_timed_out_command_is_gone_with_its_children(machine: Machine) -> None:
    with pytest.raises(CommandTimedOut, match="begun"):
        machine.run(["sh", "-c", "echo begun; sleep 4321 & sleep 4321"], timeout=1)
    assert machine.run(["pgrep", "-f", "^sleep 4321"], check=False).returncode == 1


def test_terminal_is_the_machines_own_and_takes_answers(machine: Machine) -> None:
    script = 'tty; stty size; read -r -p "Name? " name; echo "Hello $name"; read -r -p "Wait" x'
    answers = [("Name? ", "Ada\n"), ("Wait", "\x03")]
    shown = machine.pty(["bash", "-c", script], answers=answers, size=(30, 99))
    assert shown.output.startswith("/dev/pts/")
    assert "\r\n30 99\r\n" in shown.output
    assert "Hello Ada\r\n" in shown.output
    assert shown.returncode == 130


def test_pushed_files_keep_mode_and_content_and_belong_to_the_user(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "tool").write_text("#!/bin/sh\necho works\n")
    (tmp_path / "sub" / "tool").chmod(0o755)
    (tmp_path / "link").symlink_to("sub/tool")
    machine.push(tmp_path, "/home/debian/pushed")
    assert machine.run(["./link"], cwd="/home/debian/pushed").stdout == "works\n"
    listed = machine.run(["stat", "-c", "%U %a", "/home/debian/pushed/sub/tool"]).stdout
    assert listed == "debian 755\n"
    machine.write("/home/debian/new/secret", "s3cret", mode=0o600)
    assert machine.read("/home/debian/new/secret") == "s3cret"
    assert machine.run(["stat", "-c", "%U %a", "/home/debian/new/secret"]).stdout == "debian 600\n"


def test_firewall_takes_rules_with_comments(machine: Machine) -> None:
    machine.run(["ufw", "--force", "enable"], user="root")
    try:
        machine.run(["ufw", "allow", "19001/tcp", "comment", "ocm alpha"], user="root")
        shown = machine.run(["ufw", "status"], user="root").stdout
        assert "Status: active" in shown
        assert "# ocm alpha" in shown
        rules = machine.run(["iptables", "-S"], user="root").stdout
        assert "--dport 19001 -j ACCEPT" in rules
    finally:
        machine.run(["ufw", "--force", "reset"], user="root")
    assert machine.run(["ufw", "status"], user="root").stdout == "Status: inactive\n"


def test_node_and_openclaw_are_the_pinned_ones_in_the_layout_of_the_release(machine: Machine) -> None:
    assert machine.run(["node", "--version"]).stdout == f"v{pins.NODE}\n"
    assert machine.run(["npm", "--version"]).stdout == f"{pins.NPM}\n"
    assert pins.OPENCLAW in machine.run(["openclaw", "--version"]).stdout
    places = {
        "bookworm": "/home/debian/.npm-global/bin/openclaw\n",
        "trixie": "/usr/local/bin/openclaw\n",
    }
    login = ["bash", "--login", "-c", "command -v openclaw"]
    assert machine.run(login).stdout == places[machine.release]
    owner = "root" if machine.release == "trixie" else "debian"
    package = machine.run(["sh", "-c", "realpath $(command -v openclaw)"]).stdout.strip()
    assert machine.run(["stat", "-c", "%U", package]).stdout == f"{owner}\n"


def test_node_finds_nothing_wrong_in_the_programs_that_it_is_given(machine: Machine, ocm: Ocm) -> None:
    names = [path.name for path in programs.DIRECTORY.glob("*.mjs")]
    assert names
    for name in names:
        machine.run(["node", "--check", f"{ocm.folder}/src/openclaw_ocm/programs/{name}"])


def test_checkout_is_the_working_copy_and_the_users_own(machine: Machine) -> None:
    ocm = push_checkout(machine, "/home/debian/fresh")
    for name in ("ocm.py", "script/test", "tests/machine/test_machine.py"):
        assert machine.read(f"{ocm.folder}/{name}") == (REPOSITORY / name).read_text()
    assert machine.run(["test", "-x", f"{ocm.folder}/ocm.py"]).returncode == 0
    machine.run(["git", "-C", ocm.folder, "status"])
    foreign = machine.run(["find", ocm.folder, "!", "-user", "debian"])
    assert foreign.stdout == ""
    assert machine.run(["find", ocm.folder, "-name", "__pycache__"]).stdout == ""
    machine.run(["rm", "-r", ocm.folder])


def test_pip_and_pipx_install_the_checkout_without_a_network(machine: Machine, ocm: Ocm) -> None:
    pip = ["/home/debian/venv-test/bin/pip", "install", "--quiet", "--require-hashes"]
    machine.run(["python3", "-m", "venv", "/home/debian/venv-test"])
    machine.run([*pip, "--requirement", f"{ocm.folder}/requirements.txt"])
    machine.run(["pipx", "install", ocm.folder])
    assert machine.run(["ocm", "--version"]).stdout.startswith("ocm ")
    machine.run(["ocm", "create", "installed"])
    assert machine.run(["ocm", "health", "installed"], check=False).returncode == 1
    machine.run(["ocm", "delete", "installed", "--yes"])
    machine.run(["pipx", "uninstall", "ocm"])


def test_fake_model_answers_plainly_and_as_a_stream(machine: Machine) -> None:
    body = {"model": "fake-1", "messages": [{"role": "user", "content": "hi"}]}
    status, text = ask_model(machine, "sk-fake", "/chat/completions", body)
    assert status == 200
    assert json.loads(text)["choices"][0]["message"]["content"] == "PONG from fake model"
    body["messages"] = [{"role": "user", "content": [{"type": "text", "text": "say ECHO:planted-7"}]}]
    status, text = ask_model(machine, "sk-fake", "/chat/completions", {**body, "stream": True})
    assert status == 200
    assert text.rstrip().endswith("data: [DONE]")
    assert '"content": "planted-7"' in text


def test_fake_model_refuses_a_wrong_key_and_logs_it(machine: Machine) -> None:
    status, text = ask_model(machine, "sk-wrong", "/models")
    assert status == 401
    assert json.loads(text)["error"]["code"] == "invalid_api_key"
    last = json.loads(machine.read("/var/log/fake-model.jsonl").splitlines()[-1])
    assert (last["method"], last["path"], last["auth"]) == ("GET", "/v1/models", "Bearer sk-wrong")


def test_journal_holds_system_and_user_units(machine: Machine) -> None:
    began = time.time()
    machine.run(["systemd-run", "--user", "--wait", "--quiet", "echo", "said by the user"])
    machine.run(["logger", "said by the system"], user="root")
    # journald writes down what was said when it comes to that.
    wait_for(lambda: "said by the user" in machine.journal(since=began), 20, "the user's word")
    wait_for(lambda: "said by the system" in machine.journal(since=began), 20, "the system's word")


def test_reboot_keeps_files_and_starts_lingering_units(machine: Machine) -> None:
    before = machine.read("/proc/sys/kernel/random/boot_id"), machine.run(["cat", "/run/kept"], check=False)
    unit = "[Service]\nExecStart=sleep infinity\n[Install]\nWantedBy=default.target\n"
    machine.write("/home/debian/.config/systemd/user/kept.service", unit)
    machine.run(["systemctl", "--user", "enable", "--quiet", "kept.service"])
    machine.write("/run/gone", "x", user="root")
    machine.reboot()
    assert before[1].returncode != 0
    assert machine.run(["test", "-e", "/run/gone"], check=False).returncode == 1
    assert machine.run(["systemctl", "--user", "is-active", "kept.service"]).stdout == "active\n"
    machine.run(["systemctl", "--user", "disable", "--now", "--quiet", "kept.service"])


def test_snapshot_is_a_start_for_other_machines(machine: Machine) -> None:
    tag = f"test-{os.getpid()}"
    with Machine.boot(machine.release) as first:
        first.write("/home/debian/prepared", "yes")
        first.snapshot(tag)
        first.write("/home/debian/prepared", "changed later")
    assert has_snapshot(machine.release, tag)
    try:
        with Machine.boot(machine.release, snapshot=tag) as second:
            assert second.read("/home/debian/prepared") == "yes"
    finally:
        remove_snapshot(machine.release, tag)
    with pytest.raises(MachineError, match="no snapshot"):
        Machine.boot(machine.release, snapshot="never-made")


def test_machine_of_a_killed_owner_leaves_nothing(machine: Machine) -> None:
    name = f"killed-{os.getpid()}"
    argv = [sys.executable, "-m", "tests.machine", "up", machine.release, "--name", name]
    owner = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE)
    folder = machines_dir() / name
    assert owner.stdout is not None
    assert b"is up" in owner.stdout.readline()
    running = Running.load(folder)
    assert running is not None
    with pytest.raises(MachineError, match="running already"):
        Machine.boot(machine.release, name=name)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    wait_for(lambda: not running.supervisor.is_alive(), 10, "the end of systemd-nspawn")
    wait_for(lambda: not running.leader.is_alive(), 10, "the end of the machine")
    sweep()
    assert not folder.exists()
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    assert not (unified_cgroup_root() / "ocm-test" / f"machine-{name}").exists()


def test_a_gateway_is_counted_once_and_only_of_machines_of_this_process(
    machine: Machine, gateways: Gateways
) -> None:
    def counted() -> int:
        return gateways.started[machine.name]

    before, all_before = counted(), gateways.started.total()
    title = ["bash", "-c", "exec -a openclaw-gateway-not sleep infinity"]
    one = machine.popen(title)
    stranger = subprocess.Popen(title)
    try:
        wait_for(lambda: counted() > before, 10, "the count")
        gateways.look()
        assert counted() == gateways.started.total() - all_before + before == before + 1
    finally:
        kill_group(one)
        stranger.kill()
        stranger.wait()


def test_closed_machine_leaves_nothing(machine: Machine) -> None:
    with Machine.boot(machine.release) as other:
        folder = machines_dir() / other.name
        running = Running.load(folder)
        process = other.popen(["sleep", "infinity"])
    assert running is not None
    assert process.wait(timeout=10) != 0
    process.communicate()
    assert not running.leader.is_alive()
    assert not folder.exists()
    assert not (unified_cgroup_root() / "ocm-test" / f"machine-{other.name}").exists()
