"""Secrets, configs and what is inherited change with a plan: all of it or nothing, and the process as it was.

The gateways are the fake's, in memory; what OpenClaw says of a config is a stand-in's answer.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests import hosts, model_lists, samples
from tests.backends import fake
from tests.backends.home import make_home
from tests.operations.cutting import cut_at
from tests.operations.test_sync import MAIN, NEW, NODE, OLD, OWN, changed, provider, without_tokens

from openclaw_ocm.backends import registry
from openclaw_ocm.core import steps
from openclaw_ocm.core.inheritance.merge import same
from openclaw_ocm.core.models import choice
from openclaw_ocm.core.models.listing import PROVIDERS, Page, read_models
from openclaw_ocm.core.names import MAIN as MAIN_NAME
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.openclaw.document import format_config
from openclaw_ocm.core.plan import Plan
from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import apply, transaction
from openclaw_ocm.instances.instance import instance_of
from openclaw_ocm.instances.transaction import Transaction, unfinished
from openclaw_ocm.operations import edit, model, models
from openclaw_ocm.operations.planning.change import locked
from openclaw_ocm.operations.planning.making import setting_up
from openclaw_ocm.operations.planning.repair import Effort
from openclaw_ocm.operations.secret import set_secret, unset_secret
from openclaw_ocm.operations.start import restart
from openclaw_ocm.operations.sync import sync
from openclaw_ocm.operations.token import rotate
from openclaw_ocm.system import exchange, volume
from openclaw_ocm.system.kept.records import encode_record, read_record
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.runner import Completed

if TYPE_CHECKING:
    from openclaw_ocm.backends.protocol import Observed
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context

NAME = samples.NAME
# Long enough for what is ready at once.
EFFORT = Effort(timeout_seconds=0)
NOT_READY = Answer(problem="it hangs")
LISTING = read_models(PROVIDERS["ppq"], Page(rows=tuple(model_lists.ppq(3))))


class Killed(BaseException):
    """What stands for SIGKILL: no step is undone, and the journal stays."""


class Worker:
    """An instance that runs and inherits from main, with a secret of its own."""

    def __init__(self, parent: Path) -> None:
        made = make_home(fake.NAME, parent)
        self.home = made.home
        self.told: list[str] = []
        self.context: Context = replace(made.context(), report=self.told.append)
        self.world = fake.world_of(made.host)
        self.paths = made.host.instance(NAME)
        (self.home / "node").write_text(NODE)
        self.main(MAIN)
        record = made.record(NAME, sealed=False)
        setup = setting_up(instance_of(self.context, record), [], autostart=False)
        self.run(
            steps.WriteRecord(path=str(self.paths.record), text=encode_record(record)),
            steps.MakeState(path=str(self.paths.state)),
            steps.MakeShell(shell=str(self.paths.shell), scratch=str(self.paths.scratch), fresh=True),
            steps.WriteConfig(path=str(self.paths.config), inherit="main"),
            *setup,
            steps.Start(name=NAME),
        )
        set_secret(self.context, NAME, "MY_KEY", OWN, restart=None, dry_run=False)
        # As the first process in its sandbox leaves it.
        Path(self.paths.state, "programs", "bin").mkdir(parents=True, exist_ok=True)
        restart(self.context, NAME, EFFORT, dry_run=False)
        self.main(changed(a=provider(apiKey=NEW, baseUrl="http://127.0.0.1:2/v1"), c=provider(apiKey=NEW)))

    def run(self, *made: Step) -> None:
        plan = Plan(operation="create", name=NAME, backend="fake", steps=made, commit=len(made))
        Transaction(context=self.context, plan=plan, progress=self.told.append).run()

    def main(self, config: dict[str, Any]) -> None:
        state = self.home / ".openclaw"
        state.mkdir(exist_ok=True)
        (state / "openclaw.json").write_text(json.dumps(config))
        (state / ".env").write_text(f"B_KEY={OLD}b\n")

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(self.paths.config).read_text())
        return found

    @property
    def pid(self) -> int | None:
        return self.context.backend.observe([NAME])[NAME].pid

    def files(self) -> dict[str, str]:
        """Return all files that are no locks, and of OCM's own when each was written and who can read it."""
        ignored = (".local/state/ocm/locks/", ".openclaw-worker1/ran")
        found = {
            path: text for path, text in hosts.contents(self.home).items() if not path.startswith(ignored)
        }
        for path in (self.paths.secrets, self.paths.inherited):
            status = Path(path).stat()
            found[f"status of {path}"] = f"{status.st_ino} {status.st_mtime_ns} {status.st_mode:o}"
        return found


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setitem(registry.BACKENDS, fake.NAME, fake.REGISTERED)
    verdict = Completed(returncode=0, stdout='{"valid": true}', stderr="")
    monkeypatch.setattr(models, "validate_main", lambda _host, _text: verdict)
    return Worker(tmp_path)


