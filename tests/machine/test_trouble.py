"""What goes wrong gets one clear sentence, a next command, the right exit code, and loses nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .instances import (
    HOME,
    answer,
    assert_shown,
    home_files,
    inside,
    listener,
    ready,
    rows,
    show_some,
    wait_for,
    wait_until_healthy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .checkout import Ocm
    from .machine import Machine, Result

CONFIG = f"{HOME}/.openclaw-worker1/openclaw.json"
UNIT = f"{HOME}/.config/systemd/user/openclaw-gateway-worker1.service"
UPLINK = f"{HOME}/.config/systemd/user/ocm-uplink@worker1.service"
RECORD = f"{HOME}/.config/ocm/instances/worker1.toml"


@pytest.fixture(scope="module")
def worker(ocm: Ocm) -> Iterator[str]:
    """Deploy an instance, once for all tests here."""
    ocm("deploy", "worker1")
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes", check=False)


@pytest.fixture
def running(ocm: Ocm, worker: str) -> None:
    """Have the instance run: some tests leave it stopped, because a start takes 17 CPU seconds."""
    ocm("start", worker)


@pytest.fixture
def no_instance(machine: Machine, ocm: Ocm) -> Iterator[set[str]]:
    """No instance before; afterwards exactly the same files."""
    ocm("delete", "--all", "--force", "--yes", check=False)
    before = home_files(machine)
    yield before
    assert home_files(machine) == before


def refused(done: Result, sentence: str, *, code: int = 1) -> None:
    """Assert one clear sentence with a hint, the exit code and no traceback."""
    assert done.returncode == code, done
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "a bug in OCM" not in done.stderr
    assert done.stderr.count("\nocm: ") >= 1, "no hint"


@pytest.mark.usefixtures("running")
def test_invalid_edit_leaves_the_config_to_the_byte(machine: Machine, ocm: Ocm, worker: str) -> None:
    before = machine.read(CONFIG)
    refused(ocm("edit", worker, "gateway.foo", "1", check=False), 'gateway: Unrecognized key: "foo"')
    refused(ocm("edit", worker, "session.dmScope", "nonsense", check=False), "session.dmScope")
    refused(ocm("edit", worker, "gateway.port", "19999", check=False), "kept in its record", code=2)
    refused(ocm("edit", worker, "--unset", "gateway.mode", check=False), "gateway.mode local and no other")
    open_to_all = '{"mode": "local", "bind": "lan", "port": 19001, "auth": {"mode": "none"}}'
    refused(ocm("edit", worker, "gateway", open_to_all, check=False), "beyond the loopback without auth")
    assert machine.read(CONFIG) == before
    assert ready(machine, 19001)


@pytest.mark.usefixtures("running")
def test_edit_says_what_is_live_and_what_needs_a_restart(machine: Machine, ocm: Ocm, worker: str) -> None:
    live = ocm("edit", worker, "agents.defaults.model", "minimax/MiniMax-M2.7")
    assert live.stdout == "worker1: changed agents.defaults.model; live\n"
    assert json.loads(machine.read(CONFIG))["agents"]["defaults"]["model"] == "minimax/MiniMax-M2.7"
    assert "nothing to change" in ocm("edit", worker, "agents.defaults.model", "minimax/MiniMax-M2.7").stdout
    pid = rows(ocm)[worker]["pid"]
    restarting = ocm("edit", worker, "gateway.controlUi.basePath", "/ui")
    assert restarting.stdout == (
        "worker1: changed gateway.controlUi; the gateway was restarted and is ready\n"
    )
    wait_for(lambda: rows(ocm)[worker]["pid"] not in (pid, None), 90, "restarted gateway")
    wait_until_healthy(ocm, worker)
    assert "gateway.controlUi" in ocm("edit", worker, "--unset", "gateway.controlUi").stdout
    wait_until_healthy(ocm, worker)


@pytest.mark.usefixtures("running")
def test_editor_changes_and_a_bad_save_is_kept_to_be_mended(machine: Machine, ocm: Ocm, worker: str) -> None:
    machine.write(f"{HOME}/good-editor", "#!/bin/sh\nsed -i 's/per-channel-peer/per-peer/' $1\n", mode=0o755)
    machine.write(f"{HOME}/bad-editor", "#!/bin/sh\necho '{' > $1\n", mode=0o755)
    done = ocm("edit", worker, env={"EDITOR": f"{HOME}/good-editor"})
    assert "session.dmScope" in done.stdout
    before = machine.read(CONFIG)
    assert json.loads(before)["session"]["dmScope"] == "per-peer"
    bad = ocm("edit", worker, env={"EDITOR": f"{HOME}/bad-editor"}, check=False)
    refused(bad, "not valid JSON5")
    assert "your text is kept in /tmp/ocm-worker1-" in bad.stderr
    assert machine.read(CONFIG) == before
    machine.run(["rm", f"{HOME}/good-editor", f"{HOME}/bad-editor"])


def test_weakened_config_is_shown_as_drift(ocm: Ocm, worker: str) -> None:
    said = ocm("edit", worker, "agents.defaults.sandbox.mode", "off").stderr
    assert "agents.defaults.sandbox.mode" in said
    drift = answer(ocm, "status", worker)["results"][0]["drift"]
    assert [line for line in drift if "agents.defaults.sandbox.mode" in line]
    ocm("edit", worker, "agents.defaults.sandbox.mode", "non-main")
    assert answer(ocm, "status", worker)["results"][0]["drift"] == []


@pytest.mark.both_releases
@pytest.mark.parametrize(
    ("unit", "weakening"),
    [
        pytest.param(UNIT, "PrivateIPC=no", marks=pytest.mark.full),
        pytest.param(UNIT, "BindReadOnlyPaths=/home/debian:/mnt/h", marks=pytest.mark.full),
        (UNIT, "NoNewPrivileges=no\nSystemCallFilter=\nRestrictNamespaces=no\nLockPersonality=no"),
        (UPLINK, "Environment=A=b"),
    ],
)
def test_drop_in_that_weakens_the_sandbox_is_found_by_the_proof(
    machine: Machine, ocm: Ocm, worker: str, unit: str, weakening: str
) -> None:
    folder = f"{unit}.d"
    machine.run(["mkdir", "-p", folder])
    machine.write(f"{folder}/weak.conf", f"[Service]\n{weakening}\n")
    try:
        done = ocm("restart", worker, check=False)
        refused(done, "the sandbox of worker1 is not in force")
        assert f"weak.conf sets {weakening.partition('=')[0]}" in done.stderr
        assert rows(ocm)[worker]["state"] == "stopped"
    finally:
        machine.run(["rm", "-r", folder])


def test_drop_in_with_limits_is_welcome_and_progress_is_shown_on_a_terminal_alone(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    folder = f"{UNIT}.d"
    machine.run(["mkdir", "-p", folder])
    machine.write(f"{folder}/limits.conf", "[Service]\nMemoryHigh=3G\nNice=5\n")
    try:
        shown = ocm.pty("restart", worker).output
        for words in ("wait for the gateway", "prove the sandbox", "ready and sealed"):
            assert words in shown
        assert "limits.conf" in str(answer(ocm, "status", worker)["results"][0]["drift"])
    finally:
        machine.run(["rm", "-r", folder])
    plain = ocm("restart", worker)
    assert (plain.stdout, plain.stderr) == ("worker1: ready and sealed\n", "")


@pytest.mark.both_releases
@pytest.mark.usefixtures("running")
def test_nothing_of_the_host_is_open_to_the_gateway_while_it_is_proved(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    """A process of the instance looks for a way out through the working directory of the probe."""
    hunt = (
        "until [ -e /tmp/enough ]; do for p in /proc/[0-9]*; do"
        " [ -e $p/cwd/home/debian/.bashrc ] && echo ESCAPED >> /tmp/escaped; done; done; true"
    )
    namespaces = ["-U", "-m", "-p", "--preserve-credentials", "--wdns=/"]
    argv = ["nsenter", "-t", listener(machine, 19001), *namespaces, "bash", "-c", hunt]
    hunter = machine.popen(argv)
    try:
        for _round in range(4):
            assert "already ready and sealed" in ocm("start", worker).stdout
            assert hunter.poll() is None, "it hunts as long as OCM proves"
    finally:
        inside(ocm, worker, "touch /tmp/enough")
        printed = hunter.communicate()
    assert hunter.returncode == 0, printed
    assert inside(ocm, worker, "cat /tmp/escaped 2>/dev/null; true") == ""


def test_taken_port_is_named_with_its_owner(machine: Machine, ocm: Ocm, worker: str) -> None:
    ocm("stop", worker)
    squatter = machine.popen(["python3", "-m", "http.server", "19001", "--bind", "127.0.0.1"])
    try:
        wait_for(lambda: "19001" in machine.run(["ss", "-Hltn"]).stdout, 20, "squatter")
        refused(ocm("start", worker, check=False), "port 19001 is taken by PID ")
        taken = ocm("create", "other", "--port", "19001", check=False)
        refused(taken, "belongs to worker1")
    finally:
        squatter.kill()
        squatter.communicate()
    assert rows(ocm)[worker]["state"] == "stopped"


def test_unit_that_was_edited_is_not_started_and_not_lost(machine: Machine, ocm: Ocm, worker: str) -> None:
    ocm("stop", worker)
    before = machine.read(UNIT)
    machine.write(UNIT, before.replace("PrivateUsers=yes", "PrivateUsers=no"))
    refused(ocm("start", worker, check=False), "was edited by hand")
    assert "edited by hand" in str(answer(ocm, "status", worker)["results"][0]["drift"])
    assert "PrivateUsers=no" in machine.read(UNIT)
    assert "ready and sealed" in ocm("start", worker, "--repair").stdout
    assert machine.read(UNIT) == before


@pytest.mark.both_releases
@pytest.mark.usefixtures("running")
def test_killed_for_want_of_memory_is_told_apart_from_killed(machine: Machine, ocm: Ocm, worker: str) -> None:
    """The machine's memory controller does not bite: the manager's own log entry is forged instead."""
    machine.run(["kill", "-9", str(rows(ocm)[worker]["pid"])])
    wait_for(lambda: "signal 9" in str(rows(ocm)[worker]["reason"]), 5, "reason")
    wait_for(lambda: rows(ocm)[worker]["pid"] is not None, 60, "new gateway")
    show = ["systemctl", "--user", "show", "--value", "--property=InvocationID", "openclaw-gateway-worker1"]
    entry = (
        "MESSAGE_ID=fe6faa94e7774663a0da52717891d8ef\nMESSAGE=A process of this unit has been killed\n"
        f"USER_INVOCATION_ID={machine.run(show).stdout.strip()}\n"
    )
    machine.run(["logger", "--journald"], input=entry)
    machine.run(["kill", "-9", str(rows(ocm)[worker]["pid"])])
    wait_for(lambda: "out of memory" in str(rows(ocm)[worker]["reason"]), 5, "reason")
    wait_until_healthy(ocm, worker)


@pytest.mark.both_releases
@pytest.mark.usefixtures("running")
def test_one_that_prints_without_an_end_leaves_the_journal_to_others(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    """Journald keeps nothing of a user's units for half a minute once one of them printed too much."""
    gateway = machine.run(["pgrep", "-f", f"^openclaw-gateway|profile {worker} gateway"], user="root").stdout
    flood = f"yes flood | head -c 30000000 > /proc/{gateway.split()[-1]}/fd/1"
    machine.run(["bash", "-c", flood], user="root")
    machine.run(["systemd-run", "--user", "--wait", "--unit=another", "echo", "still heard"])
    assert "still heard" in machine.run(["journalctl", "--user", "--unit=another", "--output=cat"]).stdout
    wait_for(lambda: "lines were left out" in ocm("logs", worker, "-n", "9").stdout, 30, "what is told")
    assert 1000 < ocm("logs", worker, "-n", "100000").stdout.count("flood") < 3000


