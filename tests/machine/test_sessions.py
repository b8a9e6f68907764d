"""`use` and `enter`: the gateway's own sandbox, streams and terminal passed through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .instances import BACKENDS_IN_TURN, CERTIFICATE, HOME, inside, listener, rows, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

UNITS = "systemctl --user list-units --no-legend --plain 'ocm-session.*'"
# The first process of each session bears its token.
TOKENS = "cd /proc; for p in $(pgrep -x bwrap); do tr '\\0' '\\n' <$p/environ | grep ^OCM_SESSION=; done"
# Beside it lies what no instance sees.
AUTHORITY = f"{HOME}/authority of ours.pem"
SEEN_AT = "/run/ocm/files/NODE_EXTRA_CA_CERTS"
GIVEN = {
    "TZ": "Asia/Tokyo",
    "ODD": "$HOME ${PATH} %h %n 'a' \"b\" \\ ; # é",
    "NODE_EXTRA_CA_CERTS": AUTHORITY,
}


def sessions(machine: Machine) -> list[str]:
    """Return a line for each session that is open, whatever its backend."""
    return machine.run(["bash", "-c", f"{UNITS}; {TOKENS}; true"]).stdout.splitlines()


@pytest.fixture(scope="module", params=BACKENDS_IN_TURN)
def worker(request: pytest.FixtureRequest, machine: Machine, ocm: Ocm) -> Iterator[str]:
    """Deploy an instance, once for all tests here, under the care of each backend."""
    machine.write(AUTHORITY, CERTIFICATE, mode=0o600)
    given = [f"--env={name}={value}" for name, value in GIVEN.items()]
    ocm("deploy", "worker1", "--backend", request.param, *given)
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes", check=False)
    machine.run(["rm", AUTHORITY])


def test_tasks_are_limited_in_each_sandbox_for_itself(ocm: Ocm, worker: str) -> None:
    many = "i=0; while [ $i -lt 600 ]; do sleep 9 & i=$((i + 1)); done"
    assert "Cannot fork" in ocm("enter", worker, input=f"exec sh -c '{many}'", check=False).stderr
    assert inside(ocm, worker, "echo fine") == "fine\n"


def test_openclaw_answers_as_the_instance(ocm: Ocm, worker: str) -> None:
    assert '"ok": true' in ocm("use", worker, "health", "--json").stdout
    assert ocm("use", worker, "config", "get", "gateway.port").stdout.strip() == "19001"
    assert worker in ocm("use", worker, "config", "file").stdout


def test_variables_are_to_the_letter_in_sessions_and_gateway_and_a_file_is_seen_alone(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    wanted = {f"{name}={value}" for name, value in {**GIVEN, "NODE_EXTRA_CA_CERTS": SEEN_AT}.items()}
    gateway = environ_of_gateway(machine, worker)
    assert wanted <= set(inside(ocm, worker, "env").splitlines())
    assert wanted <= set(gateway.split("\0"))
    look = f"cat {SEEN_AT}; ls /run/ocm/files; ls {HOME}/*.pem"
    script = f"{look}; echo x >> {SEEN_AT} || node -p 'new Date(0).getHours()'"
    assert inside(ocm, worker, script) == f"{CERTIFICATE}NODE_EXTRA_CA_CERTS\n9\n"
    node = "process.stdout.write(require('tls').getCACertificates('extra').join(''))"
    assert inside(ocm, worker, f'node -e "{node}"').strip() == CERTIFICATE.strip()


def environ_of_gateway(machine: Machine, name: str) -> str:
    """Return the environments of the processes of a gateway."""
    script = f"for p in $(pgrep -f 'profile {name} gateway'); do cat /proc/$p/environ; done"
    return machine.run(["bash", "-c", script], user="root").stdout


def test_exit_status_and_arguments_come_through_unchanged(ocm: Ocm, worker: str) -> None:
    assert ocm("use", worker, "config", "get", "no.such.key", check=False).returncode == 1
    assert ocm("enter", worker, input="exit 42", check=False).returncode == 42
    odd = "$HOME ${PATH} %h %n 'a' \"b\" \\ \t é; *"
    printed = ocm("use", worker, "config", "get", odd, check=False)
    assert "$HOME ${PATH} %h %n 'a' \"b\"" in printed.stdout + printed.stderr


def test_standard_input_reaches_the_program_and_stderr_stays_apart(ocm: Ocm, worker: str) -> None:
    done = ocm("enter", worker, input="read -r line <<< hello; echo $line; echo oops >&2")
    assert (done.stdout, done.stderr) == ("hello\n", "oops\n")


def test_shell_finds_openclaw_as_this_instance(ocm: Ocm, worker: str) -> None:
    assert inside(ocm, worker, "openclaw config get gateway.port").strip() == "19001"


def test_tmp_is_the_gateways_own_whether_it_runs_or_not(machine: Machine, ocm: Ocm, worker: str) -> None:
    inside(ocm, worker, "echo seen > /tmp/planted; echo seen > /var/tmp/planted")
    pid = str(rows(ocm)[worker]["pid"])
    for path in ("/tmp/planted", "/var/tmp/planted"):
        assert machine.read(f"/proc/{pid}/root{path}") == "seen\n"
    assert machine.run(["test", "-e", "/tmp/planted"], check=False).returncode == 1
    ocm("stop", worker)
    assert inside(ocm, worker, "cat /tmp/planted") == "seen\n"
    ocm("start", worker)
    assert inside(ocm, worker, "cat /tmp/planted") == "seen\n"


def test_terminal_is_a_real_one(machine: Machine, ocm: Ocm, worker: str) -> None:
    answers = [
        ("[worker1]", "[ -t 0 ] && [ -t 1 ] && echo is a $((40 + 2)) terminal; stty size\n"),
        ("[worker1]", "{ sleep 1; echo asleep$((1 + 1)); } & sleep 300\n"),
        ("asleep2", "\x03"),
        ("[worker1]", "exit 5\n"),
    ]
    shown = ocm.pty("enter", worker, answers=answers, timeout=60)
    assert "is a 42 terminal" in shown.output
    assert "24 80" in shown.output
    assert "no job control" not in shown.output
    assert shown.returncode == 5
    assert sessions(machine) == []


def test_ctrl_c_ends_a_session_and_leaves_nothing_behind(machine: Machine, ocm: Ocm, worker: str) -> None:
    argv = [
        "timeout",
        "--preserve-status",
        "--signal=INT",
        "6",
        "./ocm.py",
        "use",
        worker,
        "logs",
        "--follow",
    ]
    following = machine.popen(argv, cwd=ocm.folder)
    wait_for(lambda: sessions(machine) != [], 6, "session")
    following.communicate()
    assert following.returncode != 0
    wait_for(lambda: sessions(machine) == [], 15, "end of the session")


def test_output_is_whole_however_slow_the_reader(machine: Machine, ocm: Ocm, worker: str) -> None:
    script = f"echo 'head -c 3000000 /dev/zero' | ./ocm.py enter {worker} | (sleep 4; wc -c)"
    assert machine.run(["bash", "-c", script], cwd=ocm.folder).stdout.strip() == "3000000"


def test_the_callers_own_files_are_not_handed_to_the_instance(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    machine.write(
        f"{HOME}/commands", "echo overwritten > /proc/self/fd/0; readlink /proc/self/fd/0 /proc/self/fd/1\n"
    )
    machine.write(f"{HOME}/output", "precious\n")
    script = f"./ocm.py enter {worker} < ~/commands >> ~/output"
    machine.run(["bash", "-c", script], cwd=ocm.folder, check=False)
    assert machine.read(f"{HOME}/commands").startswith("echo overwritten")
    shown = machine.read(f"{HOME}/output").splitlines()
    assert shown[0] == "precious"
    assert len(shown) == 3
    assert all(line.startswith("pipe:") for line in shown[1:])
    machine.run(["rm", f"{HOME}/commands", f"{HOME}/output"])


def test_sessions_are_confined_as_the_gateway_is(machine: Machine, ocm: Ocm, worker: str) -> None:
    wanted = "grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd|CapPrm)' /proc/self/status"
    pid = listener(machine, rows(ocm)[worker]["port"])
    gateway = machine.run(["sh", "-c", wanted.replace("self", pid)]).stdout
    assert inside(ocm, worker, wanted) == gateway
    assert "NoNewPrivs:\t1" in gateway
    assert "Seccomp:\t2" in gateway


# Its workspace is there; neither home nor secrets are.
BOX = "touch from-the-box; ls /workspace/from-the-box /home; cat /run/ocm/secrets.env; exit 9"


def test_a_shell_in_a_box_sees_the_workspace_and_leaves_nothing(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    boxes = machine.run(["pgrep", "-c", "-x", "bwrap"], check=False).stdout
    done = ocm("enter", worker, "--box", input=BOX, check=False)
    assert done.returncode == 9, done.stderr
    assert done.stdout.splitlines()[0] == "/workspace/from-the-box"
    assert "/home" in done.stderr
    assert "/run/ocm/secrets.env" in done.stderr
    machine.run(["rm", f"{HOME}/.openclaw-{worker}/workspace/from-the-box"])
    answers = [
        ("box of main]", "tty; stty size\n"),
        ("24 80", "{ sleep 1; echo asleep$((1 + 1)); } & sleep 300\n"),
        ("asleep2", "\x03"),
        ("box of main]", "exit 5\n"),
    ]
    shown = ocm.pty("enter", worker, "--box", "main", answers=answers, timeout=60)
    assert "no job control" not in shown.output
    assert shown.returncode == 5, shown.output
    assert sessions(machine) == []
    assert machine.run(["pgrep", "-c", "-x", "bwrap"], check=False).stdout == boxes
    assert "it has main" in ocm("enter", worker, "nobody", "--box", check=False).stderr


def test_delete_ends_the_sessions_of_that_instance_only(machine: Machine, ocm: Ocm, worker: str) -> None:
    ocm("create", "worker1-a")
    sleeping = "sleep 300 & wait"
    for name in (worker, "worker1-a"):
        machine.run(
            ["bash", "-c", f"echo '{sleeping}' | ./ocm.py enter {name} >/dev/null 2>&1 &"], cwd=ocm.folder
        )
    wait_for(lambda: len(sessions(machine)) == 2, 20, "two sessions")
    ocm("delete", worker, "--force", "--yes")
    (left,) = sessions(machine)
    assert "worker1-a." in left
    ocm("delete", "worker1-a", "--force", "--yes")
    wait_for(lambda: sessions(machine) == [], 15, "end of the sessions")
