"""A chat from its message to the answer: over a Telegram, through a sealed agent, with its tools in a box."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from .agents import NAMES
from .instances import BACKENDS_IN_TURN, listener, rows, wait_for
from .telegram import ANSWER_SECONDS, Bot, Telegram, fake_telegram

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .agents import Agents

USER, STRANGER, GROUP = 4242, 6666, -1001
NUMBERS = {"systemd": 47111, "supervisord": 47112}
# A tool that tells where it runs, in a file of its own, and says its one argument backwards: nobody who only
# repeats what is asked says that. The second to be given a name fails: an agent is told of what a helper of
# its own did, and the fake model then calls that tool once more.
WHERE = r"""
import json, os, pathlib, sys, tempfile

def text(path):
    try:
        return pathlib.Path(path).read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return ""

found = {
    "directory": os.getcwd(),
    "uid": os.getuid(),
    "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")},
    "processes": [text(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()],
    "environment": dict(os.environ),
    "root": os.listdir("/"),
    "received": [text(path) for path in pathlib.Path("media/inbound").rglob("*.txt")],
    "interfaces": os.listdir("/sys/class/net") if os.path.exists("/sys") else [],
}
with tempfile.NamedTemporaryFile("w", dir=".") as file:
    json.dump(found, file)
    file.flush()
    os.link(file.name, f"where-{sys.argv[1]}.json")
print(sys.argv[1][::-1])
"""
SEPARATE = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
# As in a container of Docker's, where this file is bound to what names it: OpenClaw looks for that.
OF_DOCKER = """
place=/var/lib/docker/containers/$(printf 'ab12%.0s' $(seq 16))
mkdir -p $place && cp /etc/hosts $place && mount --bind $place/hosts /etc/hosts
"""
# Where anything of an instance's can be.
PLACES = ("/home", "/etc", "/run", "/tmp", "/var/tmp", "/var/log", "/var/lib/systemd", "/dev/shm")


def calling(word: str) -> str:
    """Return what the fake model answers by calling the tool, which then says `word` backwards."""
    return f"CALL:exec {json.dumps({'command': f'python3 where.py {word}'})}"


@dataclass(frozen=True)
class Chat:
    """An agent that has a bot, whose token is known here."""

    agents: Agents
    backend: str
    bot: Bot
    sandbox: str

    @property
    def name(self) -> str:
        return NAMES[self.backend]

    @property
    def token(self) -> str:
        return token_of(self.bot.number)

    @property
    def workspace(self) -> str:
        return f"{self.agents.machine.home}/.openclaw-{self.name}/workspace"

    def openclaw(self, *args: str) -> str:
        return self.agents.ocm("use", self.name, *args).stdout

    def place(self, word: str) -> dict[str, Any]:
        """Return what the tool saw that was given `word`; its file is in the agent's real workspace."""
        path = f"{self.workspace}/where-{word}.json"
        machine = self.agents.machine
        there = ["test", "-e", path]
        wait_for(lambda: machine.run(there, check=False).returncode == 0, ANSWER_SECONDS, path)
        found = json.loads(machine.read(path, user=machine.account.name))
        assert isinstance(found, dict)
        return found

    def namespaces(self) -> dict[str, str]:
        """Return those of the gateway itself."""
        machine = self.agents.machine
        pid = listener(machine, rows(self.agents.ocm)[self.name]["port"])
        script = 'cd /proc/"$0"/ns && for kind in *; do echo "$kind $(readlink $kind)"; done'
        lines = machine.run(["sh", "-c", script, pid], user="root").stdout.splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def in_box(self, word: str) -> dict[str, Any]:
        """Return what the tool saw that was given `word`; fails where it was not in a box."""
        found = self.place(word)
        assert found["directory"] == "/workspace"
        assert found["uid"] == self.agents.machine.account.uid
        assert {"home", "root", "sys"} & set(found["root"]) == set()
        assert not any("node" in command or "openclaw-gateway" in command for command in found["processes"])
        assert self.token not in json.dumps(found)
        gateway = self.namespaces()
        assert [kind for kind in SEPARATE if found["namespaces"][kind] == gateway[kind]] == []
        return found


def token_of(number: int) -> str:
    return f"{number}:{'Tk' * 20}"


def config_of(agents: Agents, name: str) -> dict[str, Any]:
    path = f"{agents.machine.home}/.openclaw-{name}/openclaw.json"
    found = json.loads(agents.machine.read(path))
    assert isinstance(found, dict)
    return found


def sandbox_in(config: Mapping[str, Any]) -> str:
    return json.dumps(config["agents"]["defaults"]["sandbox"])


def holding(agents: Agents, text: str) -> list[str]:
    """Return the files, command lines and journals that hold a text; it is in no command line for that."""
    machine = agents.machine
    script = 'grep -rlaF -f - "$@"; true'
    found = machine.run(["sh", "-c", script, "sh", *PLACES], user="root", input=text).stdout.splitlines()
    commands = machine.run(["sh", "-c", "cat /proc/[0-9]*/cmdline; true"], user="root").stdout
    journal = machine.journal()
    return found + [where for where, said in (("argv", commands), ("journal", journal)) if text in said]


