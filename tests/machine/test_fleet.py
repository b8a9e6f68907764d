"""A fleet file of three makes three agents that answer on their channels; the file of what is there too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .fleets import BOTS, ONE, USER, assert_all_answer, changes, token
from .instances import HOME, MAIN_CONFIG, MODEL, PROVIDER, home_files, rows
from .telegram import fake_telegram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine
    from .telegram import Telegram

FOLDER = f"{HOME}/fleet"
PATH = f"{FOLDER}/fleet.toml"
FILE = """
version = 1
[defaults]
inherit_from = "main"
autostart = true
backups = {{ every = "03:00" }}
allow = ["{model}", "{place}"]
config = {{ "channels.telegram.apiRoot" = "{address}", "agents.defaults.heartbeat.every" = "0m" }}
"""


@pytest.fixture(scope="module")
def telegram(machine: Machine, ocm: Ocm) -> Iterator[Telegram]:
    """Run a Bot API, and write a main with a model, and a fleet file with tokens beside it."""
    ocm("list")
    before = home_files(machine)
    with fake_telegram(machine) as running:
        machine.run(["mkdir", "-p", "-m", "700", f"{HOME}/.openclaw", FOLDER])
        main = {**MAIN_CONFIG, "models": {"mode": "replace", "providers": {"fake": PROVIDER}}}
        machine.write(f"{HOME}/.openclaw/openclaw.json", json.dumps(main), mode=0o600)
        text = FILE.format(model=MODEL, place=running.place, address=running.address)
        for name in BOTS:
            text += ONE.format(name=name, user=USER)
            machine.write(f"{FOLDER}/{name}.token", token(name), mode=0o600)
        machine.write(PATH, text)
        yield running
        ocm("delete", "--all", "--force", "--yes", check=False)
        machine.run(["rm", "-rf", f"{HOME}/.openclaw", FOLDER])
    assert home_files(machine) == before


def test_a_fleet_is_made_at_once_answers_and_nothing_is_left_to_do(ocm: Ocm, telegram: Telegram) -> None:
    assert all(found[0] == "make it" for found in changes(ocm, PATH).values())
    made = ocm("apply", "-f", PATH, "--yes", timeout=600)
    assert [line for line in made.stdout.splitlines() if "made, ready and sealed" in line] == [
        f"{name}: made, ready and sealed" for name in BOTS
    ]
    assert not any(token(name) in made.stdout + made.stderr for name in BOTS)
    assert {name: (row["state"], row["isolation"]) for name, row in rows(ocm).items()} == dict.fromkeys(
        BOTS, ("ready", "sealed")
    )
    assert changes(ocm, PATH) == {name: [] for name in BOTS}
    assert_all_answer(ocm, telegram)


@pytest.mark.usefixtures("telegram")
def test_a_line_changes_what_it_says(machine: Machine, ocm: Ocm) -> None:
    text, before = machine.read(PATH), rows(ocm)
    changed = text.replace("[instances.ben.", '[instances.ben.limits]\nmemory = "2G"\n\n[instances.ben.')
    machine.write(PATH, changed)
    assert changes(ocm, PATH) == {"ada": [], "ben": ["memory none -> 2G"], "cleo": []}
    ocm("apply", "-f", PATH, "--yes")
    assert changes(ocm, PATH) == {name: [] for name in BOTS}
    after = rows(ocm)
    assert {name for name in BOTS if after[name]["pid"] != before[name]["pid"]} == {"ben"}
    # By hand, and taken back.
    ocm("disable", "ada")
    assert changes(ocm, PATH)["ada"] == ["start with the machine"]
    ocm("apply", "-f", PATH, "ada")
    assert rows(ocm)["ada"]["autostart"] is True


@pytest.mark.full
def test_the_file_of_what_there_is_makes_the_same_fleet(ocm: Ocm, telegram: Telegram) -> None:
    before = rows(ocm)
    ocm("export", "-o", f"{FOLDER}/there.toml", "--secrets", f"{FOLDER}/secrets")
    assert changes(ocm, f"{FOLDER}/there.toml") == {name: [] for name in BOTS}
    ocm("delete", "--all", "--force", "--yes")
    ocm("apply", "-f", f"{FOLDER}/there.toml", "--yes", timeout=600)
    kept = ("port", "autostart", "isolation", "version")
    assert {name: [row[key] for key in kept] for name, row in rows(ocm).items()} == {
        name: [row[key] for key in kept] for name, row in before.items()
    }
    assert_all_answer(ocm, telegram)
