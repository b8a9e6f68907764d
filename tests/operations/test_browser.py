"""What `doctor` and `status` say where a config asks for a browser, and where none does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operations.kept import NAME

from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations.planning import browser
from openclaw_ocm.operations.status import status

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.operations.planning.findings import Finding

ASKING = {"tools": {"alsoAllow": ["browser"]}}


def findings(kept: Kept, **changes: Any) -> list[Finding]:  # noqa: ANN401 - any JSON
    """Return what is found of an instance with these members of its config changed."""
    path = Path(kept.paths(NAME).config)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return list(browser.browser_findings(open_instance(kept.context, NAME)))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where alone a browser is looked for; it is not there yet."""
    program = tmp_path / "chromium"
    monkeypatch.setattr(browser, "PROGRAMS", (str(program),))
    return program


@pytest.mark.usefixtures("programs")
def test_by_default_nobody_is_told_anything(kept: Kept) -> None:
    kept.create(NAME)
    assert findings(kept) == []


def test_what_is_missing_is_told_with_what_brings_it(kept: Kept, programs: Path) -> None:
    kept.create(NAME)
    program, sandbox = findings(kept, **ASKING)
    assert (program.wrong, program.name) == (True, NAME)
    assert (program.mend or "").endswith(" install chromium")
    assert sandbox.mend == f"ocm edit {NAME} browser.noSandbox true"
    told = status(kept.context, NAME).notes
    assert f"{program.problem}: {program.mend}" in told
    assert f"{sandbox.problem}: {sandbox.mend}" in told
    programs.write_text("")
    assert len(findings(kept, **ASKING)) == 2, "a sandbox does not show it"
    own = Path(kept.paths(NAME).state, "cache/ms-playwright")
    own.mkdir()
    assert [one.mend for one in findings(kept, **ASKING)] == [sandbox.mend], "Playwright's own"
    own.rmdir()
    programs.unlink()
    programs.symlink_to("/usr/bin/env")
    assert [one.mend for one in findings(kept, **ASKING)] == [sandbox.mend]
    assert findings(kept, browser={"noSandbox": True}) == []


def test_without_a_sandbox_any_program_does(kept: Kept, programs: Path) -> None:
    kept.create(NAME, sealed=False)
    programs.write_text("")
    assert findings(kept, **ASKING) == []


@pytest.mark.parametrize("named", ["/usr/bin/gone-browser", "/etc/passwd", "/usr/bin", "\0", "x" * 5000])
def test_a_program_that_is_named_must_be_there_inside(kept: Kept, programs: Path, named: str) -> None:
    kept.create(NAME)
    programs.symlink_to("/usr/bin/env")
    (found,) = findings(kept, browser={"noSandbox": True, "executablePath": named})
    assert found.mend == f"ocm edit {NAME} browser.executablePath /usr/bin/chromium"
    assert findings(kept, browser={"noSandbox": True, "executablePath": "/usr/bin/env"}) == []
    own = Path(kept.paths(NAME).state) / "chromium"
    own.write_text("")
    assert findings(kept, browser={"noSandbox": True, "executablePath": str(own)}) == []
