"""A new instance answers with main's providers and keys, follows a rotated key, and keeps its own."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from .image import HERE
from .instances import HOME, PROVIDER, answer, home_files, inside, rows, wait_for
from .processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checkout import Ocm
    from .machine import Machine

KEYS = {
    "one": "sk-PLANTED-in-config-1111",
    "two": "sk-PLANTED-in-dotenv-2222",
    "three": "sk-PLANTED-in-store-3333",
}
ROTATED = "sk-PLANTED-rotated-4444"
OWN = "sk-PLANTED-of-its-own-5555"
REFRESH = "rt-PLANTED-refresh-6666"
GATEWAY = "tk-PLANTED-gateway-7777"
PORTS = {"one": 18101, "two": 18102, "three": 18103}
_STORE = """
import json, os, sqlite3, sys
folder = os.path.expanduser("~/.openclaw/state")
os.makedirs(folder, 0o700)
os.umask(0o077)
database = sqlite3.connect(f"{folder}/openclaw.sqlite")
database.execute("pragma journal_mode = wal")
database.execute("create table config_machine_state (state_key text primary key, value_json text, at int)")
database.execute("insert into config_machine_state values ('authProfiles.store', ?, 0)", [sys.stdin.read()])
database.commit()
"""


def provider(name: str, **fields: object) -> dict[str, Any]:
    kept = {key: value for key, value in PROVIDER.items() if key != "apiKey"}
    return {**kept, "baseUrl": f"http://127.0.0.1:{PORTS[name]}/v1", **fields}


def main_config(key: str) -> str:
    """Return main's config in JSON5, its providers in a file of their own."""
    config = {
        "gateway": {"mode": "local", "auth": {"mode": "token", "token": GATEWAY}},
        "agents": {
            "defaults": {"model": {"primary": "one/fake-1", "fallbacks": ["two/fake-1", "three/fake-1"]}}
        },
        "auth": {
            "profiles": {
                "three:manual": {"provider": "three", "mode": "api_key"},
                "openai:me": {"provider": "openai", "mode": "oauth"},
            },
            "order": {"three": ["three:manual"]},
        },
    }
    models = {"mode": "replace", "$include": "./providers.json5"}
    models["providers"] = {"one": provider("one", apiKey=key)}  # type: ignore[assignment]
    return "// main\n" + json.dumps({**config, "models": models})


@pytest.fixture(scope="module")
def before(machine: Machine) -> Iterator[set[str]]:
    """Make a main with a key in its config, one in `.env`, one in its store; yield every file there is."""
    machine.run(["mkdir", "-m", "700", f"{HOME}/.openclaw"])
    included = {"providers": {"two": provider("two", apiKey="${TWO_KEY}"), "three": provider("three")}}
    machine.write(f"{HOME}/.openclaw/openclaw.json", main_config(KEYS["one"]), mode=0o600)
    machine.write(f"{HOME}/.openclaw/providers.json5", json.dumps(included), mode=0o600)
    machine.write(f"{HOME}/.openclaw/.env", f"TWO_KEY={KEYS['two']}\n", mode=0o600)
    profiles = {
        "three:manual": {"type": "api_key", "provider": "three", "key": KEYS["three"]},
        "openai:me": {"type": "oauth", "provider": "openai", "access": "x", "refresh": REFRESH},
    }
    store = json.dumps({"version": 1, "profiles": profiles})
    machine.run(["python3", "-c", _STORE], input=store)
    yield home_files(machine)
    machine.run(["rm", "-rf", f"{HOME}/.openclaw"])


@pytest.fixture(scope="module")
def worker(machine: Machine, ocm: Ocm, before: set[str]) -> Iterator[str]:
    del before
    with provider_with("one", KEYS["one"], machine):
        deployed = ocm("deploy", "worker1")
        assert "openai:me is not inherited" in deployed.stderr
    yield "worker1"
    ocm("delete", "--all", "--force", "--yes", check=False)


