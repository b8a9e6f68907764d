"""`ocm doctor` where instances are: what it finds broken, what it mends, and what it leaves to a person."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from .instances import HOME, rows, wait_for
from .processes import kill_group
from .test_recovery import forget_driver, killed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

UNITS = f"{HOME}/.config/systemd/user"
RECORDS = f"{HOME}/.config/ocm/instances"


@pytest.fixture(autouse=True)
def instances(machine: Machine, ocm: Ocm) -> Iterator[None]:
    """Make two instances that do not run, and leave none."""
    ocm("create", "worker1")
    ocm("create", "worker2")
    yield
    ocm("delete", "--all", "--force", "--yes", check=False)
    machine.run(["bash", "-c", f"rm -rf {HOME}/.openclaw-worker* {HOME}/.openclaw/openclaw-worker*"])


def diagnosis(ocm: Ocm, *options: str) -> tuple[bool, dict[str, list[dict[str, Any]]]]:
    """Return whether all is well, and the problems by what they are about."""
    done = ocm("doctor", "--json", *options, check=False)
    answer = json.loads(done.stdout)
    assert answer["ok"] is (done.returncode == 0)
    found: dict[str, list[dict[str, Any]]] = {}
    for problem in answer["results"][0]["problems"]:
        found.setdefault(problem["about"], []).append(problem)
    return answer["ok"], found


def test_where_all_is_well_doctor_says_so(ocm: Ocm) -> None:
    assert ocm("doctor").stdout == "nothing is wrong\n"
    assert diagnosis(ocm, "--fix") == (True, {})


def test_a_definition_and_a_link_that_are_gone_are_written_anew(machine: Machine, ocm: Ocm) -> None:
    unit, link = f"{UNITS}/openclaw-gateway-worker1.service", f"{HOME}/.openclaw/openclaw-worker1.json"
    text = machine.run(["cat", unit]).stdout
    machine.run(["rm", unit, link])
    well, found = diagnosis(ocm)
    assert (well, set(found)) == (False, {"worker1"})
    assert {problem["fix"] for problem in found["worker1"]} >= {"write it", "link it"}
    assert machine.run(["test", "-e", unit], check=False).returncode == 1
    assert diagnosis(ocm, "--fix", "--yes") == (True, {})
    assert machine.run(["cat", unit]).stdout == text
    assert machine.run(["readlink", link]).stdout == f"{HOME}/.openclaw-worker1/openclaw.json\n"


def test_what_is_left_without_a_record_is_removed_once_the_state_is_gone(machine: Machine, ocm: Ocm) -> None:
    ocm("enable", "worker2")
    machine.run(["rm", f"{RECORDS}/worker2.toml"])
    there = ["bash", "-c", f"find {HOME} -name '*worker2*' | sort"]
    before = machine.run(there).stdout
    _well, found = diagnosis(ocm)
    assert {about: [problem["fix"] for problem in problems] for about, problems in found.items()} == {
        "worker2": [None]
    }
    assert diagnosis(ocm, "--fix", "--yes")[1] == found
    assert machine.run(there).stdout == before
    machine.run(["rm", "-r", f"{HOME}/.openclaw-worker2"])
    assert diagnosis(ocm, "--fix", "--yes") == (True, {})
    assert machine.run(there).stdout == ""


def test_what_a_person_changed_is_left_to_a_person(machine: Machine, ocm: Ocm) -> None:
    unit = f"{UNITS}/openclaw-gateway-worker1.service"
    machine.run(
        ["bash", "-c", f"echo '# mine' >>{unit}; echo '[Unit]' >{UNITS}/openclaw-gateway-mine.service"]
    )
    well, found = diagnosis(ocm, "--fix", "--yes")
    assert (well, set(found)) == (False, {"worker1"})
    assert any("--repair" in (problem["mend"] or "") for problem in found["worker1"])
    assert machine.run(["tail", "-n1", unit]).stdout == "# mine\n"
    machine.run(["rm", f"{UNITS}/openclaw-gateway-mine.service"])


def test_what_runs_in_the_sandbox_of_no_instance_is_told_and_ended(machine: Machine, ocm: Ocm) -> None:
    unit = "ocm-session.evil.0123abcd.service"
    machine.run(["systemd-run", "--user", "--quiet", f"--unit={unit}", "sleep", "5432"])
    well, found = diagnosis(ocm)
    assert (well, [problem["fix"] for problem in found["evil"]]) == (False, ["end it"])
    assert diagnosis(ocm, "--fix", "--yes") == (True, {})
    assert machine.run(["pgrep", "-f", "^sleep 5432"], check=False).stdout == ""


def test_a_port_that_a_stranger_took_is_told_with_who(machine: Machine, ocm: Ocm) -> None:
    port = rows(ocm)["worker1"]["port"]
    stranger = machine.popen(["python3", "-m", "http.server", str(port), "--bind", "127.0.0.1"])
    try:
        wait_for(lambda: str(port) in machine.run(["ss", "-Hltn"]).stdout, 20, "stranger")
        _well, found = diagnosis(ocm)
    finally:
        kill_group(stranger)
    assert [problem["what"].partition(" by PID ")[0] for problem in found["worker1"]] == [
        f"port {port} is taken"
    ]


def test_an_operation_that_was_killed_is_told_and_then_undone(machine: Machine, ocm: Ocm) -> None:
    done = killed(machine, ocm, "after", 4, "create", "worker3")
    assert done.returncode == -signal.SIGKILL, done
    forget_driver(machine)
    _well, found = diagnosis(ocm)
    assert [problem["what"] for problem in found["worker3"]] == ["an operation on it was cut off"]
    assert diagnosis(ocm, "--fix", "--yes") == (True, {})
    assert "worker3" not in rows(ocm)
