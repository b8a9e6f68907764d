"""`ocm update-models` with lists that a server in the machine serves: OpenClaw takes every result."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests import model_lists

from openclaw_ocm.core.openclaw.document import parse_config

from .instances import HOME, answer, configure_fake_provider, ready, rows
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine, Result

# Sends the bytes of a file as they are: a server may answer anything.
SERVER = """
import pathlib, socketserver
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        name = self.rfile.readline().split()[1].decode().strip("/")
        while self.rfile.readline().strip():
            pass
        try:
            self.wfile.write(pathlib.Path("/srv/lists", name).read_bytes())
        except OSError:
            pass
socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("127.0.0.1", 18090), Handler) as server:
    print("listening", flush=True)
    server.serve_forever()
"""
URL = "http://127.0.0.1:18090/"
MAIN = f"{HOME}/.openclaw/openclaw.json"
PPQ = "custom-api-ppq-ai"
# As a person writes it, with an older id of the provider, a key, edits, and models in use.
MAIN_TEXT = """{ // mine
  gateway: { mode: "local", bind: "loopback", auth: { mode: "token", token: "MAIN-TOKEN" } },
  /* who answers */
  agents: {
    defaults: {
      model: { primary: "custom-api-ppq-ai/model-1", fallbacks: ["custom-api-ppq-ai/gone-1", "fake/f"] },
      imageModel: "custom-api-ppq-ai/gone-2",
    },
  },
  models: {
    providers: {
      fake: { baseUrl: "http://127.0.0.1:18080/v1", apiKey: "sk-MAIN", models: [{ id: "f", name: "F" }] },
      // made by another tool
      'custom-api-ppq-ai': {
        baseUrl: "https://api.ppq.ai", apiKey: "sk-MAIN-SECRET", api: "openai-completions",
        models: [
          { id: "model-1", name: "Mine", maxTokens: 99, contextTokens: 5000, compat: {supportsStore: false} },
          { id: "gone-1", name: "Gone" }, { id: "gone-2", name: "Gone" }, { id: "gone-3", name: "Gone" },
        ],
      }, // end of ppq
    },
  },
  update: { checkOnStart: false },
}
"""


def http(body: bytes, *, status: str = "200 OK", length: int | None = None, head: str = "") -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{head}\r\n".encode() + body


def as_list(served: list[Any], **about: object) -> bytes:
    return json.dumps({"data": served, **about}).encode()


GOOD = {
    "ppq": http(as_list(model_lists.ppq(400))),
    "openrouter": http(as_list(model_lists.openrouter(500))),
    "hostile": http(as_list([*model_lists.HOSTILE, *model_lists.ppq(30)])),
    "pages": http(as_list(model_lists.ppq(200), links={"next": "/more"})),
}
BAD = {
    "truncated": http(as_list(model_lists.ppq(400))[:20_000], length=200_000),
    "cut": b"HTTP/1.1 200 OK\r\n\r\n" + as_list(model_lists.ppq(400))[:20_000],
    "redirect": http(b"", status="302 Found", head=f"Location: {URL.replace('.1:', '.2:')}ppq\r\n"),
    "to-a-file": http(b"", status="302 Found", head="Location: file:///etc/passwd\r\n"),
    "large": http(as_list(["x" * 10_000_000])),
    "empty": http(as_list([])),
    "error": http(b"{}", status="503 Service Unavailable"),
    "page": http(b"<!doctype html><title>Welcome</title>"),
}
SHRUNK = {"shrunk": http(as_list(model_lists.ppq(160)))}
MORE = {"more": http(as_list(model_lists.openrouter(200)))}


@pytest.fixture(scope="module", autouse=True)
def served(machine: Machine) -> Iterator[None]:
    """Serve every list in the machine."""
    for name, data in {**GOOD, **BAD, **SHRUNK, **MORE}.items():
        machine.write(f"/srv/lists/{name}", data, user="root")
    process = machine.popen(["python3", "-c", SERVER], stderr=None)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield
    finally:
        kill_group(process)
        machine.run(["rm", "-r", "/srv/lists"], user="root")


@pytest.fixture
def main(machine: Machine) -> Iterator[str]:
    """Give main a config; return its text."""
    machine.run(["mkdir", "-m", "700", f"{HOME}/.openclaw"])
    machine.write(MAIN, MAIN_TEXT, mode=0o640)
    yield MAIN_TEXT
    machine.run(["rm", "-rf", f"{HOME}/.openclaw"])


@pytest.fixture(scope="module")
def worker(ocm: Ocm) -> Iterator[str]:
    """Deploy an instance with a provider of its own, once for all tests here."""
    ocm("deploy", "worker1")
    configure_fake_provider(ocm, "worker1")
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes", check=False)


def config_of(machine: Machine, path: str) -> dict[str, Any]:
    return parse_config(machine.read(path).encode(), source=path)


def without(config: dict[str, Any], provider: str) -> dict[str, Any]:
    """Return a config without the models of a provider, which alone may change."""
    rest = copy.deepcopy(config)
    rest["models"]["providers"].get(provider, {}).pop("models", None)
    return rest


def models_of(config: dict[str, Any], provider: str) -> dict[str, dict[str, Any]]:
    return {model["id"]: model for model in config["models"]["providers"][provider]["models"]}


def check_with_openclaw(machine: Machine) -> None:
    """Have OpenClaw itself judge main's config, apart from OCM."""
    done = machine.run(["openclaw", "config", "validate", "--json"], check=False)
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["valid"]) == (0, True), verdict
    assert verdict["path"] == MAIN


