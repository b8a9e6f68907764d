"""Which ports are taken although nobody listens, and how an instance moves to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.firewall import Firewall
from openclaw_ocm.core.status import Listener
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.expose import set_exposure
from openclaw_ocm.operations.port import move_port
from openclaw_ocm.system import ufw

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.operations.planning.result import Outcome


def move(kept: Kept, port: int | None = None, *, dry_run: bool = False) -> Outcome:
    return move_port(kept.context, NAME, port, kept.effort(), dry_run=dry_run)


def profile(kept: Kept, name: str, config: str) -> Path:
    # Without a main a profile is taken for it.
    main = kept.home / ".openclaw"
    main.mkdir(exist_ok=True)
    (main / "openclaw.json").write_text("{}")
    state = kept.home / f".openclaw-{name}"
    state.mkdir()
    (state / "openclaw.json").write_text(config)
    return state


def config_of(kept: Kept) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(Path(kept.paths(NAME).config).read_text())
    return found


def test_the_port_of_a_profile_that_is_stopped_is_taken(kept: Kept) -> None:
    """As that of `openclaw --dev`, whose usual port is the first of OCM's."""
    state = profile(kept, "dev", '{ "gateway": { "port": 19001 } }')
    kept.create()
    assert kept.record(NAME).port == 19021
    with pytest.raises(OcmError, match=f"which belongs to the profile dev \\({state}\\)"):
        kept.create(OTHER, port=19001)


@pytest.mark.parametrize("config", ["{}", "junk", '{"gateway": {"port": "no"}}'])
def test_a_profile_that_says_nothing_of_its_port_has_its_usual_one(kept: Kept, config: str) -> None:
    profile(kept, "dev", config)
    kept.create()
    assert kept.record(NAME).port == 19021


def test_the_port_of_a_service_that_is_not_ocms_is_taken(kept: Kept) -> None:
    units = Path(kept.host.paths.units)
    units.mkdir(parents=True)
    (units / "openclaw-gateway-rescue.service").write_text(
        "[Service]\nExecStart=/usr/bin/node /x/openclaw.mjs --profile rescue gateway --port 19005\n"
    )
    kept.create()
    assert kept.record(NAME).port == 19041


def test_doctor_tells_of_a_profile_that_came_later_and_names_what_moves(kept: Kept) -> None:
    kept.create()
    profile(kept, "dev", '{ "gateway": { "port": 19001 } }')
    (problem,) = [one for one in kept.examine().problems if "within" in one.what]
    assert (problem.about, problem.mend) == (NAME, f"ocm port {NAME} takes another")
    move(kept)
    assert not [one for one in kept.examine().problems if "within" in one.what]


def test_a_moved_instance_has_its_port_everywhere_and_runs_again(kept: Kept) -> None:
    kept.deploy()
    pid = kept.process(NAME).pid
    outcome = move(kept, 20000)
    assert outcome.message == "on port 20000 now, no more on 19001"
    assert kept.record(NAME).port == 20000
    config = config_of(kept)
    assert config["gateway"]["port"] == 20000
    assert config["browser"]["profiles"] == {"openclaw": {"cdpPort": 20011}}
    assert kept.process(NAME).pid not in (None, pid)
    assert kept.status().drift == ()
    assert "20000" in Path(kept.status().paths["definition"]).read_text()
    again = move(kept, 20000)
    assert (again.changed, again.message) == (False, "on port 20000 already")


def test_one_that_is_stopped_moves_and_stays_stopped(kept: Kept) -> None:
    kept.create()
    move(kept)
    assert kept.record(NAME).port == 19021
    assert kept.process(NAME).pid is None


def test_a_dry_run_of_a_move_changes_nothing(kept: Kept) -> None:
    kept.deploy()
    before = kept.files()
    assert any("write record" in step for step in move(kept, dry_run=True).steps)
    assert kept.files() == before


def test_a_move_that_fails_leaves_all_as_it_was(kept: Kept) -> None:
    kept.deploy()
    before = kept.files()
    kept.unproved[NAME] = ("a wall did not hold",)
    with pytest.raises(OcmError):
        move(kept, 20000)
    assert kept.files() == before


def test_a_port_within_its_own_window_may_be_taken_and_that_of_another_may_not(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    move(kept, 19000)
    assert kept.record(NAME).port == 19000
    with pytest.raises(OcmError, match=f"which belongs to {OTHER}"):
        move(kept, 19010)
    kept.strangers[20003] = Listener(pid=None, command=None)
    with pytest.raises(OcmError, match="port 20003 is taken by another process"):
        move(kept, 20000)


def test_who_meets_a_stranger_on_its_port_is_told_what_moves_it(kept: Kept) -> None:
    kept.create()
    kept.strangers[19001] = Listener(pid=None, command=None)
    with pytest.raises(OcmError) as caught:
        kept.start()
    assert caught.value.hint == f"stop that program, or ocm port {NAME} takes another port"
    assert any(f"ocm port {NAME}" in (one.mend or "") for one in kept.examine().problems)
    move(kept, 20000)
    kept.start()


def test_the_rules_of_an_exposed_instance_follow(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.create()
    set_exposure(kept.context, NAME, ("10.0.0.0/8",), kept.effort(), dry_run=False)
    monkeypatch.setattr(ufw, "observe", lambda _host: Firewall(installed=True, active=True, rules=()))
    outcome = move(kept, 20000, dry_run=True)
    assert any("10.0.0.0/8" in step and "20000" in step for step in outcome.steps), outcome.steps


def test_the_address_of_an_exposed_instance_is_that_by_which_others_reach_it(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create()
    assert kept.status().url == "http://127.0.0.1:19001/"
    set_exposure(kept.context, NAME, ("10.0.0.0/8",), kept.effort(), dry_run=False)
    monkeypatch.setattr("openclaw_ocm.operations.planning.pages.address_towards", lambda _source: "10.1.2.3")
    assert kept.status().url == "http://10.1.2.3:19001/"
    monkeypatch.setattr("openclaw_ocm.operations.planning.pages.address_towards", lambda _source: "fd00::1")
    assert kept.status().url == "http://[fd00::1]:19001/"
