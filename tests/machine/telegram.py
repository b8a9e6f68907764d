"""The fake Telegram in a machine, and what a test says and hears over it."""

from __future__ import annotations

import contextlib
import html
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .image import HERE
from .instances import wait_for
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .machine import Machine

# An agent that is asked for the first time begins a box, and the machine may be busy.
ANSWER_SECONDS = 90


@dataclass(frozen=True)
class Telegram:
    """A Bot API in a machine, at `address`."""

    machine: Machine
    address: str

    @property
    def place(self) -> str:
        """Return its address and port, as `ocm network NAME allow` takes them."""
        return self.address.removeprefix("http://")

    def bot(self, number: int) -> Bot:
        return Bot(self, number)


@dataclass(frozen=True)
class Bot:
    """A bot, and whoever writes to it."""

    telegram: Telegram
    number: int

    @property
    def name(self) -> str:
        """Return what it is mentioned by in a group."""
        return f"@agent{self.number}bot"

    def write(self, user: int, text: str) -> None:
        """Have a user write to the bot alone."""
        self._receive(message(user, text))

    def write_in_group(self, user: int, group: int, text: str) -> None:
        """Have a user write in a group, where the bot reads what mentions it."""
        chat = {"id": group, "type": "supergroup", "title": "Tests"}
        mentioned = {"type": "mention", "offset": text.find(self.name), "length": len(self.name)}
        entities = [mentioned] if self.name in text else []
        self._receive({"chat": chat, "from": _person(user), "text": text, "entities": entities})

    def send_document(self, user: int, name: str, content: str, caption: str) -> None:
        """Have a user send the bot a document."""
        document = {
            "file_id": name,
            "file_unique_id": name,
            "file_name": name,
            "mime_type": "text/plain",
            "file_size": len(content.encode()),
        }
        self._receive({**_alone(user), "document": document, "caption": caption}, {name: content})

    def refuse(self, *, refused: bool) -> None:
        """Have its token refused from now on, or taken again."""
        sent = json.dumps({"refused": refused})
        self.telegram.machine.run(["curl", "-sf", "--data-binary", "@-", self._place], input=sent)

    def hears(self, chat: int, text: str) -> None:
        """Wait until a message of the bot's in a chat holds `text`."""
        wait_for(lambda: any(text in one for one in self.said(chat)), ANSWER_SECONDS, f"{text!r} in {chat}")

    def said(self, chat: int) -> list[str]:
        """Return the messages of the bot that are in a chat."""
        messages = self.told()["messages"]
        return [html.unescape(one["text"] or "") for one in messages if one["chat"]["id"] == chat]

    def told(self) -> dict[str, Any]:
        """Return the bot's messages, the methods that it called, and with which tokens."""
        found = json.loads(self.telegram.machine.run(["curl", "-sf", self._place]).stdout)
        assert isinstance(found, dict)
        return found

    @property
    def _place(self) -> str:
        return f"{self.telegram.address}/test/{self.number}"

    def _receive(self, received: Mapping[str, Any], files: Mapping[str, str] | None = None) -> None:
        sent = json.dumps({"message": received, "files": files or {}})
        self.telegram.machine.run(["curl", "-sf", "--data-binary", "@-", self._place], input=sent)


def message(user: int, text: str) -> dict[str, Any]:
    """Return what a user writes to a bot alone."""
    return {**_alone(user), "text": text}


def _person(user: int) -> dict[str, Any]:
    return {"id": user, "is_bot": False, "first_name": "Pat", "username": f"pat{user}"}


def _alone(user: int) -> dict[str, Any]:
    return {"chat": {"id": user, "type": "private", "first_name": "Pat"}, "from": _person(user)}


@contextlib.contextmanager
def fake_telegram(machine: Machine) -> Iterator[Telegram]:
    """Run the fake Bot API, on a port that is free."""
    program = "/opt/fake-telegram/fake_telegram.py"
    machine.push(HERE / "fake_telegram.py", program, user="root")
    process = machine.popen(["python3", program, "--port=0"], user="root", stderr=None)
    try:
        assert process.stdout is not None
        yield Telegram(machine, f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        kill_group(process)
