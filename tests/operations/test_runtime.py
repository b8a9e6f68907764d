"""A Node and an OpenClaw that are gone: who tells it, and what takes others in their place."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.edit import set_value
from openclaw_ocm.operations.runtime import use_runtime, without_runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.planning.result import Outcome


def use(
    kept: Kept, *paths: str, name: InstanceName = NAME, anew: bool = False, dry_run: bool = False
) -> Outcome:
    return use_runtime(kept.context, name, paths, anew=anew, effort=kept.effort(), dry_run=dry_run)


def update(kept: Kept) -> Path:
    """Move Node and OpenClaw to a directory with another version in it, as nvm does, and mend the PATH."""
    before = kept.home / ".npm-global"
    after = kept.home / "v24.20.0"
    shutil.move(before, after)
    (after / "bin/openclaw").unlink()
    (after / "bin/openclaw").symlink_to(after / "lib/node_modules/openclaw/openclaw.mjs")
    kept.host = replace(kept.host, search_path=str(after / "bin"))
    return after


def test_an_update_is_followed_and_one_that_runs_is_restarted(kept: Kept) -> None:
    kept.deploy()
    pid, after = kept.process(NAME).pid, update(kept)
    assert without_runtime(kept.context) == (NAME,)
    outcome = use(kept)
    assert outcome.changed
    runtime = kept.record(NAME).runtime
    assert (runtime.node, runtime.openclaw) == (
        str(after / "bin/node"),
        str(after / "lib/node_modules/openclaw"),
    )
    assert kept.process(NAME).pid not in (None, pid)
    assert without_runtime(kept.context) == ()
    assert not use(kept).changed


def test_one_that_is_stopped_stays_stopped(kept: Kept) -> None:
    kept.create()
    update(kept)
    assert use(kept).changed
    assert kept.process(NAME).pid is None


def test_a_dry_run_tells_the_steps_and_changes_nothing(kept: Kept) -> None:
    kept.deploy()
    update(kept)
    before = kept.files()
    outcome = use(kept, dry_run=True)
    assert any("write record" in step for step in outcome.steps)
    [note] = outcome.notes
    assert note.startswith("it would then run OpenClaw ")
    assert kept.files() == before


def test_a_failure_brings_the_record_back_and_starts_nothing_that_is_gone(
    kept: Kept,
) -> None:
    kept.deploy()
    before = kept.record(NAME)
    update(kept)
    kept.unproved[NAME] = ("a wall did not hold",)
    with pytest.raises(OcmError):
        use(kept)
    assert kept.record(NAME) == before
    assert kept.process(NAME).pid is None


def test_doctor_tells_it_and_fix_mends_it(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    after = update(kept)
    found = {problem.about: problem for problem in kept.examine().problems if "gone" in problem.what}
    assert set(found) == {NAME, OTHER}
    assert found[NAME].what.startswith("its Node and its OpenClaw are gone: ")
    assert (
        found[NAME].fix
        == f"have it run {after}/lib/node_modules/openclaw on {after}/bin/node, and restart it"
    )
    assert found[OTHER].fix == f"have it run {after}/lib/node_modules/openclaw on {after}/bin/node"
    assert not [problem for problem in kept.fix(kept.examine()).problems if "gone" in problem.what]
    assert kept.record(OTHER).runtime.node == str(after / "bin/node")


def test_where_there_is_no_other_doctor_says_what_brings_one(kept: Kept) -> None:
    kept.deploy()
    shutil.rmtree(kept.home / ".npm-global")
    (problem,) = [problem for problem in kept.examine().problems if "gone" in problem.what]
    assert problem.fix is None
    assert problem.mend == f"ocm setup brings one; then ocm runtime use {NAME}"


def test_status_tells_of_one_that_runs_on_what_is_gone(kept: Kept) -> None:
    kept.deploy()
    shutil.rmtree(kept.home / ".npm-global/lib")
    (told,) = [line for line in kept.status().drift if "gone" in line]
    assert told == f"its OpenClaw is gone: {kept.record(NAME).runtime.openclaw}: ocm runtime use {NAME}"


@pytest.mark.parametrize(
    "command",
    [
        lambda kept: kept.start(),
        lambda kept: kept.restart(),
        lambda kept: kept.use("--version"),
        lambda kept: kept.enter(),
        lambda kept: kept.backup(),
        lambda kept: set_value(kept.context, NAME, "a.b", 1, effort=kept.effort(), dry_run=False),
    ],
    ids=["start", "restart", "use", "enter", "backup", "edit"],
)
@pytest.mark.parametrize("part", ["bin/node", "lib"])
def test_what_cannot_run_says_that_and_what_mends_it(
    kept: Kept, command: Callable[[Kept], object], part: str
) -> None:
    kept.create()
    path = kept.home / ".npm-global" / part
    shutil.move(path, kept.home / "away")
    before = kept.files()
    with pytest.raises(OcmError, match=f"{NAME} cannot be run: its (Node|OpenClaw) is gone: ") as caught:
        command(kept)
    assert caught.value.code == "runtime_gone"
    assert caught.value.hint == f"ocm runtime use {NAME} takes what this machine has now"
    assert kept.files() == before


def test_a_node_that_may_not_be_executed_is_told_before_anything_is_stopped(kept: Kept) -> None:
    kept.deploy()
    pid, node = kept.process(NAME).pid, kept.home / ".npm-global/bin/node"
    node.chmod(0o644)
    with pytest.raises(OcmError, match=f"{NAME} cannot be run: its Node may not be executed: "):
        kept.restart()
    assert kept.process(NAME).pid == pid


def test_a_path_names_what_is_to_be_run_and_the_rest_stays(kept: Kept) -> None:
    kept.create()
    had = kept.record(NAME).runtime
    other = kept.home / "other/bin/node"
    other.parent.mkdir(parents=True)
    shutil.copy(had.node, other)
    use(kept, str(other))
    assert kept.record(NAME).runtime.node == str(other)
    assert kept.record(NAME).runtime.openclaw == had.openclaw
    use(kept, str(kept.home / ".npm-global/bin"))
    assert kept.record(NAME).runtime == had
    use(kept, str(other.parent))
    use(kept, anew=True)
    assert kept.record(NAME).runtime == had


def test_what_is_neither_node_nor_openclaw_is_refused(kept: Kept) -> None:
    kept.create()
    for path in ("/bin/true", "/etc", "/nowhere/node"):
        with pytest.raises(OcmError) as caught:
            use(kept, path)
        assert caught.value.code == "runtime_unusable", path


def test_what_a_failed_deploy_did_not_find_is_kept_nowhere(kept: Kept) -> None:
    node = kept.home / ".npm-global/bin/node"
    away = shutil.move(node, kept.home / "away")
    node.write_text("#!/bin/sh\necho no node\n")
    node.chmod(0o755)
    before = kept.files()
    with pytest.raises(OcmError, match="does not answer as Node"):
        kept.deploy()
    assert kept.files() == before
    shutil.move(away, node)
    kept.deploy()
    assert kept.process(NAME).pid is not None
