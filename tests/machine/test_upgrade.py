"""An instance goes from one OpenClaw to the next and back: it remembers, and a failed one is undone whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.releases import OPENCLAW_VERSION

from . import pins
from .checkout import Ocm, push_checkout
from .instances import HOME, add_version, answer, create_answering, rows, say
from .telegram import Bot, fake_telegram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .machine import Machine

pytestmark = pytest.mark.first_release
NAME, USER, JOB, NOTE = "worker1", 4242, "late", "kept by hand\n"
OLDEST, OLDER = pins.OLDER_OPENCLAWS
BROKEN = "2026.9.7"
STATE = f"{HOME}/.openclaw-{NAME}"
# What a broken package does in the place of its gateway, after it has spoiled something.
SPOILS = "fs.writeFileSync(process.env.OPENCLAW_STATE_DIR + '/workspace/spoiled', 'x');"
ENDS_LATER = """
setInterval(async () => {
  const url = `http://127.0.0.1:${process.env.OPENCLAW_GATEWAY_PORT}/readyz`;
  const said = await fetch(url).then((answer) => answer.json()).catch(() => ({}));
  if (said.ready) setTimeout(() => process.exit(1), 8000);
}, 500);
"""
# Every name in a state with its mode, its time and what is in it; who reads a database writes to its -shm.
FIND = "find . ! -name '*-shm'"
TREE = (
    f"cd {{state}} && {FIND} -printf '%p %M %T@ %l\\n' | sort;"
    f" {FIND} -type f | sort | xargs -d '\\n' sha256sum"
)


@dataclass(frozen=True)
class Upgraded:
    """The instance, which has a bot."""

    ocm: Ocm
    bot: Bot

    @property
    def machine(self) -> Machine:
        return self.ocm.machine

    def hears(self, word: str) -> None:
        """Have it told a word, and one over its channel, which has its own session; it repeats both."""
        assert say(self.ocm, NAME, f"ECHO:{word}").strip() == word
        self.bot.write(USER, f"ECHO:{word}-by-bot")
        self.bot.hears(USER, f"{word}-by-bot")

    def knows(self, *words: str) -> None:
        """Fail where it does not remember just that, or misses its job or its file."""
        assert say(self.ocm, NAME, "RECALL").split() == list(words)
        listed = json.loads(self.ocm("use", NAME, "cron", "list", "--json").stdout)
        assert JOB in [job["name"] for job in listed["jobs"]]
        assert self.machine.read(f"{STATE}/workspace/note.txt") == NOTE

    def runs(self) -> tuple[str, str, str]:
        row = rows(self.ocm)[NAME]
        return row["version"], row["state"], row["isolation"]

    def break_package(self, command: str, script: str) -> None:
        """Have the broken package do something else where it is called by a command."""
        package = f"{HOME}/.local/share/ocm/runtimes/{BROKEN}/lib/node_modules/openclaw/openclaw.mjs"
        whole = self.machine.run(
            ["sh", "-c", f"cd; cat {package}.whole || tee {package}.whole <{package}"]
        ).stdout
        first, _, rest = whole.partition("\n")
        broken = f"if (process.argv.includes('{command}')) {{ const fs = await import('node:fs'); {script} }}"
        self.machine.write(package, f"{first}\n{broken}\n{rest}", mode=0o755)


@pytest.fixture(scope="module")
def upgraded(older: Machine) -> Iterator[Upgraded]:
    """Give an instance that runs the oldest OpenClaw: it has a channel, a cron job and a file."""
    ocm = push_checkout(older)
    add_version(older, BROKEN)
    with fake_telegram(older) as telegram:
        create_answering(ocm, NAME, "--openclaw", OLDEST, "--no-inherit")
        path = f"{STATE}/openclaw.json"
        config = json.loads(older.read(path))
        config.setdefault("channels", {})["telegram"] = {"apiRoot": telegram.address}
        older.write(path, json.dumps(config), mode=0o600)
        ocm("network", NAME, "allow", telegram.place)
        token = f"47113:{'Tk' * 20}"
        ocm("channel", "add", NAME, "telegram", "--allow", str(USER), input=token)
        ocm("start", NAME)
        older.write(f"{STATE}/workspace/note.txt", NOTE)
        ocm("use", NAME, "cron", "add", "--name", JOB, "--every", "24h", "--message", "hello")
        yield Upgraded(ocm, telegram.bot(47113))


def test_it_remembers_with_each_version_and_after_a_rollback_what_it_knew(upgraded: Upgraded) -> None:
    ocm = upgraded.ocm
    upgraded.hears("apple")
    done = ocm("upgrade", NAME, "--to", OLDER, "--watch", "1", "--yes")
    assert done.stdout == f"{NAME}: runs OpenClaw {OLDER}, ready and sealed\n"
    upgraded.hears("pear")
    upgraded.knows("apple", "pear")
    add_version(upgraded.machine, OPENCLAW_VERSION)
    ocm("upgrade", NAME, "--to", OPENCLAW_VERSION, "--no-rehearsal", "--watch", "1", "--yes")
    upgraded.hears("plum")
    upgraded.knows("apple", "pear", "plum")
    back = ocm("rollback", NAME, "--yes")
    assert back.stdout.startswith(f"{NAME}: runs OpenClaw {OLDER}, as it was at ")
    assert upgraded.runs() == (OLDER, "ready", "sealed")
    upgraded.knows("apple", "pear")
    upgraded.hears("fig")


def test_a_version_that_does_not_start_touches_nothing_but_the_copy(upgraded: Upgraded) -> None:
    upgraded.break_package("gateway", f"{SPOILS} throw new Error('made broken');")
    pid = rows(upgraded.ocm)[NAME]["pid"]
    done = upgraded.ocm("upgrade", NAME, "--to", BROKEN, "--yes", check=False)
    assert done.returncode == 1, done
    assert f"OpenClaw {BROKEN} does not work with a copy of {NAME}" in done.stderr
    assert "made broken" in done.stderr
    assert rows(upgraded.ocm)[NAME]["pid"] == pid
    assert_not_spoiled(upgraded)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (f"{SPOILS} console.error('made broken'); process.exit(78);", "did not become ready"),
        (f"{SPOILS} {ENDS_LATER}", "became ready and ended within"),
    ],
    ids=["78", "dies"],
)
def test_one_that_fails_after_all_is_undone_whole(upgraded: Upgraded, script: str, why: str) -> None:
    upgraded.break_package("gateway", script)
    arguments = ("upgrade", NAME, "--to", BROKEN, "--no-rehearsal", "--watch", "60", "--yes")
    done = upgraded.ocm(*arguments, check=False)
    assert done.returncode == 1, done
    assert why in done.stderr, done.stderr
    assert f"{NAME} runs OpenClaw {OLDER} again, ready and sealed" in done.stderr
    assert "\n\n" not in done.stderr
    assert upgraded.runs() == (OLDER, "ready", "sealed")
    assert_not_spoiled(upgraded)
    upgraded.knows("apple", "pear", "fig")


def test_what_a_failed_migration_did_is_undone_to_the_byte(upgraded: Upgraded) -> None:
    upgraded.ocm("stop", NAME)
    before = tree(upgraded)
    upgraded.break_package("doctor", f"{SPOILS} console.error('made broken'); process.exit(1);")
    done = upgraded.ocm("upgrade", NAME, "--to", BROKEN, "--no-rehearsal", "--yes", check=False)
    assert done.returncode == 1, done
    assert f"OpenClaw {BROKEN} did not migrate the state of {NAME}" in done.stderr
    assert "made broken" in done.stderr
    assert set(tree(upgraded)) ^ set(before) == set()
    assert upgraded.runs()[:2] == (OLDER, "stopped")
    (row,) = answer(upgraded.ocm, "list")["results"]
    assert row["name"] == NAME, "of no copy anything is left"


def tree(upgraded: Upgraded) -> list[str]:
    return upgraded.machine.run(["sh", "-c", TREE.format(state=STATE)]).stdout.splitlines()


def assert_not_spoiled(upgraded: Upgraded) -> None:
    there = upgraded.machine.run(["ls", "-A", f"{STATE}/workspace"]).stdout.split()
    assert "note.txt" in there
    assert "spoiled" not in there
