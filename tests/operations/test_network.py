"""What an instance reaches, changed and shown; no namespace is made: that is in the machine tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.operations.kept import NAME

from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.operations.network import Change, Reached, reached, set_network
from openclaw_ocm.operations.planning import repair
from openclaw_ocm.system import uplinks

if TYPE_CHECKING:
    from typing import Any

    from tests.operations.kept import Kept

    from openclaw_ocm.operations.planning.result import Outcome

MODEL = "127.0.0.1:11434"


@pytest.fixture(autouse=True)
def _possible(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "check_uplink", lambda: None)
    # The fake's gateways listen themselves.
    monkeypatch.setattr(uplinks, "server", lambda paths: kept.process(paths.name).pid)


def change(kept: Kept, *, dry_run: bool = False, **changed: Any) -> Outcome:  # noqa: ANN401 - those of `Change`
    return set_network(kept.context, NAME, Change(**changed), kept.effort(), dry_run=dry_run)


def rules(kept: Kept, name: str = "gateway.nft") -> str:
    return Path(kept.paths(NAME).network / name).read_text()


def test_a_stopped_one_has_it_at_its_next_start(kept: Kept) -> None:
    kept.create()
    assert change(kept, network="own").message == "in a network of its own"
    assert reached(kept.context, NAME) == Reached(name=NAME, network="own", allow=())
    assert kept.process(NAME).activity == "stopped"
    assert "dnat to 127.0.0.1:19001" in rules(kept)
    assert "ip daddr 127.0.0.1 tcp dport 19001 dnat to 10.0.2.2" in rules(kept, "session.nft")
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


def test_a_dry_run_changes_nothing(kept: Kept) -> None:
    kept.create()
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


@pytest.mark.parametrize("lacking", ["/usr/bin/slirp4netns", "/dev/net/tun"])
def test_what_a_machine_lacks_is_said_with_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacking: str
) -> None:
    there = tmp_path / "there"
    there.touch()
    monkeypatch.setattr(uplinks, "_PACKAGES", {str(there): "nftables"})
    monkeypatch.setattr(uplinks, "_TUN", str(there))
    uplinks.check_uplink()
    if lacking == "/dev/net/tun":
        monkeypatch.setattr(uplinks, "_TUN", str(tmp_path / "tun"))
    else:
        monkeypatch.setattr(uplinks, "_PACKAGES", {str(tmp_path / "slirp"): "slirp4netns"})
    with pytest.raises(OcmError) as caught:
        uplinks.check_uplink()
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("sudo ")
    assert "--network shared" in caught.value.hint
