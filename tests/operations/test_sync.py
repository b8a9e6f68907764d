"""`ocm sync` on real files, with an instance that is not sealed and a stand-in for OpenClaw's validation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests import hosts, samples

from openclaw_ocm.backends.supervisord.supervisor import Supervisord
from openclaw_ocm.core import steps
from openclaw_ocm.core.names import MAIN as MAIN_NAME
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.plan import Plan, Step
from openclaw_ocm.core.record import Runtime
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations import edit
from openclaw_ocm.operations.create import Wanted, create
from openclaw_ocm.operations.planning.followers import followers
from openclaw_ocm.operations.planning.repair import Effort
from openclaw_ocm.operations.secret import list_secrets, set_secret, unset_secret
from openclaw_ocm.operations.sync import end_inheriting, sync
from openclaw_ocm.system import volume
from openclaw_ocm.system.exchange import replace_in
from openclaw_ocm.system.kept.inherited import read_inherited, write_inherited
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.kept.secrets import read_secrets, write_secrets

if TYPE_CHECKING:
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.result import Outcome

NAME = samples.NAME
EFFORT = Effort(timeout_seconds=10)
OLD, NEW, OWN = "sk-PLANTED-old-1111", "sk-PLANTED-new-2222", "sk-PLANTED-own-3333"
# Says of a config that it is valid, unless that has a key `refused`.
NODE = """#!/bin/sh
if grep -q refused "$OPENCLAW_CONFIG_PATH"
then echo '{"valid": false, "issues": [{"path": "refused", "message": "no"}]}'; exit 1
else echo '{"valid": true}'; fi
"""


def provider(**fields: object) -> dict[str, object]:
    return {"baseUrl": "http://127.0.0.1:1/v1", "api": "openai-completions", "models": [], **fields}


MAIN: dict[str, Any] = {
    "models": {"providers": {"a": provider(apiKey=OLD), "b": provider(apiKey="${B_KEY}")}},
    "agents": {"defaults": {"model": {"primary": "a/1", "fallbacks": ["b/2"]}}},
}


class Instance:
    """An instance that inherits, and the main from which it does."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.context: Context = self._context()
        self.paths = self.context.host.instance(NAME)

    def _context(self) -> Context:
        context = hosts.context(self.home)
        backend = Supervisord(host=context.host)
        return replace(context, backends={"supervisord": backend}, chosen=backend)

    def main(self, config: dict[str, Any], env: str = f"B_KEY={OLD}b\n") -> None:
        state = self.home / ".openclaw"
        state.mkdir(exist_ok=True)
        (state / "openclaw.json").write_text(json.dumps(config))
        (state / ".env").write_text(env)

    def create(self, *, inherit: str | None = "main") -> None:
        node = self.home / "node"
        node.write_text(NODE)
        node.chmod(0o755)
        (self.home / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
        record = samples.record(runtime=Runtime(node=str(node), openclaw=str(self.home)))
        record = msgspec.structs.replace(record, backend="supervisord", sealed=False)
        paths = self.paths
        made: tuple[Step, ...] = (
            steps.WriteRecord(path=str(paths.record), text=encode_record(record)),
            steps.MakeState(path=str(paths.state)),
            steps.MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
            steps.WriteConfig(path=str(paths.config), inherit=inherit),
        )
        plan = Plan(operation="create", name=NAME, backend="supervisord", steps=made, commit=len(made))
        Transaction(context=self.context, plan=plan, progress=lambda _step: None).run()

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(self.paths.config).read_text())
        return found

    @config.setter
    def config(self, config: dict[str, Any]) -> None:
        Path(self.paths.config).write_text(json.dumps(config))

    @property
    def secrets(self) -> dict[str, str]:
        return read_secrets(self.paths)

    def sync(self, *, source: str | None = None, dry_run: bool = False) -> Outcome:
        return sync(self.context, NAME, EFFORT, source=source, dry_run=dry_run)

    def add(self, name: str, config: dict[str, Any], secrets: dict[str, str]) -> None:
        """Make another instance, as far as one can inherit from it."""
        paths = self.context.host.instance(parse_name(name))
        record = msgspec.structs.replace(samples.record(name=paths.name, port=19021), backend="supervisord")
        for path, text in (
            (paths.record, encode_record(record)),
            (paths.config, json.dumps(config)),
        ):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        write_secrets(self.context.host, paths.name, secrets)

    def files(self) -> dict[str, str]:
        return {
            path: text
            for path, text in hosts.contents(self.home).items()
            if not path.startswith(".local/state")
        }


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = Instance(tmp_path)
    made.main(MAIN)
    made.create()
    return made


