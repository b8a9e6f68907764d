"""What `ocm top` sees: all at once, what is dear in turn, and what is not known as such."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.backends.fake import Fake
from tests.operations.kept import NAME, OTHER, keep

from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.top import watch
from openclaw_ocm.system import processes

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.core.status import Process

# Sorted as the files of their records are.
THIRD = InstanceName(f"{NAME}-b")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return keep(tmp_path, monkeypatch)


@pytest.fixture
def asked(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have a backend without an account of three instances; return whom the kernel is asked of."""
    for name in (NAME, OTHER, THIRD):
        kept.deploy(name)
    observe = Fake.observe
    pids: list[int] = []

    def without(self: Fake, names: list[InstanceName]) -> dict[InstanceName, Process]:
        found = observe(self, names)
        return {name: replace(one, memory_bytes=None, cpu_seconds=None) for name, one in found.items()}

    def ask(pid: int) -> tuple[int, float]:
        pids.append(pid)
        return 2**20, 1.0

    monkeypatch.setattr(Fake, "observe", without)
    monkeypatch.setattr(processes, "memory_and_cpu", ask)
    return pids


def test_all_are_seen_by_one_question_to_their_backend(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    kept.world.calls.clear()
    found = {one.row.name: one for one in watch(kept.context)}
    ready, stopped = found[NAME], found[OTHER]
    assert [call for call in kept.world.calls if call[0] == "observe"] == [("observe", (OTHER, NAME))]
    assert (ready.row.state, stopped.row.state) == ("ready", "stopped")
    assert ready.use is not None
    assert (ready.use.memory_bytes, ready.use.cpu_seconds) == (2**20, 1.0)
    assert stopped.use is not None
    assert (stopped.use.process, stopped.use.memory_bytes, stopped.use.cpu_seconds) == (None, None, None)
    assert (ready.backup, stopped.backup) == (None, None)


def test_where_the_backend_keeps_no_account_the_chosen_one_is_asked_and_the_others_in_turn(
    kept: Kept, asked: list[int]
) -> None:
    turns = [[one.row.name for one in watch(kept.context, turn=turn) if one.use] for turn in range(4)]
    assert turns == [[OTHER], [THIRD], [NAME], [OTHER]]
    asked.clear()
    watch(kept.context, chosen=THIRD, turn=0)
    assert asked == [kept.process(OTHER).pid, kept.process(THIRD).pid]


def test_the_newest_backup_counts_wherever_it_is_told(kept: Kept) -> None:
    kept.create()
    kept.backup()
    (one,) = watch(kept.context)
    assert one.backup is not None


def test_what_is_installed_anew_is_seen_without_a_new_start(kept: Kept) -> None:
    kept.create()
    assert watch(kept.context)[0].row.version == "2026.9.6"
    package = Path(kept.record(NAME).runtime.openclaw) / "package.json"
    package.write_text('{"name": "openclaw", "version": "2026.9.7"}')
    assert watch(kept.context)[0].row.version == "2026.9.7"


def test_a_record_that_cannot_be_read_keeps_nobody_from_the_others(kept: Kept) -> None:
    kept.create()
    kept.deploy(OTHER)
    Path(kept.paths(NAME).record).write_text("broken")
    found = {one.row.name: one for one in watch(kept.context)}
    broken, ready = found[NAME], found[OTHER]
    assert broken.row.problem is not None
    assert broken.use is not None
    assert broken.use.memory_bytes is None
    assert ready.row.state == "ready"


def test_where_no_backend_answers_that_is_raised(kept: Kept) -> None:
    kept.create()
    kept.world.failing["observe"] = OcmError("nobody answers")
    with pytest.raises(OcmError, match="nobody answers"):
        watch(kept.context)
