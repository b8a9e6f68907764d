"""A newcomer's container: root, no systemd, no Node, no OpenClaw, no bubblewrap; the README is all.

The tests are one story, told in this order on one machine, because everything is downloaded but once.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.documents import blocks

from .access import assert_documented, table
from .checkout import Ocm, push_checkout
from .image import REPOSITORY
from .instances import (
    fake_model,
    home_files,
    kill_gateway,
    processes,
    refuse_tools,
    rows,
    transient_files,
    wait_for,
    wait_until_healthy,
)
from .reading import Reader, push_repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .machine import Machine


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp/nobody"]
DEPLOY_SECONDS = 900
MODEL, KEY = "MiniMax-M2.7", "sk-of-the-reader"


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
    """Return what the reader of the README has once he has cloned it."""
    return Ocm(bare, f"{bare.home}/ocm")


@dataclass(frozen=True)
class Deployed:
    """What the commands of the README printed, and the machine before them."""

    before: Traces
    said: str


@pytest.fixture(scope="module")
def deployed(bare: Machine, ocm: Ocm) -> Iterator[Deployed]:
    """Follow the README word by word; its provider alone is another one, at the address of the fake model."""
    source = push_repository(bare)
    before = traces(bare)
    with fake_model(bare, "--model", MODEL, "--bearer", KEY) as provider:
        elsewhere = {**provider, "apiKey": "${MINIMAX_API_KEY}", "models": [{"id": MODEL, "name": MODEL}]}
        near = urlsplit(provider["baseUrl"]).netloc
        told = f"""
            ./ocm.py edit worker1 models.providers.minimax '{json.dumps(elsewhere)}'
            ./ocm.py network worker1 allow {near}
        """
        between = {"./ocm.py start": told}
        reader = Reader(bare, bare.home, words={"URL": source}, typed=KEY, between=between)
        said = reader.play("README.md")
    yield Deployed(before, said)
    ocm("delete", "--all", "--force", "--yes", check=False)


def test_nothing_is_there_and_whoever_is_not_root_is_told_what_to_install_first(bare: Machine) -> None:
    refuse_tools(bare, "systemctl", "node", "npm", "openclaw", "bwrap")
    checkout = push_checkout(bare, "/opt/ocm")
    refused = bare.run([*NOBODY, f"{checkout.folder}/ocm.py", "--help"], check=False)
    bare.run(["rm", "-r", checkout.folder])
    hint = "ocm: this Python lacks ensurepip; mend it with: sudo apt install python3-venv\n"
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", hint)


def test_the_readme_ends_ready_and_sealed(ocm: Ocm, deployed: Deployed) -> None:
    assert deployed.said.count("worker1: ready and sealed\n") == 1
    assert deployed.said.count("worker2: ready and sealed\n") == 1
    assert "Installing python3-venv with apt-get" in deployed.said
    row = rows(ocm)["worker1"]
    assert (row["state"], row["backend"], row["isolation"]) == ("ready", "supervisord", "sealed")


def test_the_reader_gets_the_models_answer_through_the_gateway(deployed: Deployed) -> None:
    assert "PONG from fake model" in deployed.said


def test_the_list_in_the_readme_is_as_it_prints(deployed: Deployed) -> None:
    (shown,) = (block.text for block in blocks(REPOSITORY / "README.md") if block.language == "text")
    printed = deployed.said[deployed.said.index(shown.partition("\n")[0]) :]
    assert columns(shown) == columns(printed)[: len(columns(shown))]


def columns(text: str) -> list[list[str]]:
    """Return the words of each line, a length of time as a word that is always the same."""
    return [[re.sub(r"(\d+[dhms])+", "T", word) for word in line.split()] for line in text.splitlines()]


@pytest.mark.usefixtures("deployed")
def test_access_is_what_the_documents_say(bare: Machine, ocm: Ocm) -> None:
    ocm("create", "worker2")
    definition = f"{bare.home}/.config/ocm/supervisord/worker1.conf"
    lines = table(bare, ocm, "worker1", other="worker2", definition=definition)
    ocm("delete", "worker2", "--yes")
    assert_documented(lines)


@pytest.mark.usefixtures("deployed")
def test_killed_gateway_is_back_without_help(bare: Machine, ocm: Ocm) -> None:
    row = rows(ocm)["worker1"]
    kill_gateway(bare, row["port"])
    wait_for(lambda: rows(ocm)["worker1"]["pid"] not in (row["pid"], None), 60, "new gateway")
    wait_until_healthy(ocm, "worker1")


def test_delete_leaves_nothing_and_no_process(bare: Machine, ocm: Ocm, deployed: Deployed) -> None:
    ocm("delete", "worker1", "--force", "--yes")
    assert rows(ocm) == {}
    bare.run(["rm", "-r", f"{bare.home}/backups"])
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