def changed(**providers: object) -> dict[str, Any]:
    return {**MAIN, "models": {"providers": {**MAIN["models"]["providers"], **providers}}}


def without_tokens(steps: tuple[str, ...]) -> list[str]:
    """Return steps as they are in every run."""
    return [re.sub(r"[0-9a-f]{12}", "TOKEN", step) for step in steps]


def test_nothing_to_follow_is_nothing_to_do(instance: Instance) -> None:
    before = instance.files()
    outcome = instance.sync()
    assert (outcome.changed, outcome.message, outcome.steps) == (False, "already in step with main", ())
    assert instance.files() == before


def test_a_rotated_key_is_followed_and_the_second_sync_does_nothing(instance: Instance) -> None:
    config = instance.config
    instance.main(changed(a=provider(apiKey=NEW)))
    before = instance.files()
    told = instance.sync(dry_run=True)
    assert (told.message, told.changes) == ("sync would do this:", ("replace secret A_API_KEY",))
    assert instance.files() == before
    done = instance.sync()
    assert (done.changed, done.changes) == (True, told.changes)
    assert without_tokens(done.steps) == without_tokens(told.steps)
    assert instance.secrets == {"A_API_KEY": NEW, "B_KEY": f"{OLD}b"}
    assert instance.config == config
    after = instance.files()
    assert not instance.sync().changed
    assert instance.files() == after


def test_a_providers_address_is_followed_and_what_the_instance_changed_stays(instance: Instance) -> None:
    own = instance.config
    own["agents"]["defaults"]["model"]["primary"] = "b/2"
    own["models"]["providers"]["mine"] = provider(apiKey=OWN)
    instance.config = own
    instance.main(changed(a=provider(apiKey=OLD, baseUrl="http://127.0.0.1:2/v1"), c=provider(apiKey=NEW)))
    outcome = instance.sync()
    assert outcome.changed
    assert outcome.notes == ()
    found = instance.config
    assert found["models"]["providers"]["a"]["baseUrl"] == "http://127.0.0.1:2/v1"
    assert found["models"]["providers"]["c"]["apiKey"] == "${C_API_KEY}"
    assert found["models"]["providers"]["mine"] == provider(apiKey=OWN)
    assert found["agents"] == own["agents"]
    assert found["gateway"] == own["gateway"]
    assert not instance.sync().changed


def test_a_conflict_is_told_once_and_the_instance_keeps_its_own(instance: Instance) -> None:
    own = instance.config
    own["models"]["providers"]["a"]["baseUrl"] = "http://127.0.0.1:3/v1"
    instance.config = own
    instance.main(changed(a=provider(apiKey=OLD, baseUrl="http://127.0.0.1:2/v1")))
    expected = ("models.providers.a.baseUrl is not as in main: worker1 keeps its own",)
    assert instance.sync(dry_run=True).notes == expected
    assert instance.sync().notes == expected
    assert instance.config == own
    assert instance.sync().notes == ()


def test_what_main_removed_goes_with_its_key(instance: Instance) -> None:
    instance.main({**MAIN, "models": {"providers": {"a": provider(apiKey=OLD)}}})
    changes = instance.sync().changes
    assert changes[1] == "remove secret B_KEY"
    assert set(instance.config["models"]["providers"]) == {"a"}
    assert set(instance.secrets) == {"A_API_KEY"}


def test_no_diff_shows_a_secret(instance: Instance) -> None:
    own = instance.config
    own["models"]["providers"]["b"] |= {"headers": {"X-Key": OWN}, "apiKey": OWN}
    instance.config = own
    instance.main({**MAIN, "models": {"providers": {"c": provider(apiKey=NEW, headers={"X": NEW})}}})
    for outcome in (instance.sync(dry_run=True), instance.sync()):
        told = msgspec.json.encode(outcome).decode()
        assert outcome.steps
        assert "PLANTED" not in told
    assert "PLANTED" not in Path(instance.paths.inherited).read_text()