@contextlib.contextmanager
def provider_with(name: str, key: str, machine: Machine) -> Iterator[None]:
    """Run a provider that takes no key but this one."""
    program = "/opt/fake-model/fake_model.py"
    machine.push(HERE / "fake_model.py", program, user="root")
    log = f"/var/log/fake-{name}.jsonl"
    # The bearer is in its arguments, which is why these are left out where arguments are searched.
    argv = ["python3", program, f"--port={PORTS[name]}", f"--bearer={key}", f"--log={log}"]
    process = machine.popen(argv, user="root", stderr=None)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        kill_group(process)


def take_model(ocm: Ocm, name: str, model: str) -> None:
    """Change the model of a running gateway and wait until it took that up: a turn meanwhile fails."""

    def reloads() -> int:
        logged = ocm("logs", name, "-n", "10000").stdout
        return logged.count("hot reload applied (agents.defaults.model.primary)")

    before = reloads()
    ocm("edit", name, "agents.defaults.model.primary", model)
    wait_for(lambda: reloads() > before, 60, "reload of the changed model")


def chat(ocm: Ocm, name: str) -> str:
    return ocm("use", name, "agent", "--message", "hi").stdout


def bearer(machine: Machine, name: str) -> str:
    last = machine.read(f"/var/log/fake-{name}.jsonl").splitlines()[-1]
    return str(json.loads(last)["auth"])


@pytest.mark.parametrize("name", list(PORTS))
def test_an_agent_answers_through_each_inherited_provider_with_its_inherited_key(
    machine: Machine, ocm: Ocm, worker: str, name: str
) -> None:
    # Edited, the model is the instance's own: what main does to it later is no longer followed.
    if name != "one":
        take_model(ocm, worker, f"{name}/fake-1")
    with provider_with(name, KEYS[name], machine):
        assert "PONG from fake model" in chat(ocm, worker)
    assert bearer(machine, name) == f"Bearer {KEYS[name]}"


def test_main_and_every_other_secret_cannot_be_read_inside(ocm: Ocm, worker: str) -> None:
    script = (
        "cat ~/.openclaw/openclaw.json ~/.openclaw/.env ~/.openclaw/providers.json5"
        " ~/.openclaw/state/openclaw.sqlite ~/.config/ocm/secrets/*.env ~/.config/ocm/inherited/*;"
        " grep -v '^#' /run/ocm/secrets.env; (: >> /run/ocm/secrets.env) && echo WRITTEN"
    )
    seen = inside(ocm, worker, script, check=False)
    assert sorted(seen.split()) == sorted(
        [f"ONE_API_KEY={KEYS['one']}", f"TWO_KEY={KEYS['two']}", f"THREE_API_KEY={KEYS['three']}"]
    )


