"""OpenClaw judges main's config, and that of a new instance, before anything is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.create import Wanted, create, deploy
from openclaw_ocm.system.openclaw import judge

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.planning.result import Outcome

# Says of a config that it is valid, unless that or what it includes has a word in it.
NODE = """#!/bin/sh
[ "$*" = --version ] && exec echo v24.19.0
[ "$1" = --print ] && {identity} && exit
{broken}
if cat "$OPENCLAW_CONFIG_PATH" "${{OPENCLAW_CONFIG_PATH%/*}}"/*.json5 2>/dev/null | grep -q REFUSED
then cat <<!
{{"valid": false, "issues": [{{"path": "{path}", "message": "Unrecognized key"}}]}}
!
exit 1
else echo '{{"valid": true}}'; fi
"""
MODELS: dict[str, Any] = {"models": {"providers": {"a": {"baseUrl": "http://127.0.0.1:1/v1", "models": []}}}}


@pytest.fixture
def asked(kept: Kept) -> Kept:
    """Return a home whose OpenClaw judges."""
    have(kept)
    return kept


def have(kept: Kept, broken: str = "", path: str = "agents.defaults") -> None:
    from tests import nodes

    node = kept.home / ".npm-global/bin/node"
    node.write_text(NODE.format(identity=nodes.identity("24.19.0"), broken=broken, path=path))


def main(kept: Kept, config: dict[str, Any], name: str = "openclaw.json") -> Path:
    path = kept.home / ".openclaw" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config))
    return path


def made(kept: Kept, name: InstanceName = NAME, *, dry_run: bool = False) -> Outcome:
    return create(kept.context, Wanted(name=name), dry_run=dry_run)


def refused(kept: Kept, *, dry_run: bool = False) -> OcmError:
    before = kept.files()
    with pytest.raises(OcmError) as caught:
        made(kept, dry_run=dry_run)
    assert kept.files() == before
    return caught.value


def test_a_config_that_is_valid_comes_along(asked: Kept) -> None:
    main(asked, MODELS)
    assert not any("OpenClaw was not asked" in note for note in made(asked).notes)
    assert "validate with OpenClaw" in asked.said


def test_of_a_main_that_openclaw_calls_invalid_nothing_is_inherited(asked: Kept) -> None:
    path = main(asked, {**MODELS, "routing": "REFUSED"})
    error = refused(asked)
    assert refused(asked, dry_run=True).message == error.message
    assert error.code == "main_invalid"
    assert error.message == (
        f"main's config is invalid or older than this OpenClaw: {path}: agents.defaults: Unrecognized key"
    )
    assert error.hint == "openclaw doctor --fix mends it; --no-inherit leaves it out"
    assert create(asked.context, Wanted(name=NAME, no_inherit=True), dry_run=False).changed


def test_what_openclaw_refuses_of_a_program_that_gives_out_secrets_is_told(kept: Kept) -> None:
    main(kept, {**MODELS, "secrets": "REFUSED"})
    have(kept, path="secrets.providers.op.command")
    said = "main's own OpenClaw refuses its config: secrets.providers.op.command: Unrecognized key"
    assert said in made(kept).notes


def test_what_main_includes_is_judged_where_it_is_and_elsewhere_the_command_says_so(asked: Kept) -> None:
    state = asked.home / "srv/main"
    state.mkdir(parents=True)
    (state / "openclaw.json").write_text(json.dumps({**MODELS, "$include": "./more.json5"}))
    (state / "more.json5").write_text('{"x": "REFUSED"}')
    settings = Path(asked.host.paths.settings)
    settings.write_text(f'{settings.read_text()}main = "{state}"\n')
    error = refused(asked)
    assert error.hint is not None
    assert error.hint.startswith(f"OPENCLAW_STATE_DIR={state} openclaw doctor --fix mends it")


def test_what_an_instance_would_get_is_judged_and_the_file_is_named(asked: Kept) -> None:
    template = main(asked, {**MODELS, "agents": {"defaults": {"modelX": "REFUSED"}}}, "openclaw.json.templ")
    error = refused(asked)
    assert (error.code, error.hint) == ("config_invalid", f"mend {template}; nothing was made")
    assert error.message.startswith(f"OpenClaw would refuse what {NAME} gets of {template}: agents.defaults:")


def test_a_deploy_that_openclaw_would_refuse_starts_nothing(asked: Kept) -> None:
    main(asked, {**MODELS, "agents": {"defaults": {"modelX": "REFUSED"}}}, "openclaw.json.templ")
    before = asked.files()
    with pytest.raises(OcmError, match="would refuse") as caught:
        deploy(asked.context, Wanted(name=NAME), asked.effort(), dry_run=False)
    assert f"ocm logs {NAME}" not in f"{caught.value.hint}{caught.value.details}"
    assert asked.files() == before
    assert ("start", (NAME,)) not in asked.world.calls


def test_a_clone_that_openclaw_would_refuse_is_not_made(asked: Kept) -> None:
    asked.deploy()
    path = Path(asked.paths(NAME).config)
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "agents": {"defaults": {"modelX": "REFUSED"}}}))
    before = asked.files()
    with pytest.raises(OcmError, match=f"would refuse what {OTHER} gets of {path}"):
        asked.clone(started=False)
    assert asked.files() == before


@pytest.mark.parametrize(
    "broken", ["exit 1", "echo no", 'echo "systemd-run: no bus" >&2; exit 1', "exit 127"]
)
def test_a_judge_who_cannot_be_asked_says_nothing_of_the_config(kept: Kept, broken: str) -> None:
    main(kept, MODELS)
    have(kept, broken)
    outcome = made(kept)
    assert outcome.changed
    [note] = [note for note in outcome.notes if "OpenClaw was not asked" in note]
    assert "no bus" in note or "exit status" in note


def test_without_a_sandbox_what_an_instance_wrote_is_not_judged(
    asked: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.deploy()
    monkeypatch.setattr(judge, "BWRAP", "/nonexistent/bwrap")
    outcome = asked.clone(started=False)
    [note] = [note for note in outcome.notes if "OpenClaw was not asked" in note]
    assert note.endswith("is valid: bubblewrap is not installed")
    # What is the user's own is judged all the same.
    main(asked, {**MODELS, "routing": "REFUSED"})
    with pytest.raises(OcmError, match="main's config is invalid"):
        create(asked.context, Wanted(name=parse_name(f"{NAME}-b")), dry_run=True)


@pytest.mark.parametrize("gone", ["bin/node", "lib/node_modules/openclaw/package.json"])
def test_what_could_not_start_is_not_made(asked: Kept, gone: str) -> None:
    asked.deploy()
    (asked.home / ".npm-global" / gone).unlink()
    before = asked.files()
    with pytest.raises(OcmError) as cloned:
        asked.clone(started=False)
    with pytest.raises(OcmError) as created:
        made(asked, OTHER)
    assert {error.value.code.partition("_")[0] for error in (cloned, created)} <= {"node", "openclaw"}
    assert asked.files() == before
