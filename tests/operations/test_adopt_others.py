"""What an OpenClaw that is adopted shares with others is not taken from them, nor left to start it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.operations.owned import PORT, Owned

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.record import Shown
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning import adoption as planning
from openclaw_ocm.operations.sync import sync
from openclaw_ocm.system import files
from openclaw_ocm.system.kept.inherited import Inherited, write_inherited
from openclaw_ocm.system.kept.records import encode_record
from openclaw_ocm.system.openclaw import services

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operations.kept import Kept

WORK = parse_name("work")


def profile(kept: Kept, name: str, config: dict[str, object]) -> Path:
    """Make a profile in the home of a test."""
    state = kept.home / f".openclaw-{name}"
    state.mkdir()
    (state / "openclaw.json").write_text(json.dumps(config))
    return state


def refused(owned: Owned) -> OcmError:
    """Return what is said where it is not taken over, and nothing was changed."""
    before, runs = owned.kept.files(), owned.runs
    with pytest.raises(OcmError) as caught:
        owned.take_over()
    assert (owned.kept.files(), owned.runs) == (before, runs)
    assert caught.value.code == "adopt_refused"
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "config",
    [
        {"agents": {"defaults": {"workspace": "~/.openclaw/of-rescue"}}},
        {"agents": {"list": [{"id": "a", "workspace": "{main}/of-rescue"}]}},
        {"agents": {"entries": {"a": {"agentDir": "~/.openclaw/of-rescue"}}}},
        {"skills": {"load": {"extraDirs": ["~/.openclaw/of-rescue"]}}},
    ],
    ids=["workspace", "listed", "agent", "skills"],
)
def test_main_is_not_taken_with_what_a_profile_uses_in_it(main: Owned, config: dict[str, object]) -> None:
    (main.state / "of-rescue").mkdir()
    profile(main.kept, "rescue", json.loads(json.dumps(config).replace("{main}", str(main.state))))
    error = refused(main)
    assert error.message == f"{main.state} holds what the profile rescue uses: {main.state}/of-rescue"
    assert main.adopt("main", name=WORK).changed, "a copy may be made"


def test_nor_with_the_workspace_that_an_older_openclaw_gave_a_profile(main: Owned) -> None:
    (main.state / "workspace-rescue").mkdir()
    state = profile(main.kept, "rescue", {})
    assert "the profile rescue uses" in refused(main).message
    (state / "workspace").mkdir()
    assert main.take_over().changed, "it has one of its own"


def test_nor_with_a_state_in_it_that_a_service_uses(main: Owned) -> None:
    inner = main.state / "profiles/inner"
    inner.mkdir(parents=True)
    (main.unit_file.parent / "openclaw-gateway-inner.service").write_text(
        f"[Service]\nExecStart=/usr/bin/openclaw gateway\nEnvironment=OPENCLAW_STATE_DIR={inner}\n"
    )
    assert refused(main).message.endswith(f"the service openclaw-gateway-inner.service uses: {inner}")


def test_what_another_uses_that_cannot_be_read_is_not_taken_for_nothing(main: Owned) -> None:
    state = profile(main.kept, "rescue", {})
    (state / "openclaw.json").write_text("{ no")
    assert refused(main).message.startswith("what the profile rescue uses of main cannot be told: ")


def test_nor_with_what_an_instance_is_shown_of_it(main: Owned) -> None:
    main.kept.deploy()
    one = next(iter(main.kept.world.gateways))
    shown = Shown(path=str(main.state / "workspace"), at="/here", writable=True)
    record = msgspec.structs.replace(main.kept.record(one), mounts=(shown,))
    files.write_file(main.kept.paths(one).record, encode_record(record).encode())
    assert refused(main).message.endswith(f"holds what {one} uses: {main.state}/workspace")


def test_who_else_uses_its_workspace_is_told(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    # The home of a test lies in /tmp, of which no instance is shown anything.
    monkeypatch.setattr(planning, "refuse_new", lambda *_words: None)
    outside = owned.kept.home / "claw"
    outside.mkdir()
    named: dict[str, object] = {"agents": {"defaults": {"workspace": "~/claw"}}}
    (owned.state / "openclaw.json").write_text(json.dumps({"gateway": {"port": PORT}, **named}))
    profile(owned.kept, "rescue", named)
    assert f"the profile rescue uses {outside} as well" in owned.take_over().notes


def enable(directory: Path, unit: Path) -> Path:
    link = directory / "default.target.wants" / unit.name
    link.parent.mkdir(parents=True)
    link.symlink_to(unit)
    return link


def test_a_service_of_the_machines_that_is_stopped_but_enabled_is_to_be_disabled_first(
    owned: Owned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system = tmp_path / "system"
    system.mkdir()
    unit = system / "openclaw-work.service"
    text = f"[Service]\nUser={owned.kept.host.user}\n" + owned.unit_file.read_text().removeprefix(
        "[Service]\n"
    )
    unit.write_text(text)
    monkeypatch.setattr(services, "SYSTEM", (str(system),))
    link = enable(system, unit)
    error = refused(owned)
    assert error.message == f"{unit} starts the profile work by itself, unsealed: {link}"
    assert error.hint == "sudo systemctl disable openclaw-work.service, then try again"
    link.unlink()
    assert owned.take_over().changed


def test_nor_does_one_stay_enabled_for_all_users(
    owned: Owned, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    everybodys = tmp_path / "user"
    monkeypatch.setattr(services, "USER", (str(everybodys), *services.USER[1:]))
    link = enable(everybodys, owned.unit_file)
    assert refused(owned).hint == f"sudo systemctl --global disable {owned.unit}, then try again"
    link.unlink()
    enable(owned.unit_file.parent, owned.unit_file)
    assert owned.take_over().changed, "its own is set aside"


def test_a_second_service_of_yours_is_to_be_disabled_first(owned: Owned) -> None:
    second = owned.unit_file.with_name("rescue.service")
    second.write_text(owned.unit_file.read_text())
    enable(second.parent, second)
    assert refused(owned).hint == "systemctl --user disable rescue.service, then try again"


def test_who_inherits_from_main_is_told_and_gets_no_keys_of_another_in_its_place(main: Owned) -> None:
    kept = main.kept
    kept.deploy()
    one = next(iter(kept.world.gateways))
    write_inherited(kept.paths(one), Inherited(source="main", config={"models": {}}, secrets=("A_API_KEY",)))
    said = f"{one} inherits from main: ocm sync {one} --inherit-from work has it go on from there"
    assert said not in main.adopt("main", name=parse_name("copy"), start=False).notes
    assert said in main.take_over().notes
    rescue = profile(kept, "rescue", {"gateway": {"port": 18990}})
    files_before = kept.files()
    with pytest.raises(OcmError) as caught:
        sync(kept.context, one, kept.effort(), dry_run=False)
    assert caught.value.message == f"main is the instance work now; {rescue} is another OpenClaw"
    assert caught.value.hint == f"ocm sync {one} --inherit-from work"
    assert kept.files() == files_before


def give(owned: Owned, **variables: str) -> None:
    """Have its service set variables, and its config name no workspace."""
    lines = "".join(f"Environment={name}={value}\n" for name, value in variables.items())
    owned.unit_file.write_text(owned.unit_file.read_text().replace("[Install]", f"{lines}[Install]"))
    config = json.loads((owned.state / "openclaw.json").read_text().partition("\n")[2])
    del config["agents"]
    (owned.state / "openclaw.json").write_text(json.dumps(config))


def test_a_workspace_that_a_variable_names_comes_along(owned: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    # The home of a test lies in /tmp, of which no instance is shown anything.
    monkeypatch.setattr(planning, "refuse_new", lambda *_words: None)
    outside = owned.kept.home / "claw"
    outside.mkdir()
    give(owned, OPENCLAW_WORKSPACE_DIR=str(outside))
    before = (owned.state / "openclaw.json").read_bytes()
    copied = owned.adopt("work")
    said = f"{outside} is the workspace of the profile work: work-copy begins with an empty one"
    assert said in copied.notes
    owned.take_over()
    config = json.loads((owned.state / "openclaw.json").read_text())
    assert config["agents"]["defaults"]["workspace"] == str(outside)
    assert [one.path for one in owned.kept.record(WORK).mounts] == [str(outside)]
    owned.go_back()
    assert (owned.state / "openclaw.json").read_bytes() == before


@pytest.mark.parametrize(
    ("path", "agents", "said"),
    [
        ("claw", {}, "that is no absolute path"),
        ("/claw", {"list": [{"id": "a"}, {"id": "b"}]}, "it has several agents"),
        ("/claw", {"entries": {"a": {}, "b": {}}}, "it has several agents"),
    ],
)
def test_one_that_a_config_cannot_say_is_to_be_named_first(
    owned: Owned, path: str, agents: dict[str, object], said: str
) -> None:
    give(owned, OPENCLAW_WORKSPACE_DIR=path)
    config = json.loads((owned.state / "openclaw.json").read_text())
    (owned.state / "openclaw.json").write_text(json.dumps({**config, "agents": agents}))
    assert refused(owned).message.endswith(f"be the workspace of the profile work, and {said}")


def test_what_steers_its_programs_is_told_and_left_out(owned: Owned) -> None:
    give(owned, NODE_OPTIONS="--max-old-space-size=4096", LD_PRELOAD="/x.so")
    assert "set for it, and not taken over: LD_PRELOAD, NODE_OPTIONS" in owned.take_over().notes


def test_nothing_is_told_of_variables_that_each_service_has(owned: Owned) -> None:
    assert not [note for note in owned.take_over().notes if note.startswith("set for it")]
