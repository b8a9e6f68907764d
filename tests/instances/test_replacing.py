"""What is staged takes the place of a state: whole or not at all, wherever a kill comes between."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests import hosts, samples
from tests.killing import homes_of_kills, kill_before_each_call

from openclaw_ocm.core import steps
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.plan import Plan
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.transaction import Transaction, involved, recover, unfinished
from openclaw_ocm.operations.planning.change import locked
from openclaw_ocm.system import exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context

NAME = samples.NAME
OTHER = parse_name("worker2")
REPOSITORY = Path(__file__).parents[2]
STAGING = ".ocm-incoming-worker1-abc"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return hosts.context(tmp_path)


def write(path: Path | PurePosixPath, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def existing(context: Context) -> None:
    """Make the state, the secrets and what is inherited of an instance."""
    paths = context.host.instance(NAME)
    for path in (paths.config, paths.state / "deep" / "er" / "file", paths.secrets, paths.inherited):
        write(path, "old")


def stage_of(context: Context) -> steps.Stage:
    paths = context.host.instance(NAME)
    staged = (str(path.with_name(f".{path.name}.abc.ocm")) for path in (paths.secrets, paths.inherited))
    return steps.Stage(path=str(context.host.paths.home / STAGING), files=tuple(staged))


def plan_of(*made: Step, commit: int) -> Plan:
    return Plan(operation="restore", name=NAME, backend="systemd", steps=made, commit=commit, others=(OTHER,))


def replace(
    context: Context, *, fail: bool = False, progress: Callable[[str], None] = lambda _words: None
) -> None:
    """Stage another state with other secrets, and put them in the place of those of the instance."""
    paths, stage = context.host.instance(NAME), stage_of(context)
    holding = Transaction(context=context, plan=plan_of(stage, commit=1), progress=progress)
    with holding.staging():
        state = Path(stage.path, "archive", "state")
        for new in (state / "openclaw.json", state / "other" / "file", Path(stage.files[0])):
            write(new, "new")
        pairs = (
            (paths.state, PurePosixPath(state)),
            (paths.secrets, PurePosixPath(stage.files[0])),
            (PurePosixPath(stage.files[1]), paths.inherited),
        )
        made: list[Step] = [stage]
        for path, staged in pairs:
            number = exchange.inode(staged)
            if number is not None:
                made.append(steps.Exchange(path=str(path), staged=str(staged), inode=number))
        if fail:
            made.append(steps.RemoveFile(path=f"{paths.secrets}/in it"))
        commit = len(made)
        made.append(steps.RemoveTree(path=stage.path))
        made += [steps.RemoveFile(path=path) for path in stage.files]
        plan = plan_of(*made, commit=commit)
        Transaction(context=context, plan=plan, progress=progress).run()


OLD = {
    ".config/ocm/inherited/worker1.json": "old",
    ".config/ocm/secrets/worker1.env": "old",
    ".openclaw-worker1/deep/er/file": "old",
    ".openclaw-worker1/openclaw.json": "old",
}
NEW = {
    ".config/ocm/secrets/worker1.env": "new",
    ".openclaw-worker1/openclaw.json": "new",
    ".openclaw-worker1/other/file": "new",
}


@pytest.fixture(params=["exchange", "renames"])
def means(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a file system that can exchange, and one that cannot."""
    if request.param == "renames":
        monkeypatch.setattr(exchange, "_exchange", lambda *_arguments: False)
    return str(request.param)


@pytest.mark.usefixtures("means")
def test_what_is_staged_takes_the_place_of_all_that_was_there(context: Context, tmp_path: Path) -> None:
    existing(context)
    replace(context)
    assert hosts.contents(tmp_path) == NEW
    assert {path.name for path in tmp_path.iterdir()} == {".config", ".local", ".openclaw-worker1"}


@pytest.mark.usefixtures("means")
def test_a_failure_brings_back_all_that_was_there(context: Context, tmp_path: Path) -> None:
    existing(context)
    with pytest.raises(NotADirectoryError):
        replace(context, fail=True)
    assert hosts.contents(tmp_path) == OLD
    assert unfinished(context) == ()


def test_what_fails_while_it_is_staged_leaves_nothing(context: Context, tmp_path: Path) -> None:
    existing(context)
    stage = stage_of(context)
    holding = Transaction(context=context, plan=plan_of(stage, commit=1), progress=lambda _words: None)
    with pytest.raises(OcmError), holding.staging():
        refused(stage)
    assert hosts.contents(tmp_path) == OLD
    assert not Path(stage.path).exists()
    assert unfinished(context) == ()


def refused(stage: steps.Stage) -> None:
    write(Path(stage.path, "archive", "file"), "new")
    write(Path(stage.files[1]), "new")
    raise OcmError("the archive is refused")


def test_what_is_staged_only_to_be_looked_at_is_gone_at_the_end(context: Context, tmp_path: Path) -> None:
    stage = stage_of(context)
    with Transaction(context=context, plan=plan_of(stage, commit=1), progress=print).staging():
        write(Path(stage.path, "file"), "new")
        assert unfinished(context) == (NAME,)
    assert hosts.contents(tmp_path) == {}
    assert unfinished(context) == ()


def test_an_operation_on_two_is_recovered_by_the_next_on_either(context: Context, tmp_path: Path) -> None:
    for name in (NAME, OTHER):
        with pytest.raises(KeyboardInterrupt):
            cut_off(context)
        assert involved(context, [name]) == {NAME, OTHER}
        assert involved(context, [parse_name("worker3")]) == {"worker3"}
        with locked(context, name) as sentence:
            assert sentence == "an interrupted restore of worker1 was undone"
        assert hosts.contents(tmp_path) == {}


def cut_off(context: Context) -> None:
    """Leave a journal with a step that was begun."""
    stage = stage_of(context)
    holding = Transaction(context=context, plan=plan_of(stage, commit=1), progress=lambda _words: None)
    holding.run_first()
    raise KeyboardInterrupt


def main(parent: str, means: str) -> None:
    """Kill a replacement before each call; see `homes_of_kills`."""
    if means == "renames":
        exchange._exchange = lambda *_arguments: False
    kill_before_each_call(parent, existing, replace)


@pytest.mark.usefixtures("means")
def test_after_a_kill_before_any_single_call_the_old_or_the_new_is_whole(tmp_path: Path, means: str) -> None:
    homes = homes_of_kills(tmp_path, __name__, means)
    assert len(homes) > 40
    outcomes = []
    for home in homes:
        context = hosts.context(home)
        for name in unfinished(context):
            recover(context, name)
        assert unfinished(context) == ()
        # What a kill between writing beside and renaming leaves is the journal, in which there is no secret.
        left = {path: text for path, text in hosts.contents(home).items() if not path.startswith(".local/")}
        assert left in (OLD, NEW), f"killed before call {home.name}"
        assert not list(home.glob(".ocm-*")), f"killed before call {home.name}"
        outcomes.append(left == NEW)
    assert outcomes[0] is False
    assert outcomes[-1] is True
    assert outcomes == sorted(outcomes)