@pytest.fixture(scope="module")
def telegram(agents: Agents) -> Iterator[Telegram]:
    with fake_telegram(agents.machine) as running:
        yield running


@pytest.fixture(scope="module", params=BACKENDS_IN_TURN)
def chat(request: pytest.FixtureRequest, agents: Agents, telegram: Telegram) -> Iterator[Chat]:
    """Give an agent of each backend a bot, as a person does, and have it wait for messages."""
    name, bot = NAMES[request.param], telegram.bot(NUMBERS[request.param])
    if request.param == "supervisord":
        agents.machine.run(["sh", "-euc", OF_DOCKER], user="root")
    made = Chat(agents, request.param, bot, sandbox_in(config_of(agents, name)))
    agents.ocm("edit", name, "channels.telegram.apiRoot", telegram.address)
    agents.ocm("network", name, "allow", telegram.place)
    added = agents.ocm("channel", "add", name, "telegram", "--allow", str(USER), input=made.token)
    assert "has a Telegram bot, its token in TELEGRAM_BOT_TOKEN" in added.stdout
    agents.machine.write(f"{made.workspace}/where.py", WHERE)
    yield made
    agents.ocm("stop", name)


def test_a_message_is_answered_by_a_tool_in_a_box(chat: Chat) -> None:
    chat.agents.ready(chat.backend)
    chat.bot.write(STRANGER, calling("stranger"))
    chat.bot.write(USER, calling("alone"))
    chat.bot.hears(USER, "enola")
    chat.in_box("alone")
    assert chat.bot.said(STRANGER) == []


def test_main_itself_is_in_no_box(chat: Chat) -> None:
    """What the other tests look for is there to be found."""
    assert "niam" in chat.agents.ask(chat.backend, calling("main"))
    found = chat.place("main")
    assert found["directory"] == chat.workspace
    assert chat.token in json.dumps(found)
    assert any("node" in command for command in found["processes"])
    gateway = chat.namespaces()
    assert {kind: found["namespaces"][kind] for kind in SEPARATE} == {
        kind: gateway[kind] for kind in SEPARATE
    }
    chat.agents.machine.run(["rm", f"{chat.workspace}/where-main.json"])


def test_a_group_is_answered_where_it_mentions_the_bot(chat: Chat) -> None:
    chat.bot.write_in_group(USER, GROUP, "said to nobody in particular")
    chat.bot.write_in_group(STRANGER, GROUP, f"{chat.bot.name} {calling('intruder')}")
    chat.bot.write_in_group(USER, GROUP, f"{chat.bot.name} {calling('group')}")
    chat.bot.hears(GROUP, "puorg")
    chat.in_box("group")
    assert not any("PONG" in said or "redurtni" in said for said in chat.bot.said(GROUP))


def test_a_document_is_read_in_the_box(chat: Chat) -> None:
    chat.bot.send_document(USER, "paper.txt", "the paper says 1871\n", calling("document"))
    chat.bot.hears(USER, "tnemucod")
    assert chat.in_box("document")["received"] == ["the paper says 1871\n"]


def test_a_scheduled_job_works_in_a_box_and_tells_the_chat(chat: Chat) -> None:
    made = chat.openclaw(
        *("cron", "add", "--json", "--name", "look", "--every", "365d"),
        *("--session", "isolated", "--message", calling("scheduled")),
        *("--announce", "--channel", "telegram", "--to", str(USER)),
    )
    assert '"status": "ok"' in chat.openclaw("cron", "run", json.loads(made)["id"], "--wait")
    chat.in_box("scheduled")
    chat.bot.hears(USER, "deludehcs")


def test_a_helper_that_main_starts_works_in_a_box(chat: Chat) -> None:
    wanted = {"id": "sessions_spawn", "args": {"task": calling("helper")}}
    assert "accepted" in chat.agents.ask(chat.backend, f"CALL:tool_call {json.dumps(wanted)}")
    chat.in_box("helper")


def test_nobody_but_the_agent_is_told_its_token(chat: Chat) -> None:
    assert chat.bot.told()["tokens"] == [chat.token]
    secrets = f"{chat.agents.machine.home}/.config/ocm/secrets/{chat.name}.env"
    assert holding(chat.agents, chat.token) == [secrets]
    assert chat.agents.machine.run(["stat", "-c", "%a", secrets]).stdout == "600\n"
    assert sandbox_in(config_of(chat.agents, chat.name)) == chat.sandbox


def test_a_bot_that_is_taken_away_leaves_nothing(chat: Chat) -> None:
    chat.agents.ocm("stop", chat.name)
    removed = chat.agents.ocm("channel", "remove", chat.name, "telegram")
    assert "has no telegram any more" in removed.stdout
    assert holding(chat.agents, chat.token) == []
    config = config_of(chat.agents, chat.name)
    assert "channels" not in config
    assert sandbox_in(config) == chat.sandbox
