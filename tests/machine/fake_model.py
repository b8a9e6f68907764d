"""A fake OpenAI-compatible provider for tests: GET /v1/models and POST /v1/chat/completions.

Runs inside the machine, where there is systemd as fake-model.service. Stdlib only; knows nothing of OCM.
Once it listens it prints its port, which the kernel chooses where it was told port 0.
A turn of the user that contains `ECHO:<text>` is answered with `<text>`, one with `RECALL` with the texts of
all such turns before it, one with `CALL:<tool> <JSON>` with a call of that tool and then with what the tool
answered, and so one that asks in plain words for its exec tool with a command. Any other gets the PONG line.
"""

from __future__ import annotations

import argparse
import json
import re
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PONG = "PONG from fake model"
MODELS = ("fake-1", "fake-2")
ECHO = re.compile(r"ECHO:(\S+)")
CALL = re.compile(r"CALL:(\w+) (\{.*\})", re.DOTALL)
ASKED = re.compile(r"[Cc]all your exec tool once, with the command `([^`]+)`")
# OpenClaw's own words to the model, in a message of the user that follows the user's own and every tool's.
INTERNAL = "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>"
LOG_LOCK = threading.Lock()


def text_of(content: object) -> str:
    """Return the plain text of a message, whose content may be a string or a list of typed parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def spoken(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages without those at the end that OpenClaw added."""
    end = len(messages)
    while (
        end
        and messages[end - 1].get("role") == "user"
        and INTERNAL in text_of(messages[end - 1].get("content"))
    ):
        end -= 1
    return messages[:end]


def call_in(messages: list[dict[str, Any]]) -> dict[str, str] | None:
    """Return the function that the last turn of the user wants called, if any."""
    last = (spoken(messages) or [{}])[-1]
    said = text_of(last.get("content")) if last.get("role") == "user" else ""
    if wanted := CALL.search(said):
        return {"name": wanted[1], "arguments": wanted[2]}
    if asked := ASKED.search(said):
        return {"name": "exec", "arguments": json.dumps({"command": asked[1]})}
    return None


def answer_to(messages: list[dict[str, Any]]) -> str:
    """Answer the last turn, which OpenClaw may spread over several user messages."""
    turn: list[str] = []
    last = (spoken(messages) or [{}])[-1]
    if last.get("role") == "tool":
        return "TOOL: " + text_of(last.get("content"))
    for message in messages:
        if message.get("role") == "assistant":
            turn = []
        elif message.get("role") == "user":
            turn.append(text_of(message.get("content")))
    said = "\n".join(turn)
    if "RECALL" in said:
        texts = [text_of(message.get("content")) for message in messages if message.get("role") == "user"]
        return " ".join(ECHO.findall("\n".join(texts))) or "nothing"
    planted = ECHO.search(said)
    return planted[1] if planted else PONG


def usage(answer: str) -> dict[str, int]:
    return {"prompt_tokens": 1, "completion_tokens": len(answer.split()), "total_tokens": 1}


def tool_calls(call: dict[str, str]) -> list[dict[str, Any]]:
    return [{"index": 0, "id": f"call_{time.time_ns()}", "type": "function", "function": call}]


def plain_reply(model: str, answer: str, call: dict[str, str] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer}
    if call is not None:
        message = {"role": "assistant", "content": None, "tool_calls": tool_calls(call)}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}],
        "usage": usage(answer),
    }


def stream_chunks(model: str, answer: str, call: dict[str, str] | None = None) -> list[dict[str, Any]]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }

    words = [chunk({"content": piece}) for piece in re.findall(r"\S+\s*", answer)]
    closing = {**chunk({}), "choices": [], "usage": usage(answer)}
    if call is not None:
        made = chunk({"role": "assistant", "tool_calls": tool_calls(call)})
        return [made, chunk({}, "tool_calls"), closing]
    return [chunk({"role": "assistant", "content": ""}), *words, chunk({}, "stop"), closing]


class FakeModel(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bearer = "sk-fake"
    log_path = "/var/log/fake-model.jsonl"
    models = MODELS
    hangs = False

    def do_GET(self) -> None:
        self.record()
        if not self.authorised():
            return
        if self.path.split("?")[0] != "/v1/models":
            self.send_error_body(404, "invalid_request_error", "unknown_url", "Unknown request URL")
            return
        listed = [{"id": m, "object": "model", "created": 0, "owned_by": "fake"} for m in self.models]
        self.send_json(200, {"object": "list", "data": listed})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            body = None
        request: dict[str, Any] = body if isinstance(body, dict) else {}
        messages = [m for m in request.get("messages") or [] if isinstance(m, dict)]
        model = str(request.get("model", ""))
        self.record(model=model, n_msgs=len(messages), stream=bool(request.get("stream")))
        if not self.authorised():
            return
        if self.hangs:
            self.rfile.read(1)  # ends when whoever asked has gone
            self.close_connection = True
            return
        if self.path.split("?")[0] != "/v1/chat/completions":
            self.send_error_body(404, "invalid_request_error", "unknown_url", "Unknown request URL")
        elif body is None:
            self.send_error_body(400, "invalid_request_error", "invalid_json", "Body is not JSON")
        elif model not in self.models:
            message = f"The model `{model}` does not exist"
            self.send_error_body(404, "invalid_request_error", "model_not_found", message)
        elif request.get("stream"):
            self.send_stream(stream_chunks(model, answer_to(messages), call_in(messages)))
        else:
            self.send_json(200, plain_reply(model, answer_to(messages), call_in(messages)))

    def authorised(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.bearer}":
            return True
        self.send_error_body(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided")
        return False

    def send_error_body(self, status: int, kind: str, code: str, message: str) -> None:
        error = {"message": message, "type": kind, "param": None, "code": code}
        self.send_json(status, {"error": error})

    def send_json(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def send_stream(self, chunks: list[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def record(self, **fields: object) -> None:
        auth = self.headers.get("Authorization")
        line = {"at": time.time(), "method": self.command, "path": self.path, "auth": auth}
        with LOG_LOCK, Path(self.log_path).open("a", encoding="utf-8") as log:
            log.write(json.dumps({**line, **fields}) + "\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Silence the per-request line on stderr: the JSON log holds more."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18080)
    parser.add_argument("--bearer", default=FakeModel.bearer)
    parser.add_argument("--log", default=FakeModel.log_path)
    parser.add_argument("--model", action="append", default=[], help="one more that it has")
    parser.add_argument("--hang", action="store_true", help="take every question and answer none")
    parser.add_argument("--certificate", help="speak TLS by this file, which has the key too")
    options = parser.parse_args()
    FakeModel.bearer, FakeModel.log_path, FakeModel.hangs = options.bearer, options.log, options.hang
    FakeModel.models = (*MODELS, *options.model)
    Path(options.log).touch()  # no request yet is an empty log
    server = ThreadingHTTPServer((options.host, options.port), FakeModel)
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
