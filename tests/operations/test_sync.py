"""`ocm sync` on real files, with an instance that is not sealed and a stand-in for OpenClaw's validation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests import samples
from tests.system import hosts

from ocm.core import plan as steps
from ocm.core.plan import Plan
from ocm.core.record import Runtime
from ocm.errors import OcmError
from ocm.operations import edit
from ocm.operations.secret import set_secret, unset_secret
from ocm.operations.start import Effort
from ocm.operations.sync import sync
from ocm.system import inherited as store
from ocm.system.exchange import replace_in
from ocm.system.inherited import read_inherited, read_secrets
from ocm.system.records import encode_record
from ocm.system.supervisord import Supervisord
from ocm.system.transaction import Transaction

if TYPE_CHECKING:
    from ocm.operations.result import Outcome
    from ocm.system.context import Context

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
        return replace(context, backends={"supervisord": backend}, backend=backend)

    def main(self, config: dict[str, Any], env: str = f"B_KEY={OLD}b\n") -> None:
        state = self.home / ".openclaw"
        state.mkdir(exist_ok=True)
        (state / "openclaw.json").write_text(json.dumps(config))
        (state / ".env").write_text(env)

    def create(self) -> None:
        node = self.home / "node"
        node.write_text(NODE)
        node.chmod(0o755)
        record = samples.record(runtime=Runtime(node=str(node), openclaw=str(self.home)))
        record = msgspec.structs.replace(record, backend="supervisord", sealed=False)
        paths = self.paths
        made: tuple[steps.Step, ...] = (
            steps.WriteRecord(path=str(paths.record), text=encode_record(record)),
            steps.MakeState(path=str(paths.state)),
            steps.MakeShell(shell=str(paths.shell), scratch=str(paths.scratch), fresh=True),
            steps.WriteConfig(path=str(paths.config), inherit="main"),
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

    def sync(self, *, dry_run: bool = False) -> Outcome:
        return sync(self.context, NAME, EFFORT, dry_run=dry_run)

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
    assert (told.message, told.steps) == ("sync would do this:", ("replace secret A_API_KEY",))
    assert instance.files() == before
    done = instance.sync()
    assert (done.changed, done.steps) == (True, told.steps)
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
    expected = ("models.providers.a.baseUrl changed in main and in worker1, which keeps its own",)
    assert instance.sync(dry_run=True).notes == expected
    assert instance.sync().notes == expected
    assert instance.config == own
    assert instance.sync().notes == ()


def test_what_main_removed_goes_with_its_key(instance: Instance) -> None:
    instance.main({**MAIN, "models": {"providers": {"a": provider(apiKey=OLD)}}})
    steps = instance.sync().steps
    assert steps[1] == "remove secret B_KEY"
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
    assert instance.sync().steps == ("add secret A_API_KEY",)
    assert instance.secrets["A_API_KEY"] == NEW
    with pytest.raises(OcmError, match="would be back with the next sync"):
        unset_secret(instance.context, NAME, "A_API_KEY", restart=None, dry_run=False)


def test_what_openclaw_refuses_changes_nothing(instance: Instance) -> None:
    instance.main(changed(a=provider(apiKey=NEW, refused=True)))
    before = instance.files()
    with pytest.raises(OcmError) as caught:
        instance.sync()
    assert caught.value.code == "config_invalid"
    assert "PLANTED" not in f"{caught.value} {caught.value.details}"
    assert instance.files() == before


@pytest.mark.parametrize("moment", ["write_inherited", "write_secrets"])
@pytest.mark.parametrize("calls", [0, 1])
def test_a_sync_after_one_that_was_cut_off_comes_to_the_same_end(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, moment: str, calls: int
) -> None:
    from ocm.operations import sync as module

    target = changed(a=provider(apiKey=NEW, baseUrl="http://127.0.0.1:2/v1"), c=provider(apiKey=NEW))
    instance.main(target)
    real, count = getattr(store, moment), 0

    def cut_off(*arguments: object) -> None:
        nonlocal count
        if count == calls:
            raise KeyboardInterrupt
        count += 1
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, moment, cut_off)
        try:
            instance.sync()
        except KeyboardInterrupt:
            instance.sync(dry_run=True)
    instance.sync()
    assert instance.secrets == {"A_API_KEY": NEW, "B_KEY": f"{OLD}b", "C_API_KEY": NEW}
    kept = read_inherited(instance.paths)
    assert kept is not None
    assert set(kept.secrets) == set(instance.secrets)
    assert instance.config["models"]["providers"]["a"]["baseUrl"] == "http://127.0.0.1:2/v1"
    assert not instance.sync().changed


def test_an_instance_that_inherits_nothing_says_so(instance: Instance) -> None:
    Path(instance.paths.inherited).unlink()
    outcome = instance.sync()
    assert (outcome.changed, outcome.message) == (False, "inherits nothing, as it was made")


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

    monkeypatch.setattr(edit, "replace_in", meanwhile)
    edited = edit.set_value(instance.context, NAME, "tools.profile", "minimal", dry_run=False)
    assert edited.changed
    assert instance.config["meta"] == {"lastTouchedAt": 2}
    assert instance.config["tools"] == {"profile": "minimal"}


def test_a_config_that_never_rests_is_told(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "replace_in", lambda *_arguments, **_named: False)
    before = instance.files()
    with pytest.raises(OcmError) as caught:
        edit.set_value(instance.context, NAME, "tools.profile", "minimal", dry_run=False)
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
    edited = edit.open_editor(instance.context, NAME, str(editor), dry_run=False)
    assert edited.keys == ("session.dmScope",)
    assert instance.config["session"] == {"dmScope": "per-peer"}
    assert instance.config["gateway"]["meanwhile"] == 1


def test_what_is_told_of_a_conflict_moves_no_terminal(instance: Instance, tmp_path: Path) -> None:
    instance.config = {**instance.config, "\x1b[31mkey": "then"}
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\nsed -i s/then/now/ {instance.paths.config}\nsed -i s/then/mine/ "$1"\n')
    editor.chmod(0o755)
    with pytest.raises(OcmError, match="in the same place: key") as caught:
        edit.open_editor(instance.context, NAME, str(editor), dry_run=False)
    assert caught.value.message.isprintable()