def test_an_own_secret_stays_until_it_is_unset(instance: Instance) -> None:
    set_secret(instance.context, NAME, "A_API_KEY", OWN, restart=None, dry_run=False)
    instance.main(changed(a=provider(apiKey=NEW)))
    assert not instance.sync().changed
    assert instance.secrets["A_API_KEY"] == OWN
    unset_secret(instance.context, NAME, "A_API_KEY", restart=None, dry_run=False)
    assert "A_API_KEY" not in instance.secrets
    assert instance.sync().changes == ("add secret A_API_KEY",)
    assert instance.secrets["A_API_KEY"] == NEW
    with pytest.raises(OcmError, match="would be back with the next sync"):
        unset_secret(instance.context, NAME, "A_API_KEY", restart=None, dry_run=False)


def test_what_openclaw_refuses_changes_nothing(instance: Instance) -> None:
    instance.main(changed(a=provider(apiKey=NEW, refused=True)))
    before = instance.files()
    with pytest.raises(OcmError) as caught:
        instance.sync()
    assert caught.value.code == "main_invalid"
    assert "PLANTED" not in f"{caught.value} {caught.value.details}"
    assert instance.files() == before


def test_one_that_was_restored_follows_nothing_until_the_user_says_what(instance: Instance) -> None:
    """What it inherited it goes on telling from its own, once it follows again."""
    inherited = read_inherited(instance.paths)
    assert inherited is not None
    write_inherited(instance.paths, msgspec.structs.replace(inherited, source=""))
    assert instance.sync().message == "inherits nothing"
    assert {secret.source for secret in list_secrets(instance.context, NAME)} == {"own"}
    unset_secret(instance.context, NAME, "A_API_KEY", restart=None, dry_run=False)
    asked = Wanted(name=NAME, sealed=False, inherit_from=MAIN_NAME)
    with pytest.raises(OcmError, match="inherits nothing"):
        create(instance.context, asked, dry_run=True)
    assert "inherit from main" in instance.sync(source=MAIN_NAME).changes
    again = read_inherited(instance.paths)
    assert again == inherited


def test_an_instance_that_inherits_nothing_says_so(instance: Instance) -> None:
    Path(instance.paths.inherited).unlink()
    outcome = instance.sync()
    assert (outcome.changed, outcome.message) == (False, "inherits nothing")
    assert "ocm sync worker1 --inherit-from main" in outcome.notes[0]
    assert read_inherited(instance.paths) is None


def test_a_main_that_is_broken_is_told_and_changes_nothing(instance: Instance) -> None:
    before = instance.files()
    (instance.home / ".openclaw/openclaw.json").write_text("{")
    with pytest.raises(OcmError, match="is not valid JSON5"):
        instance.sync()
    (instance.home / ".openclaw/openclaw.json").write_text(json.dumps(MAIN))
    assert instance.files() == before


