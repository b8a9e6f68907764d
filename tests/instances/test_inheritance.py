"""What is read of main and of an instance, and what creation makes of it, with real files and databases."""

from __future__ import annotations

import json
import sqlite3
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from tests import hosts, samples

from openclaw_ocm.core import steps
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.plan import Plan, Step
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.inheritance import read_inheritance
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.system.kept.inherited import read_inherited
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.openclaw.source import read_instance_source, read_main_source
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from pathlib import Path

    from openclaw_ocm.core.inheritance.extract import Source
    from openclaw_ocm.instances.context import Context

PACKAGE = PurePosixPath("/nowhere")
PROVIDER = {"baseUrl": "http://127.0.0.1:1/v1", "api": "openai-completions", "models": []}


def main(home: Path, config: Any = None, **files: str) -> Path:  # noqa: ANN401 - any JSON value
    """Give a home a main and return its state directory; `__` in a name stands for a slash."""
    state = home / ".openclaw"
    state.mkdir(exist_ok=True)
    if config is not None:
        (state / "openclaw.json").write_text(config if isinstance(config, str) else json.dumps(config))
    for name, text in files.items():
        path = state / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return state


def store(path: Path, profiles: dict[str, Any], *, table: str = "config_machine_state") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    key, value = (
        ("state_key", "value_json") if table == "config_machine_state" else ("store_key", "store_json")
    )
    database = sqlite3.connect(path)
    database.execute("pragma journal_mode = wal")
    database.execute(f"create table {table} ({key} text primary key, {value} text, at integer)")
    row = ("authProfiles.store", json.dumps({"version": 1, "profiles": profiles}), 0)
    database.execute(f"insert into {table} values (?, ?, ?)", row)
    database.commit()
    database.close()


def read(home: Path) -> Source:
    return read_main_source(hosts.context(home).host, PACKAGE)


def test_without_a_main_there_is_nothing(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.config, found.variables, found.profiles) == ({}, {}, {})
    [note] = found.notes
    assert note.startswith(f"no OpenClaw of your own was found: no {tmp_path}/.openclaw/openclaw.json; ")
    assert note.endswith(f'main = "DIRECTORY" in {tmp_path}/.config/ocm/settings.toml says where it is')


def test_main_is_read_as_json5_with_its_includes(tmp_path: Path) -> None:
    main(
        tmp_path,
        "{ // main\n $include: ['./a.json5', 'sub/b.json5'],"
        " models: {mode: 'replace'}, list: {$include: 'l.json5'}}",
        **{
            "a.json5": "{models: {mode: 'merge', x: [1]}}",
            "sub__b.json5": "{models: {x: [2], $include: './c.json5'}}",
        },
        **{"sub__c.json5": "{y: 1,}", "l.json5": "['one', // two\n]"},
    )
    assert read(tmp_path).config == {"models": {"mode": "replace", "x": [1, 2], "y": 1}, "list": ["one"]}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("{models: ", "is not valid JSON5"),
        ("[]", "holds no JSON object"),
        ("{$include: '../outside.json5'}", "outside of its directory"),
        ("{$include: '/etc/passwd'}", "outside of its directory"),
        ("{$include: 'leads-out.json5'}", "outside of its directory"),
        ("{$include: 'openclaw.json'}", "in a circle"),
        ("{$include: 'missing.json5'}", "which is not there"),
        ("{$include: 'broken.json5'}", "is not valid JSON5"),
        ("{$include: {}}", "no file name"),
        ("{$include: 'pipe'}", "is no regular file"),
    ],
)
def test_a_main_that_cannot_be_read_is_one_sentence_with_a_way_out(
    tmp_path: Path, config: str, sentence: str
) -> None:
    state = main(tmp_path, config, **{"broken.json5": "{"})
    (tmp_path / "outside.json5").write_text("{}")
    (state / "leads-out.json5").symlink_to("../outside.json5")
    (state / "pipe").mkdir()
    with pytest.raises(OcmError) as caught:
        read(tmp_path)
    assert sentence in caught.value.message
    assert caught.value.hint == "mend it, or leave it out with --no-inherit"


@pytest.mark.parametrize("name", ["openclaw.json", ".env"])
def test_a_link_to_itself_is_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    state = main(tmp_path)
    (state / name).symlink_to(name)
    with pytest.raises(OcmError, match="cannot be read: Too many levels"):
        read(tmp_path)


