"""What was made since an adoption is neither written over nor lost untold when it ends, either way."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.operations.owned import KEY, Owned

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.dotenv import with_missing
from openclaw_ocm.core.secrets import format_file
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations import unadopt
from openclaw_ocm.operations.delete import delete, taken_over
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.secrets import read_secrets

WORK = parse_name("work")


def refused(owned: Owned) -> OcmError:
    """Return what is said where it does not go back, and nothing was changed."""
    before, runs = owned.kept.files(), owned.runs
    with pytest.raises(OcmError) as caught:
        owned.go_back()
    assert (owned.kept.files(), owned.runs) == (before, runs)
    assert owned.kept.row(WORK).state == "ready"
    assert caught.value.hint
    return caught.value


def test_a_dotenv_that_was_made_since_keeps_what_it_says_and_gets_what_is_missing(owned: Owned) -> None:
    owned.take_over()
    (owned.state / ".env").write_text("NEW_API_KEY=sk-new")
    owned.go_back()
    assert (owned.state / ".env").read_text() == "NEW_API_KEY=sk-new\nENV_API_KEY=sk-owned-dotenv-2222\n"


def test_a_dotenv_that_is_a_link_by_now_is_to_be_moved_first(owned: Owned) -> None:
    owned.take_over()
    (owned.state / ".env").symlink_to("/etc/passwd")
    error = refused(owned)
    assert (error.code, error.message) == ("exists", ".env is a link, which OCM does not follow")
    (owned.state / ".env").unlink()
    owned.go_back()
    assert (owned.state / ".env").read_text() == "ENV_API_KEY=sk-owned-dotenv-2222\n"


@pytest.mark.parametrize(
    ("now", "former", "both"),
    [
        ("", "A=1\n", "A=1\n"),
        ("A=2\n", "A=1\nexport B='x\ny'\n", "A=2\nexport B='x\ny'\n"),
        ("# no\n", "# said\nA: 1 # why\n", "# no\nA: 1\n"),
        ("A=1", "A=1", "A=1"),
    ],
)
def test_what_is_missing_in_a_dotenv_is_added(now: str, former: str, both: str) -> None:
    assert with_missing(now, former) == both


def test_keys_that_were_changed_since_are_told(owned: Owned) -> None:
    owned.take_over()
    paths = owned.kept.paths(WORK)
    values = {**read_secrets(paths), "FAKE_API_KEY": "sk-turned", "OTHER_API_KEY": "sk-other"}
    del values["ENV_API_KEY"]
    files.write_file(paths.secrets, format_file(values))
    notes = owned.go_back().notes
    assert (
        "secrets that were changed since have their former values there: ENV_API_KEY, FAKE_API_KEY" in notes
    )
    assert "secrets that work was given since are not set there: OTHER_API_KEY" in notes
    assert "sk-turned" not in str(notes)
    assert KEY not in str(notes)


def test_nothing_is_told_of_keys_that_are_as_they_were(owned: Owned) -> None:
    owned.take_over()
    assert not [note for note in owned.go_back().notes if note.startswith("secrets")]


def test_a_unit_that_was_made_since_is_not_written_over(main: Owned) -> None:
    unit = main.unit_file.read_bytes()
    main.take_over()
    main.unit_file.write_text("[Service]\nExecStart=/usr/bin/true\n")
    error = refused(main)
    assert error.code == "exists"
    assert error.message.startswith(f"{main.unit_file} was made since")
    main.unit_file.unlink()
    main.go_back()
    assert main.unit_file.read_bytes() == unit


def test_a_state_is_not_given_back_to_an_openclaw_that_is_older(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned.unit_file.unlink()
    owned.runs = False
    owned.take_over()
    versions = iter(("2026.8.2", "2026.9.6"))
    with monkeypatch.context() as patch:
        patch.setattr(unadopt, "version_of", lambda _runtime: next(versions))
        error = refused(owned)
    assert error.code == "version_older"
    assert error.hint == "npm install -g openclaw@2026.9.6, then try again"
    assert owned.go_back().changed


def test_a_config_that_was_a_link_is_told(owned: Owned) -> None:
    config = owned.state / "openclaw.json"
    elsewhere = config.rename(owned.kept.home / "conf.json")
    config.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert f"{config} is a link to {elsewhere}, which stays as it is: work has a file of its own" in (
        owned.take_over().notes
    )
    notes = owned.go_back().notes
    assert f"its config was a link to {elsewhere}, which stays as it is; now it is a file" in notes
    assert elsewhere.read_bytes() == before


def test_who_deletes_what_was_adopted_is_told_that_it_cannot_go_back(owned: Owned) -> None:
    owned.take_over()
    said = "work was the profile work before: ocm unadopt work brings that back, and deleting ends it"
    assert taken_over(owned.kept.context, (WORK,)) == (said,)
    outcome = delete(owned.kept.context, WORK, force=True, dry_run=False)
    gone = f"the profile work, which it was before, cannot be brought back: {owned.unit} goes with it"
    assert gone in outcome.notes


def test_of_a_copy_nothing_is_told(owned: Owned) -> None:
    owned.adopt("work")
    copy = parse_name("work-copy")
    assert taken_over(owned.kept.context, (copy, parse_name("nobody"))) == ()
    outcome = delete(owned.kept.context, copy, force=True, dry_run=False)
    assert not [note for note in outcome.notes if "brought back" in note]


def test_what_is_kept_for_the_way_back_that_is_damaged_keeps_no_instance(owned: Owned) -> None:
    owned.take_over()
    Path(owned.kept.paths(WORK).adopted).write_text("{ no")
    assert delete(owned.kept.context, WORK, force=True, dry_run=False).message == "deleted"