def test_an_edit_and_a_write_of_openclaws_at_once_lose_nothing(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replace_in
    wrote: list[int] = []

    def meanwhile(*arguments: Any, **named: Any) -> bool:  # noqa: ANN401 - those of replace_in
        if len(wrote) < 2:
            wrote.append(1)
            instance.config = {**instance.config, "meta": {"lastTouchedAt": len(wrote)}}
        return real(*arguments, **named)

    monkeypatch.setattr(volume, "replace_in", meanwhile)
    edited = edit.set_value(instance.context, NAME, "tools.profile", "minimal", effort=EFFORT, dry_run=False)
    assert edited.changed
    assert instance.config["meta"] == {"lastTouchedAt": 2}
    assert instance.config["tools"] == {"profile": "minimal"}


def test_a_config_that_never_rests_is_told(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "replace_in", lambda *_arguments, **_named: False)
    before = instance.files()
    with pytest.raises(OcmError) as caught:
        edit.set_value(instance.context, NAME, "tools.profile", "minimal", effort=EFFORT, dry_run=False)
    assert (caught.value.code, caught.value.hint) == ("config_changed", "try again")
    assert instance.files() == before


def test_an_editor_keeps_what_openclaw_wrote_while_it_was_open(instance: Instance, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        "#!/bin/sh\n"
        f'sed -i \'s/"mode": "local"/"mode": "local", "meanwhile": 1/\' {instance.paths.config}\n'
        'sed -i \'s/"per-channel-peer"/"per-peer"/\' "$1"\n'
    )
    editor.chmod(0o755)
    edited = edit.open_editor(instance.context, NAME, str(editor), effort=EFFORT, dry_run=False)
    assert edited.keys == ("session.dmScope",)
    assert instance.config["session"] == {"dmScope": "per-peer"}
    assert instance.config["gateway"]["meanwhile"] == 1


def test_what_is_told_of_a_conflict_moves_no_terminal(instance: Instance, tmp_path: Path) -> None:
    instance.config = {**instance.config, "\x1b[31mkey": "then"}
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\nsed -i s/then/now/ {instance.paths.config}\nsed -i s/then/mine/ "$1"\n')
    editor.chmod(0o755)
    with pytest.raises(OcmError, match="in the same place: key") as caught:
        edit.open_editor(instance.context, NAME, str(editor), effort=EFFORT, dry_run=False)
    assert caught.value.message.isprintable()


@pytest.fixture
def older(tmp_path: Path) -> Instance:
    """Return an instance that inherits nothing, made before there was anything to inherit."""
    made = Instance(tmp_path)
    made.create(inherit=None)
    made.main(MAIN)
    return made


def test_an_instance_that_inherits_nothing_can_begin_and_what_is_its_own_wins(older: Instance) -> None:
    own = older.config
    own["agents"]["defaults"]["model"] = {"primary": "b/own"}
    own["models"] = {"providers": {"a": provider(apiKey=OWN, api="own"), "mine": provider()}}
    older.config = own
    set_secret(older.context, NAME, "B_KEY", OWN, restart=None, dry_run=False)
    before = older.files()
    told = older.sync(source="main", dry_run=True)
    assert older.files() == before
    done = older.sync(source="main")
    assert (done.changed, done.message, done.changes) == (True, "in step with main", told.changes)
    assert without_tokens(done.steps) == without_tokens(told.steps)
    assert done.changes[0] == "inherit from main"
    assert set(done.notes) == {
        f"{place} is not as in main: worker1 keeps its own"
        for place in ("models.providers.a.apiKey", "models.providers.a.api", "agents.defaults.model.primary")
    }
    found = older.config
    assert found["models"]["providers"] == {
        "a": provider(apiKey=OWN, api="own"),
        "b": provider(apiKey="${B_KEY}"),
        "mine": provider(),
    }
    assert found["agents"]["defaults"]["model"] == {"primary": "b/own", "fallbacks": ["b/2"]}
    assert found["gateway"] == own["gateway"]
    assert older.secrets == {"A_API_KEY": OLD, "B_KEY": OWN}
    assert {one.key: one.source for one in list_secrets(older.context, NAME)} == {
        "A_API_KEY": "main",
        "B_KEY": "own",
    }
    assert "PLANTED" not in msgspec.json.encode([told, done]).decode()
    assert (older.sync().changed, older.sync().notes) == (False, ())


def test_an_instance_can_begin_before_main_has_anything(older: Instance) -> None:
    older.main({}, env="")
    assert older.sync(source="main").changed
    assert older.sync().message == "already in step with main"
    older.main(MAIN)
    assert older.sync().changed
    assert set(older.config["models"]["providers"]) == {"a", "b"}


def test_another_source_replaces_what_came_from_the_one_before(instance: Instance) -> None:
    own = instance.config
    own["agents"]["defaults"]["model"]["primary"] = "b/own"
    instance.config = own
    set_secret(instance.context, NAME, "MY_KEY", OWN, restart=None, dry_run=False)
    config = {"models": {"providers": {"c": provider(apiKey="${C_KEY}")}}, "gateway": {"port": 1}}
    instance.add("worker2", config, {"C_KEY": NEW, "NOT_USED": OWN})
    outcome = instance.sync(source="worker2")
    assert outcome.changes[0] == "inherit from worker2"
    assert outcome.notes == ("agents.defaults.model.primary is not as in worker2: worker1 keeps its own",)
    assert set(instance.config["models"]["providers"]) == {"c"}
    assert instance.config["agents"]["defaults"]["model"] == {"primary": "b/own"}
    assert instance.config["gateway"] == own["gateway"]
    assert instance.secrets == {"C_KEY": NEW, "MY_KEY": OWN}
    assert followers(instance.context.host) == ()
    instance.main(changed(a=provider(apiKey=NEW)))
    assert not instance.sync().changed
    assert instance.sync(source="main").changed
    assert followers(instance.context.host) == (NAME,)
    assert instance.secrets == {"A_API_KEY": NEW, "B_KEY": f"{OLD}b", "MY_KEY": OWN}


@pytest.mark.parametrize(("source", "code"), [("worker1", "source_invalid"), ("gone", "unknown_instance")])
def test_a_source_that_cannot_be_one_is_refused(instance: Instance, source: str, code: str) -> None:
    before = instance.files()
    with pytest.raises(OcmError) as caught:
        instance.sync(source=source)
    assert caught.value.code == code
    assert instance.files() == before


@pytest.mark.parametrize("damage", [None, "{"])
def test_an_instance_that_inherits_no_more_keeps_what_it_has(instance: Instance, damage: str | None) -> None:
    if damage is not None:
        Path(instance.paths.inherited).write_text(damage)
        with pytest.raises(OcmError) as caught:
            instance.sync()
        assert caught.value.hint == (
            "ocm sync worker1 --no-inherit gives it up: the instance keeps what it has"
        )
    config, secrets = instance.config, instance.secrets
    assert not end_inheriting(instance.context, NAME, dry_run=True).changed
    assert Path(instance.paths.inherited).exists()
    assert end_inheriting(instance.context, NAME, dry_run=False).changed
    assert not end_inheriting(instance.context, NAME, dry_run=False).changed
    instance.main({**MAIN, "models": {}}, env="")
    assert instance.sync().message == "inherits nothing"
    assert (instance.config, instance.secrets) == (config, secrets)
    unset_secret(instance.context, NAME, "B_KEY", restart=None, dry_run=False)


@pytest.mark.parametrize("gone", [True, False])
def test_a_main_that_has_nothing_any_more_takes_nothing_away(instance: Instance, gone: bool) -> None:  # noqa: FBT001
    instance.main({}, env="")
    if gone:
        (instance.home / ".openclaw/openclaw.json").unlink()
    before = instance.files()
    with pytest.raises(OcmError, match="main has nothing to inherit any more: worker1 keeps") as caught:
        instance.sync()
    assert caught.value.hint == "ocm sync worker1 --no-inherit has it inherit no more"
    assert instance.files() == before


def test_a_store_that_cannot_be_read_takes_no_key_away(instance: Instance) -> None:
    state = instance.home / ".openclaw/state"
    state.mkdir()
    (state / "openclaw.sqlite").write_text("no database")
    with pytest.raises(OcmError, match="cannot be read"):
        instance.sync()
    assert set(instance.secrets) == {"A_API_KEY", "B_KEY"}


def test_a_key_that_the_instance_alone_uses_stays_and_is_its_own(instance: Instance) -> None:
    own = instance.config
    own["models"]["providers"]["mine"] = provider(apiKey="${B_KEY}")
    instance.config = own
    instance.main({**MAIN, "models": {"providers": {"a": provider(apiKey=OLD)}}}, env="")
    outcome = instance.sync()
    assert outcome.notes == ("B_KEY is no longer in main: worker1 uses it and keeps it",)
    assert instance.secrets == {"A_API_KEY": OLD, "B_KEY": f"{OLD}b"}
    assert {one.key: one.source for one in list_secrets(instance.context, NAME)}["B_KEY"] == "own"
    assert (instance.sync().changed, instance.sync().notes) == (False, ())


def test_what_main_removed_and_the_instance_changed_stays_whole_with_its_key(instance: Instance) -> None:
    own = instance.config
    own["models"]["providers"]["b"]["baseUrl"] = "http://127.0.0.1:3/v1"
    instance.config = own
    instance.main({**MAIN, "models": {"providers": {"a": provider(apiKey=OLD)}}}, env="")
    assert instance.sync().notes == (
        "models.providers.b is not as in main: worker1 keeps its own",
        "B_KEY is no longer in main: worker1 uses it and keeps it",
    )
    assert instance.config == own
    assert set(instance.secrets) == {"A_API_KEY", "B_KEY"}


def test_a_key_in_the_instances_own_config_stays_and_that_it_does_not_follow_is_told(
    instance: Instance,
) -> None:
    own = instance.config
    own["models"]["providers"]["a"]["apiKey"] = OWN
    instance.config = own
    instance.main(changed(a=provider(apiKey=NEW)))
    outcome = instance.sync()
    assert outcome.changes == ("replace secret A_API_KEY",)
    assert outcome.notes == (
        "A_API_KEY changed in main: worker1 has a key of its own in its config and does not use it",
    )
    assert instance.config == own
    assert (instance.sync().changed, instance.sync().notes) == (False, ())


@pytest.mark.parametrize(
    ("providers", "code"),
    [
        ({str(n): provider(apiKey=f"sk-{n}-".ljust(30_000, "x")) for n in range(40)}, "secrets_too_large"),
        ({"a": provider(params={"x": [0] * 1_000_000})}, "config_too_large"),
    ],
)
def test_too_much_is_refused_before_anything_is_changed(
    instance: Instance, providers: dict[str, Any], code: str
) -> None:
    instance.main({"models": {"providers": providers}})
    before = instance.files()
    with pytest.raises(OcmError) as caught:
        instance.sync()
    assert caught.value.code == code
    assert instance.files() == before


def test_an_own_secret_that_is_one_too_many_is_refused(instance: Instance) -> None:
    many = {f"KEY_{number}": "x" * 30_000 for number in range(34)}
    write_secrets(instance.context.host, NAME, many)
    with pytest.raises(OcmError) as caught:
        set_secret(instance.context, NAME, "ONE_MORE", "x" * 32_000, restart=None, dry_run=False)
    assert caught.value.code == "secrets_too_large"
    assert instance.secrets == many


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, None),
        ({"inherit_from": "main"}, None),
        ({"inherit_from": "worker2"}, ("inherits from main", "--inherit-from worker2")),
        ({"no_inherit": True}, ("inherits from main", "--no-inherit")),
    ],
)
def test_one_that_exists_inherits_as_asked_or_that_is_told(
    instance: Instance, asked: dict[str, Any], words: tuple[str, str] | None
) -> None:
    wanted = Wanted(name=NAME, sealed=False, **asked)
    if words is None:
        assert create(instance.context, wanted, dry_run=True).message == "exists already"
        return
    with pytest.raises(OcmError) as caught:
        create(instance.context, wanted, dry_run=True)
    assert caught.value.message == f"worker1 exists already, and {words[0]}"
    assert caught.value.hint == f"ocm sync worker1 {words[1]} changes that"


def test_one_that_exists_and_inherits_nothing_says_how_it_begins(older: Instance) -> None:
    asked = Wanted(name=NAME, sealed=False)
    assert create(older.context, asked, dry_run=True).message == "exists already"
    assert create(older.context, replace(asked, no_inherit=True), dry_run=True).message == "exists already"
    with pytest.raises(OcmError, match="inherits nothing") as caught:
        create(older.context, replace(asked, inherit_from=MAIN_NAME), dry_run=True)
    assert caught.value.hint == "ocm sync worker1 --inherit-from main changes that"


def test_a_key_that_was_set_since_is_not_asked_for_again(instance: Instance) -> None:
    reference = {"source": "exec", "provider": "op", "id": "x"}
    instance.main(changed(c=provider(apiKey=reference)))
    asked = f"ocm secret set {NAME} C_API_KEY"
    assert any(asked in note for note in instance.sync().notes)
    set_secret(instance.context, NAME, "C_API_KEY", OWN, restart=None, dry_run=False)
    assert not any(asked in note for note in instance.sync().notes)
