"""`ocm delete` on the backend in memory: it looks before it removes anything, and always comes to its end."""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.sandbox.mounts import Mounted
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.delete import delete
from openclaw_ocm.operations.doctor import examine, fix
from openclaw_ocm.operations.planning.change import recover_all
from openclaw_ocm.operations.rename import rename
from openclaw_ocm.system import files, processes, removable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.operations.kept import Kept

    from openclaw_ocm.operations.doctor import Diagnosis

COMMANDS: dict[str, Callable[[Kept], object]] = {
    "start": lambda kept: kept.start(),
    "restart": lambda kept: kept.restart(),
    "backup": lambda kept: kept.backup(),
    "clone": lambda kept: kept.clone(),
    "rename": lambda kept: rename(kept.context, NAME, OTHER, kept.effort(), dry_run=False),
    "use": lambda kept: kept.use("health"),
    "delete": lambda kept: kept.delete(force=True),
    "delete --dry-run": lambda kept: delete(kept.context, NAME, force=True, dry_run=True),
}


def away(kept: Kept) -> tuple[Path, Path]:
    """Move the state to where a larger disk would be, and leave a link."""
    state, disk = Path(kept.paths(NAME).state), kept.home / "disk"
    state.rename(disk)
    state.symlink_to(disk)
    return state, disk


@pytest.mark.parametrize("command", COMMANDS)
def test_a_state_that_is_a_link_is_refused_by_every_command_alike(kept: Kept, command: str) -> None:
    kept.deploy()
    state, disk = away(kept)
    before, pid = kept.files(), kept.process(NAME).pid
    with pytest.raises(OcmError) as caught:
        COMMANDS[command](kept)
    assert caught.value.code == "state_link"
    assert caught.value.hint == (
        f"put the directory itself in its place: rm {state}, then mv {disk} {state}; "
        f"or leave it where it is: rm {state}, mkdir {state}, sudo mount --bind {disk} {state}"
    )
    assert kept.files() == before
    assert kept.process(NAME).pid == pid
    assert kept.stop().changed, "what runs can be stopped all the same"
    state.unlink()
    disk.rename(state)
    assert "deleted" in kept.delete().message
    assert not state.exists()


def test_doctor_tells_of_a_state_that_is_a_link(kept: Kept) -> None:
    kept.create()
    state, _disk = away(kept)
    told = [problem.what for problem in examine(kept.context).problems if problem.about == NAME]
    assert f"the directory {state} is a link, which OCM does not follow" in told


def on_a_disk(kept: Kept, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    mounted = Mounted(point=PurePosixPath(kept.paths(NAME).state, place), kind="ext4")
    monkeypatch.setattr(processes, "mounts", lambda _pid: (mounted,))


def test_what_could_not_be_removed_is_found_before_anything_is(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.deploy(autostart=True)
    before, pid = kept.files(), kept.process(NAME).pid
    on_a_disk(kept, monkeypatch, "workspace")
    with pytest.raises(OcmError, match=r"something is mounted at .*workspace") as caught:
        kept.delete(force=True)
    assert caught.value.code == "not_removable"
    assert kept.files() == before
    assert kept.process(NAME).pid == pid
    assert kept.world.enabled == {NAME}


@pytest.mark.parametrize("kind", ["record", "secrets", "inherited", "last_backup"])
def test_a_directory_in_the_place_of_a_file_of_ocms_is_found_before_anything_is(
    kept: Kept, kind: str
) -> None:
    kept.create()
    path = Path(getattr(kept.paths(NAME), kind))
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    before = kept.files()
    with pytest.raises(OcmError, match="where a file belongs") as caught:
        kept.delete(force=True)
    assert caught.value.code == "not_removable"
    assert kept.files() == before


def test_a_state_that_is_mounted_is_not_renamed(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.create()
    before = kept.files()
    on_a_disk(kept, monkeypatch, "")
    with pytest.raises(OcmError, match="something is mounted at") as caught:
        COMMANDS["rename"](kept)
    assert caught.value.code == "not_removable"
    assert kept.files() == before


def test_what_resists_after_all_is_told_by_its_path_and_finished_by_doctor(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create()
    paths, real = kept.paths(NAME), files.remove

    def busy(path: PurePosixPath) -> None:
        if path == paths.state:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), "workspace")
        real(path)

    with monkeypatch.context() as patched:
        patched.setattr(files, "remove", busy)
        with pytest.raises(OSError, match="Device or resource busy"):
            kept.delete()
        assert not Path(paths.secrets).exists(), "no key stays behind"
        on_a_disk(kept, patched, "workspace")
        (said,) = recover_all(kept.context)
        assert f"something is mounted at {paths.state}/workspace" in said
        assert f"something is mounted at {paths.state}/workspace" in fixed(kept).resisting[0]
    assert fixed(kept).fixed == (f"an interrupted delete of {NAME} was finished",)
    assert not Path(paths.state).exists()
    assert recover_all(kept.context) == ()


def fixed(kept: Kept) -> Diagnosis:
    return fix(kept.context, examine(kept.context), lambda _progress: None)


def test_a_link_that_a_delete_is_past_is_removed_alone(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.create()
    state, disk = away(kept)
    monkeypatch.setattr(removable, "check_tree", lambda _path: None)
    kept.delete()
    assert not state.is_symlink()
    assert (disk / "openclaw.json").exists()
