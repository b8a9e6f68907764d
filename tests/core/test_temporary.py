from __future__ import annotations

import re

import pytest

from openclaw_ocm.core import temporary
from openclaw_ocm.system import programs

TOKEN, LONG = "0123456789ab", "0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        temporary.beside("openclaw.json", TOKEN),
        temporary.beside("w1-20261122T120000Z", TOKEN),
        temporary.copies(LONG),
        temporary.candidate(TOKEN),
        temporary.incoming("w1", TOKEN),
        temporary.staging(TOKEN),
        temporary.removed(LONG),
        temporary.canary(LONG),
    ],
)
def test_whatever_is_there_for_a_moment_is_hidden_and_no_part_of_a_state(name: str) -> None:
    assert name.startswith(".")
    assert re.fullmatch(temporary.ANY, name)


@pytest.mark.parametrize("name", ["a", ".ocm-", ".ocm", "x.ocm", ".openclaw.json", "ocm-copies"])
def test_what_is_not_ocms_is_part_of_a_state(name: str) -> None:
    assert not re.fullmatch(temporary.ANY, name)


def test_what_was_written_beside_is_found_by_its_name_and_no_other() -> None:
    found = temporary.beside("w1.toml", TOKEN)
    assert temporary.is_beside(found, "w1.toml")
    for other in ("w1_toml", "w1", "1.toml", "w1.tom"):
        assert not temporary.is_beside(found, other)
    for other in (f"{found}x", found.replace(TOKEN, "mine"), found.upper(), found[1:]):
        assert not temporary.is_beside(other, "w1.toml")


def test_journals_and_backups_tell_whose_they_are() -> None:
    journal = temporary.beside("w1.jsonl", TOKEN)
    backup = temporary.beside("w1-a-20261122T120000Z", TOKEN)
    assert (temporary.owner_of_journal(journal), temporary.owner_of_backup(journal)) == ("w1", None)
    assert (temporary.owner_of_journal(backup), temporary.owner_of_backup(backup)) == (None, "w1-a")
    for name in (".w1.jsonl.abc.ocm", f".w 1.jsonl.{TOKEN}.ocm", f"w1.jsonl.{TOKEN}.ocm", "w1.jsonl"):
        assert temporary.owner_of_journal(name) is None


def test_copies_and_candidates_are_found_again() -> None:
    assert temporary.is_copies(temporary.copies(LONG))
    assert not temporary.is_copies(temporary.copies(TOKEN))
    assert temporary.is_candidate(temporary.candidate(TOKEN))
    assert not temporary.is_candidate(temporary.copies(LONG))


def test_the_programs_give_and_find_the_same_names() -> None:
    """They stand alone and cannot import them."""
    (found,) = re.findall(r"/\^(.+)\$/\.test\(name\)", programs.text("copy_databases.mjs"))
    assert re.fullmatch(found, temporary.copies(LONG))
    assert not re.fullmatch(found, temporary.copies(TOKEN))
    (made,) = re.findall(r"/(\.ocm-probe-)", programs.text("probe.py"))
    assert re.fullmatch(temporary.ANY, f"{made}{LONG}")
