"""A kill at any step of an adoption, or of the way back, leaves one whole OpenClaw."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operations.cutting import cut_at
from tests.operations.owned import make_owned

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import apply, transaction
from openclaw_ocm.instances.transaction import Transaction
from openclaw_ocm.operations.planning.change import recover_all
from openclaw_ocm.system.kept.names import instance_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.operations.kept import Kept

    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context

WORK = parse_name("work")
STEPS = 24


@contextlib.contextmanager
def killed(count: int, *, after: bool) -> Iterator[None]:
    """Have a change be cut off at its step of that number, as by a kill: nothing is undone."""
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        cut_at(patch, count, KeyboardInterrupt, after=after)
        patch.setattr(Transaction, "_fail", lambda *_words, **_more: "killed")
        yield


@pytest.mark.parametrize("verb", ["adopt", "unadopt"])
@pytest.mark.parametrize("state", [".openclaw-work", ".openclaw"], ids=["profile", "main"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", range(1, STEPS))
def test_a_kill_leaves_one_whole_openclaw(  # noqa: PLR0913 - what is killed, and when
    kept: Kept, monkeypatch: pytest.MonkeyPatch, verb: str, state: str, count: int, *, after: bool
) -> None:
    owned = make_owned(kept, monkeypatch, state)
    wanted = "main" if state == ".openclaw" else "work"
    before = owned.tree()
    if verb == "unadopt":
        owned.adopt(wanted, move=True, name=WORK)
        Path(kept.paths(WORK).state, "workspace/said").write_text("since")
    with killed(count, after=after):
        owned.adopt(wanted, move=True, name=WORK) if verb == "adopt" else owned.unadopt(WORK)
    recover_all(kept.context)
    is_instance = WORK in instance_names(kept.host.paths)
    its = Path(kept.paths(WORK).state) if is_instance else owned.state
    assert (its / "workspace/said").read_text() == ("before" if verb == "adopt" else "since")
    assert not Path(kept.host.paths.transactions, "work.jsonl").exists()
    assert not [path for path in kept.home.iterdir() if path.name.startswith(".ocm-")]
    assert Path(kept.paths(WORK).adopted).exists() == is_instance
    if is_instance:
        assert (owned.runs, owned.unit_file.exists()) == (False, False)
        assert kept.row(WORK).state == "ready"
        assert not (kept.home / ".openclaw/openclaw.json").exists()
    else:
        assert (owned.runs, owned.enabled, owned.unit_file.exists()) == (True, True, True)
        gateway = kept.world.gateways.get(WORK)
        assert gateway is None or gateway.pid is None
        assert not Path(kept.paths(WORK).state).exists() or state == ".openclaw-work"
    if verb == "adopt" and not is_instance:
        assert owned.tree() == before


def test_no_step_is_missed_above(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    owned = make_owned(kept, monkeypatch, ".openclaw")
    steps = owned.adopt("main", move=True, name=WORK).steps
    assert max(len(steps), len(owned.unadopt(WORK).steps)) < STEPS


@pytest.mark.parametrize("verb", ["adopt", "unadopt"])
@pytest.mark.parametrize("state", [".openclaw-work", ".openclaw"], ids=["profile", "main"])
@pytest.mark.parametrize("count", range(1, STEPS))
def test_an_undo_that_is_killed_is_taken_up_again(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, verb: str, state: str, count: int
) -> None:
    owned = make_owned(kept, monkeypatch, state)
    wanted = "main" if state == ".openclaw" else "work"
    if verb == "unadopt":
        owned.adopt(wanted, move=True, name=WORK)
    before = kept.files()
    real, seen = apply.undo_step, [0]

    def step(context: Context, one: Step) -> str | None:
        done = real(context, one)
        seen[0] += 1
        if seen[0] == count:
            raise KeyboardInterrupt
        return done

    if verb == "adopt":
        kept.unproved[WORK] = ("it is open",)
    else:
        owned.broken = True
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt, OcmError):
        patch.setattr(transaction, "undo_step", step)
        owned.adopt(wanted, move=True, name=WORK) if verb == "adopt" else owned.unadopt(WORK)
    recover_all(kept.context)
    assert kept.files() == before
    assert (owned.runs, owned.unit_file.exists()) == ((True, True) if verb == "adopt" else (False, False))
    if verb == "unadopt":
        assert kept.row(WORK).state == "ready"