@pytest.mark.parametrize("root", ["~nobody-here/x", "loop", "a\0b"])
def test_a_directory_for_includes_that_is_none_is_none(tmp_path: Path, root: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    named = root.replace("loop", str(tmp_path / "loop"))
    main(tmp_path, {"a": 1}, **{".env": f"OPENCLAW_INCLUDE_ROOTS={named}\n"})
    assert read(tmp_path).config == {"a": 1}


def test_includes_may_lie_in_the_directories_that_main_names(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/a.json5").write_text("{models: {mode: 'merge'}}")
    main(
        tmp_path,
        {"$include": str(tmp_path / "shared/a.json5")},
        **{".env": f"OPENCLAW_INCLUDE_ROOTS={tmp_path}/shared\n"},
    )
    assert read(tmp_path).config == {"models": {"mode": "merge"}}


def test_a_template_stands_for_mains_config(tmp_path: Path) -> None:
    main(tmp_path, {"models": {"mode": "merge"}}, **{"openclaw.json.templ": "{models: {mode: 'replace'}}"})
    found = read(tmp_path)
    assert found.config == {"models": {"mode": "replace"}}
    assert found.name == "the template"


def test_of_two_places_with_a_variable_the_one_that_openclaw_takes_has_the_say(tmp_path: Path) -> None:
    every = ("FILE", "UNIT", "ENV", "FALLBACK", "CONFIG")
    units = tmp_path / ".config/systemd/user"
    (units / "openclaw-gateway.service.d").mkdir(parents=True)
    (tmp_path / "unit.env").write_text("FILE=file\n")
    (units / "openclaw-gateway.service").write_text(
        f"[Service]\nEnvironment=FILE=unit UNIT=unit\nEnvironmentFile=-{tmp_path}/unit.env\n"
    )
    (units / "openclaw-gateway.service.d/own.conf").write_text("[Service]\nEnvironment=DROP=in\n")
    (tmp_path / ".config/openclaw").mkdir()
    (tmp_path / ".config/openclaw/gateway.env").write_text("UNIT=f\nENV=f\nFALLBACK=fallback\n")
    main(
        tmp_path,
        {"env": {"vars": dict.fromkeys(every, "config") | {"NUMBER": 1}}},
        **{".env": "FILE=e\nUNIT=e\nENV=env\n"},
    )
    assert read(tmp_path).variables == {name: name.lower() for name in every} | {"DROP": "in"}


def test_credentials_are_read_from_the_shared_store_and_that_of_an_older_openclaw(tmp_path: Path) -> None:
    state = main(tmp_path, {})
    key = {"type": "api_key", "provider": "a", "key": "sk-shared"}
    store(state / "state/openclaw.sqlite", {"a:x": key})
    older = {"a:x": {**key, "key": "sk-older"}, "b:x": {**key, "provider": "b"}}
    store(state / "agents/main/agent/openclaw-agent.sqlite", older, table="auth_profile_store")
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    assert read(tmp_path).profiles == {"a:x": key, "b:x": older["b:x"]}
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before


def test_credentials_of_every_agent_are_read_and_where_two_differ_both(tmp_path: Path) -> None:
    state = main(
        tmp_path,
        {"agents": {"entries": {"main": {}, "far": {"agentDir": "~/far"}}}},
        **{"agents__old__agent__auth-profiles.json": "{}"},
    )
    key = {"type": "api_key", "provider": "a", "key": "sk-shared"}
    store(state / "state/openclaw.sqlite", {"a:x": key})
    places = {"main": state / "agents/main/agent", "ops": state / "agents/ops/agent", "far": tmp_path / "far"}
    for agent, place in places.items():
        own = {
            f"{agent}:x": {**key, "provider": agent},
            "a:x": {**key, "key": "sk-ops"} if agent == "ops" else key,
        }
        store(place / "openclaw-agent.sqlite", own, table="auth_profile_store")
    found = read(tmp_path)
    assert {name: profile["key"] for name, profile in found.profiles.items()} == {
        **dict.fromkeys(("a:x", "main:x", "far:x", "ops:x"), "sk-shared"),
        "a:x of ops": "sk-ops",
    }
    assert list(found.profiles)[:2] == ["a:x", "main:x"]
    [note] = found.notes
    assert "agents/old/agent/auth-profiles.json is read by no OpenClaw any more" in note


def test_credentials_that_are_only_in_the_log_of_the_store_are_read_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    folder = main(tmp_path, {}) / "state"
    folder.mkdir()
    store(tmp_path / "other.sqlite", {})
    database = sqlite3.connect(tmp_path / "other.sqlite")
    profiles = {"a:x": {"type": "api_key", "provider": "a", "key": "sk-in-log"}}
    row = (json.dumps({"profiles": profiles}),)
    with database:
        database.execute("update config_machine_state set value_json = ?", row)
    # As a gateway leaves it that was killed.
    for suffix in ("", "-wal"):
        (folder / f"openclaw.sqlite{suffix}").write_bytes((tmp_path / f"other.sqlite{suffix}").read_bytes())
    database.close()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert read(tmp_path).profiles == profiles
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_store_that_cannot_be_read_is_one_sentence_with_a_way_out(tmp_path: Path) -> None:
    (main(tmp_path, {}) / "state").mkdir()
    (tmp_path / ".openclaw/state/openclaw.sqlite").write_text("no database")
    with pytest.raises(OcmError, match=r"the credentials in .* cannot be read") as caught:
        read(tmp_path)
    assert "--no-inherit" in (caught.value.hint or "")


@pytest.mark.parametrize("content", ["", "[1]", '{"profiles": 1}'])
def test_a_store_without_profiles_is_passed_over(tmp_path: Path, content: str) -> None:
    path = main(tmp_path, {}) / "state/openclaw.sqlite"
    path.parent.mkdir()
    if content.startswith(("[", "{")):
        store(path, {})
        with sqlite3.connect(path) as database:
            database.execute("update config_machine_state set value_json = ?", (content,))
        database.close()
    else:
        path.write_text(content)
    assert read(tmp_path).profiles == {}


def test_a_secret_in_a_file_is_read(tmp_path: Path) -> None:
    config = {
        "secrets": {
            "providers": {
                "one": {"source": "file", "path": "~/one.txt", "mode": "singleValue"},
                "many": {"source": "file", "path": str(tmp_path / "many.json"), "mode": "json"},
                "none": {"source": "file", "path": str(tmp_path / "none")},
            }
        }
    }
    main(tmp_path, config)
    (tmp_path / "one.txt").write_text("sk-one\n")
    (tmp_path / "many.json").write_text('{"a/b": {"key": "sk-many"}}')
    resolve = read(tmp_path).resolve
    assert resolve({"source": "file", "provider": "one", "id": "value"}) == "sk-one"
    assert resolve({"source": "file", "provider": "many", "id": "/a~1b/key"}) == "sk-many"
    for provider, pointer in (("many", "/a/key"), ("none", "/a"), ("unknown", "/a")):
        assert resolve({"source": "file", "provider": provider, "id": pointer}) is None


def test_an_openclaw_tells_its_providers_and_where_it_looks_for_their_keys(tmp_path: Path) -> None:
    for name, manifest in {
        "openrouter": {
            "id": "openrouter",
            "providers": ["openrouter"],
            "setup": {"providers": [{"id": "openrouter", "envVars": ["OPENROUTER_API_KEY"]}]},
        },
        "telegram": {"id": "telegram", "channels": ["telegram"]},
        "broken": [],
    }.items():
        folder = tmp_path / "package/dist/extensions" / name
        folder.mkdir(parents=True)
        (folder / "openclaw.plugin.json").write_text(json.dumps(manifest))
    found = read_main_source(hosts.context(tmp_path).host, PurePosixPath(tmp_path / "package"))
    assert found.provider_variables == {"openrouter": ("OPENROUTER_API_KEY",)}
    assert found.provider_plugins == {"openrouter"}


def test_of_an_instance_nothing_is_read_to_which_it_could_lead(tmp_path: Path) -> None:
    context = hosts.context(tmp_path)
    paths = context.host.instance(samples.NAME)
    volume = Directory(paths.state)
    main(tmp_path, {"models": {"providers": {"a": {"apiKey": "sk-main"}}}})
    state = tmp_path / ".openclaw-worker1"
    state.mkdir()
    config = {
        "$include": "../.openclaw/openclaw.json",
        "secrets": {"providers": {"f": {"source": "file", "path": "~/.ssh/id", "mode": "singleValue"}}},
        "models": {"providers": {"a": {"apiKey": {"source": "file", "provider": "f", "id": "value"}}}},
    }
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id").write_text("PRIVATE")
    (state / "openclaw.json").write_text(json.dumps(config))
    with pytest.raises(OcmError, match="there is no instance worker1"):
        read_inheritance(context, "worker1", samples.record().runtime, parse_name("worker2"), {})
    (tmp_path / ".config/ocm/instances").mkdir(parents=True)
    (tmp_path / paths.record).write_text(encode_record(samples.record()))
    found = read_instance_source(samples.NAME, volume, PACKAGE, {})
    assert found.resolve({"source": "file", "provider": "f", "id": "value"}) is None
    assert found.notes
    inheritance = read_inheritance(context, "worker1", samples.record().runtime, parse_name("worker2"), {})
    assert inheritance.secrets == {}
    (state / "openclaw.json").unlink()
    with pytest.raises(OcmError, match="worker1 has no config"):
        read_instance_source(paths.name, volume, PACKAGE, {})
    (state / "openclaw.json").symlink_to("../.openclaw/openclaw.json")
    with pytest.raises(OcmError, match="is a link"):
        read_instance_source(paths.name, volume, PACKAGE, {})


def creation(context: Context, *, inherit: str | None = "main", fails: bool = False) -> Plan:
    paths = context.host.instance(samples.NAME)
    made: tuple[Step, ...] = (
        steps.WriteRecord(path=str(paths.record), text=encode_record(samples.record())),
        steps.MakeState(path=str(paths.state)),
        steps.MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
        steps.WriteConfig(path=str(paths.config), inherit=inherit),
        *([steps.MakeState(path=str(paths.state))] if fails else []),
    )
    return Plan(operation="create", name=samples.NAME, backend="systemd", steps=made, commit=len(made))


PLANTED = {
    "config": "sk-PLANTED-config",
    "env": "sk-PLANTED-env",
    "store": "sk-PLANTED-store",
    "refresh": "rt-PLANTED-refresh",
    "gateway": "tk-PLANTED-gateway",
    "channel": "bt-PLANTED-channel",
}


def plant(home: Path) -> Path:
    state = main(
        home,
        {
            "gateway": {"mode": "local", "port": 18789, "bind": "lan", "auth": {"token": PLANTED["gateway"]}},
            "channels": {"telegram": {"botToken": PLANTED["channel"]}},
            "agents": {
                "defaults": {"model": {"primary": "a/1"}, "workspace": "/w", "sandbox": {"mode": "off"}}
            },
            "session": {"dmScope": "main"},
            "models": {
                "providers": {
                    "a": {**PROVIDER, "apiKey": PLANTED["config"]},
                    "b": {**PROVIDER, "apiKey": "${B_KEY}"},
                    "c": PROVIDER,
                }
            },
        },
        **{".env": f"B_KEY={PLANTED['env']}\nTELEGRAM={PLANTED['channel']}\n"},
    )
    store(
        state / "state/openclaw.sqlite",
        {
            "c:m": {"type": "api_key", "provider": "c", "key": PLANTED["store"]},
            "o:m": {"type": "oauth", "provider": "o", "refresh": PLANTED["refresh"]},
        },
    )
    return state


def test_a_new_instance_has_references_and_its_secrets_are_in_one_file(tmp_path: Path) -> None:
    plant(tmp_path)
    context = hosts.context(tmp_path)
    paths = context.host.instance(samples.NAME)
    told: list[str] = []
    Transaction(context=context, plan=creation(context), progress=told.append).run()
    config = json.loads((tmp_path / ".openclaw-worker1/openclaw.json").read_text())
    assert {name: p["apiKey"] for name, p in config["models"]["providers"].items()} == {
        "a": "${A_API_KEY}",
        "b": "${B_KEY}",
        "c": "${C_API_KEY}",
    }
    assert config["gateway"]["bind"] == "loopback"
    assert config["gateway"]["port"] == 19001
    assert config["agents"]["defaults"]["sandbox"]["mode"] == "non-main"
    assert config["agents"]["defaults"]["workspace"] == str(paths.workspace)
    assert config["session"]["dmScope"] == "per-channel-peer"
    secrets = read_secrets(paths)
    assert secrets == {
        "A_API_KEY": PLANTED["config"],
        "B_KEY": PLANTED["env"],
        "C_API_KEY": PLANTED["store"],
    }
    inherited = read_inherited(paths)
    assert inherited is not None
    assert (inherited.source, set(inherited.secrets)) == ("main", set(secrets))
    holding = {
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if path.is_file()
        and not path.is_relative_to(tmp_path / ".openclaw")
        and any(secret.encode() in path.read_bytes() for secret in PLANTED.values())
    }
    assert holding == {".config/ocm/secrets/worker1.env"}
    assert not any(secret in "".join(told) for secret in PLANTED.values())
    for path in (paths.secrets, paths.inherited):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / path).parent.stat().st_mode) == 0o700


def test_a_creation_that_fails_leaves_nothing_of_what_it_inherited(tmp_path: Path) -> None:
    plant(tmp_path)
    context = hosts.context(tmp_path)
    before = hosts.contents(tmp_path / ".config") if (tmp_path / ".config").exists() else {}
    journals: list[str] = []

    def look(_step: str) -> None:
        folder = tmp_path / ".local/state/ocm/transactions"
        journals.extend(path.read_text() for path in folder.glob("*") if path.is_file())

    with pytest.raises(OcmError):
        Transaction(context=context, plan=creation(context, fails=True), progress=look).run()
    assert journals
    assert not any(secret in "".join(journals) for secret in PLANTED.values())
    assert (hosts.contents(tmp_path / ".config") if (tmp_path / ".config").exists() else {}) == before


def test_without_inheriting_main_is_not_read(tmp_path: Path) -> None:
    main(tmp_path, "{broken")
    context = hosts.context(tmp_path)
    Transaction(context=context, plan=creation(context, inherit=None), progress=lambda _step: None).run()
    paths = context.host.instance(samples.NAME)
    assert read_inherited(paths) is None
    assert read_secrets(paths) == {}
    assert "models" not in json.loads((tmp_path / ".openclaw-worker1/openclaw.json").read_text())