Verb = Callable[..., Any]


def setting(worker: Worker, effort: Effort = EFFORT, *, dry_run: bool = False) -> Any:  # noqa: ANN401 - each verb its own
    return set_secret(worker.context, NAME, "A_API_KEY", NEW, restart=effort, dry_run=dry_run)


def unsetting(worker: Worker, effort: Effort = EFFORT, *, dry_run: bool = False) -> Any:  # noqa: ANN401
    return unset_secret(worker.context, NAME, "MY_KEY", restart=effort, dry_run=dry_run)


def syncing(worker: Worker, effort: Effort = EFFORT, *, dry_run: bool = False) -> Any:  # noqa: ANN401
    return sync(worker.context, NAME, effort, dry_run=dry_run)


def editing(worker: Worker, effort: Effort = EFFORT, *, dry_run: bool = False) -> Any:  # noqa: ANN401
    return edit.set_value(worker.context, NAME, "tools.profile", "minimal", effort=effort, dry_run=dry_run)


def editing_what_takes_a_restart(worker: Worker, effort: Effort = EFFORT, *, dry_run: bool = False) -> Any:  # noqa: ANN401
    return edit.set_value(
        worker.context, NAME, "gateway.controlUi.basePath", "/ui", effort=effort, dry_run=dry_run
    )


def updating(worker: Worker, effort: Effort = EFFORT, *, dry_run: bool = False) -> Any:  # noqa: ANN401
    request = models.Request(
        provider=PROVIDERS["ppq"], listing=LISTING, force=True, dry_run=dry_run, effort=effort
    )
    return models.update(worker.context, NAME, request)


def updating_main(worker: Worker, effort: Effort = EFFORT, *, dry_run: bool = False) -> Any:  # noqa: ANN401
    request = models.Request(
        provider=PROVIDERS["ppq"], listing=LISTING, force=True, dry_run=dry_run, effort=effort
    )
    return models.update(worker.context, MAIN_NAME, request)


def choosing_a_model(worker: Worker, effort: Effort = EFFORT, *, dry_run: bool = False) -> Any:  # noqa: ANN401
    asked = choice.parse_choice("lab/model-1", "https://lab.example/v1")
    need = model.look_up(worker.context, NAME, asked, variable=None, no_key=False)
    wanted = model.Wanted(need=need, key=NEW)
    return model.choose(worker.context, NAME, wanted, effort, dry_run=dry_run)


OF_INSTANCES = (
    *(setting, unsetting, syncing, editing, editing_what_takes_a_restart, updating),
    choosing_a_model,
)
RESTARTING = (setting, unsetting, syncing, editing_what_takes_a_restart, choosing_a_model)
EVERY_VERB = pytest.mark.parametrize("verb", [*OF_INSTANCES, updating_main], ids=lambda verb: verb.__name__)
EVERY_INSTANCE_VERB = pytest.mark.parametrize("verb", OF_INSTANCES, ids=lambda verb: verb.__name__)


def left_over(worker: Worker) -> list[str]:
    return [path for path in hosts.contents(worker.home) if path.endswith((".ocm", ".jsonl", ".ocm-aside"))]


