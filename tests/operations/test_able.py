"""What an instance will miss is told when it is made, and when it is looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.operations.create import Wanted, create, deploy
from openclaw_ocm.system import named
from openclaw_ocm.system.files import write_file
from openclaw_ocm.system.kept.records import encode_record, read_record

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.operations.planning.result import Outcome

MODELS = {"agents": {"defaults": {"model": {"primary": "fal/m", "fallbacks": ["acme/m"]}}}}
FALLBACK = (
    "it has no plugin for acme, which agents.defaults.model.fallbacks names: "
    "ocm use {0} plugins install @acme/openclaw, then ocm restart {0}"
)
PROXY = "HTTPS_PROXY is set in {}, and not for {}: ocm env {} set HTTPS_PROXY=http://proxy.example:3128"


@pytest.fixture
def main(kept: Kept) -> Path:
    """Give a main with two models and a proxy, and an OpenClaw that knows one of them and a plugin."""
    package = kept.home / ".npm-global/lib/node_modules/openclaw"
    fal = {"id": "fal", "setup": {"providers": [{"id": "fal", "envVars": ["FAL_KEY"]}]}}
    acme = {"providers": [{"id": "acme"}], "install": {"npmSpec": "@acme/openclaw"}}
    for place, said in (
        ("dist/extensions/fal/openclaw.plugin.json", fal),
        ("scripts/lib/official-external-provider-catalog.json", {"entries": [{"openclaw": acme}]}),
    ):
        (package / place).parent.mkdir(parents=True)
        (package / place).write_text(json.dumps(said))
    state = kept.home / ".openclaw"
    state.mkdir()
    (state / "openclaw.json").write_text(json.dumps(MODELS))
    (state / ".env").write_text("HTTPS_PROXY=http://proxy.example:3128\n")
    return state


def made(kept: Kept, *, dry_run: bool = False) -> Outcome:
    return create(kept.context, Wanted(name=NAME), dry_run=dry_run)


def test_a_new_instance_is_told_of_its_models_and_of_what_stands_around_main(kept: Kept, main: Path) -> None:
    wanted = {
        f"it has no key for fal: ocm model {NAME} fal/m asks for it",
        FALLBACK.format(NAME),
        PROXY.format(main / ".env", NAME, NAME),
    }
    assert wanted <= set(made(kept, dry_run=True).notes)
    assert not Path(kept.paths(NAME).record).exists()
    assert wanted <= set(made(kept).notes)
    assert wanted <= {note.removeprefix(f"{NAME}: ") for note in kept.examine().notes}
    assert wanted <= set(kept.status().notes)


def test_who_inherits_from_an_instance_is_told_of_the_variables_that_it_was_given(kept: Kept) -> None:
    made(kept)
    environment = {"HTTPS_PROXY": "http://proxy.example:3128"}
    record = msgspec.structs.replace(read_record(kept.host.paths, NAME), environment=environment)
    write_file(kept.paths(NAME).record, encode_record(record).encode())
    wanted = Wanted(name=OTHER, inherit_from=NAME)
    assert PROXY.format(NAME, OTHER, OTHER) in create(kept.context, wanted, dry_run=False).notes
    assert PROXY.format(NAME, OTHER, OTHER) in kept.status(OTHER).notes


def test_what_an_instance_has_is_not_told(kept: Kept, main: Path) -> None:
    (main / ".env").write_text("FAL_KEY=sk-PLANTED\n")
    notes = made(kept).notes
    assert FALLBACK.format(NAME) in notes
    assert not [note for note in notes if "fal:" in note or "HTTPS_PROXY" in note]
    plugin = Path(kept.paths(NAME).state, "npm/projects/acme-1/node_modules/@acme/openclaw")
    plugin.mkdir(parents=True)
    assert FALLBACK.format(NAME) not in kept.status().notes


def test_what_openclaw_installs_as_it_starts_is_not_told(kept: Kept, main: Path) -> None:
    (main / ".env").write_text("FAL_KEY=sk-PLANTED\n")
    wanted, plugin = Wanted(name=NAME), "npm/projects/acme-1/node_modules/@acme/openclaw"
    assert FALLBACK.format(NAME) in deploy(kept.context, wanted, kept.effort(), dry_run=True).notes

    def installing(told: str) -> None:
        if told.startswith("start"):
            Path(kept.paths(NAME).state, plugin).mkdir(parents=True, exist_ok=True)

    context = replace(kept.context, report=installing)
    assert FALLBACK.format(NAME) not in deploy(context, wanted, kept.effort(), dry_run=False).notes


@pytest.mark.usefixtures("main")
def test_a_clone_is_told_of_its_models_too(kept: Kept) -> None:
    made(kept)
    assert FALLBACK.format(OTHER) in kept.clone(started=False).notes


def test_that_a_machine_names_no_name_servers_is_told(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.create()
    monkeypatch.setattr(named, "name_servers", lambda: None)
    assert any("/etc/resolv.conf leads to no file" in note for note in kept.status().notes)
    assert any("/etc/resolv.conf leads to no file" in note for note in kept.examine().notes)
