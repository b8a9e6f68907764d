"""Whether an instance starts with the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from tests.operations.kept import Kept


def test_an_instance_is_enabled_and_disabled_and_its_record_says_so(kept: Kept) -> None:
    kept.create()
    enabled = kept.set_autostart(wanted=True)
    assert (enabled.changed, enabled.message) == (True, "enabled")
    assert "a fake ends with the tests" in enabled.notes
    assert (kept.record(NAME).autostart, kept.process(NAME).autostart) == (True, True)
    assert kept.process(NAME).activity == "stopped", "it starts nothing"
    again = kept.set_autostart(wanted=True)
    assert (again.changed, again.message) == (False, "already enabled")
    disabled = kept.set_autostart(wanted=False)
    assert (disabled.changed, disabled.message, disabled.notes) == (True, "disabled", ())
    assert (kept.record(NAME).autostart, kept.process(NAME).autostart) == (False, False)
    assert kept.set_autostart(wanted=False).message == "already disabled"


def test_a_dry_run_enables_nothing(kept: Kept) -> None:
    kept.create()
    planned = kept.set_autostart(wanted=True, dry_run=True)
    assert len(planned.steps) == 2
    assert (kept.record(NAME).autostart, kept.process(NAME).autostart) == (False, False)
    assert kept.set_autostart(wanted=True).steps == planned.steps


@pytest.mark.parametrize("wanted", [True, False])
def test_where_record_and_backend_differ_both_follow_the_user(kept: Kept, *, wanted: bool) -> None:
    kept.create()
    kept.set_autostart(wanted=not wanted)
    kept.world.enabled ^= {NAME}
    assert kept.set_autostart(wanted=wanted).changed
    assert (kept.record(NAME).autostart, kept.process(NAME).autostart) == (wanted, wanted)


def test_to_enable_writes_a_definition_that_is_gone(kept: Kept) -> None:
    kept.create()
    definition = Path(kept.status().paths["definition"])
    text = definition.read_text()
    definition.unlink()
    kept.set_autostart(wanted=True)
    assert definition.read_text() == text


@pytest.mark.parametrize(("wanted", "method"), [(True, "enable"), (False, "disable")])
def test_a_backend_that_refuses_leaves_the_record_as_it_was(kept: Kept, method: str, *, wanted: bool) -> None:
    kept.create(autostart=not wanted)
    before = kept.files()
    kept.world.failing[method] = OcmError("the cluster is down")
    with pytest.raises(OcmError, match="the cluster is down"):
        kept.set_autostart(wanted=wanted)
    assert kept.files() == before
    assert kept.record(NAME).autostart is not wanted