def refused(done: Result) -> None:
    """Assert exit code 1, one sentence and a hint."""
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert all(line.startswith("ocm: ") for line in done.stderr.splitlines())
    assert done.stdout == ""


@pytest.mark.parametrize("name", GOOD)
def test_openclaw_takes_main_with_every_list_and_nothing_else_changed(
    machine: Machine, ocm: Ocm, main: str, name: str
) -> None:
    ocm("update-models", "--url", URL + name, "--force")
    after = config_of(machine, MAIN)
    check_with_openclaw(machine)
    before = parse_config(main.encode(), source="main")
    assert without(after, PPQ) == without(before, PPQ)
    assert {"gone-1", "gone-2"} <= set(models_of(after, PPQ)), "they are in use"
    assert "gone-3" not in models_of(after, PPQ)
    assert machine.read(f"{MAIN}.bak") == main
    kept = machine.run(["stat", "-c", "%a", MAIN, f"{MAIN}.bak"]).stdout.split()
    assert kept == ["640", "600"]
    text = machine.read(MAIN)
    start, end = main.index("'custom-api-ppq-ai': {"), main.index(", // end of ppq")
    assert text.startswith(main[:start])
    assert text.endswith(main[end:])


def test_what_changed_is_told_and_done_once(machine: Machine, ocm: Ocm, main: str) -> None:
    would = ocm("update-models", "--url", f"{URL}ppq", "--dry-run")
    assert machine.read(MAIN) == main
    done = ocm("update-models", "--url", f"{URL}ppq")
    told = would.stdout.replace("would have", "has")
    assert told.startswith(done.stdout)
    plan = told.removeprefix(done.stdout).splitlines()
    assert [line.split()[0] for line in plan] == ["make", "replace", "remove", "remove"]
    assert done.stdout.splitlines() == [
        "main: custom-api-ppq-ai has 402 models: 399 added, 1 removed, 1 changed",
        "  added: model-0, model-2, model-3, model-4, model-5, and 394 more",
        "  removed: gone-3",
        "  changed: model-1",
    ]
    kept = "which the list does not have: its entry was kept"
    assert [line for line in done.stderr.splitlines() if "does not have" in line] == [
        f"ocm: agents.defaults.model.fallbacks is custom-api-ppq-ai/gone-1, {kept}",
        f"ocm: agents.defaults.imageModel is custom-api-ppq-ai/gone-2, {kept}",
    ]
    mine = models_of(config_of(machine, MAIN), PPQ)["model-1"]
    assert mine == {
        "id": "model-1",
        "name": "Mine",
        "maxTokens": 99,
        "contextTokens": 5000,
        "compat": {"supportsStore": False},
        "input": ["text", "image"],
        "cost": {"input": 0.25, "output": 1.5},
        "contextWindow": 64_001,
    }
    written = machine.run(["stat", "-c", "%i %Y", MAIN]).stdout
    again = ocm("update-models", "--url", f"{URL}ppq")
    assert again.stdout == "main: custom-api-ppq-ai has 402 models: none changed\n"
    assert machine.run(["stat", "-c", "%i %Y", MAIN]).stdout == written
    text = machine.read(MAIN)
    refused(ocm("update-models", "--url", f"{URL}shrunk", check=False))
    assert machine.read(MAIN) == text
    assert "240 removed" in ocm("update-models", "--url", f"{URL}shrunk", "--force").stdout
    check_with_openclaw(machine)


