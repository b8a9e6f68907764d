"""OpenClaws beside each other: which there are, who runs them, and which may go."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations import runtimes
from openclaw_ocm.operations.runtime import use_runtime
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from tests.operations.kept import Kept

VERSION = "2026.8.2"


@pytest.fixture
def package(kept: Kept) -> Path:
    """Put an OpenClaw where OCM installs them, and return its package directory."""
    made = Path(kept.host.paths.runtimes, VERSION, "lib/node_modules/openclaw")
    shutil.copytree(kept.home / ".npm-global/lib/node_modules/openclaw", made)
    stated = made / "package.json"
    text = stated.read_text()
    stated.write_text(text.replace("2026.9.6", VERSION))
    assert VERSION in stated.read_text()
    return made


def remove(kept: Kept, version: str = VERSION, *, dry_run: bool = False) -> runtimes.RuntimeChange:
    return runtimes.remove(kept.context, version, dry_run=dry_run)


def test_an_instance_runs_the_version_that_it_was_made_with(kept: Kept, package: Path) -> None:
    kept.create(openclaw=VERSION)
    kept.create(OTHER)
    assert kept.record(NAME).runtime.openclaw == str(package)
    assert kept.record(OTHER).runtime.openclaw != str(package)
    assert not kept.create(openclaw=VERSION).changed, "it is as wanted"
    with pytest.raises(OcmError, match="exists already, with another OpenClaw") as caught:
        kept.create(OTHER, openclaw=VERSION)
    assert caught.value.hint == f"ocm runtime use {OTHER} {VERSION} changes that"


def test_a_version_that_is_not_there_makes_no_instance(kept: Kept) -> None:
    before = kept.files()
    with pytest.raises(OcmError) as caught:
        kept.create(openclaw=VERSION)
    assert (caught.value.code, caught.value.hint) == ("runtime_missing", f"ocm runtime install {VERSION}")
    assert kept.files() == before


def test_the_list_tells_who_runs_what(kept: Kept, package: Path) -> None:
    kept.create(openclaw=VERSION)
    kept.create(OTHER)
    system, ours = runtimes.list_runtimes(kept.context)[0]
    assert (system.name, system.used_by, system.bytes) == ("system", (OTHER,), None)
    assert (ours.name, ours.version, ours.openclaw) == (VERSION, VERSION, str(package))
    assert ours.used_by == (NAME,)
    assert ours.bytes
    assert ours.node == system.node


def test_one_that_is_neither_ours_nor_on_the_path_is_listed_by_its_path(kept: Kept) -> None:
    kept.create()
    elsewhere = kept.home / "elsewhere/openclaw"
    shutil.copytree(kept.home / ".npm-global/lib/node_modules/openclaw", elsewhere)
    use_runtime(kept.context, NAME, (str(elsewhere),), anew=False, effort=kept.effort(), dry_run=False)
    _system, other = runtimes.list_runtimes(kept.context)[0]
    assert (other.name, other.used_by, other.bytes) == (str(elsewhere), (NAME,), None)


def test_one_that_is_run_is_not_removed(kept: Kept, package: Path) -> None:
    kept.create(openclaw=VERSION)
    assert runtimes.unused(kept.context) == ()
    with pytest.raises(OcmError, match=f"is run by {NAME}") as caught:
        remove(kept)
    assert caught.value.code == "runtime_used"
    assert package.exists()
    kept.delete()
    assert runtimes.unused(kept.context) == (VERSION,)
    told = remove(kept, dry_run=True)
    assert (told.changed, told.message) == (False, "would be removed")
    assert package.exists()
    assert remove(kept).changed
    assert not Path(kept.host.paths.runtimes).exists(), "nothing is left of it"
    with pytest.raises(OcmError) as caught:
        remove(kept)
    assert caught.value.code == "runtime_missing"


def test_nothing_is_removed_while_a_record_cannot_be_read(kept: Kept, package: Path) -> None:
    kept.create()
    files.write_file(kept.paths(NAME).record, b"broken =")
    for asked in (remove, lambda kept: runtimes.unused(kept.context)):
        with pytest.raises(OcmError, match=f"which OpenClaw {NAME} runs is not known"):
            asked(kept)
    assert package.exists()


def test_a_version_that_cannot_be_read_is_listed_all_the_same(kept: Kept, package: Path) -> None:
    (package / "package.json").write_text("{")
    (ours,) = (one for one in runtimes.list_runtimes(kept.context)[0] if one.name == VERSION)
    assert (ours.version, ours.node) == (None, None)
    assert remove(kept).changed


def test_behind_a_link_it_is_the_same_one(kept: Kept, package: Path) -> None:
    real = kept.home / "elsewhere"
    shutil.move(Path(kept.host.paths.runtimes), real)
    Path(kept.host.paths.runtimes).symlink_to(real)
    kept.create(openclaw=VERSION)
    kept.create(OTHER)
    named = runtimes.place_of(kept.host, VERSION)
    use_runtime(kept.context, OTHER, (named,), anew=False, effort=kept.effort(), dry_run=False)
    (ours,) = (one for one in runtimes.list_runtimes(kept.context)[0] if one.name == VERSION)
    assert set(ours.used_by) == {NAME, OTHER}
    assert runtimes.unused(kept.context) == ()
    with pytest.raises(OcmError, match="is run by"):
        remove(kept)
    assert package.exists()


def test_while_a_change_is_under_way_nothing_is_removed(kept: Kept, package: Path) -> None:
    files.write_file(kept.host.paths.transactions / f"{OTHER}.jsonl", b"{}\n0\n")
    with pytest.raises(OcmError, match=f"a change of {OTHER} is under way") as caught:
        remove(kept)
    assert caught.value.code == "runtime_used"
    assert package.exists()


def test_what_names_a_runtime_is_no_name_of_an_instance(kept: Kept, package: Path) -> None:
    words = ("latest", "beta", "system", VERSION, "./node", "worker1", "worker.1")
    assert [runtimes.is_runtime(word) for word in words] == [True] * 5 + [False] * 2
    assert runtimes.place_of(kept.host, "system").endswith(".npm-global/lib/node_modules/openclaw")
    assert runtimes.place_of(kept.host, VERSION) == str(package)


def test_an_older_one_is_refused_where_there_is_a_state(kept: Kept, package: Path) -> None:
    kept.deploy()
    pid, named = kept.process(NAME).pid, str(package)
    state = Path(kept.paths(NAME).state, "state/openclaw.sqlite")
    state.parent.mkdir(exist_ok=True)
    state.touch()
    with pytest.raises(OcmError, match="is older: it cannot read") as caught:
        use_runtime(kept.context, NAME, (named,), anew=False, effort=kept.effort(), dry_run=False)
    assert caught.value.code == "version_older"
    assert kept.process(NAME).pid == pid


def test_one_on_the_path_that_cannot_be_used_is_listed_with_why(kept: Kept) -> None:
    stated = kept.home / ".npm-global/lib/node_modules/openclaw/package.json"
    stated.write_text(stated.read_text().replace("2026.9.6", "2026.7.35"))
    ((system,), broken) = runtimes.list_runtimes(kept.context)
    assert (system.name, system.openclaw) == ("system", None)
    assert "is too old" in (system.problem or "")
    assert broken == {}


@pytest.mark.usefixtures("package")
def test_an_instance_whose_record_cannot_be_read_is_told_beside_the_list(kept: Kept) -> None:
    kept.create(openclaw=VERSION)
    kept.create(OTHER)
    files.write_file(kept.paths(OTHER).record, b"broken =")
    found, broken = runtimes.list_runtimes(kept.context)
    assert {row.name: row.used_by for row in found}[VERSION] == (NAME,)
    assert list(broken) == [OTHER]


def test_without_one_on_the_path_the_newest_that_ocm_installed_is_run(kept: Kept, package: Path) -> None:
    shutil.rmtree(kept.home / ".npm-global/lib/node_modules")
    (kept.home / ".npm-global/bin/openclaw").unlink(missing_ok=True)
    kept.create()
    assert kept.record(NAME).runtime.openclaw == str(package)


def test_two_of_one_kind_are_refused(kept: Kept, package: Path) -> None:
    kept.create()
    words = (str(package), runtimes.place_of(kept.host, "system"))
    with pytest.raises(Invalid, match="an instance runs one OpenClaw, and these are several"):
        use_runtime(kept.context, NAME, words, anew=False, effort=kept.effort(), dry_run=False)
