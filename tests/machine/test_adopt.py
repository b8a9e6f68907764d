"""An OpenClaw of the user's own, with its service and its chats, becomes a sealed instance and goes back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from .instances import (
    HOME,
    MAIN_CONFIG,
    MAIN_PORT,
    MAIN_UNIT,
    MODEL,
    PROVIDER,
    answer,
    home_files,
    ready,
    say,
    stop_main,
    wait_for,
)
from .reading import Reader
from .telegram import fake_telegram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine
    from .telegram import Bot

USER, NUMBER = 4242, 47117
TOKEN = f"{NUMBER}:{'Tk' * 20}"
UNIT = """\
[Service]
ExecStart=/usr/local/bin/node {entry} gateway --port {port}
Environment=FAKE_API_KEY=sk-fake
Restart=always
KillMode=mixed
RestartPreventExitStatus=78

[Install]
WantedBy=default.target
"""
# What is to be as it was, to the byte: the config, the file of keys, the unit, and whether it is enabled.
IDENTITY = (
    f"cd; sha256sum .openclaw/openclaw.json .openclaw/.env .config/systemd/user/{MAIN_UNIT};"
    f" systemctl --user is-enabled {MAIN_UNIT}; systemctl --user is-active {MAIN_UNIT}"
)
PORT = 19501
ONBOARD = (
    *("onboard", "--non-interactive", "--accept-risk", "--skip-health", "--skip-skills", "--mode", "local"),
    *("--auth-choice", "custom-api-key", "--custom-provider-id", "fake", "--custom-model-id", "fake-1"),
    *("--custom-base-url", f"http://{MODEL}/v1", "--custom-api-key", "sk-fake"),
    *("--custom-compatibility", "openai", "--gateway-port", str(PORT), "--gateway-bind", "loopback"),
)
LATE = ("cron", "add", "--name", "late", "--at", "2030-01-01T00:00:00Z", "--session", "main")
# An environment as the official manager (openclaw/ocm 0.2.33) keeps it and runs it.
OFFICIAL = f"{HOME}/.ocm"
ROOT = f"{OFFICIAL}/envs/mira"
ENVIRONMENT = f"OPENCLAW_HOME={ROOT}"
OFFICIAL_UNIT = "ai.openclaw.mira"
REGISTRY = {
    "kind": "ocm-env-registry",
    "envs": [{"kind": "ocm-env", "name": "mira", "root": ROOT, "gatewayPort": PORT, "protected": False}],
}
TREE = (
    f"cd {OFFICIAL}; find . -printf '%p %m %s %T@\\n' | sort;"
    " find . -type f -print0 | sort -z | xargs -0 sha256sum"
)


@dataclass(frozen=True)
class Main:
    """The user's own OpenClaw, with a Telegram bot, which runs as OpenClaw's own unit has it."""

    machine: Machine
    bot: Bot
    place: str

    def identity(self) -> str:
        return self.machine.run(["bash", "-c", IDENTITY], check=False).stdout

    def hears(self, text: str, heard: str) -> None:
        """Have somebody write to the bot, and hear an answer with that."""
        self.bot.write(USER, text)
        self.bot.hears(USER, heard)


@pytest.fixture
def main(machine: Machine, ocm: Ocm) -> Iterator[Main]:
    ocm("list")
    before = home_files(machine)
    with fake_telegram(machine) as telegram:
        model = {"providers": {"fake": {**PROVIDER, "apiKey": "${FAKE_API_KEY}"}}}
        channel = {"enabled": True, "apiRoot": telegram.address, "botToken": TOKEN}
        config = {
            **MAIN_CONFIG,
            "models": {"mode": "replace", **model},
            "agents": {"defaults": {"model": {"primary": "fake/fake-1"}, "heartbeat": {"every": "0m"}}},
            "channels": {"telegram": {**channel, "dmPolicy": "allowlist", "allowFrom": [str(USER)]}},
        }
        machine.run(["mkdir", "-m", "700", f"{HOME}/.openclaw"])
        machine.write(f"{HOME}/.openclaw/openclaw.json", f"// mine\n{json.dumps(config)}\n", mode=0o600)
        machine.write(f"{HOME}/.openclaw/.env", "OTHER_API_KEY=sk-other\n", mode=0o600)
        entry = machine.run(["sh", "-c", "realpath $(command -v openclaw)"]).stdout.strip()
        unit = UNIT.format(entry=entry, port=MAIN_PORT)
        machine.write(f"{HOME}/.config/systemd/user/{MAIN_UNIT}", unit)
        machine.run(["systemctl", "--user", "daemon-reload"])
        machine.run(["systemctl", "--user", "enable", "--now", MAIN_UNIT])
        wait_for(lambda: ready(machine, MAIN_PORT), 120, "ready main")
        yield Main(machine, telegram.bot(NUMBER), telegram.place)
        ocm("delete", "--all", "--force", "--yes", check=False)
        machine.run(["systemctl", "--user", "disable", MAIN_UNIT], check=False)
        stop_main(machine)
    assert home_files(machine) == before


def test_main_answers_as_a_sealed_instance_and_is_main_again(main: Main, ocm: Ocm) -> None:
    machine, identity = main.machine, main.identity()
    main.hears("ECHO:apple", "apple")
    machine.run(["openclaw", *LATE, "--system-event", "hello"])
    planned = answer(ocm, "adopt", "main", "--name", "mine", "--move", "--dry-run")["results"][0]
    assert f"have {MAIN_UNIT} be stopped, disabled and set aside in exchange for mine" in planned["steps"]
    assert not any(secret in json.dumps(planned) for secret in ("sk-fake", "sk-other", TOKEN))
    copied = ocm("adopt", "main", "--name", "copied", "--allow", MODEL)
    assert "copied: made of a copy of main, on port 19001, ready and sealed" in copied.stdout
    assert "apple" in say(ocm, "copied", "RECALL")
    assert "late" in ocm("use", "copied", "cron", "list").stdout
    assert "copied: deleted, a copy: main is as it was" in ocm("unadopt", "copied", "--yes").stdout
    assert main.identity() == identity

    allowed = ("--allow", MODEL, "--allow", main.place)
    moved = ocm("adopt", "main", "--name", "mine", "--move", "--yes", *allowed)
    assert f"mine: main is mine now, on port {MAIN_PORT}, ready and sealed" in moved.stdout
    assert "isolation:  sealed" in ocm("status", "mine").stdout
    assert "of that of main" not in ocm("doctor", check=False).stdout
    main.hears("ECHO:pear", "pear")
    main.hears("RECALL", "apple pear")
    assert "late" in ocm("use", "mine", "cron", "list").stdout
    units = machine.run(["systemctl", "--user", "list-units", "--all", "--no-legend", "openclaw*"]).stdout
    assert [line.split()[0] for line in units.splitlines()] == ["openclaw-gateway-mine.service"]

    back = ocm("unadopt", "mine", "--yes")
    assert f"mine: is main again, in {HOME}/.openclaw, {MAIN_UNIT} runs again" in back.stdout
    assert main.identity() == identity
    main.hears("ECHO:plum", "plum")
    main.hears("RECALL", "apple pear plum")
    assert "late" in machine.run(["openclaw", "cron", "list"]).stdout


def test_a_profile_is_adopted_and_given_back_as_the_document_says(machine: Machine, ocm: Ocm) -> None:
    before = home_files(machine)
    machine.run(["openclaw", "--profile", "work", *ONBOARD], timeout=300)
    config = machine.read(f"{HOME}/.openclaw-work/openclaw.json")
    try:
        playing = Reader(machine, ocm.folder, words={"move --yes": f"move --yes --allow {MODEL}"})
        said = playing.play("docs/how-to/adopt.md")
        assert machine.read(f"{HOME}/.openclaw-work/openclaw.json") == config
    finally:
        ocm("delete", "--all", "--force", "--yes", check=False)
        machine.run(["sh", "-c", "cd; rm -rf .openclaw-work; rmdir .openclaw; true"])
    assert "work: adopt would do this:" in said
    assert "work: the profile work is work now, on port 19501, ready and sealed" in said
    assert "PONG from fake model" in said
    assert "work: is the profile work again" in said
    assert home_files(machine) == before


def test_an_environment_of_the_official_manager_and_a_backup_of_openclaw_become_instances(
    machine: Machine, ocm: Ocm
) -> None:
    before = home_files(machine)
    openclaw = ("env", ENVIRONMENT, "openclaw")
    machine.run(["mkdir", "-p", "-m", "700", ROOT])
    machine.write(f"{OFFICIAL}/envs.json", json.dumps(REGISTRY))
    try:
        machine.run([*openclaw, *ONBOARD], timeout=300)
        run = ("systemd-run", "--user", "--quiet", f"--unit={OFFICIAL_UNIT}", f"--setenv={ENVIRONMENT}")
        machine.run([*run, "openclaw", "gateway", "run", "--port", str(PORT)])
        wait_for(lambda: ready(machine, PORT), 120, "a ready environment")
        machine.run([*openclaw, "agent", "--agent", "main", "--message", "ECHO:apple"], timeout=120)
        machine.run([*openclaw, *LATE, "--system-event", "hello"])
        machine.run([*openclaw, "backup", "create", "--output", f"{HOME}/kept.tar.gz"], timeout=120)
        # What a killed one leaves beside its databases is the most that there can be.
        machine.run(["systemctl", "--user", "kill", "--signal=KILL", OFFICIAL_UNIT])
        is_over = ["systemctl", "--user", "is-failed", OFFICIAL_UNIT]
        wait_for(lambda: machine.run(is_over, check=False).returncode == 0, 30, "the end of the environment")
        whole = machine.run(["sh", "-c", TREE]).stdout
        assert ".sqlite-shm" in whole

        moved = ocm("adopt", ROOT, "--move", "--yes", "--allow", MODEL)
        assert f"on port {PORT}, ready and sealed" in moved.stdout
        assert "apple" in say(ocm, "mira", "RECALL")
        assert "late" in ocm("use", "mira", "cron", "list").stdout
        assert machine.run(["sh", "-c", TREE]).stdout == whole, "never written"

        refused = ocm("restore", f"{HOME}/kept.tar.gz", check=False)
        assert "ocm adopt" in refused.stderr
        ocm("adopt", f"{HOME}/kept.tar.gz", "--name", "packed", "--yes", "--allow", MODEL)
        assert "apple" in say(ocm, "packed", "RECALL")
        assert "late" in ocm("use", "packed", "cron", "list").stdout
    finally:
        ocm("delete", "--all", "--force", "--yes", check=False)
        for verb in ("stop", "reset-failed"):
            machine.run(["systemctl", "--user", verb, OFFICIAL_UNIT], check=False)
        machine.run(["sh", "-c", "cd; rm -rf .ocm kept.tar.gz"])
    assert home_files(machine) == before
