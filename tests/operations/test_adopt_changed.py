"""What is written in the place of what is adopted, while it is, is not lost: nothing is adopted then."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.adoption.steps import CopyState
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.steps import Verify
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import apply, transaction
from openclaw_ocm.system import files
from openclaw_ocm.system.openclaw import own_prints, own_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.operations.owned import Owned

    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.system.host import Host

WORK = parse_name("work")


def note(state: Path) -> None:
    (state / "workspace/said").write_text("since")


def rename(state: Path) -> None:
    (state / "workspace/said").rename(state / "workspace/told")


def remove(state: Path) -> None:
    (state / "credentials/creds.json").unlink()


def touched_back(state: Path) -> None:
    """Write as much, and set the time back."""
    file = state / "workspace/said"
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    file.write_text("beFORE")
    os.utime(file, ns=times)


WRITES = [note, rename, remove, touched_back]


@contextlib.contextmanager
def after(kind: type, write: Callable[[], None]) -> Iterator[None]:
    """Have something be written after each step of a kind."""
    real = apply.apply_step

    def step(context: Context, one: Step) -> None:
        real(context, one)
        if isinstance(one, kind):
            write()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transaction, "apply_step", step)
        yield


@pytest.mark.parametrize("kind", [CopyState, Verify])
@pytest.mark.parametrize("write", WRITES)
def test_what_is_written_to_main_after_the_copy_is_not_lost(
    main: Owned, write: Callable[[Path], None], kind: type
) -> None:
    with (
        after(kind, lambda: write(main.state)),
        pytest.raises(OcmError, match="something wrote in") as caught,
    ):
        main.take_over()
    assert caught.value.code == "adopt_running"
    assert (main.runs, main.enabled) == (True, True)
    assert not Path(main.kept.paths(WORK).record).exists()
    written = main.state / "workspace/said"
    is_there = (main.state / "credentials/creds.json").exists() and written.exists()
    assert not is_there or written.read_text() != "before", "what was written stays"
    assert main.take_over().changed


def test_what_is_written_to_a_profile_while_it_is_copied_is_not_lost(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = own_state.copy_cold

    def and_write(
        host: Host, source: PurePosixPath, target: PurePosixPath, left_out: tuple[str, ...]
    ) -> None:
        copy(host, source, target, left_out)
        note(Path(source))

    with monkeypatch.context() as patch:
        patch.setattr(own_state, "copy_cold", and_write)
        with pytest.raises(OcmError, match=f"last in {owned.state}/workspace/said"):
            owned.take_over()
    assert (owned.state / "workspace/said").read_text() == "since"
    assert (owned.runs, owned.enabled) == (True, True)
    assert owned.take_over().changed
    assert (owned.state / "workspace/said").read_text() == "since"


def test_a_gateway_that_begins_in_the_place_of_main_meanwhile_ends_the_adoption(main: Owned) -> None:
    def begins() -> None:
        main.runs = True

    with after(Verify, begins), pytest.raises(OcmError, match="still uses"):
        main.take_over()
    assert (main.state / "workspace/said").read_text() == "before"
    assert not Path(main.kept.paths(WORK).record).exists()


def test_locks_and_readers_of_databases_write_nothing_that_counts(main: Owned) -> None:
    def reads() -> None:
        (main.state / "tmp/lock").write_text("another")
        (main.state / "state/openclaw.sqlite-shm").write_text("shared")

    with after(Verify, reads):
        assert main.take_over().changed


def test_a_state_that_is_very_deep_is_looked_at_too(main: Owned, tmp_path: Path) -> None:
    place, handle = tmp_path / "deep", os.open(tmp_path, os.O_RDONLY)
    for name in ["deep", *["d"] * 1200]:
        os.mkdir(name, dir_fd=handle)
        deeper = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = deeper
    os.close(handle)
    state, noted = PurePosixPath(place), main.kept.host.paths.home / "noted"
    own_prints.note(main.kept.host, state, noted)
    own_prints.refuse_changed(main.kept.host, state, noted)
    # What pytest removes it with has a limit.
    files.remove_tree(state)
