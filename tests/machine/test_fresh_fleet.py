"""A fleet on machines with nothing of OCM: one command makes it, and its file makes it elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import pytest

from openclaw_ocm.core.releases import NODE_VERSION, OPENCLAW_VERSION

from .checkout import Ocm
from .fleets import BOTS, USER, assert_all_answer, changes, token
from .instances import fake_model, home_files, refuse_tools, rows
from .machine import Machine
from .reading import push_repository
from .telegram import fake_telegram

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .telegram import Telegram

pytestmark = pytest.mark.full
KEY = "sk-of-the-fleet"
SECRETS = (KEY, *map(token, BOTS))
AS_BEFORE = ("port", "autostart", "isolation", "network", "version", "state")


class Around(NamedTuple):
    """What the machines reach: a provider that wants its key, and a Bot API."""

    provider: Mapping[str, Any]
    telegram: Telegram


@pytest.fixture(scope="module")
def around(fresh: Machine) -> Iterator[Around]:
    with fake_model(fresh, "--bearer", KEY) as provider, fake_telegram(fresh) as telegram:
        yield Around({**provider, "apiKey": "${LAB_API_KEY}"}, telegram)


@pytest.fixture(scope="module")
def ocm(fresh: Machine) -> Iterator[Ocm]:
    """Return what the reader of the README has once he has cloned it."""
    cloned = clone(fresh)
    yield cloned
    cloned("delete", "--all", "--force", "--yes", check=False)


def clone(machine: Machine) -> Ocm:
    refuse_tools(machine, "node", "npm", "openclaw", "bwrap")
    machine.run(["git", "clone", "--quiet", push_repository(machine), f"{machine.home}/ocm"])
    machine.run(["mkdir", f"{machine.home}/fleet"])
    return Ocm(machine, f"{machine.home}/ocm")


@pytest.fixture(scope="module")
def path(fresh: Machine, around: Around) -> str:
    """Write a fleet file of three that have a model, a channel each, and backups in the night."""
    folder = f"{fresh.home}/fleet"
    near = [urlsplit(around.provider["baseUrl"]).netloc, around.telegram.place]
    bots = {
        name: {"channels": {"telegram": {"token": {"file": f"{name}.token"}, "allow": [str(USER)]}}}
        for name in BOTS
    }
    defaults = {
        "model": "lab/fake-1",
        "autostart": True,
        "backups": {"every": "03:00"},
        "allow": near,
        "secrets": {"LAB_API_KEY": {"file": "lab.key"}},
        "config": {
            "models.providers.lab": around.provider,
            "channels.telegram.apiRoot": around.telegram.address,
            "agents.defaults.heartbeat.every": "0m",
        },
    }
    text = msgspec.toml.encode({"version": 1, "defaults": defaults, "instances": bots}).decode()
    fresh.run(["mkdir", "-p", folder])
    fresh.write(f"{folder}/lab.key", KEY, mode=0o600)
    for name in BOTS:
        fresh.write(f"{folder}/{name}.token", token(name), mode=0o600)
    fresh.write(f"{folder}/fleet.toml", text)
    return f"{folder}/fleet.toml"


def timers(machine: Machine) -> list[str]:
    """Return the backups that are scheduled, with when: as systemd has them."""
    show = ["systemctl", "--user", "show", "--property=Id,TimersCalendar", "ocm-backup-*.timer"]
    said = machine.run(show).stdout
    whens = re.findall(r"OnCalendar=(\S+ [\d:]+)", said)
    assert len(whens) == said.count("Id="), said
    return sorted(f"{name} {when}" for name, when in zip(re.findall(r"Id=(\S+)", said), whens, strict=True))


NIGHTLY = [f"ocm-backup-{name}.timer *-*-* 03:00:00" for name in BOTS]


def test_the_plan_tells_what_would_be_installed_and_installs_nothing(
    fresh: Machine, ocm: Ocm, path: str
) -> None:
    ocm("list")
    before = home_files(fresh)
    planned = ocm("plan", "-f", path).stdout
    assert planned.count(f"install Node {NODE_VERSION} ") == 1
    assert planned.count(f"install OpenClaw {OPENCLAW_VERSION} ") == 1
    assert [line for line in planned.splitlines() if "would be" in line] == [
        f"{name}: would be made" for name in BOTS
    ]
    assert home_files(fresh) == before


def test_one_command_makes_a_fleet_that_answers(fresh: Machine, ocm: Ocm, path: str, around: Around) -> None:
    made = ocm("apply", "-f", path, "--yes", timeout=1200)
    assert sorted(line for line in made.stdout.splitlines() if "made" in line) == [
        f"{name}: made, ready and sealed" for name in BOTS
    ]
    assert not any(secret in made.stdout + made.stderr for secret in SECRETS)
    assert "comes without a provider" not in made.stderr, "the file brings that too"
    for name in BOTS:
        told = f"{name} shares the network of this machine: no network of its own can be made here"
        assert told in made.stderr
    assert ocm("plan", "-f", path).stdout == "3 instances are as the file says\n"
    assert timers(fresh) == NIGHTLY
    install_what_is_told(fresh, made.stderr)
    assert_all_answer(ocm, around.telegram)


def install_what_is_told(machine: Machine, said: str) -> None:
    """Type, as root, what a fleet without boxes says that its chats take."""
    commands = re.findall(r"answers in no chat, .*: sudo apt install (.+)$", said, re.MULTILINE)
    assert len(commands) == len(BOTS), said
    debian = {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *commands[0].split()]):
        machine.run(["apt-get", "-qq", *words], user="root", network="host", env=debian, timeout=300)


def test_one_line_changes_what_it_says_and_nothing_else(fresh: Machine, ocm: Ocm, path: str) -> None:
    text, before = fresh.read(path), rows(ocm)
    changed = text.replace("[instances.ben.", '[instances.ben.limits]\nmemory = "2G"\n\n[instances.ben.', 1)
    fresh.write(path, changed)
    assert changes(ocm, path) == {"ada": [], "ben": ["memory none -> 2G"], "cleo": []}
    assert "ben: memory none -> 2G\n" in ocm("apply", "-f", path, "--yes").stdout
    assert changes(ocm, path) == {name: [] for name in BOTS}
    after = rows(ocm)
    assert {name for name in BOTS if after[name]["pid"] != before[name]["pid"]} == {"ben"}


def test_the_file_of_what_there_is_makes_the_same_fleet_on_another_machine(
    fresh: Machine, ocm: Ocm, around: Around
) -> None:
    folder, before = f"{fresh.home}/fleet", rows(ocm)
    ocm("export", "-o", f"{folder}/there.toml", "--secrets", f"{folder}/secrets")
    told = fresh.read(f"{folder}/there.toml")
    assert not any(secret in told for secret in SECRETS)
    packed = fresh.run(["sh", "-c", f"tar -C {folder} -c there.toml secrets | base64"]).stdout
    # A bot answers in one place; and both machines have the host's ports.
    ocm("stop", "--all")
    with Machine.boot(fresh.release, kind="fresh", network="host") as other:
        there = clone(other)
        other.run(["sh", "-c", f"base64 -d | tar -C {folder} -x"], input=packed)
        said = there("apply", "-f", f"{folder}/there.toml", "--yes", timeout=1200).stderr
        install_what_is_told(other, said)
        assert there("plan", "-f", f"{folder}/there.toml").stdout == "3 instances are as the file says\n"
        made = rows(there)
        assert {name: [row[key] for key in AS_BEFORE] for name, row in made.items()} == {
            name: [row[key] for key in AS_BEFORE] for name, row in before.items()
        }
        assert timers(other) == NIGHTLY
        assert_all_answer(there, around.telegram)
        there("export", "-o", f"{folder}/again.toml")
        assert other.read(f"{folder}/again.toml") == told
        there("delete", "--all", "--force", "--yes")
