"""An archive that another program made is named by `ocm restore`, which takes nothing of it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.archives import write_compressed
from tests.system.foreign.test_archive import REAL, exported, packed, state_of

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations import restore
from openclaw_ocm.operations.planning.foreign import naming_foreign
from openclaw_ocm.operations.planning.staging import RestoreRequest

if TYPE_CHECKING:
    from pathlib import Path


def named(archive: Path) -> OcmError:
    with pytest.raises(OcmError) as error:
        restore.name_of(RestoreRequest(archive=PurePosixPath(archive)))
    return error.value


def test_a_backup_of_openclaws_own_is_named_and_its_adoption_offered() -> None:
    archive = REAL["2026.9.6"]
    error = named(archive)
    assert error.code == "archive_foreign"
    assert error.message == (
        f"{archive} is no backup of OCM's: it is a backup of OpenClaw's own backup create "
        "of /home/ann/.openclaw, made by OpenClaw 2026.9.6"
    )
    assert error.hint == f"ocm adopt {archive} --name NAME"


def test_its_name_is_that_of_its_profile_or_environment_or_the_one_that_was_asked_for(tmp_path: Path) -> None:
    spaced = packed(tmp_path / "my state.tgz", *state_of(".openclaw-work"))
    assert named(spaced).hint == f"ocm adopt '{spaced}' --name work"
    assert "--name mira" in str(named(exported(tmp_path / "mira.tar")).hint)
    asked = parse_name("worker7")
    with pytest.raises(OcmError) as error, naming_foreign(PurePosixPath(spaced), asked):
        raise OcmError("no", code="archive_invalid")
    assert error.value.hint == f"ocm adopt '{spaced}' --name worker7"


def test_what_holds_no_state_that_can_be_used_is_told_why(tmp_path: Path) -> None:
    archive = packed(tmp_path / "two.tgz", *state_of(".openclaw"), *state_of(".openclaw-b"))
    assert "it holds several states of OpenClaw" in named(archive).message
    damaged = write_compressed(tmp_path / "damaged", b"no tar")
    assert named(damaged).message == f"{damaged} is no backup that can be used: it is cut off"
