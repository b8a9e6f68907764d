"""What an instance reaches, changed and shown; no namespace is made: that is in the machine tests."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations import create, edit
from openclaw_ocm.operations import restore as restoring
from openclaw_ocm.operations.expose import set_exposure
from openclaw_ocm.operations.network import Change, Reached, reached, set_network
from openclaw_ocm.operations.planning.staging import RestoreRequest
from openclaw_ocm.system import uplinks

if TYPE_CHECKING:
    from typing import Any

    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.operations.planning.result import Outcome

MODEL = "127.0.0.1:11434"


pytestmark = pytest.mark.usefixtures("own_networks")


def change(kept: Kept, *, dry_run: bool = False, **changed: Any) -> Outcome:  # noqa: ANN401 - those of `Change`
    return set_network(kept.context, NAME, Change(**changed), kept.effort(), dry_run=dry_run)


def rules(kept: Kept, name: str = "gateway.nft") -> str:
    return Path(kept.paths(NAME).network / name).read_text()


def test_a_stopped_one_has_it_at_its_next_start(kept: Kept) -> None:
    kept.create(network="shared")
    assert change(kept, network="own").message == "in a network of its own"
    assert reached(kept.context, NAME) == Reached(name=NAME, network="own", allow=())
    assert kept.process(NAME).activity == "stopped"
    assert "dnat to 127.0.0.1:19001" in rules(kept)
    assert "ip daddr 127.0.0.1/32 tcp dport 19001 dnat to 10.0.2.2" in rules(kept, "session.nft")
    assert change(kept, network="own").message == "already in a network of its own"


def test_a_running_one_is_restarted_and_proved(kept: Kept) -> None:
    kept.deploy()
    pid = kept.process(NAME).pid
    assert change(kept, network="none").message == "in a network of its own without a way out"
    assert kept.process(NAME).pid not in (None, pid)
    assert kept.said[-1] == "prove the sandbox"


def test_what_is_near_is_allowed_and_denied_one_by_one(kept: Kept) -> None:
    kept.create()
    change(kept, network="own")
    change(kept, allow=(MODEL, "192.168.1.20/32"))
    assert kept.record(NAME).allow == (MODEL, "192.168.1.20")
    assert "tcp dport 11434" in rules(kept)
    said = change(kept, deny=("192.168.1.20",)).message
    assert said == f"in a network of its own, and near by {MODEL}"
    assert "192.168.1.20" not in rules(kept)
    assert "--reach-host" in rules(kept, "options")
    change(kept, deny=(MODEL,))
    assert "--reach-host" not in rules(kept, "options")


def expose(kept: Kept, *sources: str) -> Outcome:
    return set_exposure(kept.context, NAME, sources, kept.effort(), dry_run=False)


def test_an_exposed_one_is_reached_at_all_addresses_whichever_came_first(kept: Kept) -> None:
    kept.deploy()
    change(kept, network="own")
    assert "--expose" not in rules(kept, "options")
    pid = kept.process(NAME).pid
    assert expose(kept, "10.0.0.0/8").message == "exposed to 10.0.0.0/8 on port 19001"
    assert "--expose" in rules(kept, "options")
    assert "redirect to :19001" in rules(kept)
    assert kept.process(NAME).pid != pid
    pid = kept.process(NAME).pid
    expose(kept, "10.9.0.0/24")
    assert kept.process(NAME).pid == pid
    change(kept, network="shared")
    change(kept, network="own")
    assert "--expose" in rules(kept, "options")
    assert expose(kept).message == "reached from this machine alone"
    assert "--expose" not in rules(kept, "options")


def test_one_that_is_not_ready_exposed_is_as_it_was(kept: Kept) -> None:
    kept.deploy()
    change(kept, network="own")
    before = kept.files()
    kept.world.answers[NAME] = Answer(phase="starting", failing=("telegram",))
    with pytest.raises(OcmError, match="did not become ready"):
        expose(kept, "10.0.0.0/8")
    assert kept.files() == before


def test_what_a_change_of_the_config_needs_near_by_is_told_once(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edit, "_validate", lambda _worker, _config: None)
    kept.create(network="own")
    entry = {"baseUrl": f"http://{MODEL}/v1", "models": []}

    def noted(key: str, value: Any) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
        return edit.set_value(kept.context, NAME, key, value, effort=kept.effort(), dry_run=False).notes

    told = f"it has a provider at {MODEL}: ocm network {NAME} allow {MODEL}"
    assert told in noted("models.providers.lab", entry)
    assert told not in noted("models.providers.lab.timeoutSeconds", 7)
    change(kept, allow=(MODEL,))
    assert told not in noted("models.providers.other", entry)


def test_a_channel_whose_service_is_near_and_closed_is_told(kept: Kept) -> None:
    kept.create(network="shared")
    config = Path(kept.paths(NAME).config)
    entry = {"enabled": True, "apiRoot": "http://127.0.0.1:8081", "note": ["http://", 3, None]}
    config.write_text(json.dumps({**json.loads(config.read_text()), "channels": {"telegram": entry}}))
    told = f"it has the channel telegram at 127.0.0.1:8081: ocm network {NAME} allow 127.0.0.1:8081"
    assert told not in kept.status().notes
    assert told in change(kept, network="own").notes
    assert told in kept.status().notes
    assert f"{NAME}: {told}" in kept.examine().notes
    change(kept, allow=("127.0.0.1:8081",))
    assert told not in kept.status().notes


def test_a_dry_run_changes_nothing(kept: Kept) -> None:
    kept.create(network="shared")
    before = kept.files()
    assert change(kept, network="own", dry_run=True).steps
    assert kept.files() == before


def test_one_that_is_not_ready_with_it_is_as_it_was(kept: Kept) -> None:
    kept.create()
    change(kept, network="own", allow=(MODEL,))
    kept.start()
    before = kept.files()
    kept.world.answers[NAME] = Answer(phase="starting", failing=("telegram",))
    with pytest.raises(OcmError, match="did not become ready"):
        change(kept, allow=("192.168.1.20",))
    assert kept.files() == before
    assert kept.record(NAME).allow == (MODEL,)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"allow": ("localhost:80",)}, "network_invalid"),
        ({"allow": ("127.0.0.1",)}, "network_invalid"),
        ({"deny": (MODEL,)}, "not_allowed"),
        ({"network": "shared", "allow": (MODEL,)}, "network_shared"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(
    kept: Kept, changed: dict[str, Any], code: str
) -> None:
    kept.create()
    change(kept, network="own")
    before = kept.files()
    with pytest.raises((Invalid, OcmError)) as caught:
        change(kept, **changed)
    assert caught.value.code == code
    assert kept.files() == before


def test_one_without_a_sandbox_has_to_share_it(kept: Kept) -> None:
    kept.create(sealed=False)
    with pytest.raises(OcmError, match="it is unsealed") as caught:
        change(kept, network="own")
    assert caught.value.code == "network_impossible"


@pytest.mark.parametrize("lacking", ["_PACKAGES", "_TUN", "_TRY"])
def test_what_a_machine_lacks_is_said_with_what_mends_it(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacking: str
) -> None:
    host = kept.context.host
    uplinks.check_uplink(host, None)
    mends = {"_PACKAGES": "apt install slirp4netns; ", "_TUN": "modprobe tun; ", "_TRY": ""}
    values = {"_PACKAGES": {str(tmp_path / "slirp"): "slirp4netns"}, "_TUN": "/nowhere", "_TRY": ("false",)}
    monkeypatch.setattr(uplinks, lacking, values[lacking])
    with pytest.raises(OcmError) as caught:
        uplinks.check_uplink(host, "--network shared")
    assert caught.value.hint is not None
    accepted = "--network shared accepts the network of this machine"
    assert caught.value.hint.removeprefix("sudo ") == mends[lacking] + accepted


def test_a_new_one_has_it_where_it_can_be_and_else_that_is_said(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = create.Wanted(name=NAME, no_inherit=True)
    create.create(kept.context, wanted, dry_run=False)
    assert kept.record(NAME).network == "own"
    assert not [note for note in kept.examine().notes if "network" in note]
    create.create(kept.context, replace(wanted, name=OTHER, network="shared"), dry_run=False)
    note = f"in the network of this machine, where they reach what listens: {OTHER}; ocm network {OTHER} own"
    assert note in kept.examine().notes
    kept.delete(OTHER)
    monkeypatch.setattr(uplinks, "_PACKAGES", {"/nowhere/slirp4netns": "slirp4netns"})
    outcome = create.create(kept.context, replace(wanted, name=OTHER), dry_run=False)
    assert kept.record(OTHER).network == "shared"
    (said,) = [note for note in outcome.notes if "network" in note]
    assert said.startswith(
        f"{OTHER} shares the network of this machine: no network of its own can be made here"
    )
    assert said.endswith(f"apt install slirp4netns, then ocm network {OTHER} own")
    assert [note for note in kept.examine().notes if note.startswith("instances share the network")]


def inheriting(kept: Kept, name: InstanceName, source: InstanceName | None = None) -> tuple[Record, str]:
    """Make an instance that inherits; return its record and what was noted."""
    wanted = create.Wanted(name=name, network="own", inherit_from=source)
    outcome = create.create(kept.context, wanted, dry_run=False)
    return kept.record(name), "\n".join(outcome.notes)


def test_what_main_has_near_is_allowed_and_told_and_what_an_instance_names_is_not(
    kept: Kept,
) -> None:
    main = kept.home / ".openclaw"
    main.mkdir(exist_ok=True)
    provider = {"baseUrl": f"http://{MODEL}/v1", "models": [{"id": "m", "name": "m"}]}
    (main / "openclaw.json").write_text(json.dumps({"models": {"providers": {"lab": provider}}}))
    record, notes = inheriting(kept, NAME)
    assert (record.network, record.allow) == ("own", (MODEL,))
    assert f"it may reach {MODEL}, where a provider is that it inherits" in notes
    record, notes = inheriting(kept, OTHER, NAME)
    assert (record.network, record.allow) == ("own", ())
    assert f"it has a provider at {MODEL}: ocm network {OTHER} allow {MODEL}" in notes


def test_an_instance_that_is_there_is_not_taken_for_one_with_another_network(kept: Kept) -> None:
    kept.create(network="none")
    wanted = create.Wanted(name=NAME, no_inherit=True)
    assert not create.create(kept.context, wanted, dry_run=False).changed
    with pytest.raises(OcmError, match="with another network") as caught:
        create.create(kept.context, replace(wanted, network="own"), dry_run=False)
    assert caught.value.hint == f"ocm network {NAME} own changes that"


def test_a_restored_instance_has_the_network_that_it_had_and_nothing_near(
    kept: Kept,
) -> None:
    kept.create()
    change(kept, network="none")
    change(kept, allow=(MODEL,))
    archive = PurePosixPath(kept.backup().path)
    kept.delete()
    request = RestoreRequest(archive=archive, start=False)
    outcome = restoring.restore(kept.context, NAME, request, kept.effort(), dry_run=False)
    record = kept.record(NAME)
    assert (record.network, record.allow) == ("none", ())
    told = f"{NAME} could reach {MODEL}, and cannot now: ocm network {NAME} allow {MODEL}"
    assert told in outcome.notes
