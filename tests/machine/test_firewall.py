"""The firewall with the real UFW: its list, a real gateway's sockets, and who gets through from outside."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from .instances import HOME, answer, home_files, mend, rows, wait_for, wait_until_healthy
from .test_recovery import forget_driver, killed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

PORT = 19001
TAG = "comment 'ocm:worker1'"
DENY = f"deny 19001/tcp {TAG}"
NEAR, OTHER = "10.9.0.2", "10.9.0.3"
# Rules of the user's own: two on the very port, one that lets in everybody on the test's network.
THEIRS = (
    "allow 22/tcp",
    "allow from 192.0.2.7 to any port 19001 proto tcp comment 'mine'",
    "allow 19001/udp",
    "allow from 10.9.0.0/24",
)
SUDOERS = "/etc/sudoers.d/firewall"
# Where the port is listened on by the kind of network: closed, with a config that says otherwise, exposed.
SHARED = ("shared", {"127.0.0.1", "[::1]"}, {"0.0.0.0"}, {"0.0.0.0"})
OWN = ("own", {"127.0.0.1"}, {"127.0.0.1"}, {"127.0.0.1", "10.9.0.1"})


def ufw(machine: Machine, command: str, *, check: bool = True) -> str:
    return machine.run(["sh", "-c", f"ufw {command}"], user="root", check=check).stdout


def added(machine: Machine) -> list[str]:
    """Return the rules that UFW has, in its order."""
    lines = ufw(machine, "show added").splitlines()
    return [line.removeprefix("ufw ") for line in lines if line.startswith("ufw ")]


def own(machine: Machine) -> list[str]:
    return [line for line in added(machine) if "ocm:" in line]


@pytest.fixture(autouse=True)
def firewall(machine: Machine) -> Iterator[str]:
    """UFW is active and has rules of others, which are the same to the letter afterwards."""
    ufw(machine, "--force enable")
    for rule in THEIRS:
        ufw(machine, rule)
    before = ufw(machine, "status verbose")
    yield before
    try:
        assert ufw(machine, "status verbose") == before
        assert added(machine) == list(THEIRS)
    finally:
        ufw(machine, "--force reset")
        machine.run(["sh", "-c", "rm -f /etc/ufw/*.rules.2*"], user="root")


def permit(machine: Machine, commands: str) -> None:
    machine.write(SUDOERS, f"debian ALL=(root) NOPASSWD: {commands}\n", user="root", mode=0o440)


@pytest.fixture
def permitted(machine: Machine) -> Iterator[None]:
    """Let the user run ufw as root, without a password."""
    permit(machine, "/usr/sbin/ufw")
    yield
    machine.run(["rm", "-f", SUDOERS], user="root")


@pytest.fixture
def no_trace(machine: Machine, ocm: Ocm) -> Iterator[None]:
    """Nothing of an instance is left, whatever a test does."""
    before = home_files(machine)
    yield
    ocm("delete", "--all", "--force", "--yes", check=False)
    assert home_files(machine) == before


@pytest.fixture
def neighbours(machine: Machine) -> Iterator[None]:
    """Two machines on a network of their own with this one, as far as the kernel can tell."""
    script = f"""
        ip netns add outside
        ip link add near0 type veth peer name eth0 netns outside
        ip addr add 10.9.0.1/24 dev near0
        ip link set near0 up
        ip -n outside addr add {NEAR}/24 dev eth0
        ip -n outside addr add {OTHER}/24 dev eth0
        ip -n outside link set eth0 up
    """
    machine.run(["sh", "-euc", script], user="root")
    yield
    machine.run(["sh", "-euc", "ip link del near0; ip netns del outside"], user="root")


def reaches(machine: Machine, source: str) -> bool:
    """Tell whether a gateway answers a neighbour; refused and dropped alike are no answer."""
    asked = ["ip", "netns", "exec", "outside", "curl", "-s", "--max-time", "3", "--interface", source]
    done = machine.run([*asked, f"http://10.9.0.1:{PORT}/readyz"], user="root", check=False)
    return '"ready":true' in done.stdout


def listening(machine: Machine) -> set[str]:
    """Return the addresses on which the port is listened on."""
    shown = machine.run(["ss", "-Hltn", f"sport = :{PORT}"]).stdout
    return {line.split()[3].rpartition(":")[0] for line in shown.splitlines()}


def findings(ocm: Ocm) -> list[str]:
    """Return what doctor finds wrong or worth knowing, but that no agent here has a model, and networks."""
    (found,) = answer(ocm, "doctor", check=False)["results"]
    problems = [f"{problem['about']}: {problem['what']}; {problem['mend']}" for problem in found["problems"]]
    known = ("has no model", "in the network of this machine")
    return [*problems, *(note for note in found["notes"] if not any(words in note for words in known))]


def config_alone_opens_nothing(machine: Machine, ocm: Ocm, closed: set[str], bound: set[str]) -> None:
    """Have the config say what the record does not: the instance may write it, and a person may err."""
    ocm("edit", "worker1", "gateway.bind", "lan")
    wait_for(lambda: listening(machine) == bound, 90, "gateway beyond the loopback")
    wait_until_healthy(ocm, "worker1")
    assert not reaches(machine, NEAR)
    beyond = "worker1 is not exposed, but port 19001 is listened on at 0.0.0.0"
    assert (beyond in str(findings(ocm))) == (bound != closed)
    assert ocm("unexpose", "worker1").stdout == "worker1: reached from this machine alone\n"
    assert listening(machine) == closed


def failed_exposure_is_undone(machine: Machine, ocm: Ocm, closed: set[str]) -> None:
    hasty = ocm("expose", "worker1", "--from", NEAR, "--timeout", "1", check=False)
    assert (hasty.returncode, "did not become ready" in hasty.stderr) == (1, True)
    assert added(machine) == [DENY, *THEIRS]
    wait_until_healthy(ocm, "worker1")
    assert listening(machine) == closed


@pytest.mark.parametrize(
    "kind", [pytest.param(SHARED, id="shared", marks=pytest.mark.full), pytest.param(OWN, id="own")]
)
@pytest.mark.usefixtures("permitted", "no_trace", "neighbours")
def test_an_instance_is_closed_then_open_to_one_network_then_closed_and_gone(
    machine: Machine, ocm: Ocm, firewall: str, kind: tuple[str, set[str], set[str], set[str]]
) -> None:
    network, closed, bound, opened = kind
    deployed = ocm("deploy", "worker1", "--network", network)
    assert "firewall" not in deployed.stderr
    assert added(machine) == [DENY, *THEIRS]
    assert listening(machine) == closed
    status = answer(ocm, "status", "worker1")["results"][0]
    assert (status["expose"], status["firewall"]) == ([], "deny 19001/tcp")
    assert findings(ocm) == []

    config_alone_opens_nothing(machine, ocm, closed, bound)
    shown = ocm("expose", "worker1", "--from", NEAR, "--dry-run")
    assert "set firewall rules of worker1: allow from 10.9.0.2 to any port 19001" in shown.stdout
    assert added(machine) == [DENY, *THEIRS]
    failed_exposure_is_undone(machine, ocm, closed)
    exposed = ocm("expose", "worker1", "--from", NEAR)
    assert exposed.stdout == f"worker1: exposed to {NEAR}/32 on port {PORT}\n"
    assert "plain HTTP" in exposed.stderr
    allow = f"allow from {NEAR} to any port 19001 proto tcp {TAG}"
    assert added(machine) == [allow, DENY, *THEIRS]
    said = ufw(machine, "status")
    assert re.search(rf"19001/tcp +ALLOW +{re.escape(NEAR)} +# ocm:worker1", said)
    assert set(firewall.splitlines()[6:]) <= set(ufw(machine, "status verbose").splitlines())
    assert listening(machine) == opened
    assert reaches(machine, NEAR)
    assert not reaches(machine, OTHER)
    status = answer(ocm, "status", "worker1")["results"][0]
    assert status["expose"] == [f"{NEAR}/32"]
    assert status["firewall"] == f"allow from {NEAR} to any port 19001 proto tcp, deny 19001/tcp"
    assert status["drift"] == []
    assert findings(ocm) == []
    pid = rows(ocm)["worker1"]["pid"]
    again = ocm("expose", "worker1", "--from", NEAR)
    assert again.stdout == f"worker1: already exposed to {NEAR}/32 on port {PORT}\n"
    assert rows(ocm)["worker1"]["pid"] == pid

    # Another network needs no restart.
    ocm("expose", "worker1", "--from", OTHER)
    assert rows(ocm)["worker1"]["pid"] == pid
    assert reaches(machine, OTHER)
    assert not reaches(machine, NEAR)

    assert ocm("unexpose", "worker1").stdout == "worker1: reached from this machine alone\n"
    assert added(machine) == [DENY, *THEIRS]
    assert listening(machine) == closed
    assert not reaches(machine, OTHER)
    assert ocm("unexpose", "worker1").stdout == "worker1: already reached from this machine alone\n"
    ocm("delete", "worker1", "--force", "--yes")
    assert ufw(machine, "status verbose") == firewall


@pytest.mark.usefixtures("no_trace")
def test_without_the_right_the_command_is_told_and_works(machine: Machine, ocm: Ocm, firewall: str) -> None:
    created = ocm("create", "worker1")
    assert created.stdout == "worker1: created, not started: ocm start worker1\n"
    typed = "sudo ufw prepend deny 19001/tcp comment ocm:worker1"
    assert f"firewall rules of worker1 are pending, for they take root: {typed}" in created.stderr
    assert ufw(machine, "status verbose") == firewall
    status = answer(ocm, "status", "worker1")["results"][0]
    assert status["firewall"] == f"unknown, not permitted to look; wanted: {typed}"
    machine.run(typed.split(), user="root")
    assert added(machine) == [DENY, *THEIRS]

    # The default of UFW keeps everybody out until the command is typed: nothing is asked.
    exposed = ocm("expose", "worker1", "--from", "10.0.0.0/8")
    assert added(machine) == [DENY, *THEIRS]
    type_in(machine, exposed.stderr)
    assert added(machine) == ["allow from 10.0.0.0/8 to any port 19001 proto tcp " + TAG, DENY, *THEIRS]
    type_in(machine, ocm("unexpose", "worker1").stderr)
    assert added(machine) == [DENY, *THEIRS]
    type_in(machine, ocm("delete", "worker1", "--yes").stderr)


def type_in(machine: Machine, said: str) -> None:
    """Do as told: run what follows the first sudo."""
    (line,) = re.findall(r"take root: (sudo .*)", said)
    machine.run(["sh", "-euc", line], user="root")


@pytest.mark.usefixtures("no_trace")
def test_a_right_that_is_given_later_is_used_by_the_next_command(machine: Machine, ocm: Ocm) -> None:
    ocm("create", "worker1")
    typed = "sudo ufw prepend deny 19001/tcp comment ocm:worker1"
    try:
        permit(machine, "ALL, !/usr/sbin/ufw")
        status = answer(ocm, "status", "worker1")["results"][0]
        assert status["firewall"] == f"unknown, not permitted to look; wanted: {typed}"
        permit(machine, "/usr/sbin/ufw show added")
        assert answer(ocm, "status", "worker1")["results"][0]["firewall"] == f"pending: {typed}"
        assert [line for line in findings(ocm) if line.endswith(f"; {typed}")]
        # It may look, and no more: no failure, and the command is told.
        told = ocm("unexpose", "worker1")
        assert f"pending, for they take root: {typed}" in told.stderr
        permit(machine, "/usr/sbin/ufw")
        assert ocm("unexpose", "worker1").stderr == ""
        assert own(machine) == [DENY]
        ocm("delete", "worker1", "--yes")
    finally:
        machine.run(["rm", "-f", SUDOERS], user="root")


@pytest.mark.both_releases
@pytest.mark.usefixtures("permitted", "no_trace")
def test_everybody_is_let_in_only_after_two_answers(machine: Machine, ocm: Ocm) -> None:
    ocm("create", "worker1")
    for yes in ([], ["--yes"]):
        refused = ocm("expose", "worker1", "--from", "any", *yes, check=False)
        assert refused.returncode == 2
        assert "--yes --yes answers" in refused.stderr
    half = ocm.pty(
        "expose", "worker1", "--from", "any", answers=[("reach worker1?", "y\n"), ("sure?", "n\n")]
    )
    assert (half.returncode, "nothing was done" in half.output) == (1, True)
    assert own(machine) == [DENY]
    whole = ocm.pty(
        "expose", "worker1", "--from", "any", answers=[("reach worker1?", "y\n"), ("sure?", "y\n")]
    )
    assert "exposed to every machine on port 19001" in whole.output
    assert own(machine) == ["allow 19001/tcp comment 'ocm:worker1'"]
    config = json.loads(machine.read(f"{HOME}/.openclaw-worker1/openclaw.json"))
    assert config["gateway"]["bind"] == "lan"
    ocm("unexpose", "worker1")
    assert own(machine) == [DENY]
    config = json.loads(machine.read(f"{HOME}/.openclaw-worker1/openclaw.json"))
    assert config["gateway"]["bind"] == "loopback"
    assert ocm("expose", "worker1", "--from", "any", "--yes", "--yes").returncode == 0
    ocm("delete", "worker1", "--yes")
    assert own(machine) == []


@pytest.mark.both_releases
@pytest.mark.usefixtures("permitted", "no_trace")
def test_an_inactive_ufw_takes_rules_and_is_said_once_and_asked_about(machine: Machine, ocm: Ocm) -> None:
    ufw(machine, "disable")
    try:
        created = ocm("create", "worker1", "worker2")
        assert created.stderr.count("UFW is inactive") == 1
        assert len(own(machine)) == 2
        asked = ocm("expose", "worker1", "--from", "10.0.0.0/8", check=False)
        assert asked.returncode == 2
        assert "UFW is inactive, so every machine that reaches this one will reach worker1" in asked.stderr
        assert own(machine)[1] == DENY
        ocm("expose", "worker1", "--from", "10.0.0.0/8", "--yes")
        assert len(own(machine)) == 3
        assert ufw(machine, "status") == "Status: inactive\n"
        ocm("delete", "--all", "--yes")
    finally:
        ufw(machine, "--force enable")


@pytest.mark.usefixtures("permitted", "no_trace")
def test_a_rule_of_the_users_for_the_same_traffic_stays(machine: Machine, ocm: Ocm) -> None:
    theirs = "limit 19001/tcp comment 'mine too'"
    ufw(machine, theirs)
    try:
        created = ocm("create", "worker1")
        assert f"UFW has a rule that is not OCM's, and it stays: {theirs}" in created.stderr
        assert added(machine) == [*THEIRS, theirs]
        assert "limit 19001/tcp" in answer(ocm, "status", "worker1")["results"][0]["firewall"]
        ocm("expose", "worker1", "--from", "10.0.0.0/8", "--yes")
        assert own(machine) == [f"allow from 10.0.0.0/8 to any port 19001 proto tcp {TAG}"]
        ocm("delete", "worker1", "--yes")
        assert added(machine) == [*THEIRS, theirs]
    finally:
        ufw(machine, f"delete {theirs}")


@pytest.mark.usefixtures("permitted", "no_trace")
def test_a_rule_that_is_left_of_an_instance_is_found(machine: Machine, ocm: Ocm) -> None:
    ocm("create", "worker1")
    ufw(machine, "prepend deny 19999/tcp comment ocm:gone")
    ufw(machine, "prepend deny 19998/tcp comment ocm:worker1")
    try:
        found = findings(ocm)
        for name, port in (("gone", 19999), ("worker1", 19998)):
            assert [line for line in found if f"sudo ufw delete deny {port}/tcp comment ocm:{name}" in line]
        assert len(found) == 2
        ocm("delete", "worker1", "--yes")
        assert len(own(machine)) == 2
    finally:
        ufw(machine, "delete deny 19999/tcp")
        ufw(machine, "delete deny 19998/tcp")


@contextlib.contextmanager
def without(machine: Machine, program: str) -> Iterator[None]:
    machine.run(["mv", program, f"{program}-away"], user="root")
    try:
        yield
    finally:
        machine.run(["mv", f"{program}-away", program], user="root")


@pytest.mark.usefixtures("permitted", "no_trace")
def test_a_failure_of_ufw_is_undone_and_one_to_look_is_a_note(machine: Machine, ocm: Ocm) -> None:
    before = home_files(machine)
    with without(machine, "/usr/sbin/iptables-restore"):
        failed = ocm("create", "worker1", check=False)
        assert (failed.returncode, "problem running iptables" in failed.stderr) == (1, True)
        assert home_files(machine) == before
        assert own(machine) == []
    ufw(machine, "reload")
    with without(machine, "/usr/sbin/iptables"):
        noted = ocm("create", "worker1")
        assert "UFW does not tell its rules" in noted.stderr
    assert own(machine) == []
    ocm("delete", "worker1", "--yes")


@pytest.mark.usefixtures("permitted", "no_trace")
def test_a_deploy_that_fails_takes_its_rules_along(machine: Machine, ocm: Ocm) -> None:
    failed = ocm("deploy", "worker1", "--timeout", "1", check=False)
    assert failed.returncode == 1
    assert "undone: set firewall rules of worker1: deny 19001/tcp" in failed.stderr
    assert added(machine) == list(THEIRS)


@pytest.mark.usefixtures("permitted", "no_trace")
def test_without_authentication_nothing_is_exposed(machine: Machine, ocm: Ocm) -> None:
    ocm("create", "worker1")
    config = f"{HOME}/.openclaw-worker1/openclaw.json"
    ocm("edit", "worker1", "gateway.auth.mode", "none")
    before = machine.read(config)
    refused = ocm("expose", "worker1", "--from", "10.0.0.0/8", check=False)
    assert refused.returncode == 1
    assert "gateway.auth.mode is none, and has to be token or password" in refused.stderr
    assert machine.read(config) == before
    assert own(machine) == [DENY]
    ocm("delete", "worker1", "--yes")


@pytest.mark.usefixtures("permitted", "no_trace")
def test_an_exposure_that_was_killed_is_undone_by_the_next_command(machine: Machine, ocm: Ocm) -> None:
    ocm("create", "worker1")
    files = [f"{HOME}/.openclaw-worker1/openclaw.json", f"{HOME}/.config/ocm/instances/worker1.toml"]
    before = [machine.read(file) for file in files]
    steps = answer(ocm, "expose", "worker1", "--from", NEAR, "--dry-run")["results"][0]["steps"]
    for step in range(1, len(steps) + 1):
        for when in ("before", "after"):
            done = killed(machine, ocm, when, step, "expose", "worker1", "--from", NEAR)
            assert done.returncode == -signal.SIGKILL, done
            assert "an interrupted expose of worker1 was undone" in mend(ocm)
            assert [machine.read(file) for file in files] == before
            assert added(machine) == [DENY, *THEIRS]
    forget_driver(machine)
    assert len(steps) == 5
    ocm("delete", "worker1", "--yes")