def test_a_rotated_key_is_followed_by_sync_and_an_own_one_stays(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    # As one made before there was anything to inherit.
    ocm("create", "worker2", "--no-inherit")
    ocm("secret", "set", "worker2", "ONE_API_KEY", input=f"{OWN}\n")
    assert ocm("sync", "worker2", "--inherit-from", "main").stdout == "worker2: in step with main\n"
    machine.write(f"{HOME}/.openclaw/openclaw.json", main_config(ROTATED), mode=0o600)
    pid = rows(ocm)[worker]["pid"]
    told = answer(ocm, "sync", "--all", "--dry-run")["results"]
    assert {one["name"]: one["changes"] for one in told} == {
        worker: ["replace secret ONE_API_KEY"],
        "worker2": [],
    }
    plans = {one["name"]: one["steps"] for one in told}
    assert f"restart {worker}" in plans[worker]
    assert plans["worker2"] == []
    assert rows(ocm)[worker]["pid"] == pid
    done = answer(ocm, "sync", "--all")["results"]
    assert {one["name"]: one["changed"] for one in done} == {worker: True, "worker2": False}
    assert rows(ocm)[worker]["pid"] not in (pid, None)
    take_model(ocm, worker, "one/fake-1")
    with provider_with("one", ROTATED, machine):
        assert "PONG from fake model" in chat(ocm, worker)
    assert bearer(machine, "one") == f"Bearer {ROTATED}"
    assert f"ONE_API_KEY={OWN}\n" in machine.read(f"{HOME}/.config/ocm/secrets/worker2.env")


def test_a_second_sync_does_nothing_and_no_restart(ocm: Ocm, worker: str) -> None:
    pid = rows(ocm)[worker]["pid"]
    assert [one["changed"] for one in answer(ocm, "sync", "--all")["results"]] == [False, False]
    assert ocm("start", worker).stdout == f"{worker}: already ready and sealed\n"
    assert rows(ocm)[worker]["pid"] == pid


def test_what_a_running_gateway_takes_up_by_itself_takes_no_restart(
    machine: Machine, ocm: Ocm, worker: str
) -> None:
    pid = rows(ocm)[worker]["pid"]
    included = {"providers": {"two": provider("two", apiKey="${TWO_KEY}", timeoutSeconds=77)}}
    included["providers"]["three"] = provider("three")
    machine.write(f"{HOME}/.openclaw/providers.json5", json.dumps(included), mode=0o600)
    done = ocm("sync", worker)
    assert done.stdout == f"{worker}: in step with main\n"
    config = json.loads(machine.read(f"{HOME}/.openclaw-worker1/openclaw.json"))
    assert config["models"]["providers"]["two"]["timeoutSeconds"] == 77
    assert rows(ocm)[worker]["pid"] == pid


def test_a_session_has_a_new_secret_at_once_and_the_gateway_with_the_next_sync(ocm: Ocm, worker: str) -> None:
    told = ocm("secret", "set", worker, "EXTRA_KEY", input=f"{OWN}\n").stdout
    assert told == f"{worker}: add EXTRA_KEY; takes effect with ocm restart {worker}\n"
    assert inside(ocm, worker, 'printf %s "$EXTRA_KEY"') == OWN
    assert ocm("sync", worker).stdout == f"{worker}: in step with main, restarted: ready and sealed\n"
    assert ocm("sync", worker).stdout == f"{worker}: already in step with main\n"


def test_no_secret_is_told_or_lies_anywhere_else(machine: Machine, ocm: Ocm, worker: str) -> None:
    commands = (
        ["list", "--json"],
        ["status", worker, "--json"],
        ["logs", worker],
        ["doctor", "--json"],
        ["secret", "list", worker, "--json"],
        ["sync", "--all", "--dry-run", "--json"],
        ["start", worker, "--dry-run"],
        ["-v", "restart", worker],
    )
    done = [ocm(*command, check=False) for command in commands]
    said = [text for one in done for text in (one.stdout, one.stderr)]
    arguments = machine.run(
        ["bash", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"], user="root"
    )
    assert "PLANTED" not in "".join([*said, arguments.stdout])
    assert "PLANTED" not in machine.journal()
    places = [HOME, "/tmp", "/var/tmp", "/dev/shm", "/run"]
    found = machine.run(
        ["grep", "-rlsF", "--exclude-dir=ocm.git", "PLANTED", *places], user="root", check=False
    )
    holding = {path for path in found.stdout.splitlines() if not path.startswith(f"{HOME}/ocm/tests/")}
    assert holding == {
        *(f"{HOME}/.openclaw/{name}" for name in ("openclaw.json", ".env")),
        *(path for path in holding if path.startswith(f"{HOME}/.openclaw/state/")),
        *(f"{HOME}/.config/ocm/secrets/{name}.env" for name in (worker, "worker2")),
    }
    modes = machine.run(
        ["bash", "-c", f"stat -c %a {HOME}/.config/ocm/secrets/* {HOME}/.config/ocm/inherited/*"]
    )
    assert set(modes.stdout.split()) == {"600"}


def test_delete_leaves_nothing(machine: Machine, ocm: Ocm, worker: str, before: set[str]) -> None:
    ocm("delete", worker, "worker2", "--force", "--yes")
    assert home_files(machine) == before
