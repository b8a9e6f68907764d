"""A fake of Telegram's Bot API for tests: getUpdates as a long poll, messages, files.

Runs inside the machine. Stdlib only; knows nothing of OCM. Once it listens it prints its port, which the
kernel chooses where it was told port 0. It serves any bot, each by the number that its token begins with, at
/botTOKEN/METHOD and /file/botTOKEN/PATH. A method that it does not know is answered with `true`.
A test has its own way in, which wants no token: `POST /test/NUMBER` with `{"message": {}, "files": {}}` has
the bot receive a message, and its files by their id, `{"refused": true}` has its token refused from then on;
`GET /test/NUMBER` tells which messages of the bot are there now, which methods it called, and with which
tokens.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

LONGEST_POLL_SECONDS = 30.0
CHANGED = threading.Condition()


@dataclass
class Bot:
    """What Telegram knows of a bot. Its updates count from the present on: OpenClaw keeps the last number."""

    number: int
    updates: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    messages: dict[int, dict[str, Any]] = field(default_factory=dict)
    methods: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    last: int = field(default_factory=lambda: int(time.time()))
    refused: bool = False

    def call(self, method: str, given: dict[str, Any]) -> object:
        """Return the result of a method, which another process of the bot's may wait for."""
        with CHANGED:
            if method != "getUpdates":
                self.methods.append(method)
            known = getattr(self, f"on_{method}", None)
            return known(given) if known is not None else True

    def receive(self, message: dict[str, Any], files: dict[str, str]) -> None:
        with CHANGED:
            self.files.update(files)
            update = {"update_id": self.next(), "message": {**self.stamp(), **message}}
            self.updates.append(update)
            CHANGED.notify_all()

    def next(self) -> int:
        self.last += 1
        return self.last

    def stamp(self) -> dict[str, int]:
        return {"message_id": self.next() % 10**6, "date": int(time.time())}

    def on_getMe(self, _: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        groups = {"can_join_groups": True, "can_read_all_group_messages": False}
        return {"id": self.number, "is_bot": True, "first_name": "Agent", "username": self.username, **groups}

    @property
    def username(self) -> str:
        return f"agent{self.number}bot"

    def on_getUpdates(self, given: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        offset = int(given.get("offset") or 0)
        wait = min(float(given.get("timeout") or 0), LONGEST_POLL_SECONDS)
        self.updates = [update for update in self.updates if update["update_id"] >= offset]
        CHANGED.wait_for(lambda: self.updates, wait)
        return self.updates[: int(given.get("limit") or 100)]

    def on_sendMessage(self, given: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        chat = given.get("chat_id")
        kind = "private" if int(chat or 0) > 0 else "supergroup"
        made: dict[str, Any] = {
            **self.stamp(),
            "chat": {"id": int(chat or 0), "type": kind},
            "text": given.get("text"),
        }
        self.messages[made["message_id"]] = made
        return made

    def on_editMessageText(self, given: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        message = self.messages[int(given["message_id"])]
        message["text"] = given.get("text")
        return message

    def on_deleteMessage(self, given: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        return self.messages.pop(int(given["message_id"]), None) is not None

    def on_getFile(self, given: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        name = str(given["file_id"])
        return {"file_id": name, "file_unique_id": name, "file_path": f"documents/{name}"}

    def on_getMyCommands(self, _: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        return []

    def on_getWebhookInfo(self, _: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        return {"url": "", "has_custom_certificate": False, "pending_update_count": len(self.updates)}

    def on_getChat(self, given: dict[str, Any]) -> object:  # noqa: N802 - Telegram's name
        chat = int(given.get("chat_id") or 0)
        return {"id": chat, "type": "private" if chat > 0 else "supergroup"}

    def told(self) -> dict[str, Any]:
        with CHANGED:
            messages = list(self.messages.values())
            return {"messages": messages, "methods": self.methods, "tokens": sorted(self.tokens)}


BOTS: dict[int, Bot] = {}


def bot_of(number: str) -> Bot:
    with CHANGED:
        return BOTS.setdefault(int(number), Bot(int(number)))


class FakeTelegram(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        place, _, rest = self.path[1:].partition("/")
        if place == "test":
            self.send_json(200, bot_of(rest).told())
        elif place == "file":
            token, _, path = rest.removeprefix("bot").partition("/")
            content = bot_of(token.partition(":")[0]).files.get(unquote(path).rpartition("/")[2])
            self.send_body(200 if content is not None else 404, (content or "").encode())
        else:
            self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path[1:].partition("?")
        place, _, rest = path.partition("/")
        if place == "test":
            given = json.loads(body)
            bot = bot_of(rest)
            bot.refused = given.get("refused", bot.refused)
            if "message" in given:
                bot.receive(given["message"], given.get("files", {}))
            self.send_json(200, {"ok": True})
            return
        token = unquote(place.removeprefix("bot"))
        number = token.partition(":")[0]
        if not number.isdecimal():
            self.send_json(404, {"ok": False, "error_code": 404, "description": "Not Found"})
            return
        bot = bot_of(number)
        if bot.refused:
            self.send_json(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
            return
        bot.tokens.add(token)
        given = {**dict(parse_qsl(query)), **self.parameters(body)}
        try:
            self.send_json(200, {"ok": True, "result": bot.call(rest, given)})
        except (KeyError, ValueError) as error:
            description = f"Bad Request: {error!r}"
            self.send_json(400, {"ok": False, "error_code": 400, "description": description})

    def parameters(self, body: bytes) -> dict[str, Any]:
        kind = self.headers.get("Content-Type") or ""
        if kind.startswith("application/json"):
            given = json.loads(body or b"{}")
            return given if isinstance(given, dict) else {}
        return dict(parse_qsl(body.decode())) if kind.endswith("urlencoded") else {}

    def send_json(self, status: int, body: object) -> None:
        self.send_body(status, json.dumps(body).encode(), "application/json")

    def send_body(self, status: int, raw: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Silence the per-request line on stderr, which would hold the token."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18081)
    options = parser.parse_args()
    server = ThreadingHTTPServer((options.host, options.port), FakeTelegram)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
