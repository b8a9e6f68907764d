"""What only reads an instance is ended by whoever stops or deletes it; what changes it is not."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME

from openclaw_ocm.backends.supervisord import sessions
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances import apply
from openclaw_ocm.operations import backup as backups
from openclaw_ocm.operations.planning import change
from openclaw_ocm.operations.planning.change import recover_all
from openclaw_ocm.operations.start import stop
from openclaw_ocm.system import files
from openclaw_ocm.system.readers import end_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

    from tests.operations.kept import Kept

# What each is halted in, once it has the lock.
_HALTED = {"backup": (backups, "survey"), "clone": (apply, "copy_workspaces"), "start": (apply, "verify")}


@contextlib.contextmanager
def under_way(kept: Kept, verb: str) -> Iterator[tuple[int, Connection]]:
    """Have another process do to the instance what takes for ever; how it ends comes by the pipe."""
    ours, theirs = multiprocessing.Pipe()
    pid = os.fork()
    if not pid:
        _halt(getattr(kept, verb), theirs, *_HALTED[verb])
    try:
        assert ours.recv() == "halted"
        yield pid, ours
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _halt(run: Callable[[], object], pipe: Connection, module: object, function: str) -> None:
    def halt(*_arguments: object, **_options: object) -> None:
        pipe.send("halted")
        signal.pause()

    setattr(module, function, halt)
    try:
        run()
        pipe.send("done")
    except OcmError as error:
        pipe.send((error.code, error.message))
    signal.pause()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "_PATIENCE_SECONDS", 0.0)


@pytest.mark.parametrize("verb", ["stop", "delete"])
def test_a_backup_is_ended_and_that_is_said_on_both_sides(kept: Kept, verb: str) -> None:
    kept.deploy()
    with under_way(kept, "backup") as (pid, told):
        outcome = kept.stop() if verb == "stop" else kept.delete(force=True)
        sentence = f"this backup was ended by another ocm, which stops or deletes {NAME}"
        assert told.recv() == ("ended", sentence)
    assert outcome.notes == (f"a backup of {NAME}, PID {pid}, was ended",)
    assert outcome.changed
    assert not list(Path(kept.host.paths.backups).glob("*")), "nothing is left of it"


def test_a_clone_is_undone_when_what_it_copies_is_stopped(kept: Kept) -> None:
    kept.deploy()
    before = kept.files()
    with under_way(kept, "clone") as (pid, told):
        outcome = kept.stop()
        assert told.recv()[0] == "ended"
    assert outcome.notes == (f"a clone of {NAME}, PID {pid}, was ended",)
    assert kept.files() == before


def test_what_changes_an_instance_is_not_ended(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = files.lock
    monkeypatch.setattr(
        files, "lock", lambda path, what, wait_seconds: lock(path, what, wait_seconds=min(wait_seconds, 0))
    )
    kept.create()
    with under_way(kept, "start") as (_pid, told):
        for verb in (kept.stop, kept.delete):
            with pytest.raises(OcmError, match="is being changed by another ocm"):
                verb()
        assert not told.poll()


def test_a_dry_run_ends_nothing(kept: Kept) -> None:
    kept.deploy()
    with under_way(kept, "backup") as (_pid, told):
        with pytest.raises(OcmError, match="is being changed by another ocm"):
            stop(replace(kept.context, dry_run=True), NAME, dry_run=True)
        assert not told.poll()


def test_what_a_backup_that_was_killed_left_running_ends_with_the_next_change(kept: Kept) -> None:
    kept.deploy()
    environ = {sessions.VARIABLE: sessions.new_token(kept.paths(NAME))}
    with subprocess.Popen(["/bin/sleep", "600"], env=environ) as left:
        with under_way(kept, "backup"):
            assert recover_all(kept.context) == (), "it is at work"
        sentence = f"what an interrupted backup of {NAME} left was cleared away"
        assert recover_all(kept.context) == (sentence,)
        assert left.wait(timeout=30) == -signal.SIGTERM
    assert recover_all(kept.context) == ()
    assert kept.process(NAME).activity == "running"


@pytest.mark.parametrize("words", ["", "junk", "{pid} 1 backup", "1 {started} backup", "999999999 1 backup"])
def test_who_is_not_proved_to_be_that_process_gets_no_signal(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda _process, number: sent.append(number))
    path = Path(kept.host.paths.locks, f"{NAME}.lock")
    path.parent.mkdir(parents=True)
    path.write_text(words.format(pid=os.getpid(), started=0))
    assert end_reader(kept.host.paths.locks / path.name) is None
    assert sent == []