@pytest.mark.both_releases
def test_limits_of_the_record_reach_systemd(machine: Machine, ocm: Ocm, worker: str) -> None:
    assert worker
    ocm("create", "limited", "--memory", "2G", "--cpus", "1.5", "--tasks", "300")
    properties = "--property=MemoryMax,CPUQuotaPerSecUSec,TasksMax,SyslogLevelPrefix"
    shown = machine.run(["systemctl", "--user", "show", properties, "openclaw-gateway-limited"]).stdout
    limits = {"MemoryMax=2147483648", "CPUQuotaPerSecUSec=1.500000s", "TasksMax=300"}
    assert set(shown.split()) == {*limits, "SyslogLevelPrefix=no"}
    assert "memory 2G, cpus 1.5, tasks 300" in ocm("status", "limited").stdout
    ocm("delete", "limited", "--yes")


def test_state_that_the_instance_made_hostile_is_refused_in_one_sentence(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    # Not while the gateway runs: it reads its config when it changes, and would wait for ever on a pipe.
    ocm("stop", worker)
    before = machine.read(CONFIG)
    for trick in ("ln -s /etc/passwd", "mkfifo", "truncate -s 1G"):
        inside(ocm, worker, f"cd ~/.openclaw-worker1; mv openclaw.json kept; {trick} openclaw.json")
        done = ocm("edit", worker, "tools.x", "1", check=False)
        assert done.returncode == 1, done
        assert "Traceback" not in done.stderr
        assert "cannot be read" in str(answer(ocm, "status", worker)["results"][0]["drift"])
        inside(ocm, worker, "cd ~/.openclaw-worker1; rm openclaw.json; mv kept openclaw.json")
    assert machine.read(CONFIG) == before


TOLD = f"{HOME}/told.txt"


@pytest.fixture
def told(machine: Machine, ocm: Ocm, worker: str) -> Iterator[Callable[[], list[str]]]:
    """Have messages go to a file; give what has the timer's unit run, and tells the titles on the worker."""

    def look() -> list[str]:
        machine.run(["systemctl", "--user", "start", "ocm-notify-all.service"])
        return [line for line in machine.read(TOLD).splitlines() if line.startswith(worker)]

    machine.write(TOLD, "")
    ocm("notify", "add", "command", "--", "tee", "-a", TOLD)
    yield look
    ocm("notify", "remove", "command")
    machine.run(["rm", TOLD])


def test_config_that_openclaw_refuses_is_exit_78_with_its_last_words_and_told_once(
    machine: Machine, ocm: Ocm, worker: str, told: Callable[[], list[str]]
) -> None:
    assert told() == []
    ocm("stop", worker)
    before = machine.read(CONFIG)
    machine.write(CONFIG, json.dumps({**json.loads(before), "foo": 1}), mode=0o600)
    done = ocm("start", worker, check=False)
    refused(done, "exit 78: OpenClaw refuses its config or its state")
    assert "Unrecognized key" in done.stderr
    machine.run(["systemctl", "--user", "start", "openclaw-gateway-worker1"])
    wait_for(lambda: rows(ocm)[worker]["state"] == "failed", 90, "failed state")
    assert "exit 78" in rows(ocm)[worker]["reason"]
    assert ocm("health", check=False).returncode == 1
    for _look in range(2):
        assert told() == [f"{worker} is down"]
    machine.write(CONFIG, before, mode=0o600)
    assert "ready and sealed" in ocm("start", worker).stdout
    for _look in range(2):
        assert told() == [f"{worker} is down", f"{worker} is ready again"]


def test_nothing_of_the_state_is_run_before_openclaws_own_code(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    """What starts it (Python, Perl, Node, a shell) looks there for none of what it would run.

    That lies in the state, and where an instance's own programs go.
    """
    state = f"{HOME}/.openclaw-{worker}"
    shells = (".bashrc", ".bash_profile", ".profile", ".bash_login", ".bash_logout", ".zshenv", ".env.sh")
    perls = ("strict.pm", "warnings.pm", "POSIX.pm", "sitecustomize.pl", "lib/perl5/strict.pm")
    pythons = ("sitecustomize.py", "usercustomize.py", "zipimport.py", "tool_host.py", "__init__.py", "os.py")
    nodes = (
        "index.js",
        "entry.js",
        "node_modules/openclaw/index.js",
        ".node_modules/openclaw.js",
        "tslog.js",
    )
    texts = {
        **dict.fromkeys(shells, 'echo "$0" >>{state}/ran\n'),
        **dict.fromkeys(perls, 'open F, ">>{state}/ran"; print F "perl\n"; close F; 1;\n'),
        **dict.fromkeys(pythons, 'open("{state}/ran", "a").write("python\\n")\n'),
        **dict.fromkeys(nodes, 'require("fs").appendFileSync("{state}/ran", "node\\n")\n'),
        "node.config.json": '{{"nodeOptions": {{"require": "{state}/index.js"}}}}',
        "package.json": '{{"type": "commonjs", "imports": {{"#*": "./index.js"}}, "main": "./index.js"}}',
        "openssl.cnf": "openssl_conf = none\n.include {state}/ran\n",
    }
    script = f"cd {state}; mkdir -p lib/perl5 node_modules/openclaw .node_modules\n"
    for name, text in texts.items():
        script += f"cat >{name} <<'END'\n{text.format(state=state)}\nEND\n"
    programs = ("perl", "python3", "node", "bash", "sh", "env", "script", "openclaw", "bwrap")
    script += "mkdir -p programs/bin $(cd /; python3 -m site --user-site)\n"
    for name in programs:
        script += f"printf '#!/bin/sh\\necho program >>{state}/ran\\n' >programs/bin/{name}\n"
    script += "chmod +x programs/bin/*\n"
    user = f'open("{state}/ran", "a").write("of the user\\n")'
    script += f"echo '{user}' >$(cd /; python3 -m site --user-site)/usercustomize.py\n"
    inside(ocm, worker, script)
    show_some(machine, ocm, worker)
    works = (
        ["node", "-e", f"require('{state}/index.js')"],
        ["python3", "-B", "-c", "import tool_host"],
        ["perl", f"-I{state}", "-e", "use strict"],
        ["bash", ".bashrc"],
        [f"{state}/programs/bin/perl"],
        ["env", f"PYTHONUSERBASE={state}/programs", "python3", "-c", ""],
    )
    try:
        for argv in works:
            machine.run(argv, cwd=state)
        worked = "node\npython\nperl\n.bashrc\nprogram\nof the user\n"
        assert machine.read(f"{state}/ran") == worked, "what is planted does not work"
        machine.run(["rm", f"{state}/ran"])
        ocm("restart", worker)
        ocm("use", worker, "--version")
        inside(ocm, worker, f"cd {state}; true")
        ocm.pty("enter", worker, answers=[(f"[{worker}]", "exit\n")])
        assert machine.run(["cat", f"{state}/ran"], check=False).stdout == ""
        assert_shown(machine, ocm, worker)
    finally:
        machine.run(
            [
                "sh",
                "-c",
                f"cd {state} && rm -rf ran lib node_modules .node_modules programs {' '.join(texts)}",
            ]
        )


def test_hostile_state_is_deleted_all_the_same(machine: Machine, ocm: Ocm, worker: str) -> None:
    assert worker
    ocm("create", "hostile")
    nest = 'python3 -c \'import os\nfor _ in range(3000): os.mkdir("d"); os.chdir("d")\''
    script = (
        f"cd ~/.openclaw-hostile && (mkdir deep && cd deep && {nest});"
        " mkdir -p closed/in; touch closed/in/x; chmod 000 closed/in closed;"
        " mkdir wide; (cd wide; seq 3000 | xargs mkdir; touch 7/x);"
        " ln -s /home/debian/.bashrc link; ln -s / root; mkfifo pipe; touch $'a\\nb'"
    )
    inside(ocm, "hostile", script)
    ocm("delete", "hostile", "--yes")
    assert machine.run(["test", "-e", f"{HOME}/.openclaw-hostile"], check=False).returncode == 1
    assert machine.run(["test", "-e", f"{HOME}/.bashrc"]).returncode == 0


def test_a_state_on_another_disk_is_neither_followed_nor_half_removed(machine: Machine, ocm: Ocm) -> None:
    ocm("create", "moved")
    state, disk = f"{HOME}/.openclaw-moved", f"{HOME}/disk"
    machine.run(["bash", "-c", f"mv {state} {disk}; ln -s {disk} {state}"])
    before = home_files(machine)
    for command in (("start", "moved"), ("backup", "moved"), ("delete", "moved", "--yes")):
        refused(ocm(*command, check=False), f"{state} is a link, which OCM does not follow")
    assert home_files(machine) == before
    machine.run(["rm", state])
    machine.run(["mv", disk, state])
    machine.run(["mount", "--bind", f"{state}/workspace", f"{state}/workspace"], user="root")
    try:
        refused(ocm("delete", "moved", "--yes", check=False), f"something is mounted at {state}/workspace")
        assert rows(ocm)["moved"]["state"] == "stopped"
    finally:
        machine.run(["umount", f"{state}/workspace"], user="root")
    machine.run(["install", "-d", "-o", "root", f"{state}/workspace/others/full"], user="root")
    done = ocm("delete", "moved", "--yes", check=False)
    refused(done, "belongs to another user")
    assert f"sudo chown -R 1000 {state}" in done.stderr
    machine.run(["chown", "-R", "1000", state], user="root")
    ocm("delete", "moved", "--yes")
    assert "moved" not in rows(ocm)
    assert machine.run(["test", "-e", state], check=False).returncode == 1


@pytest.mark.usefixtures("running")
def test_corrupt_record_is_said_and_loses_nothing(machine: Machine, ocm: Ocm, worker: str) -> None:
    before = machine.read(RECORD)
    machine.write(RECORD, before + "surprise = 1\n", mode=0o600)
    refused(ocm("start", worker, check=False), "is corrupt")
    row = rows(ocm)[worker]
    assert row["state"] == "failed"
    assert "surprise" in row["problem"]
    assert machine.read(RECORD).endswith("surprise = 1\n")
    machine.write(RECORD, before, mode=0o600)
    wait_until_healthy(ocm, worker)


def test_deploy_that_fails_leaves_no_trace(machine: Machine, ocm: Ocm, no_instance: set[str]) -> None:
    done = ocm("deploy", "worker1", "--timeout", "2", check=False)
    refused(done, "worker1 did not become ready")
    assert home_files(machine) == no_instance
    assert answer(ocm, "list")["results"] == []
    assert (
        machine.run(["systemctl", "--user", "list-units", "--all", "--no-legend", "*worker1*"]).stdout == ""
    )


def test_kept_failure_can_be_looked_at_and_deleted(ocm: Ocm, no_instance: set[str]) -> None:
    assert no_instance is not None
    refused(ocm("deploy", "worker1", "--timeout", "2", "--keep", check=False), "did not become ready")
    assert rows(ocm)["worker1"]["state"] in ("starting", "ready")
    ocm("delete", "worker1", "--force", "--yes")


@pytest.mark.both_releases
@pytest.mark.usefixtures("no_instance")
def test_missing_or_old_runtime_is_said_with_the_command_that_mends_it(machine: Machine, ocm: Ocm) -> None:
    old = f"{HOME}/old"
    machine.write(f"{old}/node", "#!/bin/sh\necho v20.1.0\n", mode=0o755)
    machine.run(["mv", "/usr/local/bin/node", "/usr/local/bin/node-away"], user="root")
    try:
        path = {"PATH": f"{old}:/usr/bin:/bin"}
        refused(ocm("deploy", "worker1", "--no-install", env=path, check=False), "does not answer as Node")
        missing = ocm("deploy", "worker1", "--no-install", check=False)
        refused(missing, "Node is not installed")
        assert "ocm setup --yes" in missing.stderr
        unasked = ocm("deploy", "worker1", check=False)
        assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True), unasked
    finally:
        machine.run(["mv", "/usr/local/bin/node-away", "/usr/local/bin/node"], user="root")
        machine.run(["rm", "-r", old])
    openclaw = machine.run(["sh", "-c", "command -v openclaw"]).stdout.strip()
    machine.run(["mv", openclaw, f"{openclaw}-away"], user="root")
    try:
        refused(ocm("deploy", "worker1", "--no-install", check=False), "OpenClaw is not installed")
    finally:
        machine.run(["mv", f"{openclaw}-away", openclaw], user="root")


def test_node_and_openclaw_behind_shims_are_found_where_they_are(machine: Machine, ocm: Ocm) -> None:
    """As of mise: links to one program, which does what it is called."""
    mise, names = f"{HOME}/mise", ("node", "openclaw")
    places = {name: machine.run(["sh", "-c", f"command -v {name}"]).stdout.strip() for name in names}
    package = machine.run(["realpath", places["openclaw"]]).stdout.strip().rpartition("/")[0]
    cases = "".join(f'    {name}) exec {place}-away "$@" ;;\n' for name, place in places.items())
    machine.write(f"{mise}/bin/mise", f"#!/bin/sh\ncase ${{0##*/}} in\n{cases}esac\n", mode=0o755)
    machine.run(["mkdir", f"{mise}/shims"])
    try:
        for name, place in places.items():
            machine.run(["ln", "-s", "../bin/mise", f"{mise}/shims/{name}"])
            machine.run(["mv", place, f"{place}-away"], user="root")
        path = {"PATH": f"{mise}/shims:/usr/bin:/bin"}
        said = json.loads(ocm("setup", "--no-install", "--json", env=path, check=False).stdout)
    finally:
        for place in places.values():
            machine.run(["mv", f"{place}-away", place], user="root", check=False)
        machine.run(["rm", "-r", mise])
    found = {one["what"]: one["detail"] for one in said["results"][0]["findings"]}
    assert found["Node"].endswith(f", {places['node']}-away")
    assert found["OpenClaw"].endswith(f", {package}")


@pytest.mark.both_releases
@pytest.mark.usefixtures("no_instance")
def test_no_user_manager_is_said_with_the_way_to_one(ocm: Ocm) -> None:
    nowhere = {"XDG_RUNTIME_DIR": "/run/nowhere", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/nowhere/bus"}
    ocm("create", "worker1")
    done = ocm("start", "worker1", env=nowhere, check=False)
    refused(done, "no systemd user manager answers for debian")
    assert "loginctl enable-linger debian" in done.stderr
    ocm("delete", "worker1", "--yes")


@pytest.mark.both_releases
@pytest.mark.usefixtures("no_instance")
def test_forbidden_user_namespaces_are_said_with_the_sysctl(machine: Machine, ocm: Ocm) -> None:
    switch = "/proc/sys/user/max_user_namespaces"
    machine.run(["sh", "-c", f"echo 0 > /run/zero; mount --bind /run/zero {switch}"], user="root")
    try:
        done = ocm("deploy", "worker1", check=False)
    finally:
        machine.run(["umount", switch], user="root")
    refused(done, "this machine lacks user namespaces")
    assert "sudo sysctl -w user.max_user_namespaces=" in done.stderr


@pytest.mark.usefixtures("no_instance")
def test_user_bus_that_is_not_there_is_said_by_what_needs_it_and_brought_by_setup(
    machine: Machine, ocm: Ocm
) -> None:
    ocm("create", "worker1")
    machine.run(["systemctl", "--user", "stop", "dbus.socket"])
    machine.run(["sh", "-c", "rm -f /run/user/$(id -u)/bus"])
    try:
        for command in (("use", "worker1", "--version"), ("edit", "worker1", "logging.level", "info")):
            refused(ocm(*command, check=False), "this machine lacks user bus: nothing listens on")
        ocm("setup", "--yes")
        assert "OpenClaw" in ocm("use", "worker1", "--version").stdout
    finally:
        machine.run(["systemctl", "--user", "start", "dbus.socket"])
        ocm("delete", "worker1", "--yes")


@pytest.mark.usefixtures("no_instance")
def test_full_disk_is_said_and_undone(machine: Machine, ocm: Ocm) -> None:
    units = f"{HOME}/.config/systemd/user"
    machine.run(["mkdir", "-p", units])
    mount = f"mount -t tmpfs -o size=4k,uid=1000,mode=700 tmpfs {units}; head -c 1M /dev/zero > {units}/full"
    machine.run(["sh", "-c", f"{mount} 2>/dev/null || true"], user="root")
    try:
        done = ocm("deploy", "worker1", check=False)
    finally:
        machine.run(["umount", units], user="root")
    refused(done, "No space left on device")


@pytest.mark.usefixtures("no_instance")
def test_missing_linger_is_a_warning_with_the_command(machine: Machine, ocm: Ocm) -> None:
    machine.run(["mv", "/var/lib/systemd/linger/debian", "/var/lib/systemd/linger-away"], user="root")
    try:
        said = ocm("create", "worker1").stderr
        assert "sudo loginctl enable-linger debian" in said
        notes = answer(ocm, "status", "worker1")["results"][0]["notes"]
        assert any("enable-linger" in note for note in notes)
    finally:
        machine.run(["mv", "/var/lib/systemd/linger-away", "/var/lib/systemd/linger/debian"], user="root")
        ocm("delete", "worker1", "--yes")


@pytest.mark.usefixtures("no_instance")
def test_directory_that_is_not_ocms_is_not_taken(machine: Machine, ocm: Ocm) -> None:
    machine.write(f"{HOME}/.openclaw-worker1/precious", "keep me")
    try:
        refused(ocm("deploy", "worker1", check=False), "exists already and is not OCM's")
        assert machine.read(f"{HOME}/.openclaw-worker1/precious") == "keep me"
    finally:
        machine.run(["rm", "-r", f"{HOME}/.openclaw-worker1"])


@pytest.mark.both_releases
@pytest.mark.usefixtures("no_instance")
def test_drop_in_and_its_link_go_with_the_instance(machine: Machine, ocm: Ocm) -> None:
    ocm("create", "worker1", "--autostart")
    machine.write(f"{UNIT}.d/limits.conf", "[Service]\nNice=5\n")
    machine.run(["rm", UNIT])
    machine.run(["systemctl", "--user", "daemon-reload"])
    row = rows(ocm)["worker1"]
    assert (row["state"], "no definition" in row["reason"]) == ("failed", True)
    ocm("delete", "worker1", "--yes")


@pytest.mark.usefixtures("no_instance")
def test_create_with_other_wishes_is_refused_and_with_the_same_does_nothing(ocm: Ocm) -> None:
    ocm("create", "worker1", "--memory", "2G", "--model", "fake/fake-1")
    refused(ocm("create", "worker1", "--memory", "4G", check=False), "otherwise than asked for")
    refused(ocm("create", "worker1", "--model", "fake/other", check=False), "with another model")
    again = ocm("create", "worker1", "--memory", "2G", "--model", "fake/fake-1")
    assert again.stdout == "worker1: exists already\n"
    ocm("delete", "worker1", "--yes")


@pytest.mark.usefixtures("no_instance")
def test_two_creates_at_once_take_two_ports(machine: Machine, ocm: Ocm) -> None:
    script = "./ocm.py create one & ./ocm.py create two & wait"
    machine.run(["bash", "-c", script], cwd=ocm.folder)
    assert {row["port"] for row in rows(ocm).values()} == {19001, 19021}
    ocm("delete", "--all", "--yes")


def test_root_with_the_home_of_another_user_makes_nothing_there(machine: Machine, ocm: Ocm) -> None:
    before = home_files(machine)
    for words in (["list"], ["create", "roots"]):
        done = machine.run([f"{ocm.folder}/ocm.py", *words], user="root", env={"HOME": HOME}, check=False)
        refused(done, f"HOME is {HOME}, which belongs to debian, and you are root")
    assert home_files(machine) == before