@EVERY_VERB
def test_what_a_dry_run_tells_is_what_is_done(worker: Worker, verb: Verb) -> None:
    before, pid = worker.files(), worker.pid
    directories = {path for path in worker.home.rglob("*") if path.is_dir()}
    told = verb(worker, dry_run=True)
    assert (told.changed, told.dry_run) == (False, True)
    assert (worker.files(), worker.pid) == (before, pid)
    assert {path for path in worker.home.rglob("*") if path.is_dir()} == directories
    worker.told.clear()
    done = verb(worker)
    assert done.changed
    assert without_tokens(done.steps) == without_tokens(told.steps)
    began = [word for word in worker.told if word in done.steps]
    assert began == list(done.steps)
    assert worker.files() != before
    assert (worker.pid != pid) == (verb in RESTARTING)
    assert left_over(worker) == []
    assert not verb(worker).changed


@EVERY_INSTANCE_VERB
def test_with_a_gateway_that_does_not_become_ready_all_is_as_before(worker: Worker, verb: Verb) -> None:
    before, pid = worker.files(), worker.pid
    worker.world.answers[NAME] = NOT_READY
    with pytest.raises(OcmError) as caught:
        verb(worker)
    assert (caught.value.exit_code, caught.value.code) == (1, "not_ready")
    assert worker.files() == before
    assert worker.pid is not None
    assert (worker.pid != pid) == (verb in RESTARTING)
    undone = [line for line in caught.value.details if line.startswith("undone: ")]
    assert ("undone: worker1 is started again, as it was" in undone) == (verb in RESTARTING)
    assert len(undone) >= 1
    assert left_over(worker) == []
    del worker.world.answers[NAME]
    assert verb(worker).changed, "nothing is in the way of another attempt"


@EVERY_INSTANCE_VERB
def test_what_fails_is_kept_where_the_user_says_so(worker: Worker, verb: Verb) -> None:
    before = worker.files()
    worker.world.answers[NAME] = NOT_READY
    with pytest.raises(OcmError) as caught:
        verb(worker, replace(EFFORT, keep=True))
    assert caught.value.code == "not_ready"
    assert worker.files() != before
    assert left_over(worker) == []
    del worker.world.answers[NAME]
    assert not verb(worker).changed


@EVERY_INSTANCE_VERB
def test_a_gateway_that_cannot_be_started_at_all_is_told_and_the_rest_is_as_before(
    worker: Worker, verb: Verb
) -> None:
    if verb not in RESTARTING:
        return
    before = worker.files()
    worker.world.refused.add(NAME)
    with pytest.raises(OcmError) as caught:
        verb(worker)
    assert caught.value.exit_code == 4, "the old process cannot be brought back either"
    assert {path: text for path, text in worker.files().items() if path in before} == before
    worker.world.refused.clear()
    with locked(worker.context, NAME) as sentence:
        assert str(sentence).endswith("was undone")
    assert worker.files() == before
    assert worker.pid is not None


@EVERY_INSTANCE_VERB
def test_of_a_stopped_instance_nothing_is_started(worker: Worker, verb: Verb) -> None:
    worker.context.backend.stop([NAME])
    done = verb(worker)
    assert done.changed
    assert worker.pid is None
    assert not [step for step in done.steps if step.startswith(("restart", "wait", "note"))]


def dying_at(monkeypatch: pytest.MonkeyPatch, count: int, *, after: bool) -> Callable[[], int]:
    """Have OCM be killed before or after the `count`-th step; return what tells how many were begun."""

    def dead(*_arguments: object, **_options: object) -> None:
        raise Killed

    monkeypatch.setattr(transaction, "undo", dead)
    return cut_at(monkeypatch, count, Killed, after=after)


@EVERY_VERB
@pytest.mark.parametrize("after", [True, False])
def test_a_kill_before_or_after_any_step_leaves_all_or_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, verb: Verb, *, after: bool
) -> None:
    before, pid = worker.files(), worker.pid
    name = MAIN_NAME if verb is updating_main else NAME
    outcomes = []
    for number in range(1, 100):
        with monkeypatch.context() as patched:
            begun = dying_at(patched, number, after=after)
            try:
                verb(worker)
            except Killed:
                pass
            else:
                break
        assert begun() == number
        assert unfinished(worker.context) == (name,)
        with locked(worker.context, name) as sentence:
            outcomes.append(str(sentence).rpartition(" ")[2])
        assert left_over(worker) == []
        assert worker.pid is not None
        if outcomes[-1] == "undone":
            now = worker.files()
            # Main's own backup of its config is made before that is replaced.
            assert {path: text for path, text in now.items() if not path.endswith(".bak")} == before, number
        else:
            assert not verb(worker).changed
            break
    assert outcomes[-1] == "finished", "killed while it was cleaning up"
    assert len(outcomes) >= 4
    if verb not in RESTARTING:
        assert worker.pid == pid, "no process was touched"


