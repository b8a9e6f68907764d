"""A newcomer without main: from `deploy` to an answer, OpenClaw's own wizards, and a backup that answers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from .instances import PROVIDER, answer, rows
from .processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine, Result

NAME = "newcomer1"
LACKS = f"ocm: {NAME} has no model: ocm model {NAME} PROVIDER/MODEL gives it one"
CTRL_C = "\x03"
UP = "\x1b[A"
# Each of OpenClaw's wizards, with a word of its first question.
WIZARDS = {
    ("configure",): "Where will",
    ("onboard",): "Continue?",
    ("models", "auth", "add"): "Token provider",
}


@pytest.fixture(scope="module")
def deployed(machine: Machine, ocm: Ocm) -> Iterator[Result]:
    """Deploy an instance where there is no main; return what is said of it."""
    assert machine.run(["test", "-e", f"{machine.home}/.openclaw"], check=False).returncode == 1
    yield ocm("deploy", NAME, "--backend", "supervisord", "--check", "--json", check=False)
    ocm("delete", NAME, "--force", "--yes")
    machine.run(["rm", "-rf", f"{machine.home}/backups"])


@pytest.fixture(scope="module")
def answering(ocm: Ocm, deployed: Result) -> Result:
    """Give it a model and a key; return what is said of that."""
    assert deployed.returncode == 1
    url = PROVIDER["baseUrl"]
    return ocm("model", NAME, "lab/fake-1", f"--base-url={url}", "--key-stdin", input="sk-fake\n")


def test_without_a_model_the_check_fails_and_the_instance_stays(ocm: Ocm, deployed: Result) -> None:
    assert deployed.returncode == 1
    (error,) = json.loads(deployed.stdout)["errors"]
    assert (error["name"], error["code"]) == (NAME, "no_model")
    assert error["message"] == (
        f"{NAME} is there, ready and sealed, but does not answer: main: it has no model"
    )
    assert error["hint"] == f"ocm model {NAME} PROVIDER/MODEL gives it one, with its key"
    assert rows(ocm)[NAME]["state"] == "ready"
    pid = rows(ocm)[NAME]["pid"]
    again = ocm("deploy", NAME, "--backend", "supervisord")
    assert again.stdout == f"{NAME}: already ready and sealed\n"
    assert again.stderr.splitlines()[-1] == LACKS
    assert rows(ocm)[NAME]["pid"] == pid


def test_one_command_gives_it_a_model_and_a_key(machine: Machine, ocm: Ocm, answering: Result) -> None:
    assert answering.stdout == (
        f"{NAME}: has lab/fake-1, its key in LAB_API_KEY; the gateway was restarted and is ready\n"
    )
    assert "sk-fake" not in machine.read(f"{machine.home}/.openclaw-{NAME}/openclaw.json")
    found = answer(ocm, "check", NAME)["results"][0]
    assert [(turn["session"], turn["ok"], turn["boxed"]) for turn in found["turns"]] == [
        ("main", True, False),
        ("group", True, True),
    ]


def kept(machine: Machine) -> tuple[str, list[str]]:
    """Return what a wizard that was left must not have changed: the config, the secrets, and who runs."""
    hashes = f"sha256sum ~/.openclaw-{NAME}/openclaw.json ~/.config/ocm/secrets/{NAME}.env"
    return machine.run(["bash", "-c", hashes]).stdout, gateways(machine)


def at_rest(machine: Machine) -> tuple[str, list[str]]:
    """Return that once a second changes nothing of it: what a wizard left behind was still ending."""

    def same_twice() -> tuple[str, list[str]] | None:
        found = kept(machine)
        time.sleep(1)
        return found if kept(machine) == found else None

    return wait_for(same_twice, 60, "what is OpenClaw to rest")


def gateways(machine: Machine) -> list[str]:
    """Return the command lines of all that is OpenClaw."""
    found = machine.run(["bash", "-c", "ps -eo args | grep -i '[o]penclaw' | sort"]).stdout
    return found.splitlines()


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize("arguments", WIZARDS, ids=" ".join)
def test_a_wizard_starts_and_is_left_with_ctrl_c(
    machine: Machine, ocm: Ocm, arguments: tuple[str, ...]
) -> None:
    before = at_rest(machine)
    shown = ocm.pty("use", NAME, *arguments, answers=[(WIZARDS[arguments], CTRL_C)])
    assert "ancelled." in shown.output
    assert "Traceback" not in shown.output
    wait_for(lambda: kept(machine) == before, 60, "what is OpenClaw to be as it was")


@pytest.mark.usefixtures("answering")
def test_a_wizard_is_walked_to_its_end(ocm: Ocm) -> None:
    answers = [("Where will", "\r"), ("What do you want to configure?", UP), ("\x1b[39m Skip for now", "\r")]
    shown = ocm.pty("use", NAME, "configure", answers=answers)
    assert shown.returncode == 0, shown.output


@pytest.mark.usefixtures("answering")
def test_what_is_restored_answers(ocm: Ocm) -> None:
    archive = answer(ocm, "backup", NAME)["results"][0]["path"]
    done = ocm("restore", archive, "--replace", "--check")
    assert "ready and sealed; lab/fake-1 answers: main in " in done.stdout
    assert ", group in " in done.stdout
