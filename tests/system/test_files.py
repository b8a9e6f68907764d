from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.errors import Locked, OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 100


@pytest.fixture
def state(tmp_path: Path) -> Iterator[int]:
    with files.open_state(PurePosixPath(tmp_path)) as directory:
        yield directory


def pure(path: Path) -> PurePosixPath:
    return PurePosixPath(path)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_written_with_its_directories_for_the_user_alone(tmp_path: Path) -> None:
    files.write_file(pure(tmp_path / "a/b/c"), b"text")
    assert (tmp_path / "a/b/c").read_bytes() == b"text"
    assert [mode(tmp_path / path) for path in ("a", "a/b", "a/b/c")] == [0o700, 0o700, 0o600]
    assert names(tmp_path / "a/b") == ["c"]


def test_the_mode_of_a_file_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write_file(pure(tmp_path / "unit"), b"", mode=0o644)
    finally:
        os.umask(before)
    assert mode(tmp_path / "unit") == 0o644


def test_a_file_that_is_written_anew_is_another_file_with_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    files.write_file(pure(target), b"old")
    with target.open("rb") as reader:
        files.write_file(pure(target), b"new")
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new"


def test_writing_replaces_a_link_and_leaves_what_it_leads_to(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (tmp_path / "link").symlink_to(outside)
    files.write_file(pure(tmp_path / "link"), b"new")
    assert outside.read_text() == "untouched"
    assert (tmp_path / "link").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_file(pure(tmp_path / "file"), b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_file(pure(tmp_path / "file"), b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_file_of_ocms_own_that_is_not_there_reads_as_none(tmp_path: Path) -> None:
    assert files.read_own(pure(tmp_path / "none")) is None


def test_a_regular_file_in_a_state_directory_is_read(tmp_path: Path, state: int) -> None:
    (tmp_path / "config").write_bytes(b"x" * LIMIT)
    assert files.read_in(state, "config", limit=LIMIT) == b"x" * LIMIT


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, state: int) -> None:
    (tmp_path / "config").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(OcmError, match="config is larger than 100 bytes"):
        files.read_in(state, "config", limit=LIMIT)


def test_a_link_is_refused_wherever_it_leads(tmp_path: Path, state: int) -> None:
    (tmp_path / "real").write_text("secret")
    for target in ("real", "/etc/passwd", "nowhere"):
        (tmp_path / "config").unlink(missing_ok=True)
        (tmp_path / "config").symlink_to(target)
        with pytest.raises(OcmError, match="config is a link"):
            files.read_in(state, "config", limit=LIMIT)


def test_a_pipe_is_refused_at_once_instead_of_waited_for(tmp_path: Path, state: int) -> None:
    os.mkfifo(tmp_path / "config")
    with pytest.raises(OcmError, match="config is no regular file"):
        files.read_in(state, "config", limit=LIMIT)


def test_a_directory_is_refused(tmp_path: Path, state: int) -> None:
    (tmp_path / "config").mkdir()
    with pytest.raises(OcmError, match="config is no regular file"):
        files.read_in(state, "config", limit=LIMIT)


def test_a_missing_file_in_a_state_directory_is_told_apart(state: int) -> None:
    with pytest.raises(FileNotFoundError):
        files.read_in(state, "config", limit=LIMIT)


@pytest.mark.parametrize("kind", ["link", "file", "nothing"])
def test_a_state_directory_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").mkdir()
    path = tmp_path / "state"
    if kind == "link":
        path.symlink_to("real")
    elif kind == "file":
        path.touch()
    with pytest.raises(OcmError) as caught, files.open_state(pure(path)):
        pass
    assert caught.value.code == ("state_link" if kind == "link" else "state_unreadable")


def test_a_tree_goes_and_what_its_links_lead_to_survives(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (tmp_path / "precious").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below/file").touch()
    (tree / "directory").symlink_to(outside)
    (tree / "below/file-link").symlink_to(tmp_path / "precious")
    files.remove_tree(pure(tree))
    assert names(tmp_path) == ["outside", "precious"]
    assert mode(outside) == 0o500
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_tree_with_closed_directories_goes_and_what_its_links_lead_to_keeps_its_mode(
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    (outside / "inner").mkdir(parents=True)
    (outside / "inner/precious").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "a/b/c").mkdir(parents=True)
    (tree / "a/b/file").touch()
    (tree / "a/link").symlink_to(outside / "inner")
    outside_mode = mode(outside / "inner")
    for path, bits in (("a/b/c", 0o000), ("a/b", 0o000), ("a", 0o500), ("", 0o000)):
        (tree / path).chmod(bits)
    script = (
        "import sys; from pathlib import PurePosixPath; from openclaw_ocm.system.files import remove_tree\n"
        "try:\n"
        "    next(__import__('os').scandir(sys.argv[1])); sys.exit('modes do not bind this process')\n"
        "except PermissionError:\n"
        "    remove_tree(PurePosixPath(sys.argv[1]))"
    )
    argv = [*without_privileges(), sys.executable, "-c", script, str(tree)]
    subprocess.run(argv, check=True, env=environment(), cwd=tmp_path)
    assert not tree.exists()
    assert (outside / "inner/precious").read_text() == "kept"
    assert mode(outside / "inner") == outside_mode


def without_privileges() -> list[str]:
    """Return what makes file modes bind root too."""
    if os.geteuid() != 0:
        return []
    capabilities = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", "--"]


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(files.__file__).parents[2])}


def test_a_tree_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    (tmp_path / "tree").symlink_to(outside)
    with pytest.raises(OSError, match="Not a directory"):
        files.remove_tree(pure(tmp_path / "tree"))
    assert (outside / "precious").exists()


def test_what_takes_the_place_of_a_directory_while_a_tree_is_removed_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    directory = tmp_path / "tree" / "directory"
    directory.mkdir(parents=True)
    real = os.scandir

    def swapped(path: int) -> list[os.DirEntry[str]]:
        entries = list(real(path))
        directory.rmdir()
        directory.symlink_to(outside)
        return entries

    monkeypatch.setattr(os, "scandir", swapped)
    with pytest.raises(OSError, match="Not a directory"):
        files.remove_tree(pure(tmp_path / "tree"))
    assert mode(outside) == 0o500


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    files.remove_tree(pure(tmp_path / "tree"))
    files.remove_file(pure(tmp_path / "file"))


def test_a_dangling_link_is_removed_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    files.remove_file(pure(tmp_path / "link"))
    assert names(tmp_path) == []


HOLD = (
    "import sys; from pathlib import PurePosixPath; from openclaw_ocm.system.files import lock\n"
    "with lock(PurePosixPath(sys.argv[1]), 'x'):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


def holding(path: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", HOLD, str(path)]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=environment(), cwd=path.anchor)


def test_a_lock_keeps_another_process_out_until_it_ends_or_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "locks/w1.lock"
    with holding(path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(Locked, match="w1 is being changed by another ocm") as caught,
            files.lock(pure(path), "w1", wait_seconds=0),
        ):
            pass
        assert caught.value.code == "locked"
        holder.kill()
        holder.wait()
    with files.lock(pure(path), "w1", wait_seconds=0):
        pass


def test_a_lock_that_comes_free_while_one_waits_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "w1.lock"
    with holding(path) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        holder.stdin.close()
        with files.lock(pure(path), "w1", wait_seconds=60):
            pass


def test_a_lock_on_a_file_that_its_last_holder_removed_is_a_lock_on_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "w1.lock"
    with files.lock(pure(path), "w1"):
        path.unlink()
        with (
            files.lock(pure(path), "w1", wait_seconds=0),
            pytest.raises(Locked),
            files.lock(pure(path), "w1", wait_seconds=0),
        ):
            pass


def test_a_lock_on_a_file_that_was_removed_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w1.lock"
    flock = fcntl.flock

    def flock_after_the_last_holder_removed_the_file(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        path.unlink()
        monkeypatch.setattr(fcntl, "flock", flock)

    monkeypatch.setattr(fcntl, "flock", flock_after_the_last_holder_removed_the_file)
    with files.lock(pure(path), "w1"):
        assert path.exists()


def test_two_different_locks_do_not_meet(tmp_path: Path) -> None:
    with (
        files.lock(pure(tmp_path / "a"), "a", wait_seconds=0),
        files.lock(pure(tmp_path / "b"), "b", wait_seconds=0),
    ):
        pass
