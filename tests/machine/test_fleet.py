"""A fleet file of three makes three agents that answer on their channels; the file of what is there too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .instances import HOME, MAIN_CONFIG, MODEL, PROVIDER, answer, home_files, rows, say
from .telegram import fake_telegram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine
    from .telegram import Telegram

USER = 4242
BOTS = {"ada": 47201, "ben": 47202, "cleo": 47203}
FOLDER = f"{HOME}/fleet"
FILE = """
version = 1
[defaults]
inherit_from = "main"
autostart = true
backups = {{ every = "03:00" }}
allow = ["{model}", "{place}"]
config = {{ "channels.telegram.apiRoot" = "{address}", "agents.defaults.heartbeat.every" = "0m" }}
"""
ONE = """
[instances.{name}.channels.telegram]
token = {{ file = "{name}.token" }}
allow = ["{user}"]
"""


def token(name: str) -> str:
    return f"{BOTS[name]}:{'Tk' * 20}"


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
        machine.write(f"{FOLDER}/fleet.toml", text)
        yield running
        ocm("delete", "--all", "--force", "--yes", check=False)
        machine.run(["rm", "-rf", f"{HOME}/.openclaw", FOLDER])
    assert home_files(machine) == before


def changes(ocm: Ocm, file: str = "fleet.toml") -> dict[str, list[str]]:
    """Return what the plan has to say of each."""
    planned = answer(ocm, "plan", "-f", f"{FOLDER}/{file}")["results"]
    return {one["name"]: one["changes"] for one in planned}


def answers(ocm: Ocm, telegram: Telegram) -> None:
    for name, number in BOTS.items():
        bot = telegram.bot(number)
        bot.write(USER, f"ECHO:{name}")
        bot.hears(USER, name)
        assert name in say(ocm, name, f"ECHO:{name}")


def test_a_fleet_is_made_at_once_answers_and_nothing_is_left_to_do(ocm: Ocm, telegram: Telegram) -> None:
    assert all(found[0] == "make it" for found in changes(ocm).values())
    made = ocm("apply", "-f", f"{FOLDER}/fleet.toml", "--yes", timeout=600)
    assert [line for line in made.stdout.splitlines() if "made, ready and sealed" in line] == [
        f"{name}: made, ready and sealed" for name in BOTS
    ]
    assert not any(token(name) in made.stdout + made.stderr for name in BOTS)
    assert {name: (row["state"], row["isolation"]) for name, row in rows(ocm).items()} == dict.fromkeys(
        BOTS, ("ready", "sealed")
    )
    assert changes(ocm) == {name: [] for name in BOTS}
    answers(ocm, telegram)


@pytest.mark.usefixtures("telegram")
def test_a_line_changes_what_it_says(machine: Machine, ocm: Ocm) -> None:
    text, before = machine.read(f"{FOLDER}/fleet.toml"), rows(ocm)
    changed = text.replace("[instances.ben.", '[instances.ben.limits]\nmemory = "2G"\n\n[instances.ben.')
    machine.write(f"{FOLDER}/fleet.toml", changed)
    assert changes(ocm) == {"ada": [], "ben": ["memory none -> 2G"], "cleo": []}
    ocm("apply", "-f", f"{FOLDER}/fleet.toml", "--yes")
    assert changes(ocm) == {name: [] for name in BOTS}
    after = rows(ocm)
    assert {name for name in BOTS if after[name]["pid"] != before[name]["pid"]} == {"ben"}
    # By hand, and taken back.
    ocm("disable", "ada")
    assert changes(ocm)["ada"] == ["start with the machine"]
    ocm("apply", "-f", f"{FOLDER}/fleet.toml", "ada")
    assert rows(ocm)["ada"]["autostart"] is True


@pytest.mark.full
def test_the_file_of_what_there_is_makes_the_same_fleet(
    machine: Machine, ocm: Ocm, telegram: Telegram
) -> None:
    before = rows(ocm)
    ocm("export", "-o", f"{FOLDER}/there.toml", "--secrets", f"{FOLDER}/secrets")
    assert changes(ocm, "there.toml") == {name: [] for name in BOTS}
    ocm("delete", "--all", "--force", "--yes")
    # What no fleet file has: where the tests' Bot API is.
    exported = machine.read(f"{FOLDER}/there.toml")
    config = f'config = {{ "channels.telegram.apiRoot" = "{telegram.address}" }}\n'
    machine.write(f"{FOLDER}/there.toml", exported.replace("[defaults]\n", f"[defaults]\n{config}"))
    ocm("apply", "-f", f"{FOLDER}/there.toml", "--yes", timeout=600)
    kept = ("port", "autostart", "isolation", "version")
    assert {name: [row[key] for key in kept] for name, row in rows(ocm).items()} == {
        name: [row[key] for key in kept] for name, row in before.items()
    }
    answers(ocm, telegram)