def gateway_writes(worker: Worker, change: Callable[[dict[str, Any]], object]) -> None:
    config = worker.config
    change(config)
    path = Path(worker.paths.config)
    beside = path.with_name("written-by-openclaw")
    beside.write_bytes(format_config(config))
    beside.rename(path)


def while_it_is_verified(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Have something happen while OCM waits for the gateway, which does not become ready."""

    def ask(_backend: fake.Fake, gateways: list[Observed], **_options: object) -> dict[InstanceName, Answer]:
        meanwhile()
        return {one.record.name: NOT_READY for one in gateways}

    monkeypatch.setattr(fake.Fake, "ask", ask)


@pytest.mark.parametrize("verb", [syncing, editing, editing_what_takes_a_restart, updating])
def test_an_undo_takes_back_its_own_change_and_not_what_openclaw_wrote_since(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, verb: Verb
) -> None:
    before = worker.config

    def meta(config: dict[str, Any]) -> None:
        config["meta"] = {"lastTouchedAt": "now"}

    while_it_is_verified(monkeypatch, lambda: gateway_writes(worker, meta))
    with pytest.raises(OcmError) as caught:
        verb(worker)
    assert caught.value.exit_code == 1
    assert same(worker.config, {**before, "meta": {"lastTouchedAt": "now"}})
    assert left_over(worker) == []


def test_what_openclaw_changed_in_the_same_place_stays_and_is_told(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(config: dict[str, Any]) -> None:
        config["tools"] = {"profile": "by the gateway"}

    while_it_is_verified(monkeypatch, lambda: gateway_writes(worker, other))
    with pytest.raises(OcmError) as caught:
        editing(worker)
    assert worker.config["tools"] == {"profile": "by the gateway"}
    assert (
        "undone: replace the config of worker1; changed meanwhile, and left so: tools" in caught.value.details
    ) or (
        "undone: replace the config of worker1; changed meanwhile, and left so: tools.profile"
        in caught.value.details
    )


def test_a_config_that_was_put_back_by_hand_meanwhile_stays_so(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(worker.paths.config).read_bytes()
    while_it_is_verified(monkeypatch, lambda: Path(worker.paths.config).write_bytes(text))
    with pytest.raises(OcmError):
        editing(worker)
    assert Path(worker.paths.config).read_bytes() == text


@pytest.mark.parametrize("trick", ["link", "pipe", "directory", "gone", "large", "no JSON"])
def test_an_instance_keeps_nobody_from_the_rest_of_the_undo(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, trick: str
) -> None:
    secrets, inherited = (Path(path).read_bytes() for path in (worker.paths.secrets, worker.paths.inherited))
    config = Path(worker.paths.config)

    def play() -> None:
        config.unlink(missing_ok=True)
        if trick == "link":
            config.symlink_to("/etc/passwd")
        elif trick == "pipe":
            os.mkfifo(config)
        elif trick == "directory":
            config.mkdir()
        elif trick == "large":
            with config.open("wb") as file:
                file.truncate(2**31)
        elif trick == "no JSON":
            config.write_text("{")

    while_it_is_verified(monkeypatch, play)
    with pytest.raises(OcmError) as caught:
        syncing(worker)
    assert caught.value.exit_code == 1
    assert "the config of worker1 is left as it is: " in "\n".join(caught.value.details)
    assert Path(worker.paths.secrets).read_bytes() == secrets
    assert Path(worker.paths.inherited).read_bytes() == inherited
    assert worker.pid is not None
    assert unfinished(worker.context) == ()


def test_a_write_of_openclaws_at_the_very_moment_and_a_kill_lose_nothing(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was displaced lies beside, where OCM was killed before it could look at it."""
    before, real = worker.config, exchange._exchange

    def meanwhile(directory: int, one: str, other: str) -> bool:
        def meta(config: dict[str, Any]) -> None:
            config["meta"] = {"lastTouchedAt": "at the very moment"}

        gateway_writes(worker, meta)
        assert real(directory, one, other)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(exchange, "_exchange", meanwhile)
        dying_at(patched, 1000, after=True)
        # A kill leaves what is beside.
        unlink = os.unlink

        def kept(path: str, **at: Any) -> None:  # noqa: ANN401 - as unlink
            if not path.endswith(".ocm"):
                unlink(path, **at)

        patched.setattr(os, "unlink", kept)
        with pytest.raises(Killed):
            editing(worker)
    assert worker.config["tools"] == {"profile": "minimal"}
    with locked(worker.context, NAME) as sentence:
        assert sentence == "an interrupted edit of worker1 was undone"
    assert same(worker.config, {**before, "meta": {"lastTouchedAt": "at the very moment"}})
    assert left_over(worker) == []


def test_an_edit_that_meets_a_gateway_that_writes_is_made_again_and_no_process_is_touched(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, real = worker.pid, exchange.replace_in
    wrote: list[int] = []

    def meanwhile(*arguments: Any, **named: Any) -> bool:  # noqa: ANN401 - those of replace_in
        if len(wrote) < 2:
            wrote.append(1)
            gateway_writes(worker, lambda config: config.update(meta={"number": len(wrote)}))
        return real(*arguments, **named)

    monkeypatch.setattr(volume, "replace_in", meanwhile)
    assert editing(worker).changed
    assert worker.config["meta"] == {"number": 2}
    assert worker.config["tools"] == {"profile": "minimal"}
    assert worker.pid == pid
    assert left_over(worker) == []


@EVERY_VERB
def test_no_secret_is_in_a_plan_or_a_journal_and_what_is_staged_is_for_the_user_alone(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, verb: Verb
) -> None:
    journals: list[str] = []
    modes: set[int] = set()
    real = apply.apply_step

    def step(context: Context, one: Step) -> None:
        journals.extend(path.read_text() for path in Path(context.host.paths.transactions).iterdir())
        for path in worker.home.rglob("*.ocm"):
            modes.add(path.stat().st_mode & 0o777)
        real(context, one)

    monkeypatch.setattr(transaction, "apply_step", step)
    done = verb(worker)
    assert len(journals) >= 4
    assert "PLANTED" not in "".join(journals)
    assert "PLANTED" not in msgspec.json.encode(done).decode()
    token = worker.config["gateway"]["auth"]["token"]
    assert token not in "".join(journals)
    assert modes == {0o600}


def test_a_change_of_mains_that_was_cut_off_takes_back_nothing_of_the_users(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = worker.home / ".openclaw/openclaw.json"
    before = json.loads(main.read_text())
    with monkeypatch.context() as patched:
        dying_at(patched, 3, after=True)
        with pytest.raises(Killed):
            updating_main(worker)
    changed_now = json.loads(main.read_text())
    assert changed_now != before
    main.write_text(json.dumps({**changed_now, "mine": "since then"}))
    with locked(worker.context, MAIN_NAME) as sentence:
        assert sentence == "an interrupted update-models of main was undone"
    assert same(json.loads(main.read_text()), {**before, "mine": "since then"})
    assert left_over(worker) == []


def change_limits(worker: Worker) -> str:
    """Have the record ask for another definition; return the text of the one that there is."""
    record = read_record(worker.context.host.paths, NAME)
    limits = msgspec.structs.replace(record.limits, tasks=record.limits.tasks + 1)
    Path(worker.paths.record).write_text(encode_record(msgspec.structs.replace(record, limits=limits)))
    return definition(worker)


def definition(worker: Worker) -> str:
    return (Path(fake.definitions(worker.context.host)) / f"{NAME}.gateway").read_text()


def test_a_restart_that_fails_brings_the_old_definition_and_the_old_process_back(worker: Worker) -> None:
    old, pid = change_limits(worker), worker.pid
    loaded = worker.world.gateways[NAME].loaded
    worker.world.answers[NAME] = NOT_READY
    with pytest.raises(OcmError) as caught:
        restart(worker.context, NAME, EFFORT, dry_run=False)
    assert caught.value.exit_code == 1
    assert "undone: worker1 is started again, as it was" in caught.value.details
    assert definition(worker) == old
    assert worker.pid not in (pid, None)
    assert worker.world.gateways[NAME].loaded == loaded, "not by the new definition"
    del worker.world.answers[NAME]
    restart(worker.context, NAME, EFFORT, dry_run=False)
    assert definition(worker) != old


def test_a_stopped_instance_that_cannot_be_brought_up_is_stopped_again(worker: Worker) -> None:
    worker.context.backend.stop([NAME])
    worker.world.answers[NAME] = NOT_READY
    with pytest.raises(OcmError) as caught:
        restart(worker.context, NAME, EFFORT, dry_run=False)
    assert caught.value.exit_code == 1
    assert "undone: worker1 is stopped again" in caught.value.details
    assert worker.pid is None


@pytest.mark.parametrize("after", [True, False])
def test_a_restart_that_was_killed_touches_no_process_that_it_had_not_reached(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    old, pid = change_limits(worker), worker.pid
    told = restart(worker.context, NAME, EFFORT, dry_run=True).steps
    for number, step in enumerate(told, start=1):
        with monkeypatch.context() as patched:
            dying_at(patched, number, after=after)
            with pytest.raises(Killed):
                restart(worker.context, NAME, EFFORT, dry_run=False)
        with locked(worker.context, NAME) as sentence:
            assert sentence == "an interrupted restart of worker1 was undone"
        assert definition(worker) == old
        assert worker.pid is not None
        if not step.startswith(("restart", "wait")):
            assert worker.pid == pid, step
    assert [step.partition(" ")[0] for step in told] == ["note", "replace", "load", "restart", "wait"]


def test_a_gateway_whose_sandbox_is_not_in_force_is_not_started_again(worker: Worker) -> None:
    record = read_record(worker.context.host.paths, NAME)
    Path(worker.paths.record).write_text(encode_record(msgspec.structs.replace(record, sealed=True)))
    worker.world.violations[NAME] = ("a drop-in opens it",)
    with pytest.raises(OcmError) as caught:
        restart(worker.context, NAME, EFFORT, dry_run=False)
    assert caught.value.code == "not_sealed"
    assert worker.pid is None
    assert "undone: worker1 is started again, as it was" not in caught.value.details


def test_a_key_of_no_account_to_the_gateway_is_its_own_without_a_restart(worker: Worker) -> None:
    """The same value, set by the user: only whose it is changes."""
    value = read_secrets(worker.paths)["A_API_KEY"]
    pid, status = worker.pid, Path(worker.paths.secrets).stat()
    done = set_secret(worker.context, NAME, "A_API_KEY", value, restart=EFFORT, dry_run=False)
    assert done.changed
    assert done.message == "A_API_KEY is its own from now on"
    assert worker.pid == pid
    assert Path(worker.paths.secrets).stat() == status


def token_of(worker: Worker) -> str:
    return str(worker.config["gateway"]["auth"]["token"])


def test_a_token_is_replaced_and_told_to_nobody(worker: Worker) -> None:
    before, pid = token_of(worker), worker.pid
    told = rotate(worker.context, NAME, effort=EFFORT, dry_run=True)
    assert (token_of(worker), worker.pid, told.changed) == (before, pid, False)
    done = rotate(worker.context, NAME, effort=EFFORT, dry_run=False)
    assert re.fullmatch(r"[0-9a-f]{64}", token_of(worker))
    assert token_of(worker) != before
    assert (done.keys, done.changed, worker.pid != pid) == (("gateway.auth.token",), True, True)
    said = repr(done) + "".join(worker.told)
    assert token_of(worker) not in said
    assert before not in said
    rotate(worker.context, NAME, effort=EFFORT, dry_run=False)
    assert left_over(worker) == []


def test_a_token_with_which_the_gateway_is_not_ready_is_the_old_one_again(worker: Worker) -> None:
    before = worker.files()
    worker.world.answers[NAME] = NOT_READY
    with pytest.raises(OcmError, match="did not become ready"):
        rotate(worker.context, NAME, effort=EFFORT, dry_run=False)
    assert worker.files() == before
