"""What a kill left half written: removed under the instance's lock, and nothing that looks like it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.hosts import context
from tests.samples import NAME

from openclaw_ocm.backends.registry import Backends
from openclaw_ocm.instances.leftovers import sweep
from openclaw_ocm.operations.planning.change import recover_all

TOKEN = "0123456789ab"


def beside(path: object) -> Path:
    place = Path(str(path))
    return place.with_name(f".{place.name}.{TOKEN}.ocm")


def test_what_was_being_written_for_an_instance_is_removed_and_nothing_else(tmp_path: Path) -> None:
    paths = context(tmp_path).host.instance(NAME)
    other = context(tmp_path).host.instance(type(NAME)(f"{NAME}0"))
    made = context(tmp_path)
    made = dataclasses.replace(made, backends=Backends(made.host))
    own = [path for backend in made.backends.values() for path in backend.written(paths)]
    assert len(own) == 9
    half = [beside(path) for path in (*paths.written, *own)]
    half.append(Path(paths.host.backups, f".{NAME}-20260101T000000Z.{TOKEN}.ocm"))
    kept = [beside(other.record), beside(other.secrets), Path(paths.record), Path(paths.secrets)]
    kept.append(Path(paths.record).with_name(f".{NAME}.toml.mine.ocm"))
    kept.append(Path(paths.host.backups, f".{other.name}-20260101T000000Z.{TOKEN}.ocm"))
    for path in (*half, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    sweep(made, NAME)
    assert not [path for path in half if path.exists()]
    assert [path for path in kept if path.exists()] == kept


def test_in_the_reach_of_an_instance_nothing_but_a_file_is_removed(tmp_path: Path) -> None:
    paths = context(tmp_path).host.instance(NAME)
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o755)
    (mine / "file").write_text("the user's own")
    link, trap = beside(paths.config), beside(paths.config).with_name(".openclaw.json.aaaaaaaaaaaa.ocm")
    trap.mkdir(parents=True)
    (trap / "file").write_text("as many as it likes, made meanwhile")
    link.symlink_to(mine)
    sweep(context(tmp_path), NAME)
    assert not link.is_symlink()
    assert (trap / "file").exists()
    assert (mine / "file").exists()
    assert mine.stat().st_mode & 0o777 == 0o755


def test_the_beginning_of_a_journal_and_a_lone_lock_are_swept_by_the_next_command(tmp_path: Path) -> None:
    host = context(tmp_path).host
    half = Path(host.paths.transactions, f".{NAME}.jsonl.{TOKEN}.ocm")
    half.parent.mkdir(parents=True)
    half.write_text("{")
    lock, host_lock = (Path(host.paths.locks, name) for name in ("gone.lock", "@host.lock"))
    lock.parent.mkdir(parents=True)
    lock.touch()
    host_lock.touch()
    stranger = half.with_name(".no name.jsonl.0123456789ab.ocm")
    stranger.write_text("")
    assert recover_all(context(tmp_path)) == ()
    assert not half.exists()
    assert stranger.exists()
    assert not lock.exists()
    assert host_lock.exists()