@pytest.mark.parametrize("name", BAD)
def test_a_list_that_will_not_do_leaves_main_to_the_byte(
    machine: Machine, ocm: Ocm, main: str, name: str
) -> None:
    refused(ocm("update-models", "--url", URL + name, check=False))
    assert machine.read(MAIN) == main
    assert machine.run(["ls", "-A", f"{HOME}/.openclaw"]).stdout == "openclaw.json\n"


def test_a_provider_that_is_new_gets_a_reference_to_its_key(machine: Machine, ocm: Ocm, main: str) -> None:
    said = ocm("update-models", "--provider", "openrouter", "--url", f"{URL}openrouter").stderr
    assert "openrouter takes its key from OPENROUTER_API_KEY" in said
    after = config_of(machine, MAIN)
    added = after["models"]["providers"].pop("openrouter")
    assert added["apiKey"] == "${OPENROUTER_API_KEY}"
    assert len(added["models"]) == 501
    assert after == parse_config(main.encode(), source="main")
    check_with_openclaw(machine)


def test_what_main_includes_stays_included(machine: Machine, ocm: Ocm, main: str) -> None:
    begin, end = main.index("{\n    defaults"), main.index(",\n  models:")
    machine.write(f"{HOME}/.openclaw/agents.json5", main[begin:end])
    machine.write(MAIN, main[:begin] + '{ $include: "./agents.json5" }' + main[end:])
    done = ocm("update-models", "--url", f"{URL}ppq")
    assert "ocm does not read what the config includes" in done.stderr
    after = config_of(machine, MAIN)
    assert after["agents"] == {"$include": "./agents.json5"}
    assert "gone-3" in models_of(after, PPQ)
    check_with_openclaw(machine)


def test_what_openclaw_refuses_is_not_written(machine: Machine, ocm: Ocm, main: str) -> None:
    text = main.replace("update:", "nonsense: 1, update:")
    machine.write(MAIN, text)
    done = ocm("update-models", "--url", f"{URL}ppq", check=False)
    assert done.returncode == 1
    assert "OpenClaw would refuse this config of main" in done.stderr
    assert "nonsense" in done.stderr
    assert machine.read(MAIN) == text


def test_openclaw_lists_what_the_instance_was_given(machine: Machine, ocm: Ocm, worker: str) -> None:
    ocm("update-models", worker, "--url", f"{URL}hostile")
    listed = models_of(config_of(machine, f"{HOME}/.openclaw-{worker}/openclaw.json"), "ppq")
    shown = ocm("use", worker, "models", "list", "--all", "--provider", "ppq", "--plain").stdout.split()
    assert {f"ppq/{identifier}" for identifier in listed} <= set(shown)


@pytest.mark.parametrize(
    ("provider", "name"), [("ppq", "ppq"), ("ppq", "hostile"), ("openrouter", "openrouter")]
)
def test_an_instance_takes_a_list_while_it_runs(
    machine: Machine, ocm: Ocm, worker: str, provider: str, name: str
) -> None:
    path = f"{HOME}/.openclaw-{worker}/openclaw.json"
    before, row = config_of(machine, path), rows(ocm)[worker]
    done = answer(ocm, "update-models", worker, "--provider", provider, "--url", URL + name, "--force")
    (result,) = done["results"]
    assert (result["name"], result["changed"]) == (worker, True)
    after = config_of(machine, path)
    listed = after["models"]["providers"].pop(provider)
    before["models"]["providers"].pop(provider, None)
    assert after == before
    assert listed["apiKey"] in ("${PPQ_API_KEY}", "${OPENROUTER_API_KEY}")
    assert result["providers"][0]["total"] == len(listed["models"])
    assert json.loads(ocm("use", worker, "config", "validate", "--json").stdout)["valid"] is True
    assert ready(machine, 19001)
    assert rows(ocm)[worker]["pid"] == row["pid"], "no restart was needed"


def test_an_agent_answers_although_a_provider_has_no_key_yet(ocm: Ocm, worker: str) -> None:
    ocm("update-models", worker, "--url", f"{URL}ppq")
    ocm("update-models", worker, "--url", f"{URL}openrouter", "--provider", "openrouter")
    ocm("edit", worker, "agents.defaults.model", "fake/fake-1")
    assert "PONG from fake model" in ocm("use", worker, "agent", "--message", "hi").stdout
