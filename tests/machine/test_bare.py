"""A newcomer's container: root, no systemd, no Node, no OpenClaw, no bubblewrap; two commands are all.

The tests are one story, told in this order on one machine, because everything is downloaded but once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from .access import table
from .checkout import Ocm, push_checkout
from .image import REPOSITORY
from .instances import (
    agent_answers,
    fake_model,
    home_files,
    kill_gateway,
    processes,
    refuse_tools,
    rows,
    transient_files,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .machine import Machine, Result

pytestmark = pytest.mark.both_releases

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp/nobody"]
DEPLOY_SECONDS = 900


@dataclass(frozen=True)
class Traces:
    """What commands could leave behind: files, and processes by pid."""

    files: set[str]
    pids: set[str]


def traces(machine: Machine) -> Traces:
    return Traces(files=home_files(machine) | transient_files(machine), pids=set(processes(machine)))


def assert_nothing_is_left(machine: Machine, before: Traces) -> None:
    wait_for(lambda: set(processes(machine)) <= before.pids, 15, "end of the processes")
    assert traces(machine).files == before.files


@pytest.fixture(scope="module")
def ocm(bare: Machine) -> Ocm:
    return push_checkout(bare)


@dataclass(frozen=True)
class Deployed:
    """The first of the two commands, and the machine before it."""

    before: Traces
    command: Result


@pytest.fixture(scope="module")
def deployed(bare: Machine, ocm: Ocm) -> Iterator[Deployed]:
    before = traces(bare)
    yield Deployed(before, ocm("deploy", "worker1", "--yes", timeout=DEPLOY_SECONDS))
    ocm("delete", "--all", "--force", "--yes", check=False)


def test_nothing_is_there_and_whoever_is_not_root_is_told_what_to_install_first(bare: Machine) -> None:
    refuse_tools(bare, "systemctl", "node", "npm", "openclaw", "bwrap")
    checkout = push_checkout(bare, "/opt/ocm")
    refused = bare.run([*NOBODY, f"{checkout.folder}/ocm.py", "--help"], check=False)
    bare.run(["rm", "-r", checkout.folder])
    hint = "ocm: this Python lacks ensurepip; mend it with: sudo apt install python3-venv\n"
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", hint)


def test_first_command_installs_everything_and_ends_ready_and_sealed(ocm: Ocm, deployed: Deployed) -> None:
    assert "worker1: ready and sealed\n" in deployed.command.stdout
    assert deployed.command.stderr.startswith("Installing python3-venv with apt-get")
    row = rows(ocm)["worker1"]
    assert (row["state"], row["backend"], row["isolation"]) == ("ready", "supervisord", "sealed")


@pytest.mark.usefixtures("deployed")
def test_agent_gets_the_models_answer_through_the_gateway(bare: Machine, ocm: Ocm) -> None:
    with fake_model(bare) as provider:
        assert "PONG from fake model" in agent_answers(ocm, "worker1", provider)


@pytest.mark.usefixtures("deployed")
def test_access_is_what_the_readme_says(bare: Machine, ocm: Ocm) -> None:
    ocm("create", "worker2")
    definition = f"{bare.home}/.config/ocm/supervisord/worker1.conf"
    lines = table(bare, ocm, "worker1", other="worker2", definition=definition)
    ocm("delete", "worker2", "--yes")
    assert "\n".join(lines) in (REPOSITORY / "README.md").read_text(), "\n" + "\n".join(lines)


@pytest.mark.usefixtures("deployed")
def test_killed_gateway_is_back_without_help(bare: Machine, ocm: Ocm) -> None:
    row = rows(ocm)["worker1"]
    kill_gateway(bare, row["port"])
    wait_for(lambda: rows(ocm)["worker1"]["pid"] not in (row["pid"], None), 60, "new gateway")
    wait_for(lambda: ocm("health", "worker1", check=False).returncode == 0, 120, "ready gateway")


def test_delete_leaves_nothing_and_no_process(bare: Machine, ocm: Ocm, deployed: Deployed) -> None:
    ocm("delete", "worker1", "--force", "--yes")
    assert rows(ocm) == {}
    assert_nothing_is_left(bare, deployed.before)


def test_where_namespaces_are_forbidden_only_unsealed_is_possible(
    bare: Machine, ocm: Ocm, deployed: Deployed
) -> None:
    bare.reboot(user_namespaces=False)
    assert bare.run(["unshare", "--user", "true"], check=False).returncode == 1
    before = traces(bare)
    refused = ocm("deploy", "worker1", "--yes", check=False, timeout=DEPLOY_SECONDS)
    assert refused.returncode == 1, refused
    assert "--unsealed" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert_nothing_is_left(bare, before)
    assert "worker1: ready" in ocm("deploy", "worker1", "--unsealed", "--yes").stdout
    (shown,) = (line for line in ocm("list").stdout.splitlines() if line.startswith("worker1"))
    assert "unsealed" in shown.split()
    assert rows(ocm)["worker1"]["state"] == "ready"
    ocm("delete", "worker1", "--force", "--yes")
    # Without a sandbox OpenClaw's own locks are in the machine's /tmp, where main would have them too.
    bare.run(["sh", "-c", "rm -r /tmp/openclaw* /tmp/.openclaw*"])
    assert_nothing_is_left(bare, before)
    assert before.files == deployed.before.files
